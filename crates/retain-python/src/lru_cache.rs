//! `functools`' caches: their semantics to the letter, on our tables.

use std::convert::Infallible;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use retain_memory::{
    Bounds, Departures, Lookup, Lru, Policy, Quick, Shard, State, Table, Unbounded,
};

use crate::arguments::{Arguments, Key};
use crate::callable::{Body, Call, Entry, Instance, guarded, method, no_arguments};
use crate::compare::Likeness;
use crate::lock::Guarded;
use crate::object::{Obj, Plain};

type Entries<P> = Shard<Key, Plain, Infallible, P, Guarded<State<Key, Plain, Infallible, P>>>;

/// A function with its cache.
pub(crate) struct LruCache {
    function: Obj,
    max_entries: Option<usize>,
    info: Obj,
    entries: Kept,
    /// Some key or value refers to other objects: until then the collector need not look at the entries.
    seen_by_collector: AtomicBool,
}

/// What is kept, by `maxsize`: nothing (0), everything (`None`), or the most recent calls.
enum Kept {
    Nothing { misses: AtomicU64 },
    Everything(Entries<Unbounded>),
    Recent(Entries<Lru>),
}

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// A cache around `function` as `functools.lru_cache` has it.
///
/// `info` is the named tuple type that `cache_info` returns.
#[pyfunction]
#[pyo3(signature = (function, maxsize, typed, info, /))]
pub(crate) fn lru_cache_wrapper<'py>(
    function: &Bound<'py, PyAny>,
    maxsize: Option<usize>,
    typed: bool,
    info: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let kind = TYPE.get_or_try_init(py, || {
        Instance::<LruCache>::make_type(py).map(Bound::unbind)
    })?;
    let (entries, entry): (Kept, Entry) = match (maxsize, typed) {
        (Some(0), _) => (
            Kept::Nothing {
                misses: AtomicU64::new(0),
            },
            enter_uncached,
        ),
        (None, false) => (everything(), enter::<Unbounded, false>),
        (None, true) => (everything(), enter::<Unbounded, true>),
        (Some(size), false) => (recent(size), enter::<Lru, false>),
        (Some(size), true) => (recent(size), enter::<Lru, true>),
    };
    let body = LruCache {
        function: function.into(),
        max_entries: maxsize,
        info: info.into(),
        entries,
        seen_by_collector: AtomicBool::new(false),
    };
    Ok(Instance::create(kind.bind(py), entry, body)?
        .bind(py)
        .clone())
}

fn everything() -> Kept {
    Kept::Everything(Shard::new(Table::new(Unbounded, Bounds::NONE, false)))
}

fn recent(size: usize) -> Kept {
    Kept::Recent(Shard::new(Table::new(
        Lru::default(),
        Bounds::entries(size),
        false,
    )))
}

/// The tables of one policy.
trait Of<P: Policy> {
    fn of(kept: &Kept) -> Option<&Entries<P>>;
}

impl Of<Unbounded> for LruCache {
    #[inline]
    fn of(kept: &Kept) -> Option<&Entries<Unbounded>> {
        if let Kept::Everything(entries) = kept {
            Some(entries)
        } else {
            None
        }
    }
}

impl Of<Lru> for LruCache {
    #[inline]
    fn of(kept: &Kept) -> Option<&Entries<Lru>> {
        if let Kept::Recent(entries) = kept {
            Some(entries)
        } else {
            None
        }
    }
}

unsafe extern "C-unwind" fn enter_uncached(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the entry of instances of this type, called by vectorcall's rules, which are passed on.
    unsafe {
        let this = Instance::<LruCache>::body(this);
        if let Kept::Nothing { misses } = &this.entries {
            misses.fetch_add(1, Ordering::Relaxed);
        }
        Call::new(args, nargsf, names).run(this.function.as_ptr())
    }
}

unsafe extern "C-unwind" fn enter<P: Policy, const TYPED: bool>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    LruCache: Of<P>,
{
    // SAFETY: the entry of instances of this type, called by vectorcall's rules, which are passed on.
    unsafe {
        let this = Instance::<LruCache>::body(this);
        let call = Call::new(args, nargsf, names);
        // The same code three times over: where the number of arguments is known, most of it melts away.
        match (call.positional(), names.is_null()) {
            (0, true) => enter_with_none::<P, TYPED>(this, call),
            (1, true) => enter_with_one::<P, TYPED>(this, call),
            _ => enter_with_many::<P, TYPED>(this, call),
        }
    }
}

