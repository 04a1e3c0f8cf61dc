//! `Cache`: the table as a thread-safe mutable mapping.

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use retain_memory::{Agent, Begin, Bounds, Departures, Held, Outcome};

use crate::arguments::{Arguments, Key};
use crate::callable;
use crate::compare::Likeness;
use crate::content::Content;
use crate::ending::Stay;
use crate::keeper::{Answer, Keeper, Kept, Left, Rules, warn_not_kept};
use crate::memoize::RulesArgument;
use crate::method::Place;
use crate::object::{Obj, discard};
use crate::ticket::Waiter;

/// The compiled part of `retain.Cache`.
#[pyclass(frozen, subclass, weakref, mapping, module = "retain._retain")]
pub(crate) struct CacheBase {
    keeper: Keeper,
}

impl CacheBase {
    /// Runs `body` with what stands for a key in the table, which is the key, or, if that cannot be hashed, its content;
    /// and with the hash and the probe of it.
    fn at<R>(
        key: &Bound<'_, PyAny>,
        body: impl FnOnce(&Bound<'_, PyAny>, u64, &Arguments<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let py = key.py();
        let values = [key.as_ptr()];
        // SAFETY: the key is alive as long as `key`.
        let arguments = unsafe { Arguments::new(&values, ptr::null_mut(), Likeness::Equal) };
        if let Ok(hash) = arguments.hash() {
            return body(key, hash, &arguments);
        }
        match PyErr::take(py) {
            Some(error) if !error.is_instance_of::<PyTypeError>(py) => return Err(error),
            Some(error) => discard(py, error),
            None => {}
        }
        let content = Content::of(key).map_err(|failure| failure.about(py, "key", ""))?;
        Self::at(content.bind(py), body)
    }

    fn look_up(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Obj>> {
        let py = key.py();
        Self::at(key, |_, hash, arguments| {
            let mut left = Departures::none();
            let found = self
                .keeper
                .entries
                .get(self.keeper.lookup(hash, arguments), &mut left);
            self.bid_farewell(py, left);
            let found = found?;
            Ok(found.map(value_of))
        })
    }

    fn store(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
    ) -> PyResult<()> {
        let py = key.py();
        let held = self.keeper.rules.hold(py, &value.into(), 0.0, ttl)?;
        Self::at(key, |key, hash, arguments| {
            let mut left = Departures::none();
            let lookup = self.keeper.lookup(hash, arguments);
            let stored = self
                .keeper
                .entries
                .insert(lookup, Key::one(key.into()), held, &mut left);
            self.bid_farewell(py, left);
            stored
        })
    }

    fn remove(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<Obj>> {
        let py = key.py();
        Self::at(key, |_, hash, arguments| {
            let mut left = Departures::none();
            let removed = self
                .keeper
                .entries
                .remove(self.keeper.lookup(hash, arguments), &mut left);
            self.bid_farewell(py, left);
            let removed = removed?;
            Ok(removed.map(|(_, held)| value_of(held)))
        })
    }

    fn bid_farewell(&self, py: Python<'_>, left: Left) {
        self.keeper.bid_farewell(py, left, |key| {
            let (values, _) = key.parts();
            // SAFETY: the key keeps its value alive.
            let object = values
                .as_slice()
                .first()
                .map(|value| unsafe { Bound::from_borrowed_ptr(py, *value) });
            Ok(object.unwrap_or_else(|| py.None().into_bound(py)))
        });
    }

    /// The value under `key`, which stands for `given`.
    fn compute(
        &self,
        key: &Bound<'_, PyAny>,
        given: &Bound<'_, PyAny>,
        factory: &Bound<'_, PyAny>,
    ) -> PyResult<Obj> {
        let py = key.py();
        let agent = Agent::thread();
        loop {
            let (mut left, stored) = (Departures::none(), Key::one(key.into()));
            let begun = Self::at(key, |_, hash, arguments| {
                let lookup = self.keeper.lookup(hash, arguments);
                self.keeper
                    .entries
                    .begin(lookup, stored, agent, false, &mut left)
            })?;
            self.bid_farewell(py, left);
            match begun {
                Begin::Hit(held) | Begin::Stale(held, _) => return Ok(value_of(held)),
                Begin::Lead(lead) => {
                    let start = Instant::now();
                    let lead = ManuallyDrop::new(lead);
                    let result = callable::call(factory, [given]);
                    let lead = ManuallyDrop::into_inner(lead);
                    let value = match result {
                        Ok(value) => value,
                        Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                            self.keeper
                                .entries
                                .end(lead, Outcome::Error(error.value(py).into()));
                            return Err(error);
                        }
                        Err(error) => {
                            self.keeper.entries.end(lead, Outcome::Abandoned);
                            return Err(error);
                        }
                    };
                    match self
                        .keeper
                        .rules
                        .hold(py, &value, start.elapsed().as_secs_f64(), None)
                    {
                        Ok(held) => {
                            let mut left = Departures::none();
                            let finished = Self::at(key, |_, hash, arguments| {
                                let lookup = self.keeper.lookup(hash, arguments);
                                self.keeper.entries.finish(lookup, lead, held, &mut left)
                            });
                            self.bid_farewell(py, left);
                            finished?;
                        }
                        Err(error) => {
                            let held = Held::new(Answer::Value(value.clone()));
                            self.keeper.entries.end(lead, Outcome::Value(held));
                            warn_not_kept(py, "the factory", error)?;
                        }
                    }
                    return Ok(value);
                }
                Begin::Join(flight) => {
                    let Some(waiting) = flight.join(agent) else {
                        return callable::call(factory, [given]);
                    };
                    let waiter = Waiter::new(py, Place::Memo, flight, waiting)?;
                    // SAFETY: this thread is attached.
                    drop(crate::object::owned_or_error(py, unsafe {
                        waiter.block()
                    })?);
                    match waiter.outcome() {
                        Some(Outcome::Value(held)) => {
                            self.keeper.entries.joined(true);
                            return Ok(value_of(held));
                        }
                        Some(Outcome::Error(error)) => {
                            self.keeper.entries.joined(false);
                            return Err(PyErr::from_value(error.bind(py).clone()));
                        }
                        Some(Outcome::Abandoned) | None => {}
                    }
                }
            }
        }
    }
}

fn value_of(held: Kept) -> Obj {
    match held.value {
        Answer::Value(value) | Answer::Error(value) => value,
    }
}

#[pymethods]
impl CacheBase {
    #[new]
    #[pyo3(signature = (rules))]
    fn new(rules: RulesArgument<'_>) -> PyResult<Self> {
        Ok(Self {
            keeper: Keeper::new(Arc::new(Rules::try_from(rules)?)),
        })
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        let _stay = Stay::begin();
        let mut left = Departures::none();
        let now = self.keeper.now();
        let size = self.keeper.entries.with(|state| {
            state.table.expire_all(now, &mut left);
            state.table.len()
        });
        self.bid_farewell(py, left);
        size
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::at(key, |_, hash, arguments| {
            let found = self
                .keeper
                .entries
                .peek(self.keeper.lookup(hash, arguments));
            Ok(found?.is_some())
        })
    }

    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().look_up(key)? {
            Some(value) => Ok(value.bind(slf.py()).clone()),
            None => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let _stay = Stay::begin();
        self.store(key, value, None)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let _stay = Stay::begin();
        match self.remove(key)? {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.look_up(key)?;
        Ok(found.map(|value| value.bind(key.py()).clone()).or(default))
    }

    /// The value under a key without counting it or telling the policy.
    #[pyo3(signature = (key, default=None, /))]
    fn peek<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        Self::at(key, |_, hash, arguments| {
            let found = self
                .keeper
                .entries
                .peek(self.keeper.lookup(hash, arguments));
            let found = found?;
            Ok(found
                .map(|held| value_of(held).bind(py).clone())
                .or(default))
        })
    }

    /// Stores a value, for so many seconds if `ttl` is given.
    #[pyo3(signature = (key, value, ttl=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        ttl: Option<f64>,
    ) -> PyResult<()> {
        let _stay = Stay::begin();
        match ttl {
            Some(seconds) if seconds.is_nan() || seconds < 0.0 => Err(PyValueError::new_err(
                format!("ttl is {seconds}, but a time to live is 0 seconds or more"),
            )),
            Some(_) => {
                self.keeper.allow_ends();
                self.store(key, value, ttl)
            }
            None => self.store(key, value, None),
        }
    }

    /// Removes a key and returns its value in a tuple, empty if there is none.
    fn _take(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let _stay = Stay::begin();
        Ok(match self.remove(key)? {
            Some(value) => (value.bind(py),).into_pyobject(py)?.into(),
            None => pyo3::types::PyTuple::empty(py).into(),
        })
    }

    /// The value under a key, stored first if there is none.
    #[pyo3(signature = (key, default=None, /))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let _stay = Stay::begin();
        let value = default.map_or_else(|| Obj::from(py.None().into_bound(py)), Obj::from);
        let held = self.keeper.rules.hold(py, &value, 0.0, None)?;
        Self::at(key, |key, hash, arguments| {
            let mut left = Departures::none();
            let lookup = self.keeper.lookup(hash, arguments);
            let present = self.keeper.entries.insert_absent(
                lookup,
                Key::one(key.into()),
                held,
                None,
                &mut left,
            );
            self.bid_farewell(py, left);
            let present = present?;
            Ok(Some(present.map_or(value, value_of).bind(py).clone()))
        })
    }

