//! The entries: an index of stored hashes over a slab, one policy, the bounds, the counts. No lock, no clock.

use std::mem;

use hashbrown::HashTable;

use crate::clock::Nanos;
use crate::policy::{Nodes, Policy, Slot};
use crate::slab::Slab;
use crate::stats::Stats;

/// What a table holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most entries.
    pub max_entries: usize,
    /// The most weight, all entries together.
    pub max_weight: u64,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        max_entries: usize::MAX,
        max_weight: u64::MAX,
    };

    /// At most this many entries.
    #[must_use]
    pub const fn entries(max_entries: usize) -> Self {
        Self {
            max_entries,
            max_weight: u64::MAX,
        }
    }
}

/// Whether an entry may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It may.
    Fresh,
    /// It may, while a new value is computed.
    Stale,
    /// It may not.
    Expired,
}

/// What a table asks of its values. The defaults are those of a value that weighs 1 and never expires.
pub trait Stored {
    /// What it counts towards [`Bounds::max_weight`]. It stays the same while the value is stored.
    fn weight(&self) -> u64 {
        1
    }

    /// Seconds it took to compute, as far as known.
    fn cost(&self) -> f64 {
        0.0
    }

    /// Whether it may be served at `now`.
    fn freshness(&self, _now: Nanos) -> Freshness {
        Freshness::Fresh
    }

    /// It was asked for at `now`.
    fn touch(&mut self, _now: Nanos) {}
}

/// Why an entry left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// To make room.
    Evicted,
    /// Its time was over.
    Expired,
    /// Another value took its place.
    Replaced,
    /// It was removed by name, or the cache was cleared.
    Removed,
}

/// An entry that left a table.
#[derive(Debug)]
pub struct Departed<K, V> {
    /// Its key.
    pub key: K,
    /// Its value.
    pub value: V,
    /// Why it left.
    pub cause: Cause,
}

/// The entries that left during one operation.
///
/// They come out of the table whole, because dropping a key or a value can run any code: the caller drops them once
/// it holds no lock.
#[derive(Debug)]
pub struct Departures<K, V> {
    // One operation seldom removes more than one entry: the first needs no allocation.
    first: Option<Departed<K, V>>,
    rest: Vec<Departed<K, V>>,
}

impl<K, V> Departures<K, V> {
    /// Nothing left.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            first: None,
            rest: Vec::new(),
        }
    }

    /// Whether nothing left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Those who left to make room or because their time was over: what a user's callback is told.
    pub fn lost(self) -> impl Iterator<Item = (K, V, Cause)> {
        self.into_iter()
            .filter(|departed| matches!(departed.cause, Cause::Evicted | Cause::Expired))
            .map(|departed| (departed.key, departed.value, departed.cause))
    }

    pub(crate) fn push(&mut self, key: K, value: V, cause: Cause) {
        let departed = Departed { key, value, cause };
        if self.first.is_none() {
            self.first = Some(departed);
        } else {
            self.rest.push(departed);
        }
    }
}

impl<K, V> IntoIterator for Departures<K, V> {
    type Item = Departed<K, V>;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<Departed<K, V>>, std::vec::IntoIter<Departed<K, V>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

struct Entry<K, V, N> {
    hash: Folded,
    key: K,
    value: V,
    node: N,
}

impl<K, V: Stored, N> Nodes<N> for Slab<Entry<K, V, N>> {
    #[inline]
    fn node(&mut self, slot: Slot) -> &mut N {
        &mut self.get_mut(slot).expect(LINKED).node
    }
    #[inline]
    fn hash(&self, slot: Slot) -> u64 {
        self.get(slot).expect(LINKED).hash.spread()
    }
    #[inline]
    fn weight(&self, slot: Slot) -> u64 {
        self.get(slot).expect(LINKED).value.weight()
    }
}

/// A hash in half its bits, which is all that an entry keeps: two keys in four thousand million look alike by it, and
/// entries are that much smaller.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded(u32);

impl Folded {
    #[inline]
    fn of(hash: u64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the halves are laid over one another"
        )]
        Self((hash ^ (hash >> 32)) as u32)
    }

    /// The hash as the index takes it, which places by the low bits and tells apart by the highest seven.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

const LINKED: &str = "policies link only slots that hold an entry";

/// Slots looked at for expired entries at each arrival: the whole table is swept once in half as many arrivals as
/// it has slots.
const SWEEP: u32 = 2;