#[inline(never)]
unsafe fn enter_with_none<P: Policy, const TYPED: bool>(
    this: &LruCache,
    call: Call,
) -> *mut ffi::PyObject
where
    LruCache: Of<P>,
{
    // SAFETY: vectorcall's rules, passed on; there are no arguments.
    unsafe {
        answer::<P>(
            this,
            Arguments::new(&[], ptr::null_mut(), likeness(TYPED)),
            call,
        )
    }
}

#[inline(never)]
unsafe fn enter_with_one<P: Policy, const TYPED: bool>(
    this: &LruCache,
    call: Call,
) -> *mut ffi::PyObject
where
    LruCache: Of<P>,
{
    // SAFETY: vectorcall's rules, passed on; there is one argument.
    unsafe {
        let values = std::slice::from_raw_parts(call.args, 1);
        answer::<P>(
            this,
            Arguments::new(values, ptr::null_mut(), likeness(TYPED)),
            call,
        )
    }
}

#[inline(never)]
unsafe fn enter_with_many<P: Policy, const TYPED: bool>(
    this: &LruCache,
    call: Call,
) -> *mut ffi::PyObject
where
    LruCache: Of<P>,
{
    // SAFETY: vectorcall's rules, passed on.
    unsafe { answer::<P>(this, call.arguments(likeness(TYPED)), call) }
}

const fn likeness(typed: bool) -> Likeness {
    if typed {
        Likeness::FunctoolsTyped
    } else {
        Likeness::Functools
    }
}

/// Answers a call from the cache, or by calling the function.
///
/// # Safety
/// As for vectorcall.
#[inline(always)]
unsafe fn answer<P: Policy>(
    this: &LruCache,
    arguments: Arguments<'_>,
    call: Call,
) -> *mut ffi::PyObject
where
    LruCache: Of<P>,
{
    let Some(entries) = LruCache::of(&this.entries) else {
        return ptr::null_mut();
    };
    let hash = match arguments.hash() {
        Ok(hash) => hash,
        Err(position) => {
            arguments.refuse(position);
            return ptr::null_mut();
        }
    };
    let lookup = Lookup {
        hash,
        probe: &arguments,
        now: 0,
    };
    match entries.get_quickly(lookup, Plain::object) {
        Quick::Hit(value) => value.into_ptr(),
        // SAFETY: says the caller.
        Quick::Miss(arrivals) => unsafe { compute(this, entries, lookup, arrivals, call) },
        // SAFETY: says the caller.
        Quick::Unsure => unsafe { answer_slowly(this, entries, lookup, call) },
    }
}

/// The rest of [`answer`], where comparisons are needed that a glance does not make.
///
/// # Safety
/// As for vectorcall.
#[inline(never)]
unsafe fn answer_slowly<P: Policy>(
    this: &LruCache,
    entries: &Entries<P>,
    lookup: Lookup<'_, Arguments<'_>>,
    call: Call,
) -> *mut ffi::PyObject {
    let arrivals = entries.with(|state| state.table.arrivals());
    match guarded(|| entries.get(lookup, &mut Departures::none())) {
        Some(Some(value)) => value.object().into_ptr(),
        // SAFETY: says the caller.
        Some(None) => unsafe { compute(this, entries, lookup, arrivals, call) },
        None => ptr::null_mut(),
    }
}

/// Calls the function and stores what it returns.
///
/// # Safety
/// As for vectorcall.
#[inline(never)]
unsafe fn compute<P: Policy>(
    this: &LruCache,
    entries: &Entries<P>,
    lookup: Lookup<'_, Arguments<'_>>,
    arrivals: u64,
    call: Call,
) -> *mut ffi::PyObject {
    // SAFETY: vectorcall's rules, passed on. Nothing that needs to be dropped is held across the call, during which
    // the interpreter may end this thread.
    let result = unsafe { call.run(this.function.as_ptr()) };
    if result.is_null() {
        return result;
    }
    let stored = guarded(|| {
        let key = lookup.probe.freeze()?;
        // SAFETY: the result is alive, and this thread attached.
        let value = Plain::new(unsafe { Obj::from_borrowed(result) });
        if !(key.is_atomic() && value.is_atomic()) {
            this.seen_by_collector.store(true, Ordering::Relaxed);
        }
        entries.insert_since(lookup, key, value, arrivals, &mut Departures::none())
    });
    if stored.is_none() {
        // SAFETY: the reference is ours, and given up.
        unsafe { ffi::Py_DECREF(result) };
        return ptr::null_mut();
    }
    result
}

