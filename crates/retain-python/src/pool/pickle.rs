//! The C pickler and unpickler, called without a detour.

use std::ptr;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::object::{Obj, owned_or_error};

/// `pickle.dumps` and `pickle.loads`.
pub(super) struct Pickle {
    dumps: Obj,
    loads: Obj,
    protocol: Obj,
    /// `("buffer_callback",)` and `("buffers",)`.
    callback_name: Obj,
    buffers_name: Obj,
}

impl Pickle {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("_pickle")?;
        Ok(Self {
            dumps: module.getattr("dumps")?.into(),
            loads: module.getattr("loads")?.into(),
            protocol: 5u8.into_pyobject(py)?.into_any().into(),
            callback_name: PyTuple::new(py, [intern!(py, "buffer_callback")])?
                .into_any()
                .into(),
            buffers_name: PyTuple::new(py, [intern!(py, "buffers")])?
                .into_any()
                .into(),
        })
    }

    /// The pickle of an object, whose buffers are offered to `collector`.
    pub(super) fn dumps<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        collector: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = object.py();
        let arguments = [object.as_ptr(), self.protocol.as_ptr(), collector.as_ptr()];
        // SAFETY: two positional arguments and a named one, all of them alive.
        let result = unsafe {
            ffi::PyObject_Vectorcall(
                self.dumps.as_ptr(),
                arguments.as_ptr(),
                2,
                self.callback_name.as_ptr(),
            )
        };
        let result = owned_or_error(py, result)?.into_pyobject(py)?;
        Ok(result.cast_into::<PyBytes>()?)
    }

    /// What a pickle without buffers of its own is of.
    pub(super) fn loads<'py>(
        &self,
        py: Python<'py>,
        pickle: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = [pickle.as_ptr()];
        // SAFETY: one positional argument, which is alive.
        let result = unsafe {
            ffi::PyObject_Vectorcall(self.loads.as_ptr(), arguments.as_ptr(), 1, ptr::null_mut())
        };
        Ok(owned_or_error(py, result)?.into_pyobject(py)?)
    }

    /// What a pickle is of whose buffers travelled outside of it.
    pub(super) fn loads_with<'py>(
        &self,
        py: Python<'py>,
        pickle: &Bound<'py, PyAny>,
        buffers: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = [pickle.as_ptr(), buffers.as_ptr()];
        // SAFETY: one positional argument and a named one, both alive.
        let result = unsafe {
            ffi::PyObject_Vectorcall(
                self.loads.as_ptr(),
                arguments.as_ptr(),
                1,
                self.buffers_name.as_ptr(),
            )
        };
        Ok(owned_or_error(py, result)?.into_pyobject(py)?)
    }
}

/// Whether `name` occurs in a pickle: of that which does not, no object is looked up there.
pub(super) fn mentions(pickle: &[u8], name: [u8; 8]) -> bool {
    // Boyer, Moore and Horspool: most bytes of a large pickle are not looked at.
    let last = name.len() - 1;
    let mut at = last;
    while let Some(&byte) = pickle.get(at) {
        if byte == name[last] && pickle.get(at - last..=at) == Some(name.as_slice()) {
            return true;
        }
        let behind = name[..last].iter().rev().position(|&other| other == byte);
        at += behind.map_or(name.len(), |distance| distance + 1);
    }
    false
}
