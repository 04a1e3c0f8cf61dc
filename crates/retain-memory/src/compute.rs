//! Get or compute, with one computation for all who ask meanwhile.

use std::convert::Infallible;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::cache::{Cache, Failure, Part};
use crate::flight::{Lead, Outcome};
use crate::held::Held;
use crate::probe::Exact;
use crate::shard::Begin;
use crate::table::{Departures, Freshness};
use crate::waits::{Agent, Waiting};

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
    /// The value under `key`, computed by `compute` if there is none.
    ///
    /// Callers that ask for the same key meanwhile wait for the one computation. If it panics, one of them computes.
    /// A computation that asks for its own key, directly or through other threads, computes again rather than wait for
    /// itself.
    ///
    /// ```
    /// # use retain_memory::Cache;
    /// let lengths: Cache<&str, usize> = Cache::builder().max_entries(100).build()?;
    /// assert_eq!(lengths.get_or_insert_with("four", || "four".len()), 4);
    /// assert_eq!(lengths.get_or_insert_with("four", || unreachable!()), 4);
    /// # Ok::<(), retain_memory::BuildError>(())
    /// ```
    #[inline]
    pub fn get_or_insert_with(&self, key: K, compute: impl FnOnce() -> V) -> V {
        let Ok(value) = self
            .try_get_or_insert_with(key, || Ok::<V, Infallible>(compute()))
            .map_err(|never| match *never {});
        value
    }

    /// The value under `key`, computed by `compute` if there is none, unless that fails.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with); everyone who waits gets the error, and nothing is stored.
    ///
    /// ```
    /// # use retain_memory::Cache;
    /// let ports: Cache<&str, u16> = Cache::builder().max_entries(100).build()?;
    /// assert!(ports.try_get_or_insert_with("http", || "?".parse()).is_err());
    /// assert_eq!(ports.try_get_or_insert_with("http", || "80".parse()), Ok(80));
    /// # Ok::<(), retain_memory::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// What `compute` failed with.
    #[inline]
    pub fn try_get_or_insert_with<E: Send + Sync + 'static>(
        &self,
        key: K,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>> {
        let hash = self.hasher.hash_one(&key);
        match self.fresh(hash, &key) {
            Some(value) => Ok(value),
            None => self.join_or_compute(hash, key, compute),
        }
    }

    #[inline(never)]
    fn join_or_compute<E: Send + Sync + 'static>(
        &self,
        hash: u64,
        key: K,
        compute: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>> {
        let agent = Agent::acting().unwrap_or_else(Agent::thread);
        loop {
            match self.begin(hash, &key, agent) {
                Begin::Hit(held) | Begin::Stale(held, _) => return Ok(held.value),
                Begin::Lead(lead) => {
                    let duty = self.duty(hash, &key, lead);
                    return duty.end(agent.act(compute).map_err(Arc::new));
                }
                Begin::Join(flight) => {
                    let Some(outcome) = flight.wait() else {
                        self.shard(hash).joined(false);
                        return agent.act(compute).map_err(Arc::new);
                    };
                    if let Some(result) = self.landed(hash, outcome) {
                        return result;
                    }
                }
            }
        }
    }

    /// The value under `key`, computed by `compute` if there is none; for callers that must not block.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with). If the caller that computes is dropped, one of those that
    /// wait computes instead. A computation that hands the question for its own key to a task it spawns, and awaits
    /// that, waits for itself: only calls within the computation's own future are known to be its.
    pub async fn get_or_insert_async(&self, key: K, compute: impl Future<Output = V>) -> V {
        let Ok(value) = self
            .try_get_or_insert_async(key, async { Ok::<V, Infallible>(compute.await) })
            .await
            .map_err(|never| match *never {});
        value
    }

    /// The value under `key`, computed by `compute` if there is none, unless that fails; for callers that must not
    /// block.
    ///
    /// As [`get_or_insert_async`](Self::get_or_insert_async); everyone who waits gets the error, and nothing is stored.
    ///
    /// # Errors
    /// What `compute` failed with.
    pub async fn try_get_or_insert_async<E: Send + Sync + 'static>(
        &self,
        key: K,
        compute: impl Future<Output = Result<V, E>>,
    ) -> Result<V, Arc<E>> {
        let hash = self.hasher.hash_one(&key);
        if let Some(value) = self.fresh(hash, &key) {
            return Ok(value);
        }
        let agent = Agent::new();
        let _parent = Agent::acting().map(|parent| Waiting::for_child(parent, agent));
        let mut compute = pin!(compute);
        let computed = poll_fn(|context| agent.act(|| compute.as_mut().poll(context)));
        loop {
            match self.begin(hash, &key, agent) {
                Begin::Hit(held) | Begin::Stale(held, _) => return Ok(held.value),
                Begin::Lead(lead) => {
                    let duty = self.duty(hash, &key, lead);
                    return duty.end(computed.await.map_err(Arc::new));
                }
                Begin::Join(flight) => {
                    let Some(outcome) = flight.wait_async(agent).await else {
                        self.shard(hash).joined(false);
                        return computed.await.map_err(Arc::new);
                    };
                    if let Some(result) = self.landed(hash, outcome) {
                        return result;
                    }
                }
            }
        }
    }

    /// A hit that needs no more than one look.
    #[inline]
    fn fresh(&self, hash: u64, key: &K) -> Option<V> {
        self.shard(hash).glance(
            self.lookup(hash, &Exact(key)),
            |freshness| freshness == Freshness::Fresh,
            |held| held.value.clone(),
        )
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

    fn duty<'a>(
        &'a self,
        hash: u64,
        key: &'a K,
        lead: Lead<K, Held<V>, Failure>,
    ) -> Duty<'a, K, V, S> {
        Duty {
            cache: self,
            hash,
            key,
            lead: Some(lead),
            start: Instant::now(),
        }
    }

    /// What a flight's outcome means to one who waited for it; `None` to begin anew.
    fn landed<E: Send + Sync + 'static>(
        &self,
        hash: u64,
        outcome: Outcome<Held<V>, Failure>,
    ) -> Option<Result<V, Arc<E>>> {
        let result = match outcome {
            Outcome::Value(held) => Ok(held.value),
            // An error of another type was meant for another caller.
            Outcome::Error(error) => Err(error.downcast().ok()?),
            Outcome::Abandoned => return None,
        };
        self.shard(hash).joined(result.is_ok());
        Some(result)
    }
}

