//! The model: entries in a vector, each rule written out in the plainest way.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use retain_memory::{Bounds, Cause, Departures, Eviction, Freshness, Held, Nanos, Stored, Timing};

use crate::subject::Subject;

/// How long an entry lives.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) live: Option<Nanos>,
    pub(crate) stale_for: Nanos,
    pub(crate) idle: Option<Nanos>,
}

impl Life {
    pub(crate) fn timing(&self, now: Nanos) -> Timing {
        Timing {
            expires: self.live.map_or(Nanos::MAX, |live| now + live),
            stale_for: self.stale_for,
            idle: self.idle.unwrap_or(Nanos::MAX),
            touched: now,
        }
    }
}

struct Entry {
    key: u64,
    held: Held<u64>,
    /// Hits so far.
    hits: u64,
    /// When it arrived and when it was last used, counted in operations.
    used: u64,
    /// SIEVE's mark.
    visited: bool,
}

/// What an operation must have caused, in order, beside expiries.
enum Due {
    Replaced(u64, u64),
    /// The newcomer was not let in.
    Refused(u64, u64),
    /// From here on there must be room for a newcomer of this weight, or for what there is.
    Room(Option<(u64, Held<u64>)>),
    /// This entry alone is over the bound.
    Overweight(u64),
}

pub(crate) struct Model {
    eviction: Eviction,
    bounds: Bounds,
    /// In order of arrival.
    entries: Vec<Entry>,
    /// SIEVE's hand, as an index; past the end for the oldest.
    hand: usize,
    clock: u64,
    due: Vec<Due>,
    counts: [u64; 4],
}

const HITS: usize = 0;
const MISSES: usize = 1;
const EVICTIONS: usize = 2;
const EXPIRATIONS: usize = 3;

impl Model {
    pub(crate) fn new(eviction: Eviction, bounds: Bounds) -> Self {
        Self {
            eviction,
            bounds,
            entries: Vec::new(),
            hand: 0,
            clock: 0,
            due: Vec::new(),
            counts: [0; 4],
        }
    }

    fn position(&self, key: u64) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn served(&self, key: u64, now: Nanos) -> Option<usize> {
        let position = self.position(key)?;
        self.entries[position]
            .held
            .is_served(now)
            .then_some(position)
    }

    fn touch(&mut self, position: usize, now: Option<Nanos>) {
        self.clock += 1;
        let entry = &mut self.entries[position];
        entry.hits += 1;
        entry.used = self.clock;
        entry.visited = true;
        if let (Some(now), Some(timing)) = (now, &mut entry.held.timing) {
            timing.touched = now;
        }
    }

    fn take(&mut self, position: usize) -> Entry {
        // The hand stays with its entry, or goes to the next newer one.
        if position < self.hand {
            self.hand -= 1;
        }
        let entry = self.entries.remove(position);
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        entry
    }

    pub(crate) fn get(&mut self, key: u64, now: Nanos) -> Option<u64> {
        if let Some(position) = self.served(key, now) {
            self.counts[HITS] += 1;
            self.touch(position, Some(now));
            return Some(self.entries[position].held.value);
        }
        self.counts[MISSES] += 1;
        None
    }

    pub(crate) fn peek(&self, key: u64, now: Nanos) -> Option<u64> {
        let position = self.served(key, now)?;
        Some(self.entries[position].held.value)
    }

    pub(crate) fn insert(&mut self, key: u64, held: Held<u64>) {
        match self.position(key) {
            Some(position) => self.replace(position, held),
            None => self.arrive(key, held),
        }
    }

    fn replace(&mut self, position: usize, held: Held<u64>) {
        let (key, weight) = (self.entries[position].key, held.weight);
        let changed = self.entries[position].held.weight != weight;
        let old = std::mem::replace(&mut self.entries[position].held, held);
        self.due.push(Due::Replaced(key, old.value));
        self.touch(position, None);
        if changed {
            self.due.push(if weight > self.bounds.max_weight {
                Due::Overweight(key)
            } else {
                Due::Room(None)
            });
        }
    }

