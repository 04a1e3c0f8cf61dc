//! `memoize`: a function whose results are kept, by its bound arguments, under the rules of a [`Keeper`].

use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::OnceLock;
use std::time::Instant;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};
use retain_memory::{Agent, Begin, Departures, Freshness, Held, Lead, Lookup, Outcome};

use crate::arguments::{Arguments, Key};
use crate::binder::{Binder, BoundArguments, ROOM};
use crate::callable::{Body, Call, Instance, Unpacked, call, guarded, method, no_arguments};
use crate::compare::Likeness;
use crate::keeper::{Answer, Keeper, Kept, Left, warn_not_kept};
use crate::method::{Method, Place};
use crate::object::{Obj, discard, owned_or_error};
use crate::ticket::{FlightView, Ticket, Waiter};

/// A memoized function.
pub(crate) struct Memo {
    pub(crate) function: Obj,
    pub(crate) binder: Binder,
    pub(crate) keeper: Keeper,
    /// Makes a key of the arguments, in place of binding them.
    pub(crate) key: Option<Obj>,
    pub(crate) likeness: Likeness,
    /// Makes a copy of a value that is returned.
    pub(crate) copy: Option<Obj>,
    /// Exceptions that are kept, a type or a tuple of types, and for how many seconds.
    pub(crate) errors: Option<(Obj, f64)>,
    pub(crate) single_flight: bool,
    /// The function is `async`: calling it gives an awaitable.
    pub(crate) asynchronous: bool,
    /// `retain._memo`: the parts of this in Python.
    pub(crate) helpers: Obj,
    /// Set when the function turns out to be a method.
    pub(crate) method: OnceLock<Method>,
    /// A hit needs nothing but to be returned.
    pub(crate) plain: bool,
}

/// A call that is being computed.
pub(crate) struct Pending {
    place: Place,
    hash: u64,
    key: Key,
    lead: Option<Lead<Key, Kept, Obj>>,
    /// Without a lead, the epoch at which the computation began: what it finds is stored only if nothing was removed
    /// since.
    epoch: u64,
    start: Instant,
}

/// What a lookup came to.
enum Step {
    Done(Obj),
    Compute(Pending),
    Wait(Waiter),
    /// The arguments do not fit the signature: the function itself says what is wrong.
    Bare,
}

pub(crate) unsafe extern "C-unwind" fn enter(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the entry of instances of this type, called by vectorcall's rules, which are passed on.
    unsafe {
        let memo = Instance::<Memo>::body(this);
        let call = Call::new(args, nargsf, names);
        if memo.plain {
            let found = match memo.method.get() {
                None if names.is_null() && memo.binder.is_straight(call.positional()) => {
                    if call.positional() == 1 {
                        memo.glance_at_one(call)
                    } else {
                        memo.glance_at(&memo.keeper, call.values())
                    }
                }
                None => {
                    let mut room = [ptr::null_mut(); ROOM];
                    let laid_out = memo.binder.lay_out(call, &mut room);
                    laid_out.and_then(|values| memo.glance_at(&memo.keeper, values))
                }
                Some(method) => memo.glance_at_method(method, call),
            };
            if let Some(value) = found {
                return value.into_ptr();
            }
        }
        memo.answer(this, call)
    }
}

impl Memo {
    /// The value under bound arguments, if that can be told at a glance.
    #[inline(always)]
    fn glance(&self, keeper: &Keeper, arguments: Arguments<'_>) -> Option<Obj> {
        let Ok(hash) = arguments.hash() else {
            // SAFETY: reached only from an entry. The error comes again, with the argument's name.
            unsafe { ffi::PyErr_Clear() };
            return None;
        };
        let lookup = Lookup {
            hash,
            probe: &arguments,
            now: 0,
        };
        let read = |held: &Kept| match &held.value {
            Answer::Value(value) => value.clone(),
            Answer::Error(error) => error.clone(),
        };
        keeper.entries.glance(lookup, |_| true, read)
    }

    #[inline(never)]
    fn glance_at(&self, keeper: &Keeper, values: &[*mut ffi::PyObject]) -> Option<Obj> {
        // SAFETY: the values are arguments and defaults, alive during the call.
        self.glance(keeper, unsafe {
            Arguments::new(values, ptr::null_mut(), self.likeness)
        })
    }

    /// As [`glance_at`](Self::glance_at): most of it melts away for one argument.
    #[inline(never)]
    fn glance_at_one(&self, call: Call) -> Option<Obj> {
        // SAFETY: there is one argument, alive during the call.
        self.glance(&self.keeper, unsafe {
            let values = std::slice::from_raw_parts(call.args, 1);
            Arguments::new(values, ptr::null_mut(), self.likeness)
        })
    }

