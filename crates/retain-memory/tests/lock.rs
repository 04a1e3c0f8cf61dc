//! No key and no value is dropped, and no comparison made, while the shard's lock is held.

use std::cell::{Cell, RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use retain_memory::{
    Agent, AnyPolicy, Begin, Bounds, Departures, Eviction, Lock, Lookup, Nanos, Outcome, Probe,
    Shard, State, Stored, Table,
};

thread_local!(static HELD: Cell<bool> = const { Cell::new(false) });

/// A lock for one thread that tells whether it is held.
struct Watched<T>(RefCell<T>);

struct Guard<'a, T>(RefMut<'a, T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        HELD.set(false);
    }
}

impl<T> Lock<T> for Watched<T> {
    type Guard<'a>
        = Guard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    fn lock(&self) -> Guard<'_, T> {
        assert!(!HELD.replace(true), "the lock is taken twice");
        Guard(self.0.borrow_mut())
    }
}

fn assert_free(what: &str) {
    assert!(!HELD.get(), "{what} while the lock is held");
}

/// A key or a value whose clones are dropped outside of the lock too.
#[derive(Debug, Clone)]
struct Fragile {
    number: Arc<u64>,
    expires: Nanos,
}

impl Fragile {
    fn new(number: u64, expires: Nanos) -> Self {
        Self {
            number: Arc::new(number),
            expires,
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert_free("something is dropped");
    }
}

impl Stored for Fragile {
    fn weight(&self) -> u64 {
        *self.number % 5
    }

    fn freshness(&self, now: Nanos) -> retain_memory::Freshness {
        match now.checked_sub(self.expires) {
            None => retain_memory::Freshness::Fresh,
            Some(0..10) => retain_memory::Freshness::Stale,
            Some(_) => retain_memory::Freshness::Expired,
        }
    }
}

struct Asking {
    number: u64,
    /// Whether numbers are told apart at a glance.
    settles: bool,
}

impl Probe<Fragile> for Asking {
    type Error = ();

    fn settle(&self, stored: &Fragile) -> Option<bool> {
        self.settles.then_some(*stored.number == self.number)
    }

    fn compare(&self, stored: &Fragile) -> Result<bool, ()> {
        assert_free("a comparison is made");
        Ok(*stored.number == self.number)
    }

    fn same(a: &Fragile, b: &Fragile) -> bool {
        Arc::ptr_eq(&a.number, &b.number)
    }
}

type Watching = Shard<
    Fragile,
    Fragile,
    Fragile,
    AnyPolicy,
    Watched<State<Fragile, Fragile, Fragile, AnyPolicy>>,
>;

#[test]
fn nothing_is_dropped_or_compared_under_the_lock() {
    for eviction in [
        Eviction::S3Fifo,
        Eviction::Lru,
        Eviction::Sieve,
        Eviction::Lfu,
    ] {
        for settles in [true, false] {
            let bounds = Bounds {
                max_entries: 8,
                max_weight: 20,
            };
            run(
                &Shard::new(Table::new(eviction.into(), bounds, true)),
                settles,
            );
        }
    }
}

fn run(shard: &Watching, settles: bool) {
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut leads = Vec::new();
    for now in 0..3000 {
        let number = random(12);
        let probe = Asking { number, settles };
        let lookup = Lookup {
            hash: (number % 3).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            probe: &probe,
            now,
        };
        let departures = &mut Departures::none();
        let key = Fragile::new(number, 0);
        let value = Fragile::new(random(30), now + random(20));
        let done = match random(10) {
            0 => shard.get(lookup, departures).map(drop),
            1 => shard.peek(lookup).map(drop),
            2 => shard.insert(lookup, key, value, departures),
            3 => shard
                .insert_absent(lookup, key, value, None, departures)
                .map(drop),
            4 => shard.remove(lookup, departures).map(drop),
            nth @ 5..=7 => shard
                .begin(lookup, key, Agent::new(), nth == 7, departures)
                .map(|begin| match begin {
                    Begin::Lead(lead) | Begin::Stale(_, Some(lead)) => leads.push((number, lead)),
                    Begin::Hit(_) | Begin::Join(_) | Begin::Stale(_, None) => {}
                }),
            8 if random(20) == 0 => {
                shard.clear().for_each(drop);
                Ok(())
            }
            _ if leads.len() < 4 => Ok(()),
            _ => {
                let (number, lead) = leads.swap_remove(0);
                let probe = Asking { number, settles };
                let lookup = Lookup {
                    hash: (number % 3).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    probe: &probe,
                    now,
                };
                match random(6) {
                    0 => shard.end(lead, Outcome::Error(value)),
                    1 => shard.end(lead, Outcome::Abandoned),
                    2 => drop(lead),
                    _ => shard
                        .finish(lookup, lead, value, departures)
                        .expect("no comparison fails"),
                }
                Ok(())
            }
        };
        assert_eq!(done, Ok(()));
        shard.with(|state| {
            assert!(state.table.len() <= 8 && state.table.weight() <= 20);
        });
    }
}