    fn arrive(&mut self, key: u64, held: Held<u64>) {
        let refused = held.weight > self.bounds.max_weight || self.bounds.max_entries == 0;
        self.due.push(if refused {
            Due::Refused(key, held.value)
        } else {
            Due::Room(Some((key, held)))
        });
    }

    pub(crate) fn insert_absent(&mut self, key: u64, held: Held<u64>, now: Nanos) -> Option<u64> {
        if let Some(there) = self.peek(key, now) {
            return Some(there);
        }
        self.arrive(key, held);
        None
    }

    pub(crate) fn get_or_compute(&mut self, key: u64, held: Held<u64>, now: Nanos) -> u64 {
        if let Some(there) = self.get(key, now) {
            let position = self.position(key).expect("it was there");
            if self.entries[position].held.freshness(now) == Freshness::Stale {
                self.replace(position, held);
            }
            return there;
        }
        let value = held.value;
        self.arrive(key, held);
        value
    }

    /// As `get_or_compute`, but a stale value is as good as a fresh one.
    pub(crate) fn get_or_insert(&mut self, key: u64, held: Held<u64>, now: Nanos) -> Option<u64> {
        let there = self.get(key, now);
        if there.is_none() {
            self.arrive(key, held);
        }
        there
    }

    pub(crate) fn remove(&mut self, key: u64, now: Nanos) -> Option<u64> {
        let position = self.served(key, now)?;
        Some(self.take(position).held.value)
    }

    /// Whether an entry is there whose time is over.
    pub(crate) fn any_is_over(&self, now: Nanos) -> bool {
        self.entries.iter().any(|entry| !entry.held.is_served(now))
    }

    pub(crate) fn resize(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.due.push(Due::Room(None));
    }

    pub(crate) fn clear(&mut self) -> Vec<(u64, u64)> {
        self.hand = 0;
        let mut cleared: Vec<_> = self
            .entries
            .drain(..)
            .map(|entry| (entry.key, entry.held.value))
            .collect();
        cleared.sort_unstable();
        cleared
    }

    fn weight(&self) -> u128 {
        self.entries
            .iter()
            .map(|entry| u128::from(entry.held.weight))
            .sum()
    }

    fn is_over(&self, newcomer: Option<u64>) -> bool {
        let entries = self.entries.len() + usize::from(newcomer.is_some());
        let weight = self.weight() + u128::from(newcomer.unwrap_or(0));
        entries > self.bounds.max_entries
            || (self.bounds.max_weight != u64::MAX && weight > u128::from(self.bounds.max_weight))
    }

    /// Who leaves next; `None` if the policy is not foretold.
    fn victim(&mut self) -> Option<usize> {
        let entries = &mut self.entries;
        match self.eviction {
            Eviction::S3Fifo | Eviction::Unbounded => None,
            Eviction::Fifo => Some(0),
            Eviction::Lru => (0..entries.len()).min_by_key(|nth| entries[*nth].used),
            Eviction::Lfu => {
                (0..entries.len()).min_by_key(|nth| (entries[*nth].hits, entries[*nth].used))
            }
            Eviction::Sieve => loop {
                let entry = &mut entries[self.hand];
                if !entry.visited {
                    break Some(self.hand);
                }
                entry.visited = false;
                self.hand = (self.hand + 1) % entries.len();
            },
        }
    }