/// An index of stored hashes over a slab of entries.
///
/// It is told each key's hash, and asks about keys through closures, so that keys need neither `Hash` nor `Eq`.
///
/// ```
/// use retain_memory::{Bounds, Departures, Held, Lru, Table};
///
/// // The hash is up to the caller; here all keys have the same.
/// let hash = 7;
/// let mut table = Table::new(Lru::default(), Bounds::entries(2), false);
/// let mut departures = Departures::none();
/// for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
///     table.insert(hash, key, Held::new(value), 0, &mut departures);
/// }
///
/// let slot = table.find(hash, |key| *key == "c").expect("it was inserted last");
/// assert_eq!(table.hit(slot, 0).map(|held| held.value), Some(3));
/// let lost: Vec<_> = departures.lost().map(|(key, held, _)| (key, held.value)).collect();
/// assert_eq!(lost, [("a", 1)]);
/// ```
pub struct Table<K, V, P: Policy> {
    index: HashTable<Slot>,
    entries: Slab<Entry<K, V, P::Node>>,
    policy: P,
    bounds: Bounds,
    // Wider than one weight, so that no sum of them overflows.
    weight: u128,
    stats: Stats,
    expires: bool,
    hand: Slot,
    arrivals: u64,
}

impl<K, V: Stored, P: Policy> Table<K, V, P> {
    /// An empty table. `expires` tells whether its values can have an end, so that it looks for ended ones.
    pub fn new(policy: P, bounds: Bounds, expires: bool) -> Self {
        Self {
            index: HashTable::new(),
            entries: Slab::new(),
            policy,
            bounds,
            weight: 0,
            stats: Stats::default(),
            expires,
            hand: 0,
            arrivals: 0,
        }
    }

    /// The number of entries, ended ones that were not met yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of all entries; [`u64::MAX`] if it is more than that.
    #[must_use]
    pub fn weight(&self) -> u64 {
        u64::try_from(self.weight).unwrap_or(u64::MAX)
    }

    /// The bounds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether values can end.
    #[must_use]
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// From now on values can end, or no longer can.
    pub fn set_expires(&mut self, expires: bool) {
        self.expires = expires;
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// How many entries ever arrived: while this stays the same, a key that was not there is not there.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// The counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The counts, to count on.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Bytes on the heap, what keys and values own themselves not counted.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.entries.allocated() + self.index.allocation_size()
    }

