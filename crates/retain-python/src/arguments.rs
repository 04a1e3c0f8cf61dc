//! The arguments of a call as a key: hashed and compared where they lie, copied only to be stored.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use pyo3::ffi;
use pyo3::prelude::*;
use retain_memory::Probe;

use crate::compare::{
    self, Likeness, compare_all, is_int, is_str, is_tuple, items, mix, settle, type_of,
};
use crate::object::{Obj, is_atomic};

type Pointer = *mut ffi::PyObject;

/// The arguments of a call, borrowed: positional ones, then those passed by keyword, whose names are a tuple.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    values: &'a [Pointer],
    names: Pointer,
    likeness: Likeness,
}

impl<'a> Arguments<'a> {
    /// # Safety
    /// `values` are live objects, and `names` is null or a tuple of as many of the last values' names; they stay
    /// alive for `'a`.
    #[inline]
    pub(crate) unsafe fn new(values: &'a [Pointer], names: Pointer, likeness: Likeness) -> Self {
        Self {
            values,
            names,
            likeness,
        }
    }

    /// The hash of them all; or the position of one that has none, with the error set unless its type has none at all.
    #[inline(always)]
    pub(crate) fn hash(&self) -> Result<u64, usize> {
        match self.values {
            [] => Ok(0),
            [value] if self.names.is_null() => compare::hash(*value).map(mix).ok_or(0),
            _ => self.hash_many(),
        }
    }

    /// Sets the error for an argument that has no hash.
    #[cold]
    pub(crate) fn refuse(&self, position: usize) {
        // SAFETY: the argument is alive, and this thread attached.
        unsafe {
            if ffi::PyErr_Occurred().is_null()
                && let Some(value) = self.values.get(position)
            {
                ffi::PyObject_HashNotImplemented(*value);
            }
        }
    }

    #[inline(never)]
    fn hash_many(&self) -> Result<u64, usize> {
        let mut state = self.values.len() as u64;
        for (position, &value) in self.values.iter().enumerate() {
            state = mix(state.rotate_left(5) ^ compare::hash(value).ok_or(position)?);
        }
        if !self.names.is_null() {
            // SAFETY: `names` is a tuple.
            for &name in unsafe { items(self.names) } {
                state = mix(state.rotate_left(5) ^ compare::hash(name).ok_or(self.values.len())?);
            }
        }
        Ok(state)
    }

    #[inline(never)]
    fn settle_lone(&self, stored: &Key, given: Pointer) -> Option<bool> {
        if stored.shape() != 0 {
            return Some(false);
        }
        let stored = stored.object();
        if self.likeness == Likeness::Functools {
            let (kind, other) = (type_of(stored), type_of(given));
            let plain = |kind| is_int(kind) || is_str(kind);
            if kind != other && (plain(kind) || plain(other)) {
                return Some(false);
            }
        }
        settle(stored, given, self.likeness)
    }

    #[inline(never)]
    fn settle_many(&self, stored: &Key) -> Option<bool> {
        let shape = if self.names.is_null() {
            Key::MANY
        } else {
            Key::MANY | Key::NAMED
        };
        if stored.shape() != shape {
            return Some(false);
        }
        let (values, names) = stored.parts();
        let values = values.as_slice();
        if values.len() != self.values.len() || !same_names(names, self.names) {
            return Some(false);
        }
        let mut answer = Some(true);
        for (&stored, &given) in values.iter().zip(self.values) {
            match settle(stored, given, self.likeness) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => answer = None,
            }
        }
        answer
    }

    /// The key to store, which keeps the arguments alive.
    pub(crate) fn freeze(&self) -> PyResult<Key> {
        let atomic = self.values.iter().all(|value| is_atomic(*value));
        let atomic = if atomic { Key::ATOMIC } else { 0 };
        // SAFETY: the values are alive; the tuple is filled before anyone sees it.
        unsafe {
            let lone = match self.values {
                [] => Some((ffi::Py_None(), Key::NONE)),
                [value] if self.names.is_null() => Some((*value, 0)),
                _ => None,
            };
            if let Some((object, shape)) = lone {
                ffi::Py_INCREF(object);
                return Ok(Key::tag(object, shape | atomic));
            }
            let named = !self.names.is_null();
            let length = self.values.len() + usize::from(named);
            let tuple = ffi::PyTuple_New(length.cast_signed());
            if tuple.is_null() {
                return Err(PyErr::fetch(Python::assume_attached()));
            }
            let last = named.then_some(self.names);
            for (position, value) in self.values.iter().copied().chain(last).enumerate() {
                ffi::Py_INCREF(value);
                ffi::PyTuple_SET_ITEM(tuple, position.cast_signed(), value);
            }
            // Only this table refers to the tuple, and shows the collector what it holds: see `Key::traverse`.
            ffi::PyObject_GC_UnTrack(tuple.cast());
            let named = if named { Key::NAMED } else { 0 };
            Ok(Key::tag(tuple, Key::MANY | named | atomic))
        }
    }
}

/// Stored arguments: one object, or a tuple of them, with what it is told in the pointer's lowest bits.
///
/// Objects lie at multiples of 8, so three bits are free, and a key is no larger than in a `dict`.
#[derive(Debug)]
pub(crate) struct Key(NonNull<ffi::PyObject>);

const _: () = assert!(
    align_of::<ffi::PyObject>() >= 8,
    "keys keep three bits in pointers to objects"
);

// SAFETY: as for `Obj`, which this is in another shape.
unsafe impl Send for Key {}
// SAFETY: as for `Obj`.
unsafe impl Sync for Key {}