    #[inline(never)]
    fn glance_at_method(&self, method: &Method, call: Call) -> Option<Obj> {
        // SAFETY: reached only from an entry.
        let py = unsafe { Python::assume_attached() };
        let instance = *call.values().first()?;
        let mut room = [ptr::null_mut(); ROOM];
        // The method's own binder leaves the instance out; the function's lays it out first.
        let straight = call.named().0.is_null() && self.binder.is_straight(call.positional());
        let values = if straight {
            call.values()
        } else {
            self.binder.lay_out(call, &mut room)?
        };
        // SAFETY: the instance is an argument, alive during the call.
        let instance = unsafe { Bound::from_borrowed_ptr(py, instance) };
        let cache = match method.find(self, &instance) {
            Ok(cache) => cache?,
            Err(error) => {
                // It comes again.
                discard(py, error);
                return None;
            }
        };
        self.glance_at(&cache.get().keeper, values.get(1..)?)
    }

    /// Answers a call from the cache, or by calling the function.
    ///
    /// # Safety
    /// As for vectorcall.
    #[inline(never)]
    unsafe fn answer(&self, this: *mut ffi::PyObject, call: Call) -> *mut ffi::PyObject {
        // SAFETY: reached from an entry only. While the function runs and while this thread waits nothing is held that
        // needs to be dropped, since the interpreter may end the thread there.
        unsafe {
            let py = Python::assume_attached();
            if self.asynchronous {
                return guarded(|| self.answer_async(py, this, call))
                    .map_or(ptr::null_mut(), Obj::into_ptr);
            }
            loop {
                match guarded(|| self.prepare(py, this, call)) {
                    None => return ptr::null_mut(),
                    Some(Step::Done(value)) => return value.into_ptr(),
                    Some(Step::Bare) => return call.run(self.function.as_ptr()),
                    Some(Step::Compute(pending)) => {
                        let pending = ManuallyDrop::new(pending);
                        let result = call.run(self.function.as_ptr());
                        let pending = ManuallyDrop::into_inner(pending);
                        return guarded(|| self.complete(py, pending, owned_or_error(py, result)))
                            .map_or(ptr::null_mut(), Obj::into_ptr);
                    }
                    Some(Step::Wait(waiter)) => {
                        let waiter = ManuallyDrop::new(waiter);
                        let woken = waiter.block();
                        let waiter = ManuallyDrop::into_inner(waiter);
                        let landed = guarded(|| self.landed(py, waiter, owned_or_error(py, woken)));
                        match landed {
                            None => return ptr::null_mut(),
                            Some(Some(value)) => return value.into_ptr(),
                            Some(None) => {}
                        }
                    }
                }
            }
        }
    }

    fn answer_async(&self, py: Python<'_>, this: *mut ffi::PyObject, call: Call) -> PyResult<Obj> {
        // SAFETY: `this` is alive.
        let owner = unsafe { Bound::from_borrowed_ptr(py, this) };
        let (Some(place), Some(bound)) = (self.place(py, &owner, call)?, self.bind(py, call)?)
        else {
            // The arguments do not fit: the function itself says what is wrong.
            // SAFETY: the call goes on, and the function is alive.
            return owned_or_error(py, unsafe { call.run(self.function.as_ptr()) });
        };
        let arguments = bound.view(self.likeness);
        let hash = self.hash(py, &arguments)?;
        let keeper = place.keeper(self);
        let fresh = |freshness| freshness == Freshness::Fresh;
        let found = keeper
            .entries
            .glance(keeper.lookup(hash, &arguments), fresh, Kept::clone);
        if let Some(held) = found {
            let ready = match self.present(py, held) {
                Ok(value) => Ready::Value(value),
                Err(error) => Ready::Error(error.into_value(py).into_bound(py).into_any().into()),
            };
            return Ok(Bound::new(py, Resolved::new(ready))?.into());
        }
        let (args, kwargs) = packed(py, call)?;
        let resolve = self.helpers.bind(py).getattr(intern!(py, "resolve"))?;
        Ok(resolve.call1((owner, args, kwargs))?.into())
    }

    /// Where the call's results are kept; `None` for a method called without an instance.
    fn place(
        &self,
        py: Python<'_>,
        owner: &Bound<'_, PyAny>,
        call: Call,
    ) -> PyResult<Option<Place>> {
        match (self.method.get(), call.values().first()) {
            (None, _) => Ok(Some(Place::Memo)),
            (Some(_), None) => Ok(None),
            (Some(method), Some(instance)) => {
                // SAFETY: the call's arguments are alive.
                let instance = unsafe { Bound::from_borrowed_ptr(py, *instance) };
                method.place(owner, self, &instance).map(Some)
            }
        }
    }

