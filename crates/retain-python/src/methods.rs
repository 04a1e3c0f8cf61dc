//! The methods of a memoized function: its counts, its entries, and what is done to single ones.

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};
use retain_memory::{Agent, Departures};

use crate::arguments::Arguments;
use crate::callable::{Instance, Unpacked, method, no_arguments};
use crate::compute::{Began, Pending};
use crate::keeper::{Answer, Keeper};
use crate::memo::Memo;
use crate::method::{Method, Place};
use crate::object::{Obj, owned_or_error};
use crate::ticket::{FlightView, Ticket, Waiter};

/// The methods, the last one null.
#[allow(clippy::too_many_lines, reason = "a list, one method after the other")]
pub(crate) fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        method!(
            Memo,
            "cache_info",
            "($self, /)",
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
            "($self, /)",
            "Forgets all results and resets the counts.",
            |owner, this, args, kwargs| {
                no_arguments("cache_clear", args, kwargs)?;
                let py = owner.py();
                if let Some(method) = this.method.get() {
                    method.forget_retired();
                }
                this.each_keeper(py, |keepers| {
                    for keeper in keepers {
                        keeper.clear();
                    }
                    Ok(none(py))
                })
            }
        ),
        method!(
            Memo,
            "invalidate",
            "($self, /, *args, **kwargs)",
            "Forgets the result for these arguments; whether there was one.",
            |owner, this, args, kwargs| this.at(owner, args, kwargs, |place, hash, arguments| {
                let py = owner.py();
                let keeper = place.keeper(this);
                let mut left = Departures::none();
                let removed = keeper
                    .entries
                    .remove(keeper.lookup(hash, arguments), &mut left);
                this.bid_farewell(py, &place, left);
                let removed = removed?;
                Ok(removed.is_some().into_pyobject(py)?.to_owned().into())
            })
        ),
        method!(
            Memo,
            "peek",
            "($self, /, *args, **kwargs)",
            "The result for these arguments if there is one; KeyError if not. Nothing is counted.",
            |owner, this, args, kwargs| this.at(owner, args, kwargs, |place, hash, arguments| {
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
            })
        ),
        method!(
            Memo,
            "set",
            "($self, value, /, *args, **kwargs)",
            "Keeps value as the result for these arguments.",
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
                    let stored =
                        keeper
                            .entries
                            .insert(keeper.lookup(hash, arguments), key, held, &mut left);
                    this.bid_farewell(py, &place, left);
                    stored?;
                    Ok(none(py))
                })
            }
        ),
        method!(
            Memo,
            "refresh",
            "($self, /, *args, **kwargs)",
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
            "($self, /, *instance)",
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
            "($self, instance, /)",
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
            "($self, instance, /)",
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
            "($self, args, kwargs, anew, /)",
            "How a computation begins, for the parts in Python.",
            |owner, this, args, _| begin_for_python(owner, this, args)
        ),
        method!(
            Memo,
            "__set_name__",
            "($self, owner, name, /)",
            "Marks a method.",
            |owner, this, args, _| {
                let py = owner.py();
                let (class, name) = (args.get_item(0)?, args.get_item(1)?);
                if this.key.is_none() && this.binder.takes_instance() && is_own(owner, &class)? {
                    let _ = this
                        .method
                        .set(Method::new(&class, &name, this.binder.of_method())?);
                }
                Ok(none(py))
            }
        ),
        method!(
            Memo,
            "__reduce__",
            "($self, /)",
            "Pickles by name.",
            |owner, _, _, _| { Ok(owner.getattr("__qualname__")?.into()) }
        ),
        method!(
            Memo,
            "__copy__",
            "($self, /)",
            "The function itself.",
            |owner, _, _, _| Ok(owner.into())
        ),
        method!(
            Memo,
            "__deepcopy__",
            "($self, memo, /)",
            "The function itself.",
            |owner, _, _, _| Ok(owner.into())
        ),
        method!(
            Memo,
            "__sizeof__",
            "($self, /)",
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

impl Memo {
    /// The entries at a place: (arguments, value or exception, whether it is one, weight, seconds it took).
    pub(crate) fn entries<'py>(
        &self,
        py: Python<'py>,
        keeper: &Keeper,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
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
        let unpacked = Unpacked::new(args, kwargs);
        let call = unpacked.call();
        let (Some(place), Some(mut bound)) = (self.place(py, owner, call)?, self.bind(py, call)?)
        else {
            let name = self.name(py);
            return Err(PyTypeError::new_err(format!(
                "{name}: the arguments do not fit its signature"
            )));
        };
        let hash = self.hash(py, &mut bound)?;
        let arguments = bound.view(self.likeness);
        body(place, hash, &arguments)
    }

    /// Computes anew whatever is kept, as a call does.
    pub(crate) fn refresh(
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
                    let unpacked = Unpacked::new(args, kwargs);
                    // SAFETY: the arguments and the function are alive.
                    let result = unsafe { unpacked.call().run(self.function.as_ptr()) };
                    return self.complete(py, pending, owned_or_error(py, result));
                }
                Err(waiter) => {
                    // SAFETY: this thread is attached.
                    let woken = unsafe { waiter.block() };
                    if let Some(value) = self.landed(py, &waiter, owned_or_error(py, woken))? {
                        return Ok(value);
                    }
                }
            }
        }
    }

    pub(crate) fn info(
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
    pub(crate) fn each_keeper<R>(
        &self,
        py: Python<'_>,
        body: impl FnOnce(&[&Keeper]) -> PyResult<R>,
    ) -> PyResult<R> {
        match self.method.get() {
            None => body(&[&self.keeper]),
            Some(method) => {
                let caches = method.caches(py);
                let borrowed = caches
                    .iter()
                    .map(|cache| &cache.get().keeper)
                    .collect::<Vec<_>>();
                body(&borrowed)
            }
        }
    }
}

/// Whether a function was defined in the body of this class, rather than put there under a name of its own.
fn is_own(function: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    let qualified = function.getattr(intern!(py, "__qualname__"))?.to_string();
    let class = class.getattr(intern!(py, "__qualname__"))?.to_string();
    Ok(qualified
        .rsplit_once('.')
        .is_some_and(|(body, _)| body == class))
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
