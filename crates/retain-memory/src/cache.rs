//! The cache for Rust programs: shards of tables, built with a builder.

use std::any::Any;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::{Nanos, now};
use crate::error::BuildError;
use crate::flight::{Lead, Outcome};
use crate::held::{Held, Timing};
use crate::policy::{AnyPolicy, Eviction};
use crate::probe::Exact;
use crate::shard::{Begin, Lookup, Shard};
use crate::stats::Stats;
use crate::table::{Bounds, Cause, Departures, Table};
use crate::waits::Agent;

/// An error as flights carry it, for callers who may expect errors of different types.
type Failure = Arc<dyn Any + Send + Sync>;
type Part<K, V> = Shard<K, Held<V>, Failure>;
type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
type Farewell<K, V> = Box<dyn Fn(K, V, Cause) + Send + Sync>;

/// Below this many entries per shard a cache is not divided further: a policy needs some entries to choose from.
const MIN_SHARD: usize = 1 << 10;

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
    shards: Box<[Part<K, V>]>,
    hasher: S,
    settings: Settings<K, V>,
}

struct Settings<K, V> {
    weigher: Option<Weigher<K, V>>,
    farewell: Option<Farewell<K, V>>,
    time_to_live: Option<Nanos>,
    time_to_idle: Option<Nanos>,
}

/// Settings of a [`Cache`] to be; see [`Cache::builder`].
pub struct Builder<K, V> {
    eviction: Option<Eviction>,
    bounds: Bounds,
    shards: Option<usize>,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    weigher: Option<Weigher<K, V>>,
    farewell: Option<Farewell<K, V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// A cache that keeps everything, until it is told otherwise.
    #[must_use]
    pub fn builder() -> Builder<K, V> {
        Builder {
            eviction: None,
            bounds: Bounds::NONE,
            shards: None,
            time_to_live: None,
            time_to_idle: None,
            weigher: None,
            farewell: None,
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Builder<K, V> {
    /// Holds at most this many entries. With 0 nothing is kept.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.bounds.max_entries = entries;
        self
    }

    /// Holds entries of at most this weight together, as told by [`weigher`](Self::weigher).
    #[must_use]
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.bounds.max_weight = weight;
        self
    }

    /// Tells what an entry weighs. Asked once for each entry, when it is stored.
    #[must_use]
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Who leaves when there is no room; [`Eviction::S3Fifo`] unless told otherwise.
    #[must_use]
    pub fn policy(mut self, eviction: Eviction) -> Self {
        self.eviction = Some(eviction);
        self
    }

    /// Entries end this long after they were stored.
    #[must_use]
    pub fn time_to_live(mut self, duration: Duration) -> Self {
        self.time_to_live = Some(duration);
        self
    }

    /// Entries end when they were not asked for during this long.
    #[must_use]
    pub fn time_to_idle(mut self, duration: Duration) -> Self {
        self.time_to_idle = Some(duration);
        self
    }

    /// Told of each entry that left to make room or because its time was over, while no lock is held.
    #[must_use]
    pub fn on_evict(mut self, farewell: impl Fn(K, V, Cause) + Send + Sync + 'static) -> Self {
        self.farewell = Some(Box::new(farewell));
        self
    }

    /// Divides the cache into this many shards, rounded up to a power of two. Each has its share of the bounds, so
    /// only a cache of one shard follows its policy to the letter. By default small caches have one, large ones a few
    /// per core.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The cache.
    ///
    /// # Errors
    /// [`BuildError`] if the settings contradict one another.
    pub fn build(self) -> Result<Cache<K, V>, BuildError> {
        self.build_with_hasher(hashbrown::DefaultHashBuilder::default())
    }

    /// The cache, with a hasher of one's own.
    ///
    /// # Errors
    /// [`BuildError`] if the settings contradict one another.
    pub fn build_with_hasher<S: BuildHasher>(
        self,
        hasher: S,
    ) -> Result<Cache<K, V, S>, BuildError> {
        let bounded = self.bounds != Bounds::NONE;
        let eviction = match self.eviction {
            Some(eviction) => eviction,
            None if bounded => Eviction::default(),
            None => Eviction::Unbounded,
        };
        if eviction == Eviction::Unbounded && bounded {
            let setting = if self.bounds.max_weight == u64::MAX {
                "max_entries"
            } else {
                "max_weight"
            };
            return Err(BuildError::BoundedUnbounded { setting });
        }
        if self.bounds.max_weight != u64::MAX && self.weigher.is_none() {
            return Err(BuildError::WeightWithoutWeigher {
                max_weight: self.bounds.max_weight,
            });
        }
        let time_to_live = nanos(self.time_to_live, "time_to_live")?;
        let time_to_idle = nanos(self.time_to_idle, "time_to_idle")?;
        let shards = self
            .shards
            .unwrap_or_else(|| default_shards(self.bounds))
            .max(1)
            .next_power_of_two();
        let expires = time_to_live.is_some() || time_to_idle.is_some();
        let parts = (0..shards).map(|nth| {
            let bounds = share(self.bounds, nth, shards);
            Shard::new(Table::new(AnyPolicy::from(eviction), bounds, expires))
        });
        Ok(Cache {
            shards: parts.collect(),
            hasher,
            settings: Settings {
                weigher: self.weigher,
                farewell: self.farewell,
                time_to_live,
                time_to_idle,
            },
        })
    }
}

fn nanos(duration: Option<Duration>, setting: &'static str) -> Result<Option<Nanos>, BuildError> {
    match duration {
        Some(Duration::ZERO) => Err(BuildError::ZeroDuration { setting }),
        Some(duration) => Ok(Some(
            Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX),
        )),
        None => Ok(None),
    }
}