impl LruCache {
    fn counts(&self) -> (u64, u64, usize) {
        fn of<P: Policy>(entries: &Entries<P>) -> (u64, u64, usize) {
            entries.with(|state| {
                let stats = state.table.stats();
                (stats.hits, stats.misses, state.table.len())
            })
        }
        match &self.entries {
            Kept::Nothing { misses } => (0, misses.load(Ordering::Relaxed), 0),
            Kept::Everything(entries) => of(entries),
            Kept::Recent(entries) => of(entries),
        }
    }

    fn drop_entries(&self) {
        fn of<P: Policy>(entries: &Entries<P>) {
            entries.with(|state| *state.table.stats_mut() = retain_memory::Stats::default());
            drop(entries.clear());
        }
        match &self.entries {
            Kept::Nothing { misses } => misses.store(0, Ordering::Relaxed),
            Kept::Everything(entries) => of(entries),
            Kept::Recent(entries) => of(entries),
        }
    }
}

impl Body for LruCache {
    const NAME: &'static CStr = c"retain.lru_cache_wrapper";
    const DOC: &'static CStr =
        c"A function whose results are kept: what cache() and lru_cache() return.";

    fn methods() -> Vec<ffi::PyMethodDef> {
        vec![
            method!(
                LruCache,
                "cache_info",
                "($self, /)",
                "Hits, misses, maxsize and currsize, as a named tuple.",
                |owner, this, args, kwargs| {
                    no_arguments("cache_info", args, kwargs)?;
                    let (hits, misses, size) = this.counts();
                    let info = this.info.bind(owner.py());
                    Ok(info.call1((hits, misses, this.max_entries, size))?.into())
                }
            ),
            method!(
                LruCache,
                "cache_clear",
                "($self, /)",
                "Forgets all results and resets the counts.",
                |owner, this, args, kwargs| {
                    no_arguments("cache_clear", args, kwargs)?;
                    this.drop_entries();
                    Ok(owner.py().None().into_bound(owner.py()).into())
                }
            ),
            method!(
                LruCache,
                "__reduce__",
                "($self, /)",
                "Pickles by name.",
                |owner, _, _, _| { Ok(owner.getattr("__qualname__")?.into()) }
            ),
            method!(
                LruCache,
                "__copy__",
                "($self, /)",
                "The function itself.",
                |owner, _, _, _| Ok(owner.into())
            ),
            method!(
                LruCache,
                "__deepcopy__",
                "($self, memo, /)",
                "The function itself.",
                |owner, _, _, _| Ok(owner.into())
            ),
            method!(
                LruCache,
                "__sizeof__",
                "($self, /)",
                "Bytes in memory, keys and values not counted.",
                |owner, this, _, _| {
                    let heap = match &this.entries {
                        Kept::Nothing { .. } => 0,
                        Kept::Everything(entries) => entries.with(|state| state.table.allocated()),
                        Kept::Recent(entries) => entries.with(|state| state.table.allocated()),
                    };
                    let size =
                        (size_of::<Instance<LruCache>>() + heap).into_pyobject(owner.py())?;
                    Ok(size.into())
                }
            ),
            ffi::PyMethodDef::zeroed(),
        ]
    }

    fn traverse(&self, visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int) -> c_int {
        fn of<P: Policy>(
            entries: &Entries<P>,
            visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int,
        ) -> c_int {
            entries.with(|state| {
                for (key, value) in state.table.iter() {
                    let status = match key.traverse(visit) {
                        0 => value.traverse(visit),
                        status => status,
                    };
                    if status != 0 {
                        return status;
                    }
                }
                0
            })
        }
        for object in [&self.function, &self.info] {
            let status = visit(object.as_ptr());
            if status != 0 {
                return status;
            }
        }
        if !self.seen_by_collector.load(Ordering::Relaxed) {
            return 0;
        }
        match &self.entries {
            Kept::Nothing { .. } => 0,
            Kept::Everything(entries) => of(entries, visit),
            Kept::Recent(entries) => of(entries, visit),
        }
    }

    fn clear(&self) {
        // The function stays: a cycle through it passes through an object that clears itself, and a finalizer on the
        // cycle may still call.
        self.drop_entries();
    }
}