    /// The call's arguments; `None` if they do not fit the signature.
    fn bind(&self, py: Python<'_>, call: Call) -> PyResult<Option<BoundArguments>> {
        let Some(key) = &self.key else {
            let method = self.method.get().map(|method| &method.binder);
            return Ok(method.unwrap_or(&self.binder).bind(py, call));
        };
        // SAFETY: the call's arguments are alive, and so is the key function.
        let made = owned_or_error(py, unsafe { call.run(key.as_ptr()) })?;
        Ok(Some(BoundArguments::lone(made)))
    }

    fn hash(&self, py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<u64> {
        arguments.hash().map_err(|position| {
            let error = PyErr::fetch(py);
            if !error.is_instance_of::<PyTypeError>(py) {
                return error;
            }
            let name = self.name(py);
            let reason = error.value(py);
            let message = if self.key.is_some() {
                format!("{name}: what key= returned cannot be a key: {reason}")
            } else {
                let binder = self.method.get().map_or(&self.binder, |method| &method.binder);
                let argument = binder.name_of(py, position);
                format!(
                    "{name}: argument {argument} cannot be part of a key: {reason}. Give memoize a key= that makes a \
                     hashable key of the arguments, or leave it out with ignore=[{argument}]",
                    argument = Quoted(&argument),
                )
            };
            let named = PyTypeError::new_err(message);
            named.set_cause(py, Some(error));
            named
        })
    }

    /// The function's name, for messages.
    pub(crate) fn name(&self, py: Python<'_>) -> String {
        let function = self.function.bind(py);
        let name = function.getattr(intern!(py, "__qualname__"));
        name.map_or_else(|_| "a memoized function".into(), |name| format!("{name}()"))
    }

    fn prepare(&self, py: Python<'_>, this: *mut ffi::PyObject, call: Call) -> PyResult<Step> {
        // SAFETY: `this` is alive.
        let owner = unsafe { Bound::from_borrowed_ptr(py, this) };
        let Some(place) = self.place(py, &owner, call)? else {
            return Ok(Step::Bare);
        };
        let Some(bound) = self.bind(py, call)? else {
            return Ok(Step::Bare);
        };
        let arguments = bound.view(self.likeness);
        let hash = self.hash(py, &arguments)?;
        let keeper = place.keeper(self);
        let fresh = |freshness| freshness == Freshness::Fresh;
        let found = keeper
            .entries
            .glance(keeper.lookup(hash, &arguments), fresh, Kept::clone);
        if let Some(held) = found {
            return self.present(py, held).map(Step::Done);
        }
        let agent = Agent::thread();
        match self.begin(py, place, hash, &arguments, agent, false)? {
            Began::Hit(held) => self.present(py, held).map(Step::Done),
            Began::Stale(held, pending) => {
                if let Some(pending) = pending {
                    let (args, kwargs) = packed(py, call)?;
                    let ticket = Ticket::new(&owner, pending, agent);
                    let helper = self
                        .helpers
                        .bind(py)
                        .getattr(intern!(py, "refresh_in_background"))?;
                    helper.call1((ticket, self.function.bind(py), args, kwargs))?;
                }
                self.present(py, held).map(Step::Done)
            }
            Began::Compute(pending) => Ok(Step::Compute(pending)),
            Began::Join(place, flight) => match flight.join(agent) {
                Some(waiting) => Waiter::new(py, place, flight, waiting).map(Step::Wait),
                // The leader waits for this very call: computing again is the only way on.
                None => self
                    .pending_alone(place, hash, &arguments)
                    .map(Step::Compute),
            },
        }
    }

    /// Begins a computation, unless there is a value or someone else computes.
    pub(crate) fn begin(
        &self,
        py: Python<'_>,
        place: Place,
        hash: u64,
        arguments: &Arguments<'_>,
        agent: Agent,
        anew: bool,
    ) -> PyResult<Began> {
        let keeper = place.keeper(self);
        let mut left = Departures::none();
        let key = arguments.freeze()?;
        let lookup = keeper.lookup(hash, arguments);
        if !self.single_flight {
            let epoch = keeper.entries.with(|state| state.epoch());
            let found = if anew {
                Ok(None)
            } else {
                keeper.entries.get(lookup, &mut left)
            };
            let found = found?;
            self.bid_farewell(py, &place, left);
            return Ok(match found {
                Some(held) => Began::Hit(held),
                None => Began::Compute(Pending {
                    place,
                    hash,
                    key,
                    lead: None,
                    epoch,
                    start: Instant::now(),
                }),
            });
        }
        let begun = keeper.entries.begin(lookup, key, agent, anew, &mut left);
        let begun = begun?;
        self.bid_farewell(py, &place, left);
        let pending = |place: Place, lead: Lead<Key, Kept, Obj>| Pending {
            place,
            hash,
            key: lead.key().clone(),
            lead: Some(lead),
            epoch: 0,
            start: Instant::now(),
        };
        Ok(match begun {
            Begin::Hit(held) => Began::Hit(held),
            Begin::Stale(held, lead) => Began::Stale(held, lead.map(|lead| pending(place, lead))),
            Begin::Lead(lead) => Began::Compute(pending(place, lead)),
            Begin::Join(flight) => Began::Join(place, flight),
        })
    }

    /// A computation that nobody waits for.
    pub(crate) fn pending_alone(
        &self,
        place: Place,
        hash: u64,
        arguments: &Arguments<'_>,
    ) -> PyResult<Pending> {
        let key = arguments.freeze()?;
        let epoch = place.keeper(self).entries.with(|state| state.epoch());
        Ok(Pending {
            place,
            hash,
            key,
            lead: None,
            epoch,
            start: Instant::now(),
        })
    }

    /// Ends a computation that came to a value: keeps it and tells those who wait.
    pub(crate) fn finish(&self, py: Python<'_>, pending: Pending, value: &Obj) -> PyResult<()> {
        let cost = pending.start.elapsed().as_secs_f64();
        match pending.place.keeper(self).rules.hold(py, value, cost, None) {
            Ok(held) => self.keep(py, pending, held),
            Err(error) => {
                let held = Held::new(Answer::Value(value.clone()));
                self.land(pending, Outcome::Value(held));
                warn_not_kept(py, &self.name(py), error)
            }
        }
    }

    /// Ends a computation: keeps its result, tells those who wait, and gives what its caller gets.
    pub(crate) fn complete(
        &self,
        py: Python<'_>,
        pending: Pending,
        result: PyResult<Obj>,
    ) -> PyResult<Obj> {
        match result {
            Ok(value) => {
                self.finish(py, pending, &value)?;
                self.copied(py, value)
            }
            Err(error) => {
                let exception = Obj::from(error.value(py));
                if let Some(seconds) = self.keeps(py, &error)? {
                    let kept = self
                        .helpers
                        .bind(py)
                        .call_method1(intern!(py, "copy_exception"), (error.value(py),))?;
                    let held = pending
                        .place
                        .keeper(self)
                        .rules
                        .hold_error(kept.into(), seconds);
                    self.keep(py, pending, held)?;
                } else if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                    self.land(pending, Outcome::Error(exception));
                } else {
                    // An interrupt or an exit is meant for one thread: whoever waits computes for itself.
                    self.land(pending, Outcome::Abandoned);
                }
                Err(error)
            }
        }
    }

