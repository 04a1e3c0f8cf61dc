//! A buffer of shared memory as Python sees it.

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use retain_pool::Mapped;

/// Memory that another process lent; given back when nothing refers to it.
#[pyclass(frozen, module = "retain._retain")]
pub(super) struct Region {
    memory: Mapped,
    writable: bool,
}

impl Region {
    /// `writable`: the memory is mapped so that what is written is this process's own.
    pub(super) fn new(memory: Mapped, writable: bool) -> Self {
        Self { memory, writable }
    }
}

#[pymethods]
impl Region {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the receiver that pyo3 asks for"
    )]
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no place for the view"));
        }
        let len = ffi::Py_ssize_t::try_from(slf.memory.bytes().len())
            .map_err(|_| PyBufferError::new_err("more bytes than an object can have"))?;
        // SAFETY: the interpreter hands over a view to fill in; it keeps this object, and so the memory, alive.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                slf.memory.as_ptr().cast(),
                len,
                c_int::from(!slf.writable),
                flags,
            )
        } < 0;
        if failed {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}
