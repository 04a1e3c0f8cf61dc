//! Objects that tell themselves what they are made of.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyString, PyTuple};
use pyo3::{ffi, intern};

use super::failure;
use super::parts::{Part, Parts, Taken};
use crate::object::{Obj, discard};

/// An object of these parts.
fn own<'py>(name: &Bound<'py, PyString>, parts: Vec<Part<'py>>) -> Taken<'py> {
    let parts = parts.into_iter();
    (name.clone(), Parts::Own { parts, step: "" })
}

/// An instance by its class and attributes.
pub(super) fn instance<'py>(value: &Bound<'py, PyAny>, slots: &[Obj]) -> PyResult<Taken<'py>> {
    let py = value.py();
    // SAFETY: the object is alive; its own dict, whatever its class makes of the name.
    let dict = unsafe { ffi::PyObject_GenericGetDict(value.as_ptr(), std::ptr::null_mut()) };
    let attributes = if dict.is_null() {
        discard(py, PyErr::fetch(py));
        PyDict::new(py)
    } else {
        // SAFETY: a new reference.
        unsafe { Bound::from_owned_ptr(py, dict) }.cast_into::<PyDict>()?
    };
    let attributes = if slots.is_empty() {
        attributes
    } else {
        let all = attributes.copy()?;
        for name in slots {
            let name = name.bind(py);
            // SAFETY: both are alive.
            let found = unsafe { ffi::PyObject_GenericGetAttr(value.as_ptr(), name.as_ptr()) };
            if found.is_null() {
                // A slot that was never set.
                discard(py, PyErr::fetch(py));
                continue;
            }
            // SAFETY: a new reference.
            all.set_item(name, unsafe { Bound::from_owned_ptr(py, found) })?;
        }
        all
    };
    let class = Part::Value("its class", value.get_type().into_any());
    Ok(own(
        intern!(py, "instance"),
        vec![class, Part::Attributes(attributes)],
    ))
}

/// An object by what its `__reduce_ex__` returns.
pub(super) fn reduced<'py>(value: &Bound<'py, PyAny>) -> PyResult<Taken<'py>> {
    /// As far as copies of objects without buffers apart need it.
    const PROTOCOL: u8 = 4;
    let py = value.py();
    let kind = value.get_type();
    let registry = py.import(intern!(py, "copyreg"))?;
    let registry = registry.getattr(intern!(py, "dispatch_table"))?;
    let registered = registry.call_method1(intern!(py, "get"), (&kind,))?;
    let reduced = if registered.is_none() {
        value.call_method1(intern!(py, "__reduce_ex__"), (PROTOCOL,))?
    } else {
        registered.call1((value,))?
    };
    if let Ok(name) = reduced.cast::<PyString>() {
        let module = value
            .getattr_opt(intern!(py, "__module__"))?
            .filter(Bound::is_instance_of::<PyString>)
            .map_or_else(|| kind.module().map(Bound::into_any), Ok)?;
        let parts = vec![
            Part::Value("", module),
            Part::Value("", name.clone().into_any()),
        ];
        return Ok(own(intern!(py, "global"), parts));
    }
    let nonsense = |why: String| {
        let kind = failure::kind(value);
        PyTypeError::new_err(format!("__reduce_ex__ of {kind} {why}"))
    };
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
        Some(Err(other)) => Part::Value("its state", other.into_inner()),
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
    Ok(own(intern!(py, "reduce"), parts))
}