impl Key {
    /// A tuple of arguments rather than one.
    const MANY: usize = 1;
    /// The tuple's last item is the tuple of names of the arguments before it.
    const NAMED: usize = 2;
    /// No arguments at all; the object is `None`.
    const NONE: usize = Self::NAMED;
    /// Nothing in the key refers to other objects: the collector need not look.
    const ATOMIC: usize = 4;
    const TAGS: usize = 7;

    /// # Safety
    /// `pointer` is a strong reference, which the caller gives away.
    unsafe fn tag(pointer: Pointer, tags: usize) -> Self {
        // SAFETY: the pointer is not null, and stays so with more bits set.
        Self(unsafe { NonNull::new_unchecked(pointer.map_addr(|address| address | tags)) })
    }

    #[inline]
    fn has(&self, tags: usize) -> bool {
        self.0.as_ptr().addr() & tags == tags
    }

    /// Whether it is the key of this lone argument.
    #[inline]
    fn is(&self, object: Pointer) -> bool {
        self.0.as_ptr().map_addr(|address| address & !Self::ATOMIC) == object
    }

    #[inline]
    pub(crate) fn is_atomic(&self) -> bool {
        self.has(Self::ATOMIC)
    }

    /// What tells the shapes apart.
    #[inline]
    fn shape(&self) -> usize {
        self.0.as_ptr().addr() & (Self::MANY | Self::NAMED)
    }

    #[inline]
    fn object(&self) -> Pointer {
        self.0.as_ptr().map_addr(|address| address & !Self::TAGS)
    }

    /// The values, and the names of the last of them or null.
    #[inline]
    pub(crate) fn parts(&self) -> (Values<'_>, Pointer) {
        match self.shape() {
            0 => return (Values::One(self.object()), ptr::null_mut()),
            Self::NONE => return (Values::Many(&[]), ptr::null_mut()),
            _ => {}
        }
        // SAFETY: the object is a tuple that lives as long as the key.
        let all = unsafe { items(self.object()) };
        match all.split_last() {
            Some((names, values)) if self.has(Self::NAMED) => (Values::Many(values), *names),
            _ => (Values::Many(all), ptr::null_mut()),
        }
    }

    /// A lone argument's key.
    pub(crate) fn one(object: Obj) -> Self {
        let atomic = if is_atomic(object.as_ptr()) {
            Self::ATOMIC
        } else {
            0
        };
        // SAFETY: the reference is given away.
        unsafe { Self::tag(object.into_ptr(), atomic) }
    }

    /// Shows the collector the objects that the key keeps alive.
    #[inline]
    pub(crate) fn traverse(&self, visit: &mut (impl FnMut(Pointer) -> c_int + ?Sized)) -> c_int {
        if self.is_atomic() {
            return 0;
        }
        if !self.has(Self::MANY) {
            return visit(self.object());
        }
        // The tuple is untracked and known to this key alone: its items count as the key's own.
        // SAFETY: the object is a tuple that lives as long as the key.
        let items = unsafe { items(self.object()) };
        items
            .iter()
            .map(|item| visit(*item))
            .find(|status| *status != 0)
            .unwrap_or(0)
    }
}

/// The values of a stored key.
pub(crate) enum Values<'a> {
    One(Pointer),
    Many(&'a [Pointer]),
}

impl Values<'_> {
    pub(crate) fn as_slice(&self) -> &[Pointer] {
        match self {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        }
    }
}

impl Clone for Key {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive as long as `self`, and this thread attached.
        unsafe { ffi::Py_INCREF(self.object()) };
        Self(self.0)
    }
}

impl Drop for Key {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the key owns the reference, and this thread is attached.
        unsafe { ffi::Py_DECREF(self.object()) };
    }
}

impl Probe<Key> for Arguments<'_> {
    type Error = PyErr;

    #[inline(always)]
    fn settle(&self, stored: &Key) -> Option<bool> {
        match self.values {
            [] => Some(stored.shape() == Key::NONE),
            [given] if self.names.is_null() => {
                if stored.is(*given) {
                    Some(true)
                } else {
                    self.settle_lone(stored, *given)
                }
            }
            _ => self.settle_many(stored),
        }
    }

    fn compare(&self, stored: &Key) -> PyResult<bool> {
        let (values, _) = stored.parts();
        let pairs = values.as_slice().iter().zip(self.values);
        compare_all(pairs, self.likeness).ok_or_else(|| {
            // Taken at once: the way back runs code that must not meet an error that is set.
            // SAFETY: reached only from entries and methods.
            PyErr::fetch(unsafe { Python::assume_attached() })
        })
    }

    #[inline]
    fn same(a: &Key, b: &Key) -> bool {
        a.object() == b.object()
    }
}

/// Whether two tuples of keyword names hold the same names in the same order; either may be null.
#[inline]
fn same_names(a: Pointer, b: Pointer) -> bool {
    if a == b {
        return true;
    }
    if a.is_null() || b.is_null() {
        return false;
    }
    debug_assert!(is_tuple(type_of(a)) && is_tuple(type_of(b)));
    // SAFETY: both are tuples, kept alive by a key and a call.
    let (a, b) = unsafe { (items(a), items(b)) };
    a.len() == b.len()
        && a.iter()
            .zip(b)
            // Names of a subclass of `str` are compared as what they are: other objects.
            .all(|(&a, &b)| settle(a, b, Likeness::Equal) == Some(true))
}
