//! The bytes of an object that exports a buffer.

use std::mem::MaybeUninit;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A contiguous buffer that an object exports, held.
pub(super) struct View(Box<ffi::Py_buffer>);

// SAFETY: an exported buffer stays where it is until it is released, whichever thread looks at it; it is released by an
// attached thread, since views are dropped where Python objects are.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// The buffer of `object`, in whichever order its items lie, as long as they lie without gaps.
    pub(super) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::with(object, ffi::PyBUF_ANY_CONTIGUOUS)
    }

    /// The buffer of `object`, to be written to.
    pub(super) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::with(object, ffi::PyBUF_WRITABLE)
    }

    fn with(object: &Bound<'_, PyAny>, flags: std::ffi::c_int) -> PyResult<Self> {
        let mut buffer = Box::new(MaybeUninit::<ffi::Py_buffer>::uninit());
        // SAFETY: the object is alive and this thread attached; on success the struct is filled in.
        let view = unsafe {
            if ffi::PyObject_GetBuffer(object.as_ptr(), buffer.as_mut_ptr(), flags) < 0 {
                return Err(PyErr::fetch(object.py()));
            }
            Self(Box::from_raw(
                Box::into_raw(buffer).cast::<ffi::Py_buffer>(),
            ))
        };
        // SAFETY: the struct was filled in.
        if unsafe {
            ffi::PyBuffer_IsContiguous(&raw const *view.0, b'A'.cast_signed() as std::ffi::c_char)
        } == 0
        {
            return Err(PyBufferError::new_err(
                "the bytes of the buffer are not contiguous",
            ));
        }
        Ok(view)
    }

    /// The object that exports it.
    pub(super) fn exporter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: null, or an object that the view keeps.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.0.obj) }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.0.readonly == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match usize::try_from(self.0.len) {
            // SAFETY: so many bytes lie there until the view is released. The exporter's other users may write to them
            // meanwhile, as `dump` documents: then the file holds some mixture.
            Ok(len) if len > 0 => unsafe { std::slice::from_raw_parts(self.0.buf.cast(), len) },
            _ => &[],
        }
    }

    /// The bytes to write to.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match usize::try_from(self.0.len) {
            // SAFETY: as above, and the exporter granted that they are written to.
            Ok(len) if len > 0 && self.0.readonly == 0 => unsafe {
                std::slice::from_raw_parts_mut(self.0.buf.cast(), len)
            },
            _ => &mut [],
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the struct was filled in, and is released once; this thread is attached.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.0) };
    }
}
