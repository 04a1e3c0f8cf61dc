//! Results as this process holds them, besides those in the store.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use retain_memory::Cache;

use super::store::unix;
use crate::compare::{is_bytes, is_float, is_int, is_str, is_tuple, items, type_of};
use crate::object::Obj;

type Pointer = *mut ffi::PyObject;

/// What an entry takes besides its value.
const OVERHEAD: u64 = 250;

/// What a call came to: here, in the store, or nowhere.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Held {
    /// 0: here. 1: to be read from the store. 2: it could not be kept.
    #[pyo3(get)]
    r#where: u8,
    /// A value that nobody can change, if there is no payload.
    pub(super) value: Obj,
    /// The pickle of one that can be changed: each caller gets an object of its own.
    pub(super) payload: Option<Obj>,
    /// When it was computed, in seconds since 1970.
    #[pyo3(get)]
    pub(super) created: f64,
    /// For how many seconds.
    #[pyo3(get)]
    pub(super) cost: f64,
    /// When it ends.
    #[pyo3(get)]
    ends: Option<f64>,
    /// The store's count of removals when it was looked up: if that moved since, it may be gone.
    #[pyo3(get)]
    pub(super) removals: Option<u64>,
    /// What the store keeps beside it, once that was asked for.
    about: Mutex<Option<Obj>>,
}

impl Held {
    /// A result that is here.
    pub(super) fn here(
        (value, payload): (Obj, Option<Obj>),
        (created, cost, ends): (f64, f64, Option<f64>),
        removals: Option<u64>,
    ) -> Self {
        Self {
            r#where: 0,
            value,
            payload,
            created,
            cost,
            ends,
            removals,
            about: Mutex::default(),
        }
    }

    fn weight(&self) -> u64 {
        let held = self.payload.as_ref().unwrap_or(&self.value);
        // SAFETY: attached threads alone come here.
        let held = held.bind(unsafe { Python::assume_attached() });
        // What cannot be weighed is not held.
        immutable(held).map_or(u64::MAX / 2, |bytes| OVERHEAD + bytes)
    }

    fn has_ended(&self) -> bool {
        self.ends
            .is_some_and(|ends| unix(SystemTime::now()) >= ends)
    }
}

#[pymethods]
impl Held {
    #[new]
    fn new(
        r#where: u8,
        value: &Bound<'_, PyAny>,
        payload: Option<&Bound<'_, PyBytes>>,
        created: f64,
        cost: f64,
        ends: Option<f64>,
        removals: Option<u64>,
    ) -> Self {
        Self {
            r#where,
            ..Self::here(
                (value.into(), payload.map(Obj::from)),
                (created, cost, ends),
                removals,
            )
        }
    }

    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.value.bind(py).clone()
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.payload
            .as_ref()
            .map(|payload| payload.bind(py).clone())
    }

    #[getter]
    fn about<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
        about.as_ref().map(|about| about.bind(py).clone())
    }

    #[setter]
    fn set_about(&self, about: Option<&Bound<'_, PyBytes>>) {
        let about = about.map(Obj::from);
        let before = std::mem::replace(
            &mut *self.about.lock().unwrap_or_else(PoisonError::into_inner),
            about,
        );
        drop(before);
    }
}

/// Results by call, of so many bytes at most.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Tier {
    /// The values are `Held`. None where nothing is held.
    cache: Option<Cache<Box<[u8]>, Obj>>,
}

#[pymethods]
impl Tier {
    #[new]
    fn new(max_bytes: u64) -> PyResult<Self> {
        if max_bytes == 0 {
            return Ok(Self { cache: None });
        }
        let cache = Cache::builder()
            .max_weight(max_bytes)
            .weigher(|_, held: &Obj| {
                // SAFETY: attached threads alone come here, and values are `Held`.
                let held = unsafe {
                    held.bind(Python::assume_attached())
                        .cast_unchecked::<Held>()
                };
                held.get().weight()
            })
            .build()
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { cache: Some(cache) })
    }

    /// What is held of a call; None if there is nothing, or it has ended.
    fn get<'py>(&self, py: Python<'py>, call: &[u8]) -> Option<Bound<'py, Held>> {
        let found = self.cache.as_ref()?.get(call)?;
        // SAFETY: values are `Held`.
        let held = unsafe { found.bind(py).cast_unchecked::<Held>() };
        (!held.get().has_ended()).then(|| held.clone())
    }

    /// Holds what a call came to, if it is here.
    pub(super) fn put(&self, call: &[u8], held: &Bound<'_, Held>) {
        if let Some(cache) = &self.cache
            && held.get().r#where == 0
        {
            cache.insert(call.into(), held.as_any().into());
        }
    }

    fn remove(&self, call: &[u8]) {
        if let Some(cache) = &self.cache {
            drop(cache.remove(call));
        }
    }

    fn clear(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    fn __len__(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::len)
    }
}

impl Tier {
    /// What is held of a call, as long as it has not ended.
    pub(super) fn find<'py>(&self, py: Python<'py>, call: &[u8]) -> Option<Bound<'py, Held>> {
        self.get(py, call)
    }

    pub(super) fn holds(&self) -> bool {
        self.cache.is_some()
    }
}

/// Values of more parts than these are copied by their pickle, as they take long to look through.
const MOST_PARTS: usize = 1000;
const DEEPEST: usize = 50;

/// The bytes of a value that nobody can change, so that it may be handed to all who ask; `None` for any other.
pub(super) fn immutable(value: &Bound<'_, PyAny>) -> Option<u64> {
    let mut parts = MOST_PARTS;
    // SAFETY: it is alive, and this thread attached.
    unsafe { immutable_within(value.as_ptr(), DEEPEST, &mut parts) }
}

/// # Safety
/// The object is alive, and this thread attached.
unsafe fn immutable_within(object: Pointer, depth: usize, parts: &mut usize) -> Option<u64> {
    const HEAD: usize = 32;
    *parts = parts.checked_sub(1)?;
    let kind = type_of(object);
    // SAFETY: each is what it is taken for, and alive.
    let bytes = unsafe {
        if is_str(kind) {
            let width = ffi::PyUnicode_KIND(object) as usize;
            HEAD + ffi::PyUnicode_GET_LENGTH(object).unsigned_abs() * width
        } else if is_bytes(kind) {
            HEAD + ffi::Py_SIZE(object).unsigned_abs()
        } else if is_tuple(kind) {
            let items = items(object);
            let mut bytes = (HEAD + size_of_val(items)) as u64;
            for item in items {
                bytes += immutable_within(*item, depth.checked_sub(1)?, parts)?;
            }
            return Some(bytes);
        } else if is_int(kind) {
            let mut overflow = 0;
            ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow != 0 {
                // Any size: let its pickle be copied.
                return None;
            }
            HEAD
        } else if is_float(kind)
            || object == ffi::Py_None()
            || kind == &raw mut ffi::PyBool_Type
            || kind == &raw mut ffi::PyComplex_Type
        {
            HEAD
        } else {
            return None;
        }
    };
    Some(bytes as u64)
}

/// Tell whether nobody can change a value, as far as that is told at a glance.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn is_immutable(value: &Bound<'_, PyAny>) -> bool {
    immutable(value).is_some()
}

/// A result as it is held: the value itself if nobody can change it, else its pickle.
pub(super) fn as_held(
    value: &Bound<'_, PyAny>,
    payload: &Bound<'_, PyBytes>,
) -> (Obj, Option<Obj>) {
    if immutable(value).is_some() {
        (value.into(), None)
    } else {
        (
            value.py().None().into_bound(value.py()).into(),
            Some(payload.into()),
        )
    }
}