    /// For how many seconds an exception is kept.
    fn keeps(&self, py: Python<'_>, error: &PyErr) -> PyResult<Option<f64>> {
        match &self.errors {
            Some((types, seconds)) if error.value(py).is_instance(types.bind(py))? => {
                Ok(Some(*seconds))
            }
            _ => Ok(None),
        }
    }

    fn keep(&self, py: Python<'_>, pending: Pending, held: Kept) -> PyResult<()> {
        let Pending {
            place,
            hash,
            key,
            lead,
            epoch,
            ..
        } = pending;
        let keeper = place.keeper(self);
        let mut left = Departures::none();
        let (values, names) = key.parts();
        // SAFETY: the key keeps its values and names alive.
        let arguments = unsafe { Arguments::new(values.as_slice(), names, self.likeness) };
        let lookup = keeper.lookup(hash, &arguments);
        let kept = match lead {
            Some(lead) => keeper.entries.finish(lookup, lead, held, &mut left),
            None => keeper
                .entries
                .insert_absent(lookup, key.clone(), held, Some(epoch), &mut left)
                .map(drop),
        };
        self.bid_farewell(py, &place, left);
        kept
    }

    /// Ends a computation of which nothing is kept.
    pub(crate) fn land(&self, pending: Pending, outcome: Outcome<Kept, Obj>) {
        if let Some(lead) = pending.lead {
            pending.place.keeper(self).entries.end(lead, outcome);
        }
    }

    /// What a wait came to; `None` to begin anew.
    fn landed(
        &self,
        py: Python<'_>,
        waiter: Waiter,
        woken: PyResult<Obj>,
    ) -> PyResult<Option<Obj>> {
        woken?;
        let Some(outcome) = waiter.outcome() else {
            return Ok(None);
        };
        let entries = &waiter.place.keeper(self).entries;
        match outcome {
            Outcome::Value(held) => {
                entries.joined(true);
                self.present(py, held).map(Some)
            }
            Outcome::Error(error) => {
                entries.joined(false);
                Err(PyErr::from_value(error.bind(py).clone()))
            }
            Outcome::Abandoned => Ok(None),
        }
    }

