//! Which objects are pickled otherwise than they would themselves.

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::object::Obj;

/// Tells a pickler how to reduce arrays whose bytes would otherwise be copied into the stream, and leaves all else to it.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Reducer {
    /// Types whose instances, also of subclasses, are asked about.
    types: Vec<Obj>,
    /// The reduction of one such instance, or `NotImplemented`.
    function: Obj,
}

#[pymethods]
impl Reducer {
    #[new]
    fn new(types: Vec<Bound<'_, PyType>>, function: &Bound<'_, PyAny>) -> Self {
        Self {
            types: types.into_iter().map(Obj::from).collect(),
            function: function.into(),
        }
    }

    /// What a pickler calls as its `reducer_override`.
    fn reduce<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let kind = object.get_type_ptr();
        // SAFETY: all of them are types, and alive.
        let asked = self
            .types
            .iter()
            .any(|base| unsafe { ffi::PyType_IsSubtype(kind, base.as_ptr().cast()) } != 0);
        if asked {
            self.function.bind(py).call1((object,))
        } else {
            Ok(py.NotImplemented().into_bound(py))
        }
    }
}

/// Stands for the bytes of an array that do not lie one after the other. They are gathered while they are written.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Strided {
    /// Makes an iterator over the bytes, in contiguous pieces.
    pieces: Obj,
    len: u64,
}

#[pymethods]
impl Strided {
    #[new]
    fn new(pieces: &Bound<'_, PyAny>, len: u64) -> Self {
        Self {
            pieces: pieces.into(),
            len,
        }
    }

    /// A buffer of no bytes: what a pickler need see.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the receiver that pyo3 asks for"
    )]
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no place for the view"));
        }
        // SAFETY: the interpreter hands over a view to fill in; bytes that are never read lie anywhere.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                c"".as_ptr().cast_mut().cast(),
                0,
                0,
                flags,
            )
        } < 0;
        if failed {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

impl Strided {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn pieces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.pieces
            .bind(py)
            .call0()?
            .call_method0(intern!(py, "__iter__"))
    }
}
