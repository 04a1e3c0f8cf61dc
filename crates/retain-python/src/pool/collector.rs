//! Which buffers of what is pickled travel outside of the pickle.

use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};

use super::region::Region;
use crate::object::Obj;

/// A buffer that its object keeps where it is.
pub(super) struct Held(Box<ffi::Py_buffer>);

// SAFETY: the view is only read, and released by attached threads as `Obj`s are.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The bytes of an object; they lie together, in whatever order of axes.
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(MaybeUninit::<ffi::Py_buffer>::uninit());
        let flags = ffi::PyBUF_ANY_CONTIGUOUS;
        // SAFETY: the interpreter fills the view in, unless it fails.
        unsafe {
            if ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) < 0 {
                return Err(PyErr::fetch(object.py()));
            }
            Ok(Self(view.assume_init()))
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.0.len).unwrap_or(0);
        if self.0.buf.is_null() || len == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps the memory in place until the view is released. That other threads write to it
        // meanwhile is the user's race: what is read is copied, and nothing is made of it here.
        unsafe { std::slice::from_raw_parts(self.0.buf.cast(), len) }
    }

    /// Whether nobody changes it. That its owner does not let it be changed is not enough: a read-only array may be a
    /// view of one that others write to, as those of pandas are.
    pub(super) fn is_constant(&self, py: Python<'_>) -> bool {
        let keeper = self.owner(py).map(|owner| keeper(&owner));
        self.0.readonly != 0
            && keeper.is_some_and(|keeper| {
                let region = keeper.cast_exact::<Region>();
                keeper.is_exact_instance_of::<PyBytes>()
                    || region.is_ok_and(|region| !region.get().writable)
            })
    }

    /// The array that exported it.
    fn owner<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the view keeps its exporter alive.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, self.0.obj) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: filled in by `of`; this thread is attached, as for `Obj`.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.0) };
    }
}

/// What a pickler calls for each buffer: takes large ones out of the pickle.
#[pyclass(frozen, module = "retain._retain")]
pub(super) struct Collector {
    /// From how many bytes on.
    from: usize,
    collected: Mutex<Collected>,
}

#[derive(Default)]
pub(super) struct Collected {
    pub(super) buffers: Vec<Held>,
    /// Whether there was one of a mapped file, which the careful pickler passes by its name.
    pub(super) mapped: bool,
}

#[pymethods]
impl Collector {
    /// Whether the buffer stays in the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        let held = Held::of(buffer)?;
        if let Some(owner) = held.owner(buffer.py())
            && is_of_mapped_file(&owner)?
        {
            self.lock().mapped = true;
        }
        if held.bytes().len() < self.from {
            return Ok(true);
        }
        self.lock().buffers.push(held);
        Ok(false)
    }
}

impl Collector {
    /// `None`: all buffers stay in the pickle.
    pub(super) fn new(from: Option<usize>) -> Self {
        Self {
            from: from.unwrap_or(usize::MAX),
            collected: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What was collected since this was asked last.
    pub(super) fn take(&self) -> Collected {
        std::mem::take(&mut *self.lock())
    }
}

/// What keeps the memory that an array is a view of.
fn keeper<'py>(array: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let mut keeper = array.clone();
    for _ in 0..8 {
        match keeper.getattr_opt(intern!(array.py(), "base")) {
            Ok(Some(base)) if !base.is_none() => keeper = base,
            _ => break,
        }
    }
    keeper
}

/// Whether an array lies in a file that numpy mapped.
fn is_of_mapped_file(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    static MEMMAP: PyOnceLock<Obj> = PyOnceLock::new();

    let py = array.py();
    let mut array = array.clone();
    // A view's base is the array itself, except for subclasses: the way is short.
    for _ in 0..8 {
        let Some(base) = array.getattr_opt(intern!(py, "base"))? else {
            return Ok(false);
        };
        if base.is_none() {
            return Ok(false);
        }
        let memmap = MEMMAP.get_or_try_init(py, || -> PyResult<Obj> {
            Ok(py.import("numpy")?.getattr("memmap")?.into())
        })?;
        // SAFETY: it is a type.
        let memmap = unsafe { memmap.bind(py).cast_unchecked::<PyType>() };
        if base.is_instance(memmap)? {
            return Ok(true);
        }
        array = base;
    }
    Ok(false)
}
