//! Single flight under every interleaving of two threads, and of three with up to five preemptions (or
//! as many as `LOOM_MAX_PREEMPTIONS` says).
//!
//! Run as `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p retain-memory --test loom`.

#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;
use retain_memory::{
    Agent, Begin, Bounds, Departures, Eviction, Exact, Held, Lookup, Outcome, Shard, Table,
};

type Store = Shard<u64, Held<u64>, &'static str>;

const KEY: u64 = 1;

fn lookup() -> Lookup<'static, Exact<'static, u64>> {
    Lookup {
        hash: KEY,
        probe: &Exact(&KEY),
        now: 0,
    }
}

/// What a thread does when it is the one to compute.
#[derive(Clone, Copy)]
enum Deed {
    Finish,
    Fail,
    Abandon,
    /// Drops the lead, as a panic does.
    Drop,
}

struct World {
    shard: Store,
    computed: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shard: Shard::new(Table::new(Eviction::Lru.into(), Bounds::entries(4), false)),
            computed: AtomicUsize::new(0),
        })
    }

    /// Asks for the key until there is a value or an error, or its own computation was given up.
    fn ask(&self, deed: Deed) -> Option<Result<u64, &'static str>> {
        loop {
            let departures = &mut Departures::none();
            let Ok(begin) = self
                .shard
                .begin(lookup(), KEY, Agent::thread(), false, departures);
            let lead = match begin {
                Begin::Hit(held) => return Some(Ok(held.value)),
                Begin::Stale(..) => unreachable!("nothing expires"),
                Begin::Lead(lead) => lead,
                Begin::Join(flight) => match flight.wait() {
                    Some(Outcome::Value(held)) => return Some(Ok(held.value)),
                    Some(Outcome::Error(error)) => return Some(Err(error)),
                    Some(Outcome::Abandoned) => continue,
                    None => unreachable!("nobody waits for itself"),
                },
            };
            self.computed.fetch_add(1, Ordering::Relaxed);
            match deed {
                Deed::Finish => {
                    let Ok(()) = self.shard.finish(lookup(), lead, Held::new(10), departures);
                    return Some(Ok(10));
                }
                Deed::Fail => {
                    self.shard.end(lead, Outcome::Error("failed"));
                    return Some(Err("failed"));
                }
                Deed::Abandon => {
                    self.shard.end(lead, Outcome::Abandoned);
                    return None;
                }
                Deed::Drop => {
                    drop(lead);
                    return None;
                }
            }
        }
    }

    fn computed(&self) -> usize {
        self.computed.load(Ordering::Relaxed)
    }

    fn stored(&self) -> Option<u64> {
        let Ok(held) = self.shard.peek(lookup());
        held.map(|held| held.value)
    }
}

/// Runs the deeds on threads of their own, the last one on this thread, then `check` with what they got.
///
/// Loom itself fails a run in which a thread waits for a wake-up that never comes.
fn model(deeds: &'static [Deed], check: fn(&World, &[Option<Result<u64, &'static str>>])) {
    let mut builder = loom::model::Builder::new();
    // Three threads without a bound take minutes; they pass as well.
    if deeds.len() > 2 && builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(5);
    }
    builder.check(move || {
        let world = World::new();
        let (last, others) = deeds.split_last().expect("somebody asks");
        let threads: Vec<_> = others
            .iter()
            .map(|deed| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.ask(*deed))
            })
            .collect();
        let own = world.ask(*last);
        let mut got: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect();
        got.push(own);
        assert_eq!(world.shard.with(|state| state.in_flight()), 0);
        check(&world, &got);
    });
}

fn computed_once(world: &World, got: &[Option<Result<u64, &'static str>>]) {
    assert_eq!(world.computed(), 1);
    assert!(got.iter().all(|got| *got == Some(Ok(10))));
    assert_eq!(world.stored(), Some(10));
}

#[test]
fn one_of_two_computes() {
    model(&[Deed::Finish, Deed::Finish], computed_once);
}

#[test]
fn one_of_three_computes() {
    model(&[Deed::Finish, Deed::Finish, Deed::Finish], computed_once);
}

#[test]
fn an_error_reaches_who_waits_and_is_not_stored() {
    model(&[Deed::Fail, Deed::Fail], |world, got| {
        assert!((1..=2).contains(&world.computed()));
        assert!(got.iter().all(|got| *got == Some(Err("failed"))));
        assert_eq!(world.stored(), None);
    });
}

fn given_up_by_one(world: &World, got: &[Option<Result<u64, &'static str>>]) {
    // The one that gives up may come last, and find the value.
    assert!(world.computed() <= 2);
    assert_eq!(got.last(), Some(&Some(Ok(10))));
    assert!(got.iter().flatten().all(|got| *got == Ok(10)));
    assert_eq!(world.stored(), Some(10));
}

#[test]
fn when_the_one_that_computes_gives_up_another_one_does_it() {
    model(&[Deed::Abandon, Deed::Finish], given_up_by_one);
}

#[test]
fn when_the_lead_is_dropped_another_one_computes() {
    model(&[Deed::Drop, Deed::Finish], given_up_by_one);
}

#[test]
fn when_one_of_three_gives_up_one_of_the_others_computes() {
    model(&[Deed::Drop, Deed::Finish, Deed::Finish], given_up_by_one);
}

#[test]
fn a_value_removed_while_it_is_computed_is_given_but_not_kept_past_the_removal() {
    loom::model(|| {
        let world = World::new();
        let asks = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.ask(Deed::Finish))
        };
        let before = world.computed();
        let Ok(removed) = world.shard.remove(lookup(), &mut Departures::none());
        assert!(removed.is_none_or(|(_, held)| held.value == 10));
        // Only a computation that began after the removal may be stored after it.
        let Ok(there) = world.shard.peek(lookup());
        assert_eq!(asks.join().expect("no thread panics"), Some(Ok(10)));
        let stored = there.is_some() || world.stored().is_some();
        assert!(!stored || before == 0);
        assert_eq!(world.shard.with(|state| state.in_flight()), 0);
    });
}