    /// The value under a key, computed by `factory(key)` if there is none: once, however many threads ask.
    fn get_or_insert(&self, key: &Bound<'_, PyAny>, factory: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let _stay = Stay::begin();
        Self::at(key, |found, _, _| self.compute(found, key, factory))
    }

    /// Removes all entries; the counts stay.
    fn clear(&self) {
        let _stay = Stay::begin();
        drop(self.keeper.entries.clear());
    }

    /// The live entries, as a list of pairs.
    fn _items<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let _stay = Stay::begin();
        let now = self.keeper.now();
        let live = self.keeper.entries.with(|state| {
            let live = state.table.iter().filter(|(_, held)| held.is_served(now));
            live.map(|(key, held)| (key.clone(), held.clone()))
                .collect::<Vec<_>>()
        });
        let pairs = live.into_iter().filter_map(|(key, held)| {
            let (values, _) = key.parts();
            // SAFETY: the key keeps its value alive.
            let object = values
                .as_slice()
                .first()
                .map(|value| unsafe { Bound::from_borrowed_ptr(py, *value) });
            Some((object?, value_of(held).bind(py).clone()))
        });
        pairs.collect()
    }

    fn _resize(&self, py: Python<'_>, maxsize: Option<usize>, max_bytes: Option<u64>) {
        let _stay = Stay::begin();
        let mut left = Departures::none();
        let bounds = Bounds {
            max_entries: maxsize.unwrap_or(usize::MAX),
            max_weight: max_bytes.unwrap_or(u64::MAX),
        };
        self.keeper
            .entries
            .with(|state| state.table.resize(bounds, &mut left));
        self.bid_farewell(py, left);
    }

    /// Bounds and counts.
    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let described = PyDict::new(py);
        let (stats, bounds, size, weight, in_flight) = self.keeper.entries.with(|state| {
            let table = &state.table;
            (
                table.stats(),
                table.bounds(),
                table.len(),
                table.weight(),
                state.in_flight(),
            )
        });
        let max_bytes = (bounds.max_weight != u64::MAX).then_some(bounds.max_weight);
        described.set_item("hits", stats.hits)?;
        described.set_item("misses", stats.misses)?;
        described.set_item(
            "maxsize",
            (bounds.max_entries != usize::MAX).then_some(bounds.max_entries),
        )?;
        described.set_item("currsize", size)?;
        described.set_item("evictions", stats.evictions)?;
        described.set_item("expirations", stats.expirations)?;
        described.set_item("in_flight", in_flight)?;
        described.set_item("weight", weight)?;
        described.set_item("time_saved", stats.seconds_saved)?;
        described.set_item("max_bytes", max_bytes)?;
        Ok(described)
    }

    fn __sizeof__(&self) -> usize {
        size_of::<Self>() + self.keeper.entries.with(|state| state.table.allocated())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.keeper.visit_all(&visit)
    }

    fn __clear__(&self) {
        self.keeper.clear();
    }
}
