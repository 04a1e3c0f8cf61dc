//! Memory for what is read, as the objects that will hold it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Where huge pages pay.
pub(super) const HUGE: usize = 4 << 20;

/// A new bytearray and its memory, to be filled before anyone else sees it.
pub(super) fn new_bytearray(py: Python<'_>, len: isize) -> PyResult<(Bound<'_, PyAny>, &mut [u8])> {
    // SAFETY: an object with so many bytes of memory is made that nothing else refers to yet. Memory of C's allocator
    // holds bytes, whichever. It is not made in one step: where there is no memory, CPython prints of an error inside.
    unsafe {
        let object = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), 0);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        if ffi::PyByteArray_Resize(object.as_ptr(), len) < 0 {
            return Err(PyErr::fetch(py));
        }
        let start = ffi::PyByteArray_AsString(object.as_ptr());
        let bytes = std::slice::from_raw_parts_mut(start.cast::<u8>(), len.unsigned_abs());
        Ok((object, bytes))
    }
}

/// A new bytes object and its memory, to be filled before anyone else sees it.
pub(super) fn new_bytes(py: Python<'_>, len: isize) -> PyResult<(Bound<'_, PyAny>, &mut [u8])> {
    if len == 0 {
        // The one that all share.
        return Ok((PyBytes::new(py, b"").into_any(), &mut []));
    }
    // SAFETY: as above; a bytes object of one byte, which others may share, is made anew with a null pointer, too.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let start = ffi::PyBytes_AsString(object.as_ptr());
        let bytes = std::slice::from_raw_parts_mut(start.cast::<u8>(), len.unsigned_abs());
        Ok((object, bytes))
    }
}

/// Asks for huge pages below fresh memory: filling it takes a fraction of the page faults.
#[cfg(target_os = "linux")]
pub(super) fn huge_pages(bytes: &mut [u8]) {
    use rustix::mm::{Advice, madvise};

    if bytes.len() < HUGE {
        return;
    }
    let page = rustix::param::page_size();
    let start = bytes.as_mut_ptr();
    let skip = start.align_offset(page);
    let len = bytes.len().saturating_sub(skip) / page * page;
    // SAFETY: whole pages inside of the slice. The advice changes nothing that can be seen but time.
    let _ = unsafe { madvise(start.wrapping_add(skip).cast(), len, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn huge_pages(_bytes: &mut [u8]) {}
