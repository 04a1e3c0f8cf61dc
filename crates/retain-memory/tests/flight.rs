//! Single flight: one computation for all who ask meanwhile, whatever becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use retain_memory::{
    Agent, Begin, Bounds, Cache, Departures, Eviction, Exact, Flight, Held, Lead, Lookup, Outcome,
    Quick, Shard, Table, Timing,
};

fn cache() -> Cache<u64, u64> {
    Cache::builder()
        .max_entries(100)
        .build()
        .expect("a bound alone is sound")
}

/// Long enough for the others to come and wait.
fn slowly<R>(result: R) -> R {
    thread::sleep(Duration::from_millis(50));
    result
}

/// Lets a test hold up a computation until it has seen to something else.
struct Gate {
    entered: Receiver<()>,
    open: Sender<()>,
}

/// A gate, and the computation's side of it: `entered` is told when it starts, and it ends when `open` is told.
fn gate() -> (Gate, impl FnOnce() + Send) {
    let (enter, entered) = channel();
    let (open, opened) = channel();
    let pass = move || {
        enter.send(()).expect("the test waits for it");
        opened.recv().expect("the test opens the gate");
    };
    (Gate { entered, open }, pass)
}

impl Gate {
    fn wait_until_entered(&self) {
        self.entered.recv().expect("the computation starts");
    }

    fn open(&self) {
        self.open.send(()).expect("the computation goes on");
    }
}

#[test]
fn eight_threads_with_one_key_compute_once() {
    let cache = cache();
    let (calls, start) = (AtomicUsize::new(0), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let value = cache.get_or_insert_with(1, || {
                    calls.fetch_add(1, Ordering::Relaxed);
                    slowly(10)
                });
                assert_eq!(value, 10);
            });
        }
    });
    assert_eq!(calls.into_inner(), 1);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (7, 1));
    assert_eq!(cache.in_flight(), 0);
}

#[test]
fn an_error_reaches_everyone_and_the_next_call_computes_again() {
    let cache = cache();
    let (calls, start) = (AtomicUsize::new(0), Barrier::new(8));
    let errors: Vec<Arc<String>> = thread::scope(|scope| {
        let spawned: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    cache
                        .try_get_or_insert_with(1, || {
                            calls.fetch_add(1, Ordering::Relaxed);
                            slowly(Err("no such page".to_string()))
                        })
                        .expect_err("it fails")
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        spawned.into_iter().map(join).collect()
    });
    assert_eq!(calls.into_inner(), 1);
    for error in &errors {
        assert!(
            Arc::ptr_eq(error, &errors[0]),
            "it is one and the same error"
        );
        assert_eq!(error.as_str(), "no such page");
    }
    assert_eq!(cache.len(), 0, "an error is not stored");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (0, 8));
    assert_eq!(
        cache.try_get_or_insert_with(1, || Ok::<_, String>(2)),
        Ok(2)
    );
}

#[test]
fn an_error_of_another_type_lets_the_waiter_compute_for_itself() {
    let cache = cache();
    let (gate, pass) = gate();
    thread::scope(|scope| {
        scope.spawn(|| {
            let result = cache.try_get_or_insert_with(1, || {
                pass();
                slowly(Err::<u64, &str>("no"))
            });
            assert_eq!(result, Err(Arc::new("no")));
        });
        gate.wait_until_entered();
        gate.open();
        let result = cache.try_get_or_insert_with(1, || Ok::<u64, u8>(5));
        assert_eq!(result, Ok(5));
    });
    let stats = cache.stats();
    assert_eq!(
        (stats.hits, stats.misses),
        (0, 2),
        "each lookup counts once"
    );
}

#[test]
fn after_a_panic_one_of_those_who_wait_computes() {
    let cache = cache();
    let (calls, start) = (AtomicUsize::new(0), Barrier::new(8));
    let panics = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let value = catch_unwind(AssertUnwindSafe(|| {
                    cache.get_or_insert_with(1, || {
                        let nth = calls.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(50));
                        assert!(
                            nth != 0,
                            "the first computation panics, as the test wants it"
                        );
                        10
                    })
                }));
                match value {
                    Ok(value) => assert_eq!(value, 10),
                    Err(_) => drop(panics.fetch_add(1, Ordering::Relaxed)),
                }
            });
        }
    });
    assert_eq!(panics.into_inner(), 1);
    assert_eq!(calls.into_inner(), 2);
    assert_eq!(cache.get(&1), Some(10));
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses, 9, "each lookup counts once");
}