    /// What the caller gets of a kept answer.
    pub(crate) fn present(&self, py: Python<'_>, held: Kept) -> PyResult<Obj> {
        match held.value {
            Answer::Value(value) => self.copied(py, value),
            Answer::Error(error) => {
                let error = error.bind(py);
                // Each raise adds its frames: a kept exception starts anew, or it would grow for ever.
                error.setattr(intern!(py, "__traceback__"), py.None())?;
                Err(PyErr::from_value(error.clone()))
            }
        }
    }

    pub(crate) fn copied(&self, py: Python<'_>, value: Obj) -> PyResult<Obj> {
        match &self.copy {
            None => Ok(value),
            Some(copy) => call(copy.bind(py), [value.bind(py)]),
        }
    }

    pub(crate) fn bid_farewell(&self, py: Python<'_>, place: &Place, left: Left) {
        place
            .keeper(self)
            .bid_farewell(py, left, |key| self.describe(py, key));
    }

    /// A stored key as the user knows it: a dict of arguments by name, or what `key=` made.
    fn describe<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
        if self.key.is_some() {
            let (values, _) = key.parts();
            // SAFETY: the key keeps its values alive.
            let made = values
                .as_slice()
                .first()
                .map(|value| unsafe { Bound::from_borrowed_ptr(py, *value) });
            return Ok(made.unwrap_or_else(|| py.None().into_bound(py)));
        }
        let binder = self
            .method
            .get()
            .map_or(&self.binder, |method| &method.binder);
        Ok(binder.describe(py, key)?.into_any())
    }

    /// The entries at a place: (arguments, value or exception, whether it is one, weight, seconds it took).
    fn entries<'py>(&self, py: Python<'py>, keeper: &Keeper) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let now = keeper.now();
        let live = keeper.entries.with(|state| {
            let live = state.table.iter().filter(|(_, held)| held.is_served(now));
            live.map(|(key, held)| (key.clone(), held.clone()))
                .collect::<Vec<_>>()
        });
        live.into_iter()
            .filter_map(|(key, held)| match &held.value {
                Answer::Error(_) => None,
                Answer::Value(value) => Some((|| {
                    let value = value.bind(py);
                    (self.describe(py, &key)?, value, held.weight, held.cost).into_pyobject(py)
                })()),
            })
            .collect()
    }

    /// Runs `body` with the place, the hash and the arguments of a call given as a tuple and a dict.
    pub(crate) fn at<R>(
        &self,
        owner: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        body: impl FnOnce(Place, u64, &Arguments<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = owner.py();
        let unpacked = Unpacked::new(args, kwargs)?;
        let call = unpacked.call();
        let (Some(place), Some(bound)) = (self.place(py, owner, call)?, self.bind(py, call)?)
        else {
            let name = self.name(py);
            return Err(PyTypeError::new_err(format!(
                "{name}: the arguments do not fit its signature"
            )));
        };
        let arguments = bound.view(self.likeness);
        let hash = self.hash(py, &arguments)?;
        body(place, hash, &arguments)
    }

    /// Computes anew whatever is kept, as a call does.
    fn refresh(
        &self,
        owner: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Obj> {
        let py = owner.py();
        let agent = Agent::thread();
        loop {
            let began = self.at(owner, args, kwargs, |place, hash, arguments| {
                match self.begin(py, place, hash, arguments, agent, true)? {
                    Began::Join(place, flight) => match flight.join(agent) {
                        Some(waiting) => Waiter::new(py, place, flight, waiting).map(Err),
                        None => self.pending_alone(place, hash, arguments).map(Ok),
                    },
                    Began::Compute(pending) => Ok(Ok(pending)),
                    Began::Hit(_) | Began::Stale(..) => unreachable!("anew, nothing stored counts"),
                }
            })?;
            match began {
                Ok(pending) => {
                    let unpacked = Unpacked::new(args, kwargs)?;
                    // SAFETY: the arguments and the function are alive.
                    let result = unsafe { unpacked.call().run(self.function.as_ptr()) };
                    return self.complete(py, pending, owned_or_error(py, result));
                }
                Err(waiter) => {
                    // SAFETY: this thread is attached.
                    let woken = unsafe { waiter.block() };
                    if let Some(value) = self.landed(py, waiter, owned_or_error(py, woken))? {
                        return Ok(value);
                    }
                }
            }
        }
    }

    fn info(
        &self,
        py: Python<'_>,
        keepers: &[&Keeper],
        retired: retain_memory::Stats,
    ) -> PyResult<Obj> {
        let mut stats = retired;
        let (mut size, mut in_flight, mut weight) = (0, 0, 0);
        for keeper in keepers {
            keeper.entries.with(|state| {
                stats += state.table.stats();
                size += state.table.len();
                in_flight += state.in_flight();
                weight += state.table.weight();
            });
        }
        let max = self.keeper.rules.bounds.max_entries;
        let max = (max != usize::MAX).then_some(max);
        let info = self.helpers.bind(py).getattr(intern!(py, "MemoInfo"))?;
        let info = info.call1((
            stats.hits,
            stats.misses,
            max,
            size,
            stats.evictions,
            stats.expirations,
            in_flight,
            weight,
            stats.seconds_saved,
        ))?;
        Ok(info.into())
    }

    /// Calls `body` with every keeper there is: the memo's own, or those of the live instances.
    fn each_keeper<R>(
        &self,
        py: Python<'_>,
        body: impl FnOnce(&[&Keeper]) -> PyResult<R>,
    ) -> PyResult<R> {
        match self.method.get() {
            None => body(&[&self.keeper]),
            Some(method) => {
                let caches = method.caches(py)?;
                let borrowed = caches
                    .iter()
                    .map(|cache| &cache.get().keeper)
                    .collect::<Vec<_>>();
                body(&borrowed)
            }
        }
    }
}

/// How a computation began.
pub(crate) enum Began {
    Hit(Kept),
    Stale(Kept, Option<Pending>),
    Compute(Pending),
    Join(Place, std::sync::Arc<retain_memory::Flight<Kept, Obj>>),
}

/// A name in quotes, as Python writes it.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

/// A call's arguments as a tuple and a dict.
fn packed(py: Python<'_>, call: Call) -> PyResult<(Bound<'_, PyTuple>, Bound<'_, PyDict>)> {
    // SAFETY: the call's arguments are alive; names are a tuple, where there are any.
    unsafe {
        let bound = |value: &*mut ffi::PyObject| Bound::from_borrowed_ptr(py, *value);
        let args = PyTuple::new(py, call.values().iter().map(bound).collect::<Vec<_>>())?;
        let kwargs = PyDict::new(py);
        let (names, values) = call.named();
        if !names.is_null() {
            for (name, value) in crate::compare::items(names).iter().zip(values) {
                kwargs.set_item(bound(name), bound(value))?;
            }
        }
        Ok((args, kwargs))
    }
}

impl Body for Memo {
    const NAME: &'static CStr = c"retain.Memoized";
    const DOC: &'static CStr = c"A function whose results are kept: what memoize() returns.";

    fn methods() -> Vec<ffi::PyMethodDef> {
        vec![
            method!(
                Memo,
                "cache_info",
                "Counts and sizes, as a named tuple.",
                |owner, this, args, kwargs| {
                    no_arguments("cache_info", args, kwargs)?;
                    let py = owner.py();
                    let retired = this.method.get().map(Method::retired).unwrap_or_default();
                    this.each_keeper(py, |keepers| this.info(py, keepers, retired))
                }
            ),
            method!(
                Memo,
                "cache_clear",
                "Forgets all results and resets the counts.",
                |owner, this, args, kwargs| {
                    no_arguments("cache_clear", args, kwargs)?;
                    let py = owner.py();
                    if let Some(method) = this.method.get() {
                        method.forget_retired();
                    }
                    this.each_keeper(py, |keepers| {
                        keepers.iter().for_each(|keeper| keeper.clear());
                        Ok(none(py))
                    })
                }
            ),
            method!(
                Memo,
                "invalidate",
                "Forgets the result for these arguments; whether there was one.",
                |owner, this, args, kwargs| this.at(
                    owner,
                    args,
                    kwargs,
                    |place, hash, arguments| {
                        let py = owner.py();
                        let keeper = place.keeper(this);
                        let mut left = Departures::none();
                        let removed = keeper
                            .entries
                            .remove(keeper.lookup(hash, arguments), &mut left);
                        this.bid_farewell(py, &place, left);
                        let removed = removed?;
                        Ok(removed.is_some().into_pyobject(py)?.to_owned().into())
                    }
                )
            ),
            method!(
                Memo,
                "peek",
                "The result for these arguments if there is one; KeyError if not. Nothing is counted.",
                |owner, this, args, kwargs| this.at(
                    owner,
                    args,
                    kwargs,
                    |place, hash, arguments| {
                        let py = owner.py();
                        let keeper = place.keeper(this);
                        let found = keeper.entries.peek(keeper.lookup(hash, arguments));
                        match found? {
                            Some(held) => this.present(py, held),
                            None => Err(PyKeyError::new_err(format!(
                                "{} has no result for these arguments",
                                this.name(py)
                            ))),
                        }
                    }
                )
            ),
            method!(
                Memo,
                "set",
                "set(value, *args, **kwargs): keeps value as the result for these arguments.",
                |owner, this, args, kwargs| {
                    let py = owner.py();
                    let Ok(value) = args.get_item(0) else {
                        return Err(PyTypeError::new_err(
                            "set() needs the value, then the arguments",
                        ));
                    };
                    let rest = args.get_slice(1, args.len());
                    this.at(owner, &rest, kwargs, |place, hash, arguments| {
                        let keeper = place.keeper(this);
                        let held = keeper.rules.hold(py, &Obj::from(value), 0.0, None)?;
                        let key = arguments.freeze()?;
                        let mut left = Departures::none();
                        let stored = keeper.entries.insert(
                            keeper.lookup(hash, arguments),
                            key,
                            held,
                            &mut left,
                        );
                        this.bid_farewell(py, &place, left);
                        stored?;
                        Ok(none(py))
                    })
                }
            ),
            method!(
                Memo,
                "refresh",
                "Computes the result for these arguments anew, keeps it and returns it.",
                |owner, this, args, kwargs| {
                    if !this.asynchronous {
                        return this.refresh(owner, args, kwargs);
                    }
                    let py = owner.py();
                    let resolve = this.helpers.bind(py).getattr(intern!(py, "resolve"))?;
                    let empty = PyDict::new(py);
                    Ok(resolve
                        .call1((owner, args, kwargs.unwrap_or(&empty), true))?
                        .into())
                }
            ),
            method!(
                Memo,
                "_entries",
                "The live entries as tuples; of one instance, if it is given.",
                |owner, this, args, _| {
                    let py = owner.py();
                    let listed = match this.method.get() {
                        Some(method) if !args.is_empty() => {
                            let place = method.place(owner, this, &args.get_item(0)?)?;
                            this.entries(py, place.keeper(this))?
                        }
                        _ => this.each_keeper(py, |keepers| {
                            let listed = keepers.iter().map(|keeper| this.entries(py, keeper));
                            Ok(listed.collect::<PyResult<Vec<_>>>()?.concat())
                        })?,
                    };
                    Ok(listed.into_pyobject(py)?.into())
                }
            ),
            method!(
                Memo,
                "_instance_info",
                "cache_info() of one instance; of all where instances have no results of their own.",
                |owner, this, args, _| {
                    let py = owner.py();
                    let Some(method) = this.method.get() else {
                        return this.info(py, &[&this.keeper], retain_memory::Stats::default());
                    };
                    let place = method.place(owner, this, &args.get_item(0)?)?;
                    this.info(py, &[place.keeper(this)], retain_memory::Stats::default())
                }
            ),
            method!(
                Memo,
                "_instance_clear",
                "cache_clear() of one instance; of all where instances have no results of their own.",
                |owner, this, args, _| {
                    match this.method.get() {
                        None => this.keeper.clear(),
                        Some(method) => {
                            let place = method.place(owner, this, &args.get_item(0)?)?;
                            place.keeper(this).clear();
                        }
                    }
                    Ok(none(owner.py()))
                }
            ),
            method!(
                Memo,
                "_begin",
                "_begin(args, kwargs, anew): how a computation begins, for the parts in Python.",
                |owner, this, args, _| begin_for_python(owner, this, args)
            ),
            method!(
                Memo,
                "__set_name__",
                "Marks a method.",
                |owner, this, args, _| {
                    let py = owner.py();
                    let (class, name) = (args.get_item(0)?, args.get_item(1)?);
                    if this.key.is_none() {
                        let _ =
                            this.method
                                .set(Method::new(&class, &name, this.binder.of_method())?);
                    }
                    Ok(none(py))
                }
            ),
            method!(Memo, "__reduce__", "Pickles by name.", |owner, _, _, _| {
                Ok(owner.getattr("__qualname__")?.into())
            }),
            method!(
                Memo,
                "__copy__",
                "The function itself.",
                |owner, _, _, _| Ok(owner.into())
            ),
            method!(
                Memo,
                "__deepcopy__",
                "The function itself.",
                |owner, _, _, _| Ok(owner.into())
            ),
            method!(
                Memo,
                "__sizeof__",
                "Bytes in memory, keys and values not counted.",
                |owner, this, _, _| {
                    let heap = this.keeper.entries.with(|state| state.table.allocated());
                    Ok((size_of::<Instance<Memo>>() + heap)
                        .into_pyobject(owner.py())?
                        .into())
                }
            ),
            ffi::PyMethodDef::zeroed(),
        ]
    }

    fn slots() -> Vec<ffi::PyType_Slot> {
        unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
            // SAFETY: called by the interpreter on an instance.
            let py = unsafe { Python::assume_attached() };
            let iterator = guarded(|| {
                // SAFETY: `this` is alive.
                let owner = unsafe { Bound::from_borrowed_ptr(py, this) };
                let helpers = unsafe { Instance::<Memo>::body(this) }.helpers.bind(py);
                Ok(Obj::from(
                    helpers.call_method1(intern!(py, "iterate"), (owner,))?,
                ))
            });
            iterator.map_or(ptr::null_mut(), Obj::into_ptr)
        }
        vec![ffi::PyType_Slot {
            slot: ffi::Py_tp_iter,
            pfunc: iterate as *mut c_void,
        }]
    }

    fn bind(&self, this: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: called by the interpreter with live objects.
        let py = unsafe { Python::assume_attached() };
        let bound = guarded(|| {
            // SAFETY: as above.
            let (owner, instance) = unsafe {
                (
                    Bound::from_borrowed_ptr(py, this),
                    Bound::from_borrowed_ptr(py, instance),
                )
            };
            let bound = self
                .helpers
                .bind(py)
                .call_method1(intern!(py, "BoundMemoized"), (owner, instance))?;
            Ok(Obj::from(bound))
        });
        bound.map_or(ptr::null_mut(), Obj::into_ptr)
    }

    fn traverse(&self, visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int) -> c_int {
        let errors = self.errors.as_ref().map(|(types, _)| types);
        let objects = [
            Some(&self.function),
            Some(&self.helpers),
            self.key.as_ref(),
            self.copy.as_ref(),
            errors,
        ];
        let mut visits = objects
            .into_iter()
            .flatten()
            .map(|object| visit(object.as_ptr()));
        match visits.find(|status| *status != 0) {
            Some(status) => return status,
            None => drop(visits),
        }
        match (
            self.binder.traverse(visit),
            self.keeper.rules.traverse(visit),
        ) {
            (0, 0) => self.keeper.traverse(visit),
            (0, status) | (status, _) => status,
        }
    }

    fn clear(&self) {
        self.keeper.clear();
    }
}

