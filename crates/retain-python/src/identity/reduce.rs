//! Objects that tell themselves what they are made of.

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyString, PyTuple};
use pyo3::{ffi, intern};

use super::failure;
use super::parts::{Part, Parts, Taken};
use super::route::{Slot, registered};
use crate::object::discard;

/// An object of these parts.
fn own<'py>(name: &Bound<'py, PyString>, parts: Vec<Part<'py>>) -> Taken<'py> {
    let parts = parts.into_iter();
    (name.clone(), Parts::Own { parts, step: "" })
}

/// An instance by its class and attributes: those in its dict, then those in its slots, if its class has any.
pub(super) fn instance<'py>(value: &Bound<'py, PyAny>, slots: &[Slot]) -> PyResult<Taken<'py>> {
    let py = value.py();
    // SAFETY: the object is alive; its own dict, whatever its class makes of the name.
    let dict = unsafe { ffi::PyObject_GenericGetDict(value.as_ptr(), std::ptr::null_mut()) };
    let attributes = if dict.is_null() {
        absent(py)?;
        PyDict::new(py)
    } else {
        // SAFETY: a new reference.
        unsafe { Bound::from_owned_ptr(py, dict) }.cast_into::<PyDict>()?
    };
    let class = Part::Value("its class", value.get_type().into_any());
    let mut parts = vec![class, Part::Attributes(attributes)];
    if !slots.is_empty() {
        let held = PyDict::new(py);
        let kind = value.get_type();
        for slot in slots {
            let member = slot.member(&kind)?;
            match member.call_method1(intern!(py, "__get__"), (value,)) {
                Ok(item) => held.set_item(slot.shown.bind(py), item)?,
                // It was never set.
                Err(error) if error.is_instance_of::<PyAttributeError>(py) => discard(py, error),
                Err(error) => return Err(error),
            }
        }
        parts.push(Part::Attributes(held));
    }
    Ok(own(intern!(py, "instance"), parts))
}

/// Gives up the error that an attribute is not there; any other is raised.
fn absent(py: Python<'_>) -> PyResult<()> {
    match PyErr::fetch(py) {
        error if error.is_instance_of::<PyAttributeError>(py) => {
            discard(py, error);
            Ok(())
        }
        error => Err(error),
    }
}

/// What an object's `__reduce_ex__` tells.
pub(super) enum Reduced<'py> {
    Object(Taken<'py>),
    /// It is found under its name: parts as a handler returns them.
    Global(Bound<'py, PyAny>),
}

/// An object by what its `__reduce_ex__` returns.
pub(super) fn reduced<'py>(value: &Bound<'py, PyAny>) -> PyResult<Reduced<'py>> {
    /// As far as copies of objects without buffers apart need it.
    const PROTOCOL: u8 = 4;
    let py = value.py();
    let kind = value.get_type();
    let registered = registered(&kind)?;
    let reduced = if registered.is_none() {
        value.call_method1(intern!(py, "__reduce_ex__"), (PROTOCOL,))?
    } else {
        registered.call1((value,))?
    };
    let nonsense = |why: String| {
        let kind = failure::kind(value);
        PyTypeError::new_err(format!("__reduce_ex__ of {kind} {why}"))
    };
    if let Ok(name) = reduced.cast::<PyString>() {
        let module = module_of(value)?;
        let found = found_at(&module, name)?;
        if !found.is_some_and(|found| found.is(value)) {
            return Err(nonsense(format!(
                "returned '{name}', but in module {module} that is something else"
            )));
        }
        let parts = (intern!(py, "global"), module, name).into_pyobject(py)?;
        return Ok(Reduced::Global(parts.into_any()));
    }
    let Ok(tuple) = reduced.cast::<PyTuple>() else {
        let returned = failure::kind(&reduced);
        return Err(nonsense(format!(
            "returned a {returned}, not a str or a tuple"
        )));
    };
    if !(2..=6).contains(&tuple.len()) {
        let length = tuple.len();
        return Err(nonsense(format!(
            "returned a tuple of {length}, not 2 to 6"
        )));
    }
    let mut items = tuple.iter();
    let mut next = || items.next().filter(|item| !item.is_none());
    let function = next().filter(Bound::is_callable);
    let function = function.ok_or_else(|| nonsense("does not return a callable first".into()))?;
    let args = next().filter(Bound::is_instance_of::<PyTuple>);
    let args =
        args.ok_or_else(|| nonsense("does not return a tuple of arguments second".into()))?;
    let iterator = |items: Bound<'py, PyAny>, which| {
        items
            .cast_into::<PyIterator>()
            .map_err(|_| nonsense(format!("returns no iterator as its {which} item")))
    };
    let value_or_none =
        |name, part: Option<_>| part.map_or(Part::None, |part| Part::Value(name, part));
    let state = match next().map(Bound::cast_into_exact::<PyDict>) {
        None => Part::None,
        Some(Ok(attributes)) => Part::Attributes(attributes),
        Some(Err(other)) => state_of(other.into_inner()),
    };
    let list = next().map(|items| iterator(items, "fourth")).transpose()?;
    let dict = next().map(|items| iterator(items, "fifth")).transpose()?;
    let setter = next();
    let parts = vec![
        Part::Value("what makes it", function),
        Part::Value("what it is made of", args),
        state,
        list.map_or(Part::None, Part::Items),
        dict.map_or(Part::None, Part::Pairs),
        value_or_none("its state setter", setter),
    ];
    Ok(Reduced::Object(own(intern!(py, "reduce"), parts)))
}

/// The name of the module that an object says it is of.
fn module_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let module = value.getattr_opt(intern!(value.py(), "__module__"))?;
    match module.filter(Bound::is_instance_of::<PyString>) {
        Some(module) => Ok(module),
        None => value.get_type().module().map(Bound::into_any),
    }
}

/// What is found in a module under a dotted name.
fn found_at<'py>(
    module: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = module.py().import("sys")?.getattr("modules")?;
    let mut found = match modules.get_item(module) {
        Ok(found) => Some(found),
        Err(error) => {
            discard(module.py(), error);
            None
        }
    };
    for part in name.to_string_lossy().split('.') {
        found = match found {
            Some(holder) => holder.getattr_opt(part)?,
            None => None,
        };
    }
    Ok(found)
}

/// The state of an object. The dicts of a pair are the attributes in its dict and in its slots.
fn state_of(state: Bound<'_, PyAny>) -> Part<'_> {
    let Ok(tuple) = state.cast_exact::<PyTuple>() else {
        return Part::Value("its state", state);
    };
    let parts = tuple.iter().map(|item| match item.cast_into_exact() {
        Ok(attributes) => Part::Attributes(attributes),
        Err(other) => Part::Value("its state", other.into_inner()),
    });
    Part::Tuple(parts.collect())
}