    /// Takes in who departed, in order, and holds each departure against what was due.
    pub(crate) fn settle(
        &mut self,
        departures: Departures<u64, Held<u64>>,
        now: Nanos,
    ) -> Result<(), TestCaseError> {
        let mut departures = departures.into_iter().peekable();
        let mut due = std::mem::take(&mut self.due).into_iter();
        loop {
            // Who is over may be found at any moment.
            while let Some(departed) = departures.next_if(|one| one.cause == Cause::Expired) {
                let position = self.position(departed.key);
                prop_assert!(position.is_some(), "{} expired twice", departed.key);
                let entry = self.take(position.unwrap_or_default());
                prop_assert_eq!(entry.held.value, departed.value.value);
                prop_assert!(!entry.held.is_served(now), "{} is not over", departed.key);
                self.counts[EXPIRATIONS] += 1;
            }
            let Some(next) = due.next() else { break };
            match next {
                Due::Replaced(key, value) => {
                    let departed = departures
                        .next()
                        .map(|one| (one.key, one.value.value, one.cause));
                    prop_assert_eq!(departed, Some((key, value, Cause::Replaced)));
                }
                Due::Refused(key, value) => {
                    let departed = departures
                        .next()
                        .map(|one| (one.key, one.value.value, one.cause));
                    prop_assert_eq!(departed, Some((key, value, Cause::Evicted)));
                    self.counts[EVICTIONS] += 1;
                }
                Due::Overweight(key) => {
                    let departed = departures.next().map(|one| (one.key, one.cause));
                    prop_assert_eq!(departed, Some((key, Cause::Evicted)));
                    let position = self.position(key).expect("it was replaced");
                    self.take(position);
                    self.counts[EVICTIONS] += 1;
                }
                Due::Room(newcomer) => {
                    let weight = newcomer.as_ref().map(|(_, held)| held.weight);
                    while self.is_over(weight) && self.eviction != Eviction::Unbounded {
                        let departed = departures.next();
                        prop_assert!(departed.is_some(), "a bound is not kept");
                        let Some(departed) = departed else { break };
                        prop_assert_eq!(departed.cause, Cause::Evicted);
                        let position = self.position(departed.key);
                        prop_assert!(position.is_some(), "{} was evicted twice", departed.key);
                        let foretold = self.victim();
                        prop_assert!(
                            foretold.is_none() || foretold == position,
                            "{} was evicted, not {:?}",
                            departed.key,
                            foretold.map(|nth| self.entries[nth].key)
                        );
                        let entry = self.take(position.unwrap_or_default());
                        prop_assert_eq!(entry.held.value, departed.value.value);
                        self.counts[EVICTIONS] += 1;
                    }
                    let Some((key, held)) = newcomer else {
                        continue;
                    };
                    if self.is_over(Some(held.weight)) {
                        // Without a policy nobody makes room: the newcomer stays out.
                        let departed = departures.next().map(|one| (one.key, one.cause));
                        prop_assert_eq!(departed, Some((key, Cause::Evicted)));
                        self.counts[EVICTIONS] += 1;
                        continue;
                    }
                    self.clock += 1;
                    self.entries.push(Entry {
                        key,
                        held,
                        hits: 0,
                        used: self.clock,
                        visited: false,
                    });
                }
            }
        }
        let rest = departures.next();
        prop_assert!(rest.is_none(), "{rest:?} departed without a cause");
        Ok(())
    }

    /// Compares everything there is.
    pub(crate) fn check(&self, subject: &impl Subject, now: Nanos) -> Result<(), TestCaseError> {
        let (len, weight, mut entries) = subject.with(|table| {
            let entries: Vec<_> = table.iter().map(|(key, held)| (*key, held.value)).collect();
            (table.len(), table.weight(), entries)
        });
        prop_assert_eq!(len, self.entries.len());
        prop_assert_eq!(weight, u64::try_from(self.weight()).unwrap_or(u64::MAX));
        let mut expected: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.key, entry.held.value))
            .collect();
        entries.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(entries, expected);
        for entry in &self.entries {
            let found = subject.peek(entry.key, now);
            let served = entry.held.is_served(now).then_some(entry.held.value);
            prop_assert_eq!(found, served, "key {}", entry.key);
        }
        if self.eviction != Eviction::Unbounded {
            prop_assert!(!self.is_over(None), "a bound is not kept");
        }
        let stats = subject.stats();
        prop_assert_eq!(
            [stats.hits, stats.misses, stats.evictions, stats.expirations],
            self.counts
        );
        Ok(())
    }
}