fn none(py: Python<'_>) -> Obj {
    py.None().into_bound(py).into()
}

fn begin_for_python(
    owner: &Bound<'_, PyAny>,
    memo: &Memo,
    args: &Bound<'_, PyTuple>,
) -> PyResult<Obj> {
    let py = owner.py();
    let (args, kwargs, anew) = args.extract::<(Bound<'_, PyTuple>, Bound<'_, PyDict>, bool)>()?;
    let agent = Agent::new();
    memo.at(owner, &args, Some(&kwargs), |place, hash, arguments| {
        let (kind, held, further) = match memo.begin(py, place, hash, arguments, agent, anew)? {
            Began::Hit(held) => ("hit", Some(held), None),
            Began::Stale(held, pending) => {
                let duty = pending
                    .map(|pending| duty(owner, pending, agent))
                    .transpose()?;
                ("stale", Some(held), duty)
            }
            Began::Compute(pending) => ("lead", None, Some(duty(owner, pending, agent)?)),
            Began::Join(place, flight) => {
                let flight = Bound::new(py, FlightView::new(owner, place, &flight))?;
                ("join", None, Some(flight.into_any()))
            }
        };
        let value = match held {
            Some(held) => memo.present(py, held)?,
            None => none(py),
        };
        Ok((kind, value.bind(py), further).into_pyobject(py)?.into())
    })
}

