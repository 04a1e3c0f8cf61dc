//! The settings of a cache, and what contradicts what among them.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::cache::{Cache, Farewell, Settings, Weigher};
use crate::clock::Nanos;
use crate::error::BuildError;
use crate::policy::{AnyPolicy, Eviction};
use crate::shard::Shard;
use crate::table::{Bounds, Cause, Table};

/// Below this many entries per shard a cache is not divided further: a policy needs some entries to choose from.
const MIN_SHARD: usize = 1 << 10;

/// Nor below this much weight, since an entry has to fit into one shard. A mebibyte, where bytes are what is weighed.
const MIN_SHARD_WEIGHT: u64 = 1 << 20;

/// Settings of a [`Cache`] to be; see [`Cache::builder`].
///
/// ```
/// use retain_memory::{BuildError, Cache};
///
/// let cache: Cache<u64, u64> = Cache::builder().max_entries(2).shards(1).build()?;
/// (0..5).for_each(|key| cache.insert(key, key));
/// assert_eq!(cache.len(), 2);
/// # Ok::<(), BuildError>(())
/// ```
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

    /// Holds entries of at most this weight together, as told by [`weigher`](Self::weigher). An entry that weighs more
    /// than the share of one shard is not kept.
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
    /// only a cache of one shard follows its policy to the letter, and no entry can weigh more than one shard's share.
    /// There are never more shards than entries. By default small caches have one, large ones a few per core.
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

    /// The cache, with a hasher of one's own. The hashes tell shards and entries apart by all their bits: one that leaves
    /// some of them always alike makes the cache slow, though never wrong.
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
            .next_power_of_two()
            // A shard without room would keep nothing.
            .min(1 << self.bounds.max_entries.max(1).ilog2());
        let expires = time_to_live.is_some() || time_to_idle.is_some();
        let parts = (0..shards).map(|nth| {
            let bounds = share(self.bounds, nth, shards);
            Shard::new(Table::new(AnyPolicy::from(eviction), bounds, expires))
        });
        Ok(Cache {
            shards: parts.collect(),
            hasher,
            settings: Settings {
                eviction,
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
    let by_weight = usize::try_from(bounds.max_weight / MIN_SHARD_WEIGHT).unwrap_or(usize::MAX);
    (bounds.max_entries / MIN_SHARD)
        .min(by_weight)
        .clamp(1, cores * 4)
}

/// The part of the bounds that falls to one shard of many; together they are the whole.
pub(crate) fn share(bounds: Bounds, shard: usize, shards: usize) -> Bounds {
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
