//! Memory of other objects.

use pyo3::ffi;
use pyo3::prelude::*;

/// Memory that an object has exported, and does not move meanwhile.
pub(super) struct Exported {
    view: Box<ffi::Py_buffer>,
}

impl Exported {
    pub(super) fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the object is alive; the view is released when this is dropped.
        let failed =
            unsafe { ffi::PyObject_GetBuffer(value.as_ptr(), &raw mut *view, ffi::PyBUF_SIMPLE) };
        if failed == 0 {
            Ok(Self { view })
        } else {
            Err(PyErr::fetch(value.py()))
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match usize::try_from(self.view.len) {
            // SAFETY: so many bytes lie there until the view is released.
            Ok(length) if length > 0 => unsafe {
                std::slice::from_raw_parts(self.view.buf.cast(), length)
            },
            _ => &[],
        }
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: it was exported, and walks run on attached threads.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}
