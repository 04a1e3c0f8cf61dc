//! A table behind a lock, with its flights: every operation whole, no foreign code under the lock.

use std::marker::PhantomData;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Nanos;
use crate::flight::{Flight, Lead, Outcome};
use crate::policy::{AnyPolicy, Policy, Slot};
use crate::probe::Probe;
use crate::sync::{Lock, Mutex};
use crate::table::{Cause, Departures, Freshness, Stored, Table};
use crate::waits::Agent;

/// What a shard's lock protects: the entries and the computations in flight.
pub struct State<K, V, E, P: Policy> {
    /// The entries.
    pub table: Table<K, V, P>,
    flights: HashTable<Airborne<K, V, E>>,
    epoch: u64,
}

struct Airborne<K, V, E> {
    hash: u64,
    key: K,
    flight: Arc<Flight<V, E>>,
}

impl<K, V: Stored, E, P: Policy> State<K, V, E, P> {
    /// A number that moves when an entry is removed by name or the table is cleared: what was computed before it
    /// moved may be out of date after.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Computations in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights
            .iter()
            .filter(|airborne| !airborne.flight.has_landed())
            .count()
    }

    fn find_flight(
        &self,
        hash: u64,
        mut wanted: impl FnMut(&K) -> bool,
    ) -> Option<&Arc<Flight<V, E>>> {
        self.flights
            .find(hash, |airborne| {
                airborne.hash == hash && wanted(&airborne.key)
            })
            .map(|airborne| &airborne.flight)
    }

    fn take_off(&mut self, hash: u64, key: K, leader: Agent) -> Lead<K, V, E>
    where
        K: Clone,
    {
        let flight = Arc::new(Flight::new(leader));
        let airborne = Airborne {
            hash,
            key: key.clone(),
            flight: Arc::clone(&flight),
        };
        self.flights
            .insert_unique(hash, airborne, |other| other.hash);
        Lead { hash, key, flight }
    }

    /// Whether the entry at `slot` may be served.
    fn served(&self, slot: Slot, now: Nanos) -> bool {
        self.table
            .value(slot)
            .is_some_and(|value| value.freshness(now) != Freshness::Expired)
    }

    /// Stores a value where its key was found; gives the key back if the entry has one already.
    fn store(
        &mut self,
        hash: u64,
        found: &Found<V, E>,
        key: K,
        value: V,
        now: Nanos,
        departures: &mut Departures<K, V>,
    ) -> Option<K>
    where
        K: Clone,
    {
        if let Found::Entry(slot) = *found {
            self.table.replace(slot, value, departures);
            return Some(key);
        }
        self.table.insert(hash, key, value, now, departures);
        None
    }

    /// Takes the flight off the board, and gives back its key, to be dropped under no lock.
    fn strike(&mut self, hash: u64, flight: &Arc<Flight<V, E>>) -> Option<K> {
        let place = self
            .flights
            .find_entry(hash, |airborne| Arc::ptr_eq(&airborne.flight, flight))
            .ok()?;
        Some(place.remove().0.key)
    }
}

/// What is looked up, and when.
pub struct Lookup<'a, Q: ?Sized> {
    /// The key's hash: good in all its bits, and the same for equal keys.
    pub hash: u64,
    /// The key's equality.
    pub probe: &'a Q,
    /// The present; 0 where nothing expires.
    pub now: Nanos,
}

impl<Q: ?Sized> Clone for Lookup<'_, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q: ?Sized> Copy for Lookup<'_, Q> {}

/// Where a key was found.
enum Found<V, E> {
    Entry(Slot),
    Flight(Arc<Flight<V, E>>),
    Nowhere,
}

/// How a computation that may be shared begins.
pub enum Begin<K, V, E> {
    /// There is a value.
    Hit(V),
    /// There is a value past its time that may still be served; with the lead, if nobody computes a new one yet.
    Stale(V, Option<Lead<K, V, E>>),
    /// The caller computes.
    Lead(Lead<K, V, E>),
    /// Someone else computes.
    Join(Arc<Flight<V, E>>),
}

