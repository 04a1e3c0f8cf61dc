//! The cache for Rust programs: lookups, changes and counts over its shards.

use std::any::Any;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::builder::share;
use crate::clock::{Nanos, now};
use crate::error::BuildError;
use crate::held::{Held, Timing};
use crate::policy::Eviction;
use crate::probe::Exact;
use crate::shard::{Lookup, Shard};
use crate::stats::Stats;
use crate::table::{Bounds, Cause, Departures, Freshness};

/// An error as flights carry it, for callers who may expect errors of different types.
pub(crate) type Failure = Arc<dyn Any + Send + Sync>;
pub(crate) type Part<K, V> = Shard<K, Held<V>, Failure>;
pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(crate) type Farewell<K, V> = Box<dyn Fn(K, V, Cause) + Send + Sync>;

/// A concurrent cache.
///
/// Values are cloned out: wrap what is costly to clone in an [`Arc`]. Keys are hashed and compared by their own `Hash`
/// and `Eq`, and cloned when a computation begins.
///
/// ```
/// use std::time::Duration;
/// use retain_memory::{Cache, Eviction};
///
/// let pages: Cache<String, String> = Cache::builder()
///     .max_weight(64 << 20)
///     .weigher(|url: &String, body: &String| (url.len() + body.len()) as u64)
///     .time_to_live(Duration::from_secs(300))
///     .policy(Eviction::S3Fifo)
///     .build()?;
/// let page = pages.try_get_or_insert_with("/".to_string(), || Ok::<_, std::io::Error>("hello".to_string()));
/// assert_eq!(page.unwrap(), "hello");
/// # Ok::<(), retain_memory::BuildError>(())
/// ```
pub struct Cache<K, V, S = hashbrown::DefaultHashBuilder> {
    pub(crate) shards: Box<[Part<K, V>]>,
    pub(crate) hasher: S,
    pub(crate) settings: Settings<K, V>,
}

