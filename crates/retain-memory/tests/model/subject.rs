//! What is tested: a table, and shards whose comparisons settle at a glance or never do.

use std::cell::RefCell;
use std::convert::Infallible;

use retain_memory::{
    Agent, AnyPolicy, Begin, Bounds, Departures, Eviction, Exact, Freshness, Held, Lookup, Nanos,
    Outcome, Probe, Quick, Shard, Stats, Stored, Table,
};

pub(crate) type Left<'a> = &'a mut Departures<u64, Held<u64>>;

/// The operations that tables and shards have in common.
pub(crate) trait Subject {
    fn new(eviction: Eviction, bounds: Bounds, expires: bool) -> Self;
    fn get(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64>;
    fn peek(&self, key: u64, now: Nanos) -> Option<u64>;
    fn insert(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>);
    fn insert_absent(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> Option<u64>;
    /// The value there is, which is renewed if it is stale, or else the one given.
    fn get_or_compute(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> u64;
    /// The value there is, or none after storing the one given.
    fn get_quickly(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> Option<u64> {
        let there = self.get(key, now, left);
        if there.is_none() {
            self.insert_absent(key, held, now, left);
        }
        there
    }
    fn remove(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64>;
    fn with<R>(&self, body: impl FnOnce(&mut Table<u64, Held<u64>, AnyPolicy>) -> R) -> R;

    fn expire_all(&self, now: Nanos, left: Left<'_>) {
        self.with(|table| table.expire_all(now, left));
    }
    fn resize(&self, bounds: Bounds, left: Left<'_>) {
        self.with(|table| table.resize(bounds, left));
    }
    fn clear(&self) -> Vec<(u64, u64)> {
        let entries = self.with(Table::clear);
        entries.map(|(key, held)| (key, held.value)).collect()
    }
    fn stats(&self) -> Stats {
        self.with(|table| table.stats())
    }
}

/// Few different hashes, so that most keys collide.
fn hash(key: u64) -> u64 {
    (key % 7).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) struct OnTable(RefCell<Table<u64, Held<u64>, AnyPolicy>>);

impl OnTable {
    fn find(&self, key: u64) -> Option<u32> {
        self.with(|table| table.find(hash(key), |stored| *stored == key))
    }

    /// The slot of an entry that may be served; one that may not is removed.
    fn find_served(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u32> {
        let slot = self.find(key)?;
        self.with(|table| {
            if table.value(slot)?.is_served(now) {
                return Some(slot);
            }
            table.expire(slot, left);
            None
        })
    }
}

impl Subject for OnTable {
    fn new(eviction: Eviction, bounds: Bounds, expires: bool) -> Self {
        Self(RefCell::new(Table::new(eviction.into(), bounds, expires)))
    }

    fn get(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64> {
        let slot = self.find_served(key, now, left);
        self.with(|table| {
            if let Some(slot) = slot {
                return table.hit(slot, now).map(|held| held.value);
            }
            table.miss();
            None
        })
    }

    fn peek(&self, key: u64, now: Nanos) -> Option<u64> {
        let slot = self.find(key)?;
        self.with(|table| {
            let held = table.value(slot)?;
            held.is_served(now).then_some(held.value)
        })
    }

    fn insert(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) {
        let slot = self.find(key);
        self.with(|table| match slot {
            Some(slot) => table.replace(slot, held, left),
            None => table.insert(hash(key), key, held, now, left),
        });
    }

    fn insert_absent(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> Option<u64> {
        if let Some(slot) = self.find_served(key, now, left) {
            return self.with(|table| table.value(slot).map(|held| held.value));
        }
        self.with(|table| table.insert(hash(key), key, held, now, left));
        None
    }

    fn get_or_compute(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> u64 {
        if let Some(slot) = self.find_served(key, now, left) {
            return self.with(|table| {
                let freshness = table.value(slot).map(|held| held.freshness(now));
                let value = table.hit(slot, now).map(|held| held.value);
                if freshness == Some(Freshness::Stale) {
                    table.replace(slot, held, left);
                }
                value.expect("the slot was found")
            });
        }
        let value = held.value;
        self.with(|table| {
            table.miss();
            table.insert(hash(key), key, held, now, left);
        });
        value
    }

    fn remove(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64> {
        let slot = self.find_served(key, now, left)?;
        self.with(|table| table.remove(slot).map(|(_, held)| held.value))
    }

    fn with<R>(&self, body: impl FnOnce(&mut Table<u64, Held<u64>, AnyPolicy>) -> R) -> R {
        body(&mut self.0.borrow_mut())
    }
}

pub(crate) struct ShardOf<Q> {
    shard: Shard<u64, Held<u64>, Infallible>,
    probe: std::marker::PhantomData<Q>,
}

/// Equality that settles at a glance.
#[derive(Clone, Copy)]
pub(crate) struct Settled(u64);

/// Equality that never does.
#[derive(Clone, Copy)]
pub(crate) struct Slow(u64);

pub(crate) type OnShard = ShardOf<Settled>;
pub(crate) type Unsettled = ShardOf<Slow>;

pub(crate) trait Wrap: Probe<u64, Error = Infallible> + Copy {
    fn wrap(key: u64) -> Self;
}

impl Wrap for Settled {
    fn wrap(key: u64) -> Self {
        Self(key)
    }
}

impl Wrap for Slow {
    fn wrap(key: u64) -> Self {
        Self(key)
    }
}

impl Probe<u64> for Settled {
    type Error = Infallible;

    fn settle(&self, stored: &u64) -> Option<bool> {
        Exact(&self.0).settle(stored)
    }

    fn compare(&self, stored: &u64) -> Result<bool, Infallible> {
        unreachable!("{stored} settled at a glance")
    }

    fn same(a: &u64, b: &u64) -> bool {
        a == b
    }
}

impl Probe<u64> for Slow {
    type Error = Infallible;

    fn settle(&self, _: &u64) -> Option<bool> {
        None
    }

    fn compare(&self, stored: &u64) -> Result<bool, Infallible> {
        Ok(self.0 == *stored)
    }

    fn same(a: &u64, b: &u64) -> bool {
        a == b
    }
}

impl<Q: Wrap> ShardOf<Q> {
    fn at<R>(&self, key: u64, now: Nanos, body: impl FnOnce(Lookup<'_, Q>) -> R) -> R {
        let _ = self;
        let probe = Q::wrap(key);
        body(Lookup {
            hash: hash(key),
            probe: &probe,
            now,
        })
    }
}

impl<Q: Wrap> Subject for ShardOf<Q> {
    fn new(eviction: Eviction, bounds: Bounds, expires: bool) -> Self {
        Self {
            shard: Shard::new(Table::new(eviction.into(), bounds, expires)),
            probe: std::marker::PhantomData,
        }
    }

    fn get(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64> {
        let Ok(held) = self.at(key, now, |lookup| self.shard.get(lookup, left));
        held.map(|held| held.value)
    }

    fn peek(&self, key: u64, now: Nanos) -> Option<u64> {
        let Ok(held) = self.at(key, now, |lookup| self.shard.peek(lookup));
        held.map(|held| held.value)
    }

    fn insert(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) {
        let Ok(()) = self.at(key, now, |lookup| {
            self.shard.insert(lookup, key, held, left)
        });
    }

    fn insert_absent(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> Option<u64> {
        let Ok(there) = self.at(key, now, |lookup| {
            self.shard.insert_absent(lookup, key, held, None, left)
        });
        there.map(|held| held.value)
    }

    fn get_or_compute(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> u64 {
        self.at(key, now, |lookup| {
            let Ok(begin) = self.shard.begin(lookup, key, Agent::thread(), false, left);
            let (value, lead) = match begin {
                Begin::Hit(there) => return there.value,
                Begin::Stale(there, lead) => (there.value, lead.expect("nobody renews it yet")),
                Begin::Lead(lead) => (held.value, lead),
                Begin::Join(_) => unreachable!("nothing is in flight"),
            };
            assert_eq!(*lead.key(), key);
            let flight = lead.flight().clone();
            let computed = held.value;
            let Ok(()) = self.shard.finish(lookup, lead, held, left);
            match flight.wait() {
                Some(Outcome::Value(landed)) => assert_eq!(landed.value, computed),
                other => panic!("the flight ended with {other:?}"),
            }
            assert_eq!(self.shard.with(|state| state.in_flight()), 0);
            value
        })
    }

    fn get_quickly(&self, key: u64, held: Held<u64>, now: Nanos, left: Left<'_>) -> Option<u64> {
        self.at(key, now, |lookup| {
            match self.shard.get_quickly(lookup, |held| held.value) {
                Quick::Hit(value) => Some(value),
                Quick::Miss(arrivals) => {
                    // Every other time as if something had arrived meanwhile.
                    let arrivals = arrivals.wrapping_sub(held.value % 2);
                    let Ok(()) = self.shard.insert_since(lookup, key, held, arrivals, left);
                    None
                }
                Quick::Unsure => {
                    let there = self.get(key, now, left);
                    if there.is_none() {
                        self.insert_absent(key, held, now, left);
                    }
                    there
                }
            }
        })
    }

    fn remove(&self, key: u64, now: Nanos, left: Left<'_>) -> Option<u64> {
        let Ok(removed) = self.at(key, now, |lookup| self.shard.remove(lookup, left));
        removed.map(|(_, held)| held.value)
    }

    fn with<R>(&self, body: impl FnOnce(&mut Table<u64, Held<u64>, AnyPolicy>) -> R) -> R {
        self.shard.with(|state| body(&mut state.table))
    }

    fn clear(&self) -> Vec<(u64, u64)> {
        let entries = self.shard.clear();
        entries.map(|(key, held)| (key, held.value)).collect()
    }
}
