//! How the objects of a type are taken apart, found out once for each type.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hashbrown::HashMap;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyModule, PySet, PyString, PyTuple, PyType, PyWeakrefReference};
use pyo3::{ffi, intern};

use super::array;
use crate::compare::type_of;
use crate::guards::refers_to;
use crate::object::{Obj, discard};

/// How the objects of a type are taken apart.
pub(super) enum Route {
    /// By their attributes: those in their `__dict__`, and those in these slots.
    Instance { slots: Vec<Slot> },
    /// By what a function returns.
    Handler(Obj),
    /// By their `__reduce_ex__`.
    Reduce,
    /// By their code.
    Code,
    /// `numpy.ndarray`.
    Array,
    /// `numpy.memmap`, by a function, or as if it were an array.
    MemoryMap(Option<Obj>),
}

/// A slot of a class or of one of its bases.
pub(super) struct Slot {
    /// The name that it is written under: after that of its class if a subclass has a slot of the same name.
    pub(super) shown: Obj,
    name: Obj,
    /// Where its class is among the bases. What gives its value refers to the class, and would keep it alive.
    place: usize,
}

impl Slot {
    /// What gives the slot's value for an instance of `kind`.
    pub(super) fn member<'py>(&self, kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        let base = kind.mro().get_item(self.place)?;
        base.getattr("__dict__")?
            .get_item(self.name.bind(kind.py()))
    }
}

struct Entry {
    /// The type, weakly: its address may come to be another's.
    kind: Obj,
    /// The interpreter's number of the type's state: it moves when the type or a base of it is changed.
    version: u32,
    route: Arc<Route>,
}

type Table = HashMap<usize, Entry>;

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

/// Asks all types anew.
pub(super) fn forget() {
    let table = std::mem::take(&mut *TABLE.lock().unwrap_or_else(PoisonError::into_inner));
    // Dropped when the table is free: that can run any code.
    drop(table);
}

/// The route of the type of `object`.
pub(super) fn of(object: &Bound<'_, PyAny>) -> PyResult<Arc<Route>> {
    let kind = object.get_type();
    if let Some(route) = known(&kind) {
        return unless_registered(&kind, route);
    }
    let route = Arc::new(find(object, &kind)?);
    let entry = Entry {
        kind: PyWeakrefReference::new(&kind)?.into_any().into(),
        version: version(&kind),
        route: route.clone(),
    };
    let gone = {
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(kind.as_ptr().addr(), entry)
    };
    drop(gone);
    unless_registered(&kind, route)
}

/// The route, unless `copyreg` has come to know how to reduce the type's objects.
fn unless_registered(kind: &Bound<'_, PyType>, route: Arc<Route>) -> PyResult<Arc<Route>> {
    let by_attributes = matches!(*route, Route::Instance { .. });
    if by_attributes && !registered(kind)?.is_none() {
        return Ok(Arc::new(Route::Reduce));
    }
    Ok(route)
}

/// How `copyreg` reduces the objects of a type, or None.
pub(super) fn registered<'py>(kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = kind.py();
    let table = py
        .import(intern!(py, "copyreg"))?
        .getattr(intern!(py, "dispatch_table"))?;
    table.call_method1(intern!(py, "get"), (kind,))
}

fn known(kind: &Bound<'_, PyType>) -> Option<Arc<Route>> {
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = table.get(&kind.as_ptr().addr())?;
    let version = version(kind);
    let same = version != 0 && entry.version == version && refers_to(&entry.kind, kind);
    same.then(|| entry.route.clone())
}

fn version(kind: &Bound<'_, PyType>) -> u32 {
    // SAFETY: the type is alive.
    unsafe { (*kind.as_type_ptr()).tp_version_tag }
}

