//! What a shard's lock protects: the entries, and the computations in flight on a board of their own.
//!
//! An entry and a flight of equal keys can exist side by side, while a stale value is renewed; their keys are then one
//! and the same object, so that one is found from the other without a comparison. Whatever else would bring the two
//! together takes the flight off the board.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Nanos;
use crate::flight::{Flight, Lead};
use crate::policy::{Policy, Slot};
use crate::probe::Probe;
use crate::table::{Departures, Freshness, Stored, Table};
use crate::waits::Agent;

/// Where a key was found.
pub(crate) enum Found<V, E> {
    Entry(Slot),
    Flight(Arc<Flight<V, E>>),
    Nowhere,
}

/// What a shard's lock protects: the entries and the computations in flight.
pub struct State<K, V, E, P: Policy> {
    /// The entries.
    pub table: Table<K, V, P>,
    flights: HashTable<Airborne<K, V, E>>,
    /// The number of flights at which abandoned ones are looked for next.
    crowd: usize,
    epoch: u64,
}

struct Airborne<K, V, E> {
    hash: u64,
    key: K,
    flight: Arc<Flight<V, E>>,
}

/// So few flights are never looked through.
const CROWD: usize = 16;

impl<K, V: Stored, E, P: Policy> State<K, V, E, P> {
    pub(crate) fn new(table: Table<K, V, P>) -> Self {
        Self {
            table,
            flights: HashTable::new(),
            crowd: CROWD,
            epoch: 0,
        }
    }

    /// Whether any computation is in flight, or was given up without having been met since.
    #[inline]
    pub(crate) fn has_flights(&self) -> bool {
        !self.flights.is_empty()
    }

    /// A number that moves when an entry is removed by name or the table is cleared: what was computed before it
    /// moved may be out of date after.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn next_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Computations in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights
            .iter()
            .filter(|airborne| !airborne.flight.has_landed())
            .count()
    }

    /// Where a key is: `wanted` tells which it is. An entry is found before a flight.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut wanted: impl FnMut(&K) -> bool) -> Found<V, E> {
        match self.table.find(hash, &mut wanted) {
            Some(slot) => Found::Entry(slot),
            None if self.flights.is_empty() => Found::Nowhere,
            None => {
                let flying = self.flights.find(hash, |airborne| {
                    airborne.hash == hash && wanted(&airborne.key)
                });
                flying.map_or(Found::Nowhere, |airborne| {
                    Found::Flight(Arc::clone(&airborne.flight))
                })
            }
        }
    }

    /// How fresh the entry at `slot` is.
    #[inline]
    pub(crate) fn freshness(&self, slot: Slot, now: Nanos) -> Freshness {
        self.table
            .value(slot)
            .map_or(Freshness::Expired, |value| value.freshness(now))
    }

    /// Whether the entry at `slot` may be served.
    #[inline]
    pub(crate) fn served(&self, slot: Slot, now: Nanos) -> bool {
        self.freshness(slot, now) != Freshness::Expired
    }

    /// Puts a new flight on the board. Keys of flights that were abandoned go to `leftover`.
    pub(crate) fn take_off(
        &mut self,
        hash: u64,
        key: K,
        leader: Agent,
        leftover: &mut Vec<K>,
    ) -> Lead<K, V, E>
    where
        K: Clone,
    {
        // A lead dropped without an end cannot reach the board. Looking only when the number has doubled keeps the
        // cost per flight constant, and the board within twice what flies.
        if self.flights.len() >= self.crowd {
            let landed = |airborne: &mut Airborne<K, V, E>| airborne.flight.has_landed();
            leftover.extend(self.flights.extract_if(landed).map(|airborne| airborne.key));
            self.crowd = CROWD.max(self.flights.len() * 2);
        }
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

    /// Stores a value where its key was found; gives the key back if the entry has one already.
    pub(crate) fn store(
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

    /// The flight for a key, whether the key was found by it or by the entry it renews.
    #[inline]
    pub(crate) fn flight_of<Q: Probe<K>>(
        &self,
        hash: u64,
        found: &Found<V, E>,
    ) -> Option<Arc<Flight<V, E>>> {
        match found {
            Found::Flight(flight) => Some(Arc::clone(flight)),
            Found::Entry(slot) if !self.flights.is_empty() => {
                let key = self.table.key(*slot)?;
                let airborne = self.flights.find(hash, |airborne| {
                    airborne.hash == hash && Q::same(&airborne.key, key)
                })?;
                Some(Arc::clone(&airborne.flight))
            }
            Found::Entry(_) | Found::Nowhere => None,
        }
    }

    /// Takes the flight off the board, and gives back its key, to be dropped under no lock.
    pub(crate) fn strike(&mut self, hash: u64, flight: &Arc<Flight<V, E>>) -> Option<K> {
        let place = self
            .flights
            .find_entry(hash, |airborne| Arc::ptr_eq(&airborne.flight, flight))
            .ok()?;
        Some(place.remove().0.key)
    }

    /// Takes the flight for a key off the board, as [`strike`](Self::strike) does.
    #[inline]
    pub(crate) fn strike_found<Q: Probe<K>>(
        &mut self,
        hash: u64,
        found: &Found<V, E>,
    ) -> Option<K> {
        let flight = self.flight_of::<Q>(hash, found)?;
        self.strike(hash, &flight)
    }

    /// Removes every entry and every flight, and gives them to be dropped under no lock.
    pub(crate) fn clear(
        &mut self,
    ) -> (
        impl Iterator<Item = (K, V)> + use<K, V, E, P>,
        impl Sized + use<K, V, E, P>,
    ) {
        self.next_epoch();
        self.crowd = CROWD;
        (self.table.clear(), std::mem::take(&mut self.flights))
    }
}
