//! Comparisons that fail, block, or come back to the shard they were asked from.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::thread;

use retain_memory::{
    Agent, Begin, Bounds, Departures, Eviction, Held, Lookup, Outcome, Probe, Shard, Table,
};

/// A key that is told from another only by comparing, never at a glance: an object with an identity and a value.
#[derive(Debug, Clone)]
struct Object(Arc<u64>);

impl Object {
    fn new(value: u64) -> Self {
        Self(Arc::new(value))
    }
}

type Store = Shard<Object, Held<u64>, &'static str>;

/// Compares by value and does what it was told to do meanwhile.
struct Asking<'a> {
    wanted: u64,
    compared: RefCell<Vec<u64>>,
    meanwhile: &'a dyn Fn(&Asking<'a>, &Object) -> Result<(), &'static str>,
}

impl<'a> Asking<'a> {
    fn new(
        wanted: u64,
        meanwhile: &'a dyn Fn(&Asking<'a>, &Object) -> Result<(), &'static str>,
    ) -> Self {
        Self {
            wanted,
            compared: RefCell::default(),
            meanwhile,
        }
    }

    fn lookup(&self) -> Lookup<'_, Self> {
        Lookup {
            hash: HASH,
            probe: self,
            now: 0,
        }
    }
}

impl Probe<Object> for Asking<'_> {
    type Error = &'static str;

    fn settle(&self, _: &Object) -> Option<bool> {
        None
    }

    fn compare(&self, stored: &Object) -> Result<bool, &'static str> {
        self.compared.borrow_mut().push(*stored.0);
        (self.meanwhile)(self, stored)?;
        Ok(*stored.0 == self.wanted)
    }

    fn same(a: &Object, b: &Object) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

/// All keys collide.
const HASH: u64 = 7;

fn shard() -> Store {
    Shard::new(Table::new(
        Eviction::Lru.into(),
        Bounds::entries(100),
        false,
    ))
}

