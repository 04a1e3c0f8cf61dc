//! `memoize`: a function whose results are kept, by its bound arguments, under the rules of a [`Keeper`].

use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};
use retain_memory::{Agent, Freshness, Lookup};

use crate::arguments::{Arguments, Key};
use crate::binder::{Binder, BoundArguments, ROOM};
use crate::callable::{Body, Call, Instance, call, guarded};
use crate::compare::Likeness;
use crate::compute::{Began, Pending};
use crate::content::Content;
use crate::ending::Stay;
use crate::identity::Failure;
use crate::keeper::{Answer, Keeper, Kept, Left};
use crate::method::{Method, Place};
use crate::methods;
use crate::object::{Obj, discard, owned_or_error};
use crate::resolved::{Ready, Resolved};
use crate::ticket::{Ticket, Waiter};

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
            if !ffi::PyErr_Occurred().is_null() {
                return ptr::null_mut();
            }
        }
        memo.answer(this, call)
    }
}

impl Memo {
    /// The value under bound arguments, if that can be told at a glance.
    #[inline(always)]
    fn glance(keeper: &Keeper, arguments: Arguments<'_>) -> Option<Obj> {
        let Ok(hash) = arguments.hash() else {
            // SAFETY: reached only from an entry. What cannot be hashed is tried again, to say which argument it is;
            // any other error stays.
            unsafe {
                if ffi::PyErr_ExceptionMatches(ffi::PyExc_TypeError) != 0 {
                    ffi::PyErr_Clear();
                }
            }
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
        Self::glance(keeper, unsafe {
            Arguments::new(values, ptr::null_mut(), self.likeness)
        })
    }

    /// As [`glance_at`](Self::glance_at): most of it melts away for one argument.
    #[inline(never)]
    fn glance_at_one(&self, call: Call) -> Option<Obj> {
        // SAFETY: there is one argument, alive during the call.
        Self::glance(&self.keeper, unsafe {
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
            let _stay = Stay::begin();
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
                        let landed =
                            guarded(|| self.landed(py, &waiter, owned_or_error(py, woken)));
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
        let (Some(place), Some(mut bound)) = (self.place(py, &owner, call)?, self.bind(py, call)?)
        else {
            // The arguments do not fit: the function itself says what is wrong.
            // SAFETY: the call goes on, and the function is alive.
            return owned_or_error(py, unsafe { call.run(self.function.as_ptr()) });
        };
        let hash = self.hash(py, &mut bound)?;
        let arguments = bound.view(self.likeness);
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
    pub(crate) fn place(
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
    pub(crate) fn bind(&self, py: Python<'_>, call: Call) -> PyResult<Option<BoundArguments>> {
        let Some(key) = &self.key else {
            let method = self.method.get().map(|method| &method.binder);
            return Ok(method.unwrap_or(&self.binder).bind(py, call));
        };
        // SAFETY: the call's arguments are alive, and so is the key function.
        let made = owned_or_error(py, unsafe { call.run(key.as_ptr()) })?;
        Ok(Some(BoundArguments::lone(made)))
    }

    /// The hash of the arguments; those that have none are replaced by their content.
    pub(crate) fn hash(&self, py: Python<'_>, bound: &mut BoundArguments) -> PyResult<u64> {
        let mut replaced = 0;
        loop {
            let position = match bound.view(self.likeness).hash() {
                Ok(hash) => return Ok(hash),
                Err(position) => position,
            };
            let error = PyErr::take(py);
            // Each is replaced once, the first of them first.
            let value = bound.value(position).filter(|_| position >= replaced);
            let value = match (error, value) {
                (None, Some(value)) => value,
                (Some(error), Some(value)) if error.is_instance_of::<PyTypeError>(py) => {
                    discard(py, error);
                    value
                }
                (Some(error), _) => return Err(error),
                (None, None) => return Err(PyTypeError::new_err("a name cannot be hashed")),
            };
            replaced = position + 1;
            // SAFETY: the value is an argument, alive during the call.
            let content = Content::of(&unsafe { Bound::from_borrowed_ptr(py, value) });
            let content =
                content.map_err(|failure| self.unidentified(py, failure, bound, position))?;
            bound.replace(position, content);
        }
    }

    /// The error for an argument that is neither hashable nor has a content to go by.
    fn unidentified(
        &self,
        py: Python<'_>,
        failure: Failure,
        bound: &BoundArguments,
        position: usize,
    ) -> PyErr {
        let name = self.name(py);
        if self.key.is_some() {
            return failure.about(py, &format!("{name}: what key= returned"), "");
        }
        let method = self.method.get().map(|method| &method.binder);
        let binder = method.unwrap_or(&self.binder);
        let remedy = "; or give memoize a key=";
        let (argument, remedy) = match (binder.name_of(py, position), bound.keyword(py, position)) {
            (Some(parameter), _) => {
                let remedy = format!("{remedy}, or ignore=['{parameter}']");
                (format!("argument '{parameter}'"), remedy)
            }
            (None, Some(keyword)) => (format!("argument '{keyword}'"), remedy.into()),
            (None, None) => (format!("argument number {}", position + 1), remedy.into()),
        };
        failure.about(py, &format!("{name}: {argument}"), &remedy)
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
        let Some(mut bound) = self.bind(py, call)? else {
            return Ok(Step::Bare);
        };
        let hash = self.hash(py, &mut bound)?;
        let arguments = bound.view(self.likeness);
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

    /// What the caller gets of a kept answer.
    pub(crate) fn present(&self, py: Python<'_>, held: Kept) -> PyResult<Obj> {
        match held.value {
            Answer::Value(value) => self.copied(py, value),
            Answer::Error(error) => {
                // Each raise adds its frames to an exception: a kept one is raised as a copy.
                let copy = self
                    .helpers
                    .bind(py)
                    .getattr(intern!(py, "copy_exception"))?;
                let copied = call(&copy, [error.bind(py)])?;
                Err(PyErr::from_value(copied.bind(py).clone()))
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
    pub(crate) fn describe<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyAny>> {
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
        methods::table()
    }

    fn slots() -> Vec<ffi::PyType_Slot> {
        unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
            // SAFETY: called by the interpreter on an instance.
            let py = unsafe { Python::assume_attached() };
            let _stay = Stay::begin();
            let iterator = guarded(|| {
                // SAFETY: `this` is alive.
                let owner = unsafe { Bound::from_borrowed_ptr(py, this) };
                // SAFETY: as above, of the type that the slot belongs to.
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
        let _stay = Stay::begin();
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
        let beside = self.method.get().map(|method| method.traverse(visit));
        if let Some(status) = beside.filter(|status| *status != 0) {
            return status;
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