    /// The slot of the first entry under `hash` whose key is `wanted`.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut wanted: impl FnMut(&K) -> bool) -> Option<Slot> {
        let hash = Folded::of(hash);
        self.index
            .find(hash.spread(), |&slot| {
                self.entries
                    .get(slot)
                    .is_some_and(|entry| entry.hash == hash && wanted(&entry.key))
            })
            .copied()
    }

    /// The key at `slot`.
    #[inline]
    pub fn key(&self, slot: Slot) -> Option<&K> {
        self.entries.get(slot).map(|entry| &entry.key)
    }

    /// The value at `slot`; nothing is counted.
    #[inline]
    pub fn value(&self, slot: Slot) -> Option<&V> {
        self.entries.get(slot).map(|entry| &entry.value)
    }

    /// Counts a hit on `slot` and gives its value.
    #[inline(always)]
    pub fn hit(&mut self, slot: Slot, now: Nanos) -> Option<&V> {
        self.policy.hit(&mut self.entries, slot);
        let entry = self.entries.get_mut(slot)?;
        self.stats.hits += 1;
        let cost = entry.value.cost();
        if cost != 0.0 {
            self.stats.seconds_saved += cost;
        }
        if self.expires {
            entry.value.touch(now);
        }
        Some(&entry.value)
    }

    /// Counts a miss.
    #[inline]
    pub fn miss(&mut self) {
        self.stats.misses += 1;
    }

    /// Adds an entry whose key is in no other, and removes what has to make room for it.
    ///
    /// A value that alone weighs more than the bound does not stay: it departs at once.
    #[inline]
    pub fn insert(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        now: Nanos,
        departures: &mut Departures<K, V>,
    ) {
        if self.expires {
            self.sweep(now, departures);
        }
        let weight = value.weight();
        if weight > self.bounds.max_weight
            || !self.make_room(self.bounds.max_entries.checked_sub(1), weight, departures)
        {
            self.stats.evictions += 1;
            departures.push(key, value, Cause::Evicted);
            return;
        }
        self.arrivals += 1;
        let hash = Folded::of(hash);
        let entry = Entry {
            hash,
            key,
            value,
            node: P::Node::default(),
        };
        match self.entries.insert(entry) {
            Ok(slot) => self.link(slot, hash, weight),
            Err(entry) => {
                self.stats.evictions += 1;
                departures.push(entry.key, entry.value, Cause::Evicted);
            }
        }
    }

    /// Makes the entry at `slot` known to the index and the policy.
    #[inline]
    fn link(&mut self, slot: Slot, hash: Folded, weight: u64) {
        let entries = &self.entries;
        self.index.insert_unique(hash.spread(), slot, |&slot| {
            entries.get(slot).map_or(0, |entry| entry.hash.spread())
        });
        self.weight += u128::from(weight);
        self.policy.insert(&mut self.entries, slot);
    }

    /// Puts `value` in the place of the one at `slot`, which counts as use.
    pub fn replace(&mut self, slot: Slot, value: V, departures: &mut Departures<K, V>)
    where
        K: Clone,
    {
        let new = value.weight();
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        // Cloned before anything changes: a clone that panics leaves the table whole.
        let key = entry.key.clone();
        let old = entry.value.weight();
        let value = mem::replace(&mut entry.value, value);
        departures.push(key, value, Cause::Replaced);
        self.policy.hit(&mut self.entries, slot);
        if old == new {
            return;
        }
        self.weight = self.weight - u128::from(old) + u128::from(new);
        self.policy.reweigh(&mut self.entries, slot, old);
        if new > self.bounds.max_weight {
            self.evict(slot, departures);
        } else {
            self.make_room(Some(self.bounds.max_entries), 0, departures);
        }
    }

    /// Removes the entry at `slot`.
    #[inline]
    pub fn remove(&mut self, slot: Slot) -> Option<(K, V)> {
        let hash = self.entries.get(slot)?.hash;
        self.policy.remove(&mut self.entries, slot);
        if let Ok(place) = self.index.find_entry(hash.spread(), |&other| other == slot) {
            place.remove();
        }
        let entry = self.entries.remove(slot)?;
        self.weight -= u128::from(entry.value.weight());
        Some((entry.key, entry.value))
    }

    /// Removes the entry at `slot`, whose time is over.
    pub fn expire(&mut self, slot: Slot, departures: &mut Departures<K, V>) {
        if let Some((key, value)) = self.remove(slot) {
            self.stats.expirations += 1;
            departures.push(key, value, Cause::Expired);
        }
    }

    /// Removes every entry whose time is over.
    pub fn expire_all(&mut self, now: Nanos, departures: &mut Departures<K, V>) {
        if self.expires {
            for slot in 0..Slot::try_from(self.entries.extent()).unwrap_or(Slot::MAX) {
                self.expire_if_over(slot, now, departures);
            }
        }
    }

    /// Sets the bounds and removes what is over them.
    pub fn resize(&mut self, bounds: Bounds, departures: &mut Departures<K, V>) {
        self.bounds = bounds;
        self.make_room(Some(bounds.max_entries), 0, departures);
    }

    /// Removes every entry, and gives them in slot order. The counts stay.
    pub fn clear(&mut self) -> impl Iterator<Item = (K, V)> + use<K, V, P> {
        self.policy.clear();
        self.index = HashTable::new();
        self.weight = 0;
        self.hand = 0;
        mem::replace(&mut self.entries, Slab::new())
            .into_items()
            .map(|entry| (entry.key, entry.value))
    }

    /// Keys and values in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|entry| (&entry.key, &entry.value))
    }

    /// Evicts until no more than `max_entries` are left and `weight` more is within the bound; tells whether it is.
    #[inline]
    fn make_room(
        &mut self,
        max_entries: Option<usize>,
        weight: u64,
        departures: &mut Departures<K, V>,
    ) -> bool {
        let Some(max_entries) = max_entries else {
            return false;
        };
        let max_weight = match self.bounds.max_weight {
            u64::MAX => u128::MAX,
            bound => u128::from(bound),
        };
        while self.len() > max_entries || self.weight + u128::from(weight) > max_weight {
            let Some(slot) = self.policy.victim(&mut self.entries) else {
                return false;
            };
            self.evict(slot, departures);
        }
        true
    }

    fn evict(&mut self, slot: Slot, departures: &mut Departures<K, V>) {
        if let Some((key, value)) = self.remove(slot) {
            self.stats.evictions += 1;
            departures.push(key, value, Cause::Evicted);
        }
    }

    fn sweep(&mut self, now: Nanos, departures: &mut Departures<K, V>) {
        for _ in 0..SWEEP {
            if self.hand as usize >= self.entries.extent() {
                self.hand = 0;
            }
            self.expire_if_over(self.hand, now, departures);
            self.hand += 1;
        }
    }

    fn expire_if_over(&mut self, slot: Slot, now: Nanos, departures: &mut Departures<K, V>) {
        let over = self
            .value(slot)
            .is_some_and(|value| value.freshness(now) == Freshness::Expired);
        if over {
            self.expire(slot, departures);
        }
    }
}