#[allow(clippy::unnecessary_wraps, reason = "others of its kind fail")]
fn quiet(_: &Asking<'_>, _: &Object) -> Result<(), &'static str> {
    Ok(())
}

fn put(shard: &Store, value: u64) {
    let probe = Asking::new(value, &quiet);
    let departures = &mut Departures::none();
    shard
        .insert(
            probe.lookup(),
            Object::new(value),
            Held::new(value),
            departures,
        )
        .expect("a quiet comparison does not fail");
}

fn get(shard: &Store, probe: &Asking<'_>) -> Result<Option<u64>, &'static str> {
    let found = shard.get(probe.lookup(), &mut Departures::none())?;
    Ok(found.map(|held| held.value))
}

fn clear(shard: &Store) {
    shard.clear().for_each(drop);
}

/// Every entry is found, by a fresh lookup, and nothing else is.
fn assert_whole(shard: &Store, expected: &[u64]) {
    let len = shard.with(|state| state.table.len());
    assert_eq!(len, expected.len());
    for value in expected {
        let probe = Asking::new(*value, &quiet);
        assert_eq!(get(shard, &probe), Ok(Some(*value)));
    }
}

#[test]
fn each_stored_key_is_compared_once_at_most() {
    let shard = shard();
    (0..10).for_each(|value| put(&shard, value));
    let probe = Asking::new(10, &quiet);
    assert_eq!(get(&shard, &probe), Ok(None));
    let mut compared = probe.compared.take();
    compared.sort_unstable();
    assert_eq!(compared, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_failing_comparison_is_passed_on_and_changes_nothing() {
    let shard = shard();
    (0..5).for_each(|value| put(&shard, value));
    let before = shard.with(|state| state.table.stats());
    let fails = |_: &Asking<'_>, _: &Object| Err("no order among these");
    let probe = Asking::new(3, &fails);
    let mut departures = Departures::none();

    assert_eq!(get(&shard, &probe), Err("no order among these"));
    assert!(shard.peek(probe.lookup()).is_err());
    assert!(shard.remove(probe.lookup(), &mut departures).is_err());
    let (key, held) = (Object::new(3), Held::new(33));
    let inserted = shard.insert(probe.lookup(), key.clone(), held.clone(), &mut departures);
    assert!(inserted.is_err());
    let absent = shard.insert_absent(probe.lookup(), key.clone(), held, None, &mut departures);
    assert!(absent.is_err());
    let begun = shard.begin(probe.lookup(), key, Agent::thread(), false, &mut departures);
    assert!(begun.is_err());

    assert!(departures.is_empty());
    assert_eq!(shard.with(|state| state.table.stats()), before);
    assert_eq!(shard.with(|state| state.in_flight()), 0);
    assert_whole(&shard, &[0, 1, 2, 3, 4]);
}

#[test]
fn a_comparison_that_fails_at_the_end_of_a_flight_still_lands_it() {
    let shard = shard();
    let mut departures = Departures::none();
    let quiet = Asking::new(1, &quiet);
    let begin = shard.begin(
        quiet.lookup(),
        Object::new(1),
        Agent::new(),
        false,
        &mut departures,
    );
    let Ok(Begin::Lead(lead)) = begin else {
        panic!("the shard is empty");
    };
    let flight = Arc::clone(lead.flight());
    let fails = |_: &Asking<'_>, _: &Object| Err("broken");
    let probe = Asking::new(1, &fails);
    let finished = shard.finish(probe.lookup(), lead, Held::new(11), &mut departures);
    assert_eq!(finished, Err("broken"));
    match flight.wait() {
        Some(Outcome::Value(held)) => assert_eq!(held.value, 11),
        other => panic!("those who wait get {other:?}"),
    }
    assert_eq!(shard.with(|state| state.in_flight()), 0);
    assert_whole(&shard, &[]);
}

#[test]
fn a_comparison_may_clear_the_shard() {
    let shard = shard();
    (0..5).for_each(|value| put(&shard, value));
    let clears = |_: &Asking<'_>, _: &Object| {
        clear(&shard);
        Ok(())
    };
    let probe = Asking::new(2, &clears);
    assert_eq!(
        get(&shard, &probe),
        Ok(None),
        "the entry is gone, whatever its key"
    );
    assert_whole(&shard, &[]);
}

#[test]
fn a_comparison_may_clear_the_shard_while_a_value_is_stored() {
    let shard = shard();
    (0..5).for_each(|value| put(&shard, value));
    let clears = |_: &Asking<'_>, _: &Object| {
        clear(&shard);
        Ok(())
    };
    let probe = Asking::new(2, &clears);
    let departures = &mut Departures::none();
    let inserted = shard.insert(probe.lookup(), Object::new(2), Held::new(2), departures);
    assert_eq!(inserted, Ok(()));
    assert_whole(&shard, &[2]);
}

#[test]
fn a_comparison_may_replace_the_entry_it_is_asked_about() {
    let shard = shard();
    put(&shard, 1);
    let times = Cell::new(0);
    let swaps = |_: &Asking<'_>, _: &Object| {
        // An equal key under another identity takes the place: the answer for the old one does not count for it.
        if times.replace(times.get() + 1) < 3 {
            clear(&shard);
            put(&shard, 1);
        }
        Ok(())
    };
    let probe = Asking::new(1, &swaps);
    assert_eq!(get(&shard, &probe), Ok(Some(1)));
    assert_eq!(times.get(), 4, "three newcomers and the one that stayed");
    assert_whole(&shard, &[1]);
}

#[test]
fn newcomers_during_a_comparison_are_compared_too_and_the_others_not_again() {
    let shard = shard();
    (0..4).for_each(|value| put(&shard, value));
    let newcomers = Cell::new(0);
    let inserts = |asking: &Asking<'_>, _: &Object| {
        // The sixth and last newcomer is the wanted one.
        match newcomers.replace(newcomers.get() + 1) {
            nth @ 0..5 => put(&shard, 100 + nth),
            5 => put(&shard, asking.wanted),
            _ => {}
        }
        Ok(())
    };
    let probe = Asking::new(55, &inserts);
    assert_eq!(get(&shard, &probe), Ok(Some(55)));
    let mut compared = probe.compared.take();
    let all = compared.len();
    compared.sort_unstable();
    compared.dedup();
    assert_eq!(compared.len(), all, "no key was compared twice");
}