fn default_shards(bounds: Bounds) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A weight says nothing of the number of entries: such a cache is divided as a large one.
    (bounds.max_entries / MIN_SHARD).clamp(1, cores * 4)
}

/// The part of the bounds that falls to one shard of many; together they are the whole.
fn share(bounds: Bounds, shard: usize, shards: usize) -> Bounds {
    let (weights, nth) = (shards as u64, shard as u64);
    Bounds {
        max_entries: match bounds.max_entries {
            usize::MAX => usize::MAX,
            entries => entries / shards + usize::from(shard < entries % shards),
        },
        max_weight: match bounds.max_weight {
            u64::MAX => u64::MAX,
            weight => weight / weights + u64::from(nth < weight % weights),
        },
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "keys come by value, as in every map, though only a clone of them is stored"
)]
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
        let mut departures = Departures::none();
        let Ok(held) = self
            .shard(hash)
            .get(self.lookup(hash, &Exact(key)), &mut departures);
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

    /// Stores `value` under `key`.
    pub fn insert(&self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let probe = Exact(&key);
        let lookup = self.lookup(hash, &probe);
        let held = self.hold(&key, value, 0.0, lookup.now);
        let mut departures = Departures::none();
        let Ok(()) = self
            .shard(hash)
            .insert(lookup, key.clone(), held, &mut departures);
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

    /// The value under `key`, computed by `compute` if there is none.
    ///
    /// Callers that ask for the same key meanwhile wait for the one computation. If it panics, one of them computes.
    /// A computation that asks for its own key, directly or through other threads, computes again rather than wait for
    /// itself.
    pub fn get_or_insert_with(&self, key: K, compute: impl FnOnce() -> V) -> V {
        let Ok(value) = self
            .try_get_or_insert_with(key, || Ok::<V, std::convert::Infallible>(compute()))
            .map_err(|never| match *never {});
        value
    }

    /// The value under `key`, computed by `compute` if there is none, unless that fails.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with); everyone who waits gets the error, and nothing is stored.
    ///
    /// # Errors
    /// What `compute` failed with.
    pub fn try_get_or_insert_with<E: Send + Sync + 'static>(
        &self,
        key: K,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>> {
        let hash = self.hasher.hash_one(&key);
        let shard = self.shard(hash);
        loop {
            match self.begin(hash, &key, Agent::thread()) {
                Begin::Hit(held) | Begin::Stale(held, _) => return Ok(held.value),
                Begin::Lead(lead) => return self.lead(hash, &key, lead, compute),
                Begin::Join(flight) => match flight.wait() {
                    Some(outcome) => {
                        if let Some(result) = landed(shard, outcome) {
                            return result;
                        }
                    }
                    None => return compute().map_err(Arc::new),
                },
            }
        }
    }

    /// The value under `key`, computed by `compute` if there is none; for callers that must not block.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with). If the caller that computes is dropped, one of those that
    /// wait computes instead.
    pub async fn get_or_insert_async(&self, key: K, compute: impl Future<Output = V>) -> V {
        let hash = self.hasher.hash_one(&key);
        let shard = self.shard(hash);
        loop {
            match self.begin(hash, &key, Agent::new()) {
                Begin::Hit(held) | Begin::Stale(held, _) => return held.value,
                Begin::Lead(lead) => {
                    let start = Instant::now();
                    let value = compute.await;
                    self.store(hash, &key, lead, value.clone(), start);
                    return value;
                }
                Begin::Join(flight) => {
                    let outcome =
                        std::future::poll_fn(|context| flight.poll(context.waker())).await;
                    if let Outcome::Value(held) = outcome {
                        shard.joined(true);
                        return held.value;
                    }
                    shard.joined(false);
                }
            }
        }
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

    /// Holds at most this many entries from now on.
    pub fn resize(&self, max_entries: usize) {
        for (nth, shard) in self.shards.iter().enumerate() {
            let mut departures = Departures::none();
            shard.with(|state| {
                let bounds = Bounds {
                    max_entries,
                    ..Bounds::NONE
                };
                let bounds = Bounds {
                    max_weight: state.table.bounds().max_weight,
                    ..share(bounds, nth, self.shards.len())
                };
                state.table.resize(bounds, &mut departures);
            });
            self.bid_farewell(departures);
        }
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
    fn shard(&self, hash: u64) -> &Part<K, V> {
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

    fn lookup<'a, Q: ?Sized>(
        &self,
        hash: u64,
        probe: &'a Exact<'a, Q>,
    ) -> Lookup<'a, Exact<'a, Q>> {
        let now = self.now();
        Lookup { hash, probe, now }
    }

    fn hold(&self, key: &K, value: V, cost: f32, now: Nanos) -> Held<V> {
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

    fn begin(&self, hash: u64, key: &K, agent: Agent) -> Begin<K, Held<V>, Failure> {
        let mut departures = Departures::none();
        let probe = Exact(key);
        let lookup = self.lookup(hash, &probe);
        let Ok(begin) = self
            .shard(hash)
            .begin(lookup, key.clone(), agent, false, &mut departures);
        self.bid_farewell(departures);
        begin
    }

    fn lead<E: Send + Sync + 'static>(
        &self,
        hash: u64,
        key: &K,
        lead: Lead<K, Held<V>, Failure>,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>> {
        let start = Instant::now();
        match compute() {
            Ok(value) => {
                self.store(hash, key, lead, value.clone(), start);
                Ok(value)
            }
            Err(error) => {
                let error = Arc::new(error);
                self.shard(hash)
                    .end(lead, Outcome::Error(Arc::clone(&error) as Failure));
                Err(error)
            }
        }
    }

    fn store(&self, hash: u64, key: &K, lead: Lead<K, Held<V>, Failure>, value: V, start: Instant) {
        let probe = Exact(key);
        let lookup = self.lookup(hash, &probe);
        let held = self.hold(key, value, start.elapsed().as_secs_f32(), lookup.now);
        let mut departures = Departures::none();
        let Ok(()) = self.shard(hash).finish(lookup, lead, held, &mut departures);
        self.bid_farewell(departures);
    }

    #[inline]
    fn bid_farewell(&self, departures: Departures<K, Held<V>>) {
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

/// What a flight's outcome means to one who waited for it; `None` to begin anew.
fn landed<K: Clone, V: Clone, E: Send + Sync + 'static>(
    shard: &Part<K, V>,
    outcome: Outcome<Held<V>, Failure>,
) -> Option<Result<V, Arc<E>>> {
    shard.joined(matches!(outcome, Outcome::Value(_)));
    match outcome {
        Outcome::Value(held) => Some(Ok(held.value)),
        Outcome::Error(error) => error.downcast().ok().map(Err),
        Outcome::Abandoned => None,
    }
}

impl<K, V, S> std::fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}
