//! A computation of a memoized function, from the lookup that begins it to the value that is kept.

use std::sync::Arc;
use std::time::Instant;

use pyo3::intern;
use pyo3::prelude::*;
use retain_memory::{Agent, Begin, Departures, Flight, Held, Lead, Outcome};

use crate::arguments::{Arguments, Key};
use crate::keeper::{Answer, Kept, warn_not_kept};
use crate::memo::Memo;
use crate::method::Place;
use crate::object::Obj;
use crate::ticket::Waiter;

/// A call that is being computed.
pub(crate) struct Pending {
    pub(crate) place: Place,
    pub(crate) hash: u64,
    pub(crate) key: Key,
    pub(crate) lead: Option<Lead<Key, Kept, Obj>>,
    /// Without a lead, the epoch at which the computation began: what it finds is stored only if nothing was removed
    /// since.
    pub(crate) epoch: u64,
    pub(crate) start: Instant,
}

/// How a computation began.
pub(crate) enum Began {
    Hit(Kept),
    Stale(Kept, Option<Pending>),
    Compute(Pending),
    Join(Place, Arc<Flight<Kept, Obj>>),
}

impl Memo {
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
        let lookup = keeper.lookup(hash, arguments);
        if !self.single_flight {
            let found = if anew {
                None
            } else {
                keeper.entries.get(lookup, &mut left)?
            };
            self.bid_farewell(py, &place, left);
            return match found {
                Some(held) => Ok(Began::Hit(held)),
                None => self
                    .pending_alone(place, hash, arguments)
                    .map(Began::Compute),
            };
        }
        let key = arguments.freeze()?;
        let begun = keeper.entries.begin(lookup, key, agent, anew, &mut left)?;
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
    pub(crate) fn landed(
        &self,
        py: Python<'_>,
        waiter: &Waiter,
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
}
