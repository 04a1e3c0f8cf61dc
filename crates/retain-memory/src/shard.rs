//! A table behind a lock, with its flights: every operation whole, no foreign code under the lock.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::clock::Nanos;
use crate::flight::{Flight, Lead, Outcome};
use crate::policy::{AnyPolicy, Policy};
use crate::probe::{Exact, Probe};
use crate::state::{Found, State};
use crate::sync::{Lock, Mutex};
use crate::table::{Departures, Freshness, Stored, Table};
use crate::waits::Agent;

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

/// What [`Shard::get_quickly`] tells.
pub enum Quick<R> {
    /// There is a value.
    Hit(R),
    /// There is none, and there have been so many [`arrivals`](Table::arrivals).
    Miss(u64),
    /// A comparison is needed, or an entry is over: nothing was counted, [`Shard::get`] tells.
    Unsure,
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

/// A table behind a lock, with single flight.
///
/// ```
/// use retain_memory::{
///     Agent, Begin, Bounds, Departures, Eviction, Exact, Held, Lookup, Shard, Table,
/// };
///
/// let shard: Shard<u64, Held<u64>, ()> =
///     Shard::new(Table::new(Eviction::Lru.into(), Bounds::entries(100), false));
/// let lookup = Lookup { hash: 7, probe: &Exact(&12), now: 0 };
/// let mut departures = Departures::none();
///
/// let Ok(begin) = shard.begin(lookup, 12, Agent::thread(), false, &mut departures);
/// if let Begin::Lead(lead) = begin {
///     let value = 12 * 12;
///     let Ok(()) = shard.finish(lookup, lead, Held::new(value), &mut departures);
/// }
/// let Ok(held) = shard.get(lookup, &mut departures);
/// assert_eq!(held.map(|held| held.value), Some(144));
/// ```
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
            lock: L::new(State::new(table)),
            holds: PhantomData,
        }
    }

    /// Runs `body` under the lock. It must not run foreign code: no comparing, no dropping of keys or values.
    #[inline]
    pub fn with<R>(&self, body: impl FnOnce(&mut State<K, V, E, P>) -> R) -> R {
        body(&mut self.lock.lock())
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
        match self.glance(
            lookup,
            |freshness| freshness != Freshness::Expired,
            V::clone,
        ) {
            Some(value) => Ok(Some(value)),
            None => self.get_slowly(lookup, departures),
        }
    }

    /// As [`get`](Self::get), for callers who store what they find missing by
    /// [`insert_since`](Self::insert_since): told at a glance, or not at all.
    #[inline(always)]
    pub fn get_quickly<Q: Probe<K>, R>(
        &self,
        Lookup { hash, probe, now }: Lookup<'_, Q>,
        read: impl FnOnce(&V) -> R,
    ) -> Quick<R> {
        let mut state = self.lock.lock();
        match state
            .table
            .find(hash, |key| probe.settle(key) == Some(true))
        {
            Some(slot) if state.served(slot, now) => {
                let hit = state.table.hit(slot, now);
                hit.map_or(Quick::Unsure, |value| Quick::Hit(read(value)))
            }
            Some(_) => Quick::Unsure,
            None => miss_quickly(&mut state, hash, probe),
        }
    }

    /// Stores a value under a key that was missing when there had been so many `arrivals`, unless it is there by now.
    ///
    /// # Errors
    /// What the probe raised; the value is not stored then.
    #[inline]
    pub fn insert_since<Q: Probe<K>>(
        &self,
        lookup: Lookup<'_, Q>,
        key: K,
        value: V,
        arrivals: u64,
        departures: &mut Departures<K, V>,
    ) -> Result<(), Q::Error> {
        let mut state = self.lock.lock();
        if state.table.arrivals() == arrivals && !state.has_flights() {
            let Lookup { hash, now, .. } = lookup;
            state.table.insert(hash, key, value, now, departures);
            return Ok(());
        }
        drop(state);
        self.insert_absent(lookup, key, value, None, departures)
            .map(drop)
    }

    /// The common case in one pass under one lock: a hit on an entry whose key settles at a glance and which is fresh
    /// enough. Otherwise nothing happens, and nothing is counted.
    #[inline(always)]
    pub fn glance<Q: Probe<K>, R>(
        &self,
        Lookup { hash, probe, now }: Lookup<'_, Q>,
        serves: impl Fn(Freshness) -> bool,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let mut state = self.lock.lock();
        let slot = state
            .table
            .find(hash, |key| probe.settle(key) == Some(true))?;
        if !serves(state.freshness(slot, now)) {
            return None;
        }
        state.table.hit(slot, now).map(read)
    }

    #[inline(never)]
    pub(crate) fn get_slowly<Q: Probe<K>>(
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
        let mut unused = [None, None];
        self.resolve(lookup, |state, found| {
            if let Some((key, value)) = arriving.take() {
                let struck = state.strike_found::<Q>(hash, &found);
                unused = [
                    struck,
                    state.store(hash, &found, key, value, now, departures),
                ];
            }
        })
    }

    /// As [`insert`](Self::insert), for keys whose equality is their `Eq` and may run under the lock: the one key is
    /// both looked for and stored.
    pub(crate) fn put(
        &self,
        hash: u64,
        key: K,
        value: V,
        now: Nanos,
        departures: &mut Departures<K, V>,
    ) where
        K: Eq,
    {
        let unused = self.with(|state| {
            let found = state.find(hash, |stored| *stored == key);
            let struck = state.strike_found::<Exact<'_, K>>(hash, &found);
            (
                struck,
                state.store(hash, &found, key, value, now, departures),
            )
        });
        drop(unused);
    }

    /// Stores a value unless there is one, or the [`epoch`](State::epoch) is no longer the given one; gives the value
    /// there is. Once the value is stored, what a computation in flight for the same key finds is not.
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
        let mut struck = None;
        self.resolve(lookup, |state, found| {
            if let Found::Entry(slot) = found
                && state.served(slot, now)
            {
                return state.table.value(slot).cloned();
            }
            let current = epoch.is_none_or(|epoch| epoch == state.epoch());
            if current {
                struck = state.strike_found::<Q>(hash, &found);
            }
            if let Found::Entry(slot) = found {
                state.table.expire(slot, departures);
            }
            if current {
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
        let mut struck = None;
        self.resolve(lookup, |state, found| {
            state.next_epoch();
            struck = state.strike_found::<Q>(hash, &found);
            if let Found::Entry(slot) = found {
                if state.served(slot, now) {
                    removed = state.table.remove(slot);
                } else {
                    state.table.expire(slot, departures);
                }
            }
        })?;
        Ok(removed)
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
        // Keys to be dropped under no lock.
        let mut leftover = Vec::new();
        self.resolve(lookup, |state, found| {
            let slot = match found {
                Found::Entry(slot) => Some(slot),
                Found::Flight(_) | Found::Nowhere => None,
            };
            let freshness = slot.map_or(Freshness::Expired, |slot| state.freshness(slot, now));
            if let (Some(slot), Freshness::Fresh, false) = (slot, freshness, anew)
                && let Some(value) = state.table.hit(slot, now)
            {
                return Begin::Hit(value.clone());
            }
            let mut flying = state.flight_of::<Q>(hash, &found);
            if let Some(landed) = flying.take_if(|flight| flight.has_landed()) {
                leftover.extend(state.strike(hash, &landed));
            }
            let renews = freshness == Freshness::Stale && !anew;
            let flight = if let Some(flight) = flying {
                Err(flight)
            } else {
                if !anew && !renews {
                    state.table.miss();
                }
                // A renewal flies with the entry's own key: the one is known from the other by it.
                let own = slot.and_then(|slot| state.table.key(slot).cloned());
                let key = own.unwrap_or_else(|| key.clone());
                Ok(state.take_off(hash, key, agent, &mut leftover))
            };
            let mut stale = None;
            if let Some(slot) = slot {
                if renews {
                    stale = state.table.hit(slot, now).cloned();
                } else if freshness == Freshness::Expired {
                    state.table.expire(slot, departures);
                }
            }
            match (stale, flight) {
                (Some(value), flight) => Begin::Stale(value, flight.ok()),
                (None, Ok(lead)) => Begin::Lead(lead),
                (None, Err(flight)) => Begin::Join(flight),
            }
        })
    }

    /// Counts a lookup that joined a flight and got its outcome: a hit if that is the value, else a miss. One that
    /// begins anew, because the flight was abandoned, is counted there.
    pub fn joined(&self, got_value: bool) {
        self.with(|state| {
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
        let key = self.with(|state| state.strike(lead.hash, &lead.flight));
        lead.land(outcome);
        drop(key);
    }

    /// Removes every entry and gives them. Computations in flight go on for those who wait, and what they find is not
    /// stored.
    pub fn clear(&self) -> impl Iterator<Item = (K, V)> + use<K, V, E, P, L> {
        let (entries, flights) = self.with(State::clear);
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
            let done = self.with(|state| {
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
                let found = state.find(hash, &mut wanted);
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

/// The rest of [`Shard::get_quickly`], when nothing settled: it must not slow a hit down.
#[inline(never)]
fn miss_quickly<K, V: Stored, E, P: Policy, Q: Probe<K>, R>(
    state: &mut State<K, V, E, P>,
    hash: u64,
    probe: &Q,
) -> Quick<R> {
    let undecided = |key: &K| probe.settle(key).is_none();
    if state.has_flights() || state.table.find(hash, undecided).is_some() {
        return Quick::Unsure;
    }
    state.table.miss();
    Quick::Miss(state.table.arrivals())
}

impl<K, V, E, P: Policy, L> std::fmt::Debug for Shard<K, V, E, P, L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}