pub(crate) struct Settings<K, V> {
    pub(crate) eviction: Eviction,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(crate) farewell: Option<Farewell<K, V>>,
    pub(crate) time_to_live: Option<Nanos>,
    pub(crate) time_to_idle: Option<Nanos>,
}

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// The value under `key`, if there is one.
    #[inline]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let probe = Exact(key);
        let lookup = self.lookup(hash, &probe);
        let value = self.shard(hash).glance(
            lookup,
            |freshness| freshness != Freshness::Expired,
            |held| held.value.clone(),
        );
        value.or_else(|| self.get_slowly(lookup))
    }

    #[inline(never)]
    fn get_slowly<Q: Eq + ?Sized>(&self, lookup: Lookup<'_, Exact<'_, Q>>) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut departures = Departures::none();
        let Ok(held) = self.shard(lookup.hash).get_slowly(lookup, &mut departures);
        self.bid_farewell(departures);
        held.map(|held| held.value)
    }

    /// The value under `key`, if there is one; neither counted nor told to the policy.
    pub fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let Ok(held) = self.shard(hash).peek(self.lookup(hash, &Exact(key)));
        held.map(|held| held.value)
    }

    /// Stores `value` under `key`. A computation in flight for it goes on for those who wait; what it finds is not
    /// stored.
    pub fn insert(&self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let now = self.now();
        let held = self.hold(&key, value, 0.0, now);
        let mut departures = Departures::none();
        self.shard(hash).put(hash, key, held, now, &mut departures);
        self.bid_farewell(departures);
    }

    /// Removes the entry under `key` and gives its value. A computation in flight for it goes on for those who wait;
    /// what it finds is not stored.
    pub fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let mut departures = Departures::none();
        let Ok(removed) = self
            .shard(hash)
            .remove(self.lookup(hash, &Exact(key)), &mut departures);
        self.bid_farewell(departures);
        removed.map(|(_, held)| held.value)
    }

    /// Removes every entry; the counts stay.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.clear().for_each(drop);
        }
    }

    /// Removes every entry whose time is over. They are met in time without it; this is for when memory is short.
    pub fn expire(&self) {
        let now = now();
        for shard in &self.shards {
            let mut departures = Departures::none();
            shard.with(|state| state.table.expire_all(now, &mut departures));
            self.bid_farewell(departures);
        }
    }

    /// Holds at most this many entries from now on. The bound is divided among the shards that the cache was built
    /// with, so it should not be smaller than their number.
    ///
    /// # Errors
    /// [`BuildError::BoundedUnbounded`] if the policy never evicts; nothing changes then.
    pub fn resize(&self, max_entries: usize) -> Result<(), BuildError> {
        if self.settings.eviction == Eviction::Unbounded {
            return Err(BuildError::BoundedUnbounded {
                setting: "max_entries",
            });
        }
        let bounds = Bounds::entries(max_entries);
        for (nth, shard) in self.shards.iter().enumerate() {
            let mut departures = Departures::none();
            shard.with(|state| {
                let bounds = Bounds {
                    max_weight: state.table.bounds().max_weight,
                    ..share(bounds, nth, self.shards.len())
                };
                state.table.resize(bounds, &mut departures);
            });
            self.bid_farewell(departures);
        }
        Ok(())
    }

    /// The number of entries, ended ones that were not met yet included.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.with(|state| state.table.len()))
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of all entries.
    pub fn weight(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.with(|state| state.table.weight()))
            .sum()
    }

    /// Computations in flight.
    pub fn in_flight(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.with(|state| state.in_flight()))
            .sum()
    }

    /// The counts.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            stats += shard.with(|state| state.table.stats());
        }
        stats
    }

    /// The entries that may be served now, cloned, shard by shard.
    pub fn entries(&self) -> impl Iterator<Item = (K, V)> + '_ {
        self.shards.iter().flat_map(move |shard| {
            let now = self.now();
            shard.with(|state| {
                let live = state.table.iter().filter(|(_, held)| held.is_served(now));
                live.map(|(key, held)| (key.clone(), held.value.clone()))
                    .collect::<Vec<_>>()
            })
        })
    }

    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> &Part<K, V> {
        // The index takes the low bits and the top seven; these are the ones between.
        #[allow(clippy::cast_possible_truncation, reason = "only low bits are used")]
        let nth = (hash >> 40) as usize & (self.shards.len() - 1);
        &self.shards[nth]
    }

    #[inline]
    fn now(&self) -> Nanos {
        if self.settings.time_to_live.is_some() || self.settings.time_to_idle.is_some() {
            now()
        } else {
            0
        }
    }

    pub(crate) fn lookup<'a, Q: ?Sized>(
        &self,
        hash: u64,
        probe: &'a Exact<'a, Q>,
    ) -> Lookup<'a, Exact<'a, Q>> {
        let now = self.now();
        Lookup { hash, probe, now }
    }

    pub(crate) fn hold(&self, key: &K, value: V, cost: f32, now: Nanos) -> Held<V> {
        let settings = &self.settings;
        let weight = settings
            .weigher
            .as_ref()
            .map_or(1, |weigher| weigher(key, &value));
        let timing =
            (settings.time_to_live.is_some() || settings.time_to_idle.is_some()).then(|| {
                let mut timing = Timing::forever(now);
                if let Some(nanos) = settings.time_to_live {
                    timing.expires = now.saturating_add(nanos);
                }
                timing.idle = settings.time_to_idle.unwrap_or(Nanos::MAX);
                Box::new(timing)
            });
        Held {
            value,
            weight,
            cost,
            timing,
        }
    }

    #[inline]
    pub(crate) fn bid_farewell(&self, departures: Departures<K, Held<V>>) {
        if departures.is_empty() {
            return;
        }
        if let Some(farewell) = &self.settings.farewell {
            for (key, held, cause) in departures.lost() {
                farewell(key, held.value, cause);
            }
        }
    }
}

impl<K, V, S> std::fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
