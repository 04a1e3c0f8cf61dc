//! Memory that Python sees as a buffer.

use std::ffi::c_int;

use pyo3::PyClass;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Fills in the view of a buffer that lies in one piece.
///
/// # Safety
///
/// `view` is what `__getbuffer__` was handed. The memory lives as long as `owner`, which the view keeps, and may be
/// written to if it is `writable`.
pub(crate) unsafe fn fill(
    owner: &PyRef<'_, impl PyClass>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    memory: *const [u8],
    writable: bool,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no place for the view"));
    }
    let len = ffi::Py_ssize_t::try_from(memory.len())
        .map_err(|_| PyBufferError::new_err("more bytes than an object can have"))?;
    let start = memory.cast_mut().cast();
    let read_only = c_int::from(!writable);
    // SAFETY: as the caller says.
    if unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start, len, read_only, flags) } < 0 {
        return Err(PyErr::fetch(owner.py()));
    }
    Ok(())
}