/// The duty to compute: a ticket, and the flight that is led, if there is one.
fn duty<'py>(
    owner: &Bound<'py, PyAny>,
    pending: Pending,
    agent: Agent,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    let lead = pending.lead.as_ref();
    let flight = lead.map(|lead| FlightView::new(owner, Place::Memo, lead.flight()));
    let flight = flight.map(|flight| Bound::new(py, flight)).transpose()?;
    let ticket = Bound::new(py, Ticket::new(owner, pending, agent))?;
    Ok((ticket, flight).into_pyobject(py)?.into_any())
}

enum Ready {
    Value(Obj),
    Error(Obj),
}

/// A result that is there already, to be awaited.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Resolved {
    result: std::sync::Mutex<Option<Ready>>,
}

impl Resolved {
    fn new(result: Ready) -> Self {
        Self {
            result: std::sync::Mutex::new(Some(result)),
        }
    }

    fn take(&self, py: Python<'_>) -> PyErr {
        let ready = self
            .result
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        match ready {
            Some(Ready::Value(value)) => {
                pyo3::exceptions::PyStopIteration::new_err((value.bind(py).clone().unbind(),))
            }
            Some(Ready::Error(error)) => PyErr::from_value(error.bind(py).clone()),
            None => {
                pyo3::exceptions::PyRuntimeError::new_err("cannot reuse already awaited coroutine")
            }
        }
    }
}

#[pymethods]
impl Resolved {
    fn __await__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<()> {
        Err(self.take(py))
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(self.take(py))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        drop(traceback);
        drop(self.take(py));
        match value {
            Some(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
                Err(PyErr::from_value(value))
            }
            _ => Err(PyErr::from_value(kind.clone())),
        }
    }

    fn close(&self) {
        self.result
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
    }
}