#[test]
fn a_comparison_may_look_up_remove_and_store_in_the_same_shard() {
    let shard = shard();
    (0..6).for_each(|value| put(&shard, value));
    let busy = |asking: &Asking<'_>, stored: &Object| {
        let other = (*stored.0 + 1) % 6;
        if other != asking.wanted {
            let probe = Asking::new(other, &quiet);
            let removed = shard.remove(probe.lookup(), &mut Departures::none())?;
            drop(removed);
            put(&shard, other);
        }
        let probe = Asking::new(*stored.0, &quiet);
        get(&shard, &probe).map(drop)
    };
    for wanted in 0..6 {
        let probe = Asking::new(wanted, &busy);
        assert_eq!(get(&shard, &probe), Ok(Some(wanted)));
    }
    assert_whole(&shard, &[0, 1, 2, 3, 4, 5]);
}

#[test]
fn flights_are_found_by_slow_comparisons_too() {
    let shard = shard();
    let mut departures = Departures::none();
    let probe = Asking::new(1, &quiet);
    let mut begin = |probe: &Asking<'_>| {
        shard.begin(
            probe.lookup(),
            Object::new(probe.wanted),
            Agent::new(),
            false,
            &mut departures,
        )
    };
    let Ok(Begin::Lead(lead)) = begin(&probe) else {
        panic!("nobody computes yet");
    };
    let Ok(Begin::Join(_)) = begin(&Asking::new(1, &quiet)) else {
        panic!("someone computes already");
    };
    let Ok(Begin::Lead(other)) = begin(&Asking::new(2, &quiet)) else {
        panic!("another key is another computation");
    };
    assert_eq!(shard.with(|state| state.in_flight()), 2);
    shard.end(other, Outcome::Abandoned);
    let finished = shard.finish(probe.lookup(), lead, Held::new(1), &mut departures);
    assert_eq!(finished, Ok(()));
    assert_eq!(shard.with(|state| state.in_flight()), 0);
    assert_whole(&shard, &[1]);
}

#[test]
fn threads_with_yielding_comparisons_find_right_values_throughout() {
    let shard = shard();
    let yields = |_: &Asking<'_>, _: &Object| {
        thread::yield_now();
        Ok(())
    };
    thread::scope(|scope| {
        for seed in 0..4_u64 {
            let (shard, yields) = (&shard, &yields);
            scope.spawn(move || {
                let mut state = seed;
                for _ in 0..400 {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(99);
                    let value = (state >> 40) % 8;
                    let probe = Asking::new(value, yields);
                    let departures = &mut Departures::none();
                    match (state >> 50) % 8 {
                        0 => clear(shard),
                        1 => drop(shard.remove(probe.lookup(), departures)),
                        2..=4 => {
                            let (key, held) = (Object::new(value), Held::new(value));
                            shard
                                .insert(probe.lookup(), key, held, departures)
                                .expect("a yielding comparison does not fail");
                        }
                        _ => {
                            let found = get(shard, &probe).expect("nor does it here");
                            assert!(found.is_none_or(|found| found == value));
                        }
                    }
                }
            });
        }
    });
    let mut keys = shard.with(|state| {
        let keys = state.table.iter().map(|(key, _)| *key.0);
        keys.collect::<Vec<_>>()
    });
    let len = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), len, "no key has two entries");
}