fn find(object: &Bound<'_, PyAny>, kind: &Bound<'_, PyType>) -> PyResult<Route> {
    let py = object.py();
    if is_code(object) {
        return Ok(Route::Code);
    }
    if array::is_ndarray(kind) && !is_registered(kind)? {
        return Ok(Route::Array);
    }
    let parts = py.import(intern!(py, "retain._parts"))?;
    let handler = parts.call_method1(intern!(py, "handler"), (kind,))?;
    let handler = (!handler.is_none()).then(|| Obj::from(handler));
    if array::is_memory_map(kind) {
        return Ok(Route::MemoryMap(handler));
    }
    if let Some(handler) = handler {
        return Ok(Route::Handler(handler));
    }
    Ok(match slots(object, kind)? {
        Some(slots) => Route::Instance { slots },
        None => Route::Reduce,
    })
}

/// Whether `retain.register_key` was told what stands for the objects of a type.
fn is_registered(kind: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = kind.py();
    let modules = py
        .import(intern!(py, "sys"))?
        .getattr(intern!(py, "modules"))?;
    // It is imported to register anything.
    let parts = modules.call_method1(intern!(py, "get"), (intern!(py, "retain._parts"),))?;
    if parts.is_none() {
        return Ok(false);
    }
    parts
        .call_method1(intern!(py, "registered"), (kind,))?
        .extract()
}

/// Functions, classes and modules: who they are is told by their code.
fn is_code(object: &Bound<'_, PyAny>) -> bool {
    let kind = type_of(object.as_ptr());
    let descriptors = [
        &raw mut ffi::PyClassMethodDescr_Type,
        &raw mut ffi::PyGetSetDescr_Type,
        &raw mut ffi::PyMemberDescr_Type,
        &raw mut ffi::PyMethodDescr_Type,
        &raw mut ffi::PyWrapperDescr_Type,
    ];
    object.is_instance_of::<PyType>()
        || object.is_instance_of::<PyModule>()
        || object.is_exact_instance_of::<PyFunction>()
        || descriptors.contains(&kind)
}

/// The slots of a type whose instances are all told by their attributes; `None` if it has its own way to be reduced.
fn slots(object: &Bound<'_, PyAny>, kind: &Bound<'_, PyType>) -> PyResult<Option<Vec<Slot>>> {
    let py = object.py();
    let base = py.get_type::<PyAny>();
    for method in ["__reduce_ex__", "__reduce__", "__getstate__"] {
        if !kind.getattr(method)?.is(&base.getattr(method)?) {
            return Ok(None);
        }
    }
    for method in ["__getnewargs_ex__", "__getnewargs__"] {
        if kind.hasattr(method)? {
            return Ok(None);
        }
    }
    // What the interpreter makes of one of them tells whether there is more to it than attributes: state in C.
    let reduced = match base.call_method1("__reduce_ex__", (object, 4)) {
        Ok(reduced) => reduced,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            discard(py, error);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Ok(reduced) = reduced.cast_into::<PyTuple>() else {
        return Ok(None);
    };
    let made = py.import(intern!(py, "copyreg"))?.getattr("__newobj__")?;
    let made_anew = reduced.get_item(0)?.is(&made)
        && reduced.get_item(1)?.len()? == 1
        && reduced.iter().skip(3).all(|more| more.is_none());
    if !made_anew {
        return Ok(None);
    }
    let mut slots = Vec::new();
    let names = PySet::empty(py)?;
    for (place, base) in kind.mro().iter().enumerate() {
        let base = base.cast_into::<PyType>()?;
        for pair in base
            .getattr("__dict__")?
            .call_method0("items")?
            .try_iter()?
        {
            let (name, member): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
            if type_of(member.as_ptr()) != &raw mut ffi::PyMemberDescr_Type {
                continue;
            }
            let shown = if names.contains(&name)? {
                PyString::new(py, &format!("{}.{name}", base.qualname()?)).into_any()
            } else {
                name.clone()
            };
            names.add(&name)?;
            slots.push(Slot {
                shown: shown.into(),
                name: name.into(),
                place,
            });
        }
    }
    Ok(Some(slots))
}