/// Runs `meanwhile` while a computation of 10 under key 1 is in flight and one thread waits for it.
fn during_a_flight(cache: &Cache<u64, u64>, meanwhile: impl FnOnce()) {
    let (gate, pass) = gate();
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_or_insert_with(1, || {
                pass();
                10
            })
        });
        gate.wait_until_entered();
        let (tell, told) = channel();
        let waiter = scope.spawn(move || {
            tell.send(()).expect("the test listens");
            cache.get_or_insert_with(1, || unreachable!("it waits"))
        });
        told.recv().expect("the waiter runs");
        thread::sleep(Duration::from_millis(100));
        meanwhile();
        gate.open();
        assert_eq!(leader.join().expect("no panic"), 10);
        assert_eq!(waiter.join().expect("no panic"), 10);
    });
}

#[test]
fn a_value_whose_key_was_removed_meanwhile_is_given_but_not_stored() {
    let cache = cache();
    during_a_flight(&cache, || assert_eq!(cache.remove(&1), None));
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_value_computed_while_the_cache_was_cleared_is_given_but_not_stored() {
    let cache = cache();
    during_a_flight(&cache, || cache.clear());
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_value_inserted_meanwhile_is_not_overwritten() {
    let cache = cache();
    during_a_flight(&cache, || cache.insert(1, 20));
    assert_eq!(cache.get(&1), Some(20));
}

#[test]
fn other_keys_are_not_held_up() {
    let cache = cache();
    during_a_flight(&cache, || {
        assert_eq!(cache.in_flight(), 1);
        assert_eq!(cache.get_or_insert_with(2, || 20), 20);
        assert_eq!(cache.get(&2), Some(20));
    });
}

#[test]
fn a_computation_may_ask_for_its_own_key() {
    let cache = cache();
    let value = cache.get_or_insert_with(1, || cache.get_or_insert_with(1, || 3) + 1);
    assert_eq!(value, 4);
    assert_eq!(cache.get(&1), Some(4));
}

#[test]
fn a_recursive_computation_is_computed_once_per_key() {
    fn fibonacci(cache: &Cache<u64, u64>, n: u64, calls: &AtomicUsize) -> u64 {
        cache.get_or_insert_with(n, || {
            calls.fetch_add(1, Ordering::Relaxed);
            match n {
                0 | 1 => n,
                _ => fibonacci(cache, n - 1, calls) + fibonacci(cache, n - 2, calls),
            }
        })
    }
    let (cache, calls) = (cache(), AtomicUsize::new(0));
    assert_eq!(fibonacci(&cache, 90, &calls), 2_880_067_194_370_816_120);
    assert_eq!(calls.into_inner(), 91);
}

#[test]
fn two_threads_that_need_one_another_do_not_wait_for_ever() {
    for _ in 0..20 {
        let cache = cache();
        let both_lead = Barrier::new(2);
        thread::scope(|scope| {
            for (own, other) in [(1, 2), (2, 1)] {
                let (cache, both_lead) = (&cache, &both_lead);
                scope.spawn(move || {
                    let value = cache.get_or_insert_with(own, || {
                        both_lead.wait();
                        cache.get_or_insert_with(other, || 100) + own
                    });
                    assert!(value > 100);
                });
            }
        });
        assert_eq!(cache.in_flight(), 0);
    }
}

#[test]
fn many_threads_in_a_ring_do_not_wait_for_ever() {
    const THREADS: u64 = 6;
    let cache = cache();
    let all_lead = Barrier::new(6);
    thread::scope(|scope| {
        for own in 0..THREADS {
            let (cache, all_lead) = (&cache, &all_lead);
            scope.spawn(move || {
                let value = cache.get_or_insert_with(own, || {
                    all_lead.wait();
                    cache.get_or_insert_with((own + 1) % THREADS, || 1) + 1
                });
                assert!(value >= 2);
            });
        }
    });
}

#[test]
fn who_has_an_outcome_no_longer_counts_as_waiting() {
    // `a` waits for `b`'s flight; it lands, but `a` does not run yet. `b` may then wait for a flight of `a`.
    let shard: Shard<u64, Held<u64>, ()> =
        Shard::new(Table::new(Eviction::Lru.into(), Bounds::NONE, false));
    let [a, b] = [Agent::new(), Agent::new()];
    let of_a = lead(&shard, 1, a);
    let of_b = lead(&shard, 2, b);
    let waker = std::task::Waker::noop();
    let flight_of_a = Arc::clone(of_a.flight());
    let mut of_b = Some(of_b);
    let flight_of_b = Arc::clone(of_b.as_ref().expect("it flies").flight());
    let outcome = flight_of_b.wait_with(a, waker, || {
        let refused = flight_of_a.wait_with(b, waker, || Err(()));
        if let Some(lead) = of_b.take() {
            assert!(matches!(refused, Ok(None)), "a waits for b");
            shard.end(lead, Outcome::Value(Held::new(2)));
            let waits = flight_of_a.wait_with(b, waker, || Err(()));
            assert!(matches!(waits, Err(())), "b may wait: a has what it wants");
        }
        Ok::<(), ()>(())
    });
    assert!(matches!(outcome, Ok(Some(Outcome::Value(_)))));
    drop(of_a);
}

type Plain = Shard<u64, Held<u64>, ()>;

fn begin(shard: &Plain, key: u64, now: u64, agent: Agent, anew: bool) -> Begin<u64, Held<u64>, ()> {
    let probe = Exact(&key);
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let lookup = Lookup {
        hash,
        probe: &probe,
        now,
    };
    let Ok(begin) = shard.begin(lookup, key, agent, anew, &mut Departures::none());
    begin
}

fn lead(shard: &Plain, key: u64, agent: Agent) -> Lead<u64, Held<u64>, ()> {
    match begin(shard, key, 0, agent, false) {
        Begin::Lead(lead) => lead,
        _ => panic!("nobody computes {key} yet"),
    }
}

fn finish(shard: &Plain, lead: Lead<u64, Held<u64>, ()>, held: Held<u64>, now: u64) {
    let key = *lead.key();
    let probe = Exact(&key);
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let lookup = Lookup {
        hash,
        probe: &probe,
        now,
    };
    let Ok(()) = shard.finish(lookup, lead, held, &mut Departures::none());
}

fn insert(shard: &Plain, key: u64, held: Held<u64>, now: u64) {
    let probe = Exact(&key);
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let lookup = Lookup {
        hash,
        probe: &probe,
        now,
    };
    let Ok(()) = shard.insert(lookup, key, held, &mut Departures::none());
}

fn peek(shard: &Plain, key: u64, now: u64) -> Option<u64> {
    let probe = Exact(&key);
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let lookup = Lookup {
        hash,
        probe: &probe,
        now,
    };
    let Ok(held) = shard.peek(lookup);
    held.map(|held| held.value)
}

/// A value that is fresh until 10 and stale until 20.
fn short_lived(value: u64) -> Held<u64> {
    Held {
        timing: Some(Box::new(Timing {
            expires: 10,
            stale_for: 10,
            ..Timing::forever(0)
        })),
        ..Held::new(value)
    }
}

fn timed_shard() -> Plain {
    Shard::new(Table::new(Eviction::Lru.into(), Bounds::entries(10), true))
}

#[test]
fn a_stale_value_is_served_to_all_and_renewed_by_one() {
    let shard = timed_shard();
    insert(&shard, 1, short_lived(1), 0);
    let Begin::Stale(held, Some(lead)) = begin(&shard, 1, 15, Agent::new(), false) else {
        panic!("the first one renews it");
    };
    assert_eq!(held.value, 1);
    for _ in 0..3 {
        let Begin::Stale(held, None) = begin(&shard, 1, 15, Agent::new(), false) else {
            panic!("the others get the stale value");
        };
        assert_eq!(held.value, 1);
    }
    finish(&shard, lead, Held::new(2), 15);
    let Begin::Hit(held) = begin(&shard, 1, 15, Agent::new(), false) else {
        panic!("it is fresh again");
    };
    assert_eq!(held.value, 2);
    assert_eq!(shard.with(|state| state.table.len()), 1);
}

#[test]
fn once_a_stale_value_is_over_those_who_ask_wait_for_its_renewal() {
    let shard = timed_shard();
    insert(&shard, 1, short_lived(1), 0);
    let Begin::Stale(_, Some(lead)) = begin(&shard, 1, 15, Agent::new(), false) else {
        panic!("the first one renews it");
    };
    let Begin::Join(flight) = begin(&shard, 1, 25, Agent::new(), false) else {
        panic!("the value is over and its renewal in flight");
    };
    finish(&shard, lead, Held::new(2), 25);
    assert!(matches!(flight.wait(), Some(Outcome::Value(held)) if held.value == 2));
    assert_eq!(peek(&shard, 1, 25), Some(2));
}

#[test]
fn a_renewal_that_fails_leaves_the_stale_value_and_the_next_one_tries_again() {
    let shard = timed_shard();
    insert(&shard, 1, short_lived(1), 0);
    for _ in 0..3 {
        let Begin::Stale(held, Some(lead)) = begin(&shard, 1, 15, Agent::new(), false) else {
            panic!("nobody else renews it");
        };
        assert_eq!(held.value, 1);
        shard.end(lead, Outcome::Error(()));
    }
}

#[test]
fn a_value_inserted_during_a_renewal_is_not_overwritten_by_it() {
    let shard = timed_shard();
    insert(&shard, 1, short_lived(1), 0);
    let Begin::Stale(_, Some(lead)) = begin(&shard, 1, 15, Agent::new(), false) else {
        panic!("the first one renews it");
    };
    insert(&shard, 1, Held::new(7), 15);
    finish(&shard, lead, Held::new(2), 15);
    assert_eq!(peek(&shard, 1, 15), Some(7));
}

#[test]
fn computing_anew_ignores_the_value_there_is_and_is_shared_too() {
    let shard = timed_shard();
    insert(&shard, 1, Held::new(1), 0);
    let Begin::Lead(lead) = begin(&shard, 1, 0, Agent::new(), true) else {
        panic!("the caller computes");
    };
    let Begin::Join(flight) = begin(&shard, 1, 0, Agent::new(), true) else {
        panic!("someone computes already");
    };
    let Begin::Hit(held) = begin(&shard, 1, 0, Agent::new(), false) else {
        panic!("the old value is served meanwhile");
    };
    assert_eq!(held.value, 1);
    finish(&shard, lead, Held::new(2), 0);
    assert!(matches!(flight.wait(), Some(Outcome::Value(held)) if held.value == 2));
    assert_eq!(peek(&shard, 1, 0), Some(2));
}

#[test]
fn leads_that_are_dropped_do_not_pile_up() {
    let shard: Shard<u64, Held<u64>, ()> = timed_shard();
    let marks: Vec<Arc<Flight<_, _>>> = (0..10_000)
        .map(|key| Arc::clone(lead(&shard, key, Agent::new()).flight()))
        .collect();
    assert_eq!(shard.with(|state| state.in_flight()), 0);
    let kept = marks
        .iter()
        .filter(|flight| Arc::strong_count(flight) > 1)
        .count();
    assert!(
        kept < 100,
        "{kept} abandoned flights are still on the board"
    );
}

fn lookup<'a>(probe: &'a Exact<'a, u64>) -> Lookup<'a, Exact<'a, u64>> {
    Lookup {
        hash: probe.0.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        probe,
        now: 0,
    }
}

#[test]
fn what_was_computed_before_a_removal_is_not_stored_after_it() {
    let shard = timed_shard();
    let probe = Exact(&1);
    let store = |epoch| {
        let departures = &mut Departures::none();
        let Ok(there) = shard.insert_absent(lookup(&probe), 1, Held::new(1), epoch, departures);
        assert!(there.is_none());
        peek(&shard, 1, 0)
    };
    let before = shard.with(|state| state.epoch());
    let Ok(removed) = shard.remove(lookup(&probe), &mut Departures::none());
    assert!(removed.is_none());
    assert_eq!(store(Some(before)), None, "it was removed meanwhile");
    let before = shard.with(|state| state.epoch());
    shard.clear().for_each(drop);
    assert_eq!(store(Some(before)), None, "all was removed meanwhile");
    assert_eq!(store(Some(shard.with(|state| state.epoch()))), Some(1));
}

#[test]
fn what_was_missing_is_stored_once_though_someone_else_stored_it_meanwhile() {
    let shard = timed_shard();
    let probe = Exact(&1);
    let Quick::Miss(arrivals) = shard.get_quickly(lookup(&probe), |_| ()) else {
        panic!("the shard is empty");
    };
    insert(&shard, 1, Held::new(7), 0);
    let departures = &mut Departures::none();
    let Ok(()) = shard.insert_since(lookup(&probe), 1, Held::new(1), arrivals, departures);
    assert_eq!(shard.with(|state| state.table.len()), 1);
    assert_eq!(peek(&shard, 1, 0), Some(7));
}