/// A table behind a lock.
pub struct Shard<K, V, E, P: Policy = AnyPolicy, L = Mutex<State<K, V, E, P>>> {
    lock: L,
    holds: PhantomData<State<K, V, E, P>>,
}

impl<K, V, E, P, L> Shard<K, V, E, P, L>
where
    K: Clone,
    V: Stored + Clone,
    P: Policy,
    L: Lock<State<K, V, E, P>>,
{
    /// A shard over `table`.
    pub fn new(table: Table<K, V, P>) -> Self {
        Self {
            lock: L::new(State {
                table,
                flights: HashTable::new(),
                epoch: 0,
            }),
            holds: PhantomData,
        }
    }

    /// Runs `body` under the lock. It must not run foreign code: no comparing, no dropping of keys or values.
    #[inline]
    pub fn with<R>(&self, body: impl FnOnce(&mut State<K, V, E, P>) -> R) -> R {
        self.lock.with(body)
    }

    /// The value under a key, counted as a hit or a miss; entries met past their end go to `departures`.
    ///
    /// # Errors
    /// What the probe raised; nothing is counted then.
    #[inline]
    pub fn get<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        departures: &mut Departures<K, V>,
    ) -> Result<Option<V>, Q::Error> {
        let Lookup { hash, probe, now } = lookup;
        // The common case in one pass under one lock: an entry that settles at a glance and is not over.
        let quick = self.lock.with(|state| {
            let slot = state
                .table
                .find(hash, |key| probe.settle(key) == Some(true))?;
            if state.table.value(slot)?.freshness(now) == Freshness::Expired {
                return None;
            }
            state.table.hit(slot, now).cloned()
        });
        match quick {
            Some(value) => Ok(Some(value)),
            None => self.get_slowly(lookup, departures),
        }
    }

    #[inline(never)]
    fn get_slowly<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        departures: &mut Departures<K, V>,
    ) -> Result<Option<V>, Q::Error> {
        let Lookup { now, .. } = lookup;
        self.resolve(lookup, |state, found| {
            if let Found::Entry(slot) = found {
                if state.served(slot, now) {
                    return state.table.hit(slot, now).cloned();
                }
                state.table.expire(slot, departures);
            }
            state.table.miss();
            None
        })
    }

    /// The value under a key; nothing is counted and the policy is not told.
    ///
    /// # Errors
    /// What the probe raised.
    pub fn peek<Q: Probe<K>>(&self, lookup: Lookup<'_, Q>) -> Result<Option<V>, Q::Error> {
        let Lookup { now, .. } = lookup;
        self.resolve(lookup, |state, found| match found {
            Found::Entry(slot) if state.served(slot, now) => state.table.value(slot).cloned(),
            _ => None,
        })
    }

    /// Stores a value, in place of the one there may be. A computation in flight for the same key goes on, and what
    /// it finds is no longer stored.
    ///
    /// # Errors
    /// What the probe raised; the value is not stored then.
    pub fn insert<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        key: K,
        value: V,
        departures: &mut Departures<K, V>,
    ) -> Result<(), Q::Error> {
        let Lookup { hash, now, .. } = lookup;
        let mut arriving = Some((key, value));
        let mut unused = None;
        while let Some(key) = self.resolve(lookup, |state, found| {
            if let Found::Flight(flight) = found {
                return state.strike(hash, &flight);
            }
            if let Some((key, value)) = arriving.take() {
                unused = state.store(hash, &found, key, value, now, departures);
            }
            None
        })? {
            drop(key);
        }
        Ok(())
    }

    /// Stores a value unless there is one, or the [`epoch`](State::epoch) is no longer the given one; gives the value
    /// there is.
    ///
    /// # Errors
    /// What the probe raised; the value is not stored then.
    #[inline]
    pub fn insert_absent<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        key: K,
        value: V,
        epoch: Option<u64>,
        departures: &mut Departures<K, V>,
    ) -> Result<Option<V>, Q::Error> {
        let Lookup { hash, now, .. } = lookup;
        let mut arriving = Some((key, value));
        self.resolve(lookup, |state, found| {
            if let Found::Entry(slot) = found {
                if state.served(slot, now) {
                    return state.table.value(slot).cloned();
                }
                state.table.expire(slot, departures);
            }
            if epoch.is_none_or(|epoch| epoch == state.epoch) {
                let (key, value) = arriving.take()?;
                state.table.insert(hash, key, value, now, departures);
            }
            None
        })
    }

    /// Removes the entry under a key and gives it; an ended one is removed but not given. A computation in flight for
    /// the key goes on for those who wait, and what it finds is not stored.
    ///
    /// # Errors
    /// What the probe raised; nothing is removed then.
    pub fn remove<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        departures: &mut Departures<K, V>,
    ) -> Result<Option<(K, V)>, Q::Error> {
        let Lookup { hash, now, .. } = lookup;
        let mut removed = None;
        loop {
            let mut struck = None;
            let found_any = self.resolve(lookup, |state, found| {
                state.epoch += 1;
                match found {
                    Found::Entry(slot) if state.served(slot, now) => {
                        removed = state.table.remove(slot);
                    }
                    Found::Entry(slot) => state.table.expire(slot, departures),
                    Found::Flight(flight) => struck = state.strike(hash, &flight),
                    Found::Nowhere => return false,
                }
                true
            })?;
            if !found_any {
                return Ok(removed);
            }
        }
    }

    /// The value under a key, or the duty to compute it, or the flight of the one who does.
    ///
    /// `agent` is who would compute. With `anew`, what is stored does not count: the caller computes, or joins who
    /// does. A lookup that joins a flight is counted by [`joined`](Self::joined), once its outcome is known.
    ///
    /// # Errors
    /// What the probe raised; nothing begins then.
    pub fn begin<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        key: K,
        agent: Agent,
        anew: bool,
        departures: &mut Departures<K, V>,
    ) -> Result<Begin<K, V, E>, Q::Error> {
        let Lookup { hash, now, .. } = lookup;
        let mut landed = None;
        self.resolve(lookup, |state, found| {
            let mut stale = None;
            let mut airborne = None;
            let mut stored_key = None;
            match found {
                Found::Entry(slot) => {
                    // An entry hides the flight under the same key. Such a flight took off with the entry's own key.
                    let stored = state.table.key(slot).cloned();
                    airborne = stored.as_ref().and_then(|stored| {
                        state
                            .find_flight(hash, |other| Q::same(other, stored))
                            .cloned()
                    });
                    if !anew {
                        match state.table.value(slot).map(|value| value.freshness(now)) {
                            Some(Freshness::Fresh) => {
                                if let Some(value) = state.table.hit(slot, now) {
                                    return Begin::Hit(value.clone());
                                }
                            }
                            Some(Freshness::Stale) => stale = state.table.hit(slot, now).cloned(),
                            _ => state.table.expire(slot, departures),
                        }
                    }
                    stored_key = stored;
                }
                Found::Flight(flight) => airborne = Some(flight),
                Found::Nowhere => {}
            }
            if let Some(flight) = airborne {
                if !flight.has_landed() {
                    return match stale {
                        Some(value) => Begin::Stale(value, None),
                        None => Begin::Join(flight),
                    };
                }
                landed = state.strike(hash, &flight);
            }
            if stale.is_none() && !anew {
                state.table.miss();
            }
            let key = stored_key.unwrap_or_else(|| key.clone());
            let lead = state.take_off(hash, key, agent);
            match stale {
                Some(value) => Begin::Stale(value, Some(lead)),
                None => Begin::Lead(lead),
            }
        })
    }

    /// Counts a lookup that joined a flight: a hit if it got the value, else a miss.
    pub fn joined(&self, got_value: bool) {
        self.lock.with(|state| {
            if got_value {
                state.table.stats_mut().hits += 1;
            } else {
                state.table.miss();
            }
        });
    }

    /// Ends a flight with its value: stores it, then wakes those who wait.
    ///
    /// If the key was removed or set meanwhile the value is not stored: it may be out of date.
    ///
    /// # Errors
    /// What the probe raised; the value is not stored then, and those who wait get it all the same.
    pub fn finish<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        lead: Lead<K, V, E>,
        value: V,
        departures: &mut Departures<K, V>,
    ) -> Result<(), Q::Error> {
        let Lookup { hash, now, .. } = lookup;
        let mut arriving = Some((lead.key.clone(), value.clone()));
        let mut unused = None;
        // The probe finds the entry or the flight of this key; which of them does not matter, only that the rest
        // happens in one step.
        let stored = self.resolve(lookup, |state, found| {
            let struck = state.strike(hash, &lead.flight)?;
            let (key, value) = arriving.take()?;
            unused = state.store(hash, &found, key, value, now, departures);
            Some(struck)
        });
        if stored.is_err() {
            self.end(lead, Outcome::Value(value));
        } else {
            lead.land(Outcome::Value(value));
        }
        stored.map(drop)
    }

    /// Ends a flight with its outcome, without storing anything.
    pub fn end(&self, lead: Lead<K, V, E>, outcome: Outcome<V, E>) {
        let key = self
            .lock
            .with(|state| state.strike(lead.hash, &lead.flight));
        lead.land(outcome);
        drop(key);
    }

    /// Removes every entry and gives them. Computations in flight go on for those who wait, and what they find is not
    /// stored.
    pub fn clear(&self) -> impl Iterator<Item = (K, V)> + use<K, V, E, P, L> {
        let (entries, flights) = self.lock.with(|state| {
            state.epoch += 1;
            (state.table.clear(), std::mem::take(&mut state.flights))
        });
        drop(flights);
        entries
    }

    /// Finds the key and hands what was found to `step`, under the lock.
    ///
    /// Keys that do not settle at a glance are cloned, compared under no lock, and looked for again; each is compared
    /// once, however much the comparisons change the table meanwhile.
    #[inline]
    fn resolve<Q: Probe<K>, R>(
        &self,
        Lookup { hash, probe, .. }: Lookup<'_, Q>,
        mut step: impl FnMut(&mut State<K, V, E, P>, Found<V, E>) -> R,
    ) -> Result<R, Q::Error> {
        // Held on to, so that a refuted key is not taken for a newcomer at the same address.
        let mut refuted: Vec<K> = Vec::new();
        let mut accepted: Option<K> = None;
        loop {
            let mut undecided: Vec<K> = Vec::new();
            let done = self.lock.with(|state| {
                let mut wanted = |key: &K| match probe.settle(key) {
                    Some(answer) => answer,
                    None if accepted.as_ref().is_some_and(|known| Q::same(known, key)) => true,
                    None => {
                        if !refuted.iter().any(|known| Q::same(known, key)) {
                            undecided.push(key.clone());
                        }
                        false
                    }
                };
                let found = match state.table.find(hash, &mut wanted) {
                    Some(slot) => Found::Entry(slot),
                    None if state.flights.is_empty() => Found::Nowhere,
                    None => match state.find_flight(hash, &mut wanted) {
                        Some(flight) => Found::Flight(Arc::clone(flight)),
                        None => Found::Nowhere,
                    },
                };
                if undecided.is_empty() || !matches!(found, Found::Nowhere) {
                    Some(step(state, found))
                } else {
                    None
                }
            });
            if let Some(done) = done {
                return Ok(done);
            }
            for key in undecided {
                if probe.compare(&key)? {
                    accepted = Some(key);
                    break;
                }
                refuted.push(key);
            }
        }
    }
}

impl<K, V, E, P: Policy, L> std::fmt::Debug for Shard<K, V, E, P, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl<K, V> Departures<K, V> {
    /// Those who left to make room or because their time was over: what a user's callback is told.
    pub fn lost(self) -> impl Iterator<Item = (K, V, Cause)> {
        self.into_iter()
            .filter(|departed| matches!(departed.cause, Cause::Evicted | Cause::Expired))
            .map(|departed| (departed.key, departed.value, departed.cause))
    }
}