/// A lead that is ended whatever happens: a computation that panics or is dropped leaves nothing behind.
struct Duty<'a, K: Hash + Eq + Clone, V: Clone, S: BuildHasher> {
    cache: &'a Cache<K, V, S>,
    hash: u64,
    key: &'a K,
    lead: Option<Lead<K, Held<V>, Failure>>,
    start: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Duty<'_, K, V, S> {
    fn end<E: Send + Sync + 'static>(mut self, result: Result<V, Arc<E>>) -> Result<V, Arc<E>> {
        let Self {
            cache, hash, key, ..
        } = self;
        let shard: &Part<K, V> = cache.shard(hash);
        match &result {
            Ok(value) => {
                let probe = Exact(key);
                let lookup = cache.lookup(hash, &probe);
                let cost = self.start.elapsed().as_secs_f32();
                // The weigher may panic: the lead is given away after it.
                let held = cache.hold(key, value.clone(), cost, lookup.now);
                let mut departures = Departures::none();
                if let Some(lead) = self.lead.take() {
                    let Ok(()) = shard.finish(lookup, lead, held, &mut departures);
                }
                cache.bid_farewell(departures);
            }
            Err(error) => {
                if let Some(lead) = self.lead.take() {
                    shard.end(lead, Outcome::Error(Arc::clone(error) as Failure));
                }
            }
        }
        result
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Drop for Duty<'_, K, V, S> {
    fn drop(&mut self) {
        if let Some(lead) = self.lead.take() {
            self.cache.shard(self.hash).end(lead, Outcome::Abandoned);
        }
    }
}
