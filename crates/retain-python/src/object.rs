//! Owned references to Python objects, as small as a pointer.

use std::ffi::c_int;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::{Bound, ffi};
use retain_memory::Stored;

use crate::compare::items;

/// A strong reference, cloned and dropped without looking whether this thread is attached to the interpreter.
///
/// `Py<PyAny>` looks each time, which costs as much as the lookup itself. The price is a rule: `Obj`s are cloned and
/// dropped by attached threads only. All of them live in tables and flights that only this crate's entry points reach,
/// and a thread is attached in each of those; where a thread detaches to wait, it drops nothing.
///
/// pyo3 does not know that a thread is attached in an entry that the interpreter calls directly. A `Py` or a `PyErr` that
/// is dropped there stays alive until some later call through pyo3, so entries keep none: `Obj` and `Bound` are given up
/// at once, and an error is raised on or [discarded](discard).
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Obj(NonNull<ffi::PyObject>);

// SAFETY: a reference to a Python object may be handed to another thread; it is used there only while attached.
unsafe impl Send for Obj {}
// SAFETY: as above; `&Obj` gives nothing but the pointer and new references.
unsafe impl Sync for Obj {}

impl Obj {
    /// Takes over a strong reference.
    ///
    /// # Safety
    /// `pointer` is a strong reference, which the caller gives away.
    #[inline]
    pub(crate) unsafe fn from_owned(pointer: NonNull<ffi::PyObject>) -> Self {
        Self(pointer)
    }

    /// A new reference.
    ///
    /// # Safety
    /// `pointer` points to a live object, and this thread is attached.
    #[inline]
    pub(crate) unsafe fn from_borrowed(pointer: *mut ffi::PyObject) -> Self {
        // SAFETY: the object is alive and this thread attached, says the caller.
        unsafe {
            ffi::Py_INCREF(pointer);
            Self(NonNull::new_unchecked(pointer))
        }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// Gives the strong reference away.
    #[inline]
    pub(crate) fn into_ptr(self) -> *mut ffi::PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    #[inline]
    pub(crate) fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        // SAFETY: both are one non-null pointer to a live object, and nothing else.
        unsafe { &*(&raw const *self).cast::<Py<PyAny>>() }.bind(py)
    }
}

impl Clone for Obj {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive as long as `self`; the rule above says that this thread is attached.
        unsafe { Self::from_borrowed(self.as_ptr()) }
    }
}

impl Drop for Obj {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` owns the reference; the rule above says that this thread is attached.
        unsafe { ffi::Py_DECREF(self.as_ptr()) }
    }
}

impl<T> From<Bound<'_, T>> for Obj {
    fn from(bound: Bound<'_, T>) -> Self {
        // SAFETY: `into_ptr` gives away a strong reference, which is never null.
        unsafe { Self::from_owned(NonNull::new_unchecked(bound.into_ptr())) }
    }
}

impl<T> From<&Bound<'_, T>> for Obj {
    fn from(bound: &Bound<'_, T>) -> Self {
        Self::from(bound.clone())
    }
}

/// A value of a function that is cached as `functools` does: no weight, no end.
///
/// The pointer's lowest bit tells that the value refers to no other objects, so that the collector passes over it without
/// touching it.
#[derive(Debug)]
pub(crate) struct Plain(NonNull<ffi::PyObject>);

// SAFETY: as for `Obj`, which this is in another shape.
unsafe impl Send for Plain {}
// SAFETY: as for `Obj`.
unsafe impl Sync for Plain {}

impl Plain {
    const ATOMIC: usize = 1;

    pub(crate) fn new(object: Obj) -> Self {
        let tag = if is_atomic(object.as_ptr()) {
            Self::ATOMIC
        } else {
            0
        };
        let pointer = object.into_ptr().map_addr(|address| address | tag);
        // SAFETY: the pointer was not null, and stays so with one more bit set.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    #[inline]
    fn pointer(&self) -> *mut ffi::PyObject {
        self.0.as_ptr().map_addr(|address| address & !Self::ATOMIC)
    }

    /// A new reference to the value.
    #[inline]
    pub(crate) fn object(&self) -> Obj {
        // SAFETY: the object is alive as long as `self`, and this thread attached.
        unsafe { Obj::from_borrowed(self.pointer()) }
    }

    #[inline]
    pub(crate) fn is_atomic(&self) -> bool {
        self.0.as_ptr().addr() & Self::ATOMIC != 0
    }

    /// Shows the collector the value, if it need see it.
    #[inline]
    pub(crate) fn traverse(
        &self,
        visit: &mut (impl FnMut(*mut ffi::PyObject) -> c_int + ?Sized),
    ) -> c_int {
        if self.is_atomic() {
            0
        } else {
            visit(self.pointer())
        }
    }
}

impl Clone for Plain {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive as long as `self`, and this thread attached.
        unsafe { ffi::Py_INCREF(self.pointer()) };
        Self(self.0)
    }
}

impl Drop for Plain {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value owns the reference, and this thread is attached.
        unsafe { ffi::Py_DECREF(self.pointer()) };
    }
}

impl Stored for Plain {}

/// Whether the garbage collector can skip the object: it refers to no others, or is a tuple of such objects.
#[inline]
pub(crate) fn is_atomic(object: *mut ffi::PyObject) -> bool {
    is_atomic_to(object, 4)
}

fn is_atomic_to(object: *mut ffi::PyObject, depth: u32) -> bool {
    // SAFETY: callers hold a reference to the object.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if ffi::PyType_HasFeature(kind, ffi::Py_TPFLAGS_HAVE_GC) == 0 {
            return true;
        }
        let is_tuple = kind == &raw mut ffi::PyTuple_Type;
        is_tuple
            && depth > 0
            && items(object)
                .iter()
                .all(|item| is_atomic_to(*item, depth - 1))
    }
}

/// Gives an error up at once. Dropped as it is, it would wait, with all that its traceback keeps alive, until pyo3 next
/// attaches a thread itself.
pub(crate) fn discard(py: Python<'_>, error: PyErr) {
    error.restore(py);
    // SAFETY: this thread is attached.
    unsafe { ffi::PyErr_Clear() };
}

/// The error that is set, or the object.
pub(crate) fn owned_or_error(py: Python<'_>, pointer: *mut ffi::PyObject) -> PyResult<Obj> {
    match NonNull::new(pointer) {
        // SAFETY: callers pass a new reference from the C API.
        Some(pointer) => Ok(unsafe { Obj::from_owned(pointer) }),
        None => Err(PyErr::fetch(py)),
    }
}

impl<'py> IntoPyObject<'py> for Obj {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        // SAFETY: the reference is strong, and given away.
        Ok(unsafe { Bound::from_owned_ptr(py, self.into_ptr()) })
    }
}
