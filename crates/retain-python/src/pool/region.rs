//! A buffer of shared memory as Python sees it.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use retain_pool::Mapped;

use crate::buffer::fill;

/// Memory that another process lent; given back when nothing refers to it.
#[pyclass(frozen, module = "retain._retain")]
pub(super) struct Region {
    memory: Mapped,
    /// Whether what this process writes to it is its own; else nobody writes.
    pub(super) writable: bool,
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
        let memory: *const [u8] = slf.memory.bytes();
        // SAFETY: the view keeps this object, and so the memory.
        unsafe { fill(&slf, view, flags, memory, slf.writable) }
    }
}
