//! Random operations on a table, on a shard, and on a naive model of both: whatever happens, they agree.
//!
//! For LRU, FIFO, LFU and SIEVE the model foretells each victim. For S3-FIFO any entry may be one.

mod naive;
mod subject;

use naive::{Life, Model};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use retain_memory::{Bounds, Departures, Eviction, Held, Nanos};
use subject::{OnShard, OnTable, Subject, Unsettled};

const ALL: [Eviction; 6] = [
    Eviction::S3Fifo,
    Eviction::Lru,
    Eviction::Sieve,
    Eviction::Lfu,
    Eviction::Fifo,
    Eviction::Unbounded,
];

#[derive(Debug, Clone)]
enum Op {
    Get(u64),
    Peek(u64),
    Insert(u64, u64, Life),
    InsertAbsent(u64, u64, Life),
    GetOrCompute(u64, u64, Life),
    GetQuickly(u64, u64, Life),
    Remove(u64),
    ExpireAll,
    Resize(usize, u64),
    Clear,
    Wait(Nanos),
}

fn life() -> impl Strategy<Value = Life> {
    let some = |range: std::ops::Range<Nanos>| prop::option::of(range);
    (some(1..20), 0..10_u64, some(1..20)).prop_map(|(live, stale_for, idle)| Life {
        live,
        stale_for,
        idle,
    })
}

fn op(keys: u64) -> impl Strategy<Value = Op> {
    let key = 0..keys;
    let weight = prop_oneof![8 => 1..6_u64, 1 => Just(0), 1 => 10..60_u64, 1 => Just(u64::MAX)];
    let entry = (key.clone(), weight, life()).boxed();
    prop_oneof![
        12 => key.clone().prop_map(Op::Get),
        2 => key.clone().prop_map(Op::Peek),
        10 => entry.clone().prop_map(|(key, weight, life)| Op::Insert(key, weight, life)),
        4 => entry.clone().prop_map(|(key, weight, life)| Op::InsertAbsent(key, weight, life)),
        5 => entry.clone().prop_map(|(key, weight, life)| Op::GetQuickly(key, weight, life)),
        8 => entry.prop_map(|(key, weight, life)| Op::GetOrCompute(key, weight, life)),
        3 => key.prop_map(Op::Remove),
        1 => Just(Op::ExpireAll),
        1 => (0..20_usize, prop_oneof![Just(u64::MAX), 0..60_u64])
            .prop_map(|(entries, weight)| Op::Resize(entries, weight)),
        1 => Just(Op::Clear),
        4 => (1..8_u64).prop_map(Op::Wait),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let max_entries = prop_oneof![0..3_usize, 1..20_usize, Just(usize::MAX)];
    let max_weight = prop_oneof![2 => Just(u64::MAX), 3 => 0..60_u64];
    (max_entries, max_weight).prop_map(|(max_entries, max_weight)| Bounds {
        max_entries,
        max_weight,
    })
}

/// Runs the operations on the subject and on the model, and compares them after each.
fn agree<S: Subject>(
    eviction: Eviction,
    bounds: Bounds,
    expires: bool,
    ops: &[Op],
) -> Result<(), TestCaseError> {
    let subject = S::new(eviction, bounds, expires);
    let mut model = Model::new(eviction, bounds);
    let mut now = 1;
    for (value, op) in (1000..).zip(ops) {
        let mut departures = Departures::none();
        let left = &mut departures;
        let entry = |weight: u64, life: &Life| Held {
            weight,
            timing: expires.then(|| Box::new(life.timing(now))),
            ..Held::new(value)
        };
        match op {
            Op::Get(key) => {
                let got = subject.get(*key, now, left);
                prop_assert_eq!(got, model.get(*key, now));
            }
            Op::Peek(key) => {
                let got = subject.peek(*key, now);
                prop_assert_eq!(got, model.peek(*key, now));
            }
            Op::Insert(key, weight, life) => {
                let held = entry(*weight, life);
                subject.insert(*key, held.clone(), now, left);
                model.insert(*key, held);
            }
            Op::InsertAbsent(key, weight, life) => {
                let held = entry(*weight, life);
                let there = subject.insert_absent(*key, held.clone(), now, left);
                prop_assert_eq!(there, model.insert_absent(*key, held, now));
            }
            Op::GetOrCompute(key, weight, life) => {
                let held = entry(*weight, life);
                let got = subject.get_or_compute(*key, held.clone(), now, left);
                prop_assert_eq!(got, model.get_or_compute(*key, held, now));
            }
            Op::GetQuickly(key, weight, life) => {
                let held = entry(*weight, life);
                let got = subject.get_quickly(*key, held.clone(), now, left);
                prop_assert_eq!(got, model.get_or_insert(*key, held, now));
            }
            Op::Remove(key) => {
                let removed = subject.remove(*key, now, left);
                prop_assert_eq!(removed, model.remove(*key, now));
            }
            Op::ExpireAll => {
                subject.expire_all(now, left);
            }
            Op::Resize(entries, weight) => {
                let bounds = Bounds {
                    max_entries: *entries,
                    max_weight: *weight,
                };
                subject.resize(bounds, left);
                model.resize(bounds);
            }
            Op::Clear => {
                let mut cleared = subject.clear();
                cleared.sort_unstable();
                prop_assert_eq!(cleared, model.clear());
            }
            Op::Wait(nanos) => now += nanos,
        }
        model.settle(departures, now)?;
        if matches!(op, Op::ExpireAll) {
            prop_assert!(!model.any_is_over(now), "an entry outlived its time");
        }
        model.check(&subject, now)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_agrees_with_the_model(
        eviction in prop::sample::select(&ALL[..]),
        bounds in bounds(),
        expires in any::<bool>(),
        ops in prop::collection::vec(op(24), 0..120),
    ) {
        agree::<OnTable>(eviction, bounds, expires, &ops)?;
    }

    #[test]
    fn a_shard_agrees_with_the_model(
        eviction in prop::sample::select(&ALL[..]),
        bounds in bounds(),
        expires in any::<bool>(),
        ops in prop::collection::vec(op(24), 0..120),
    ) {
        agree::<OnShard>(eviction, bounds, expires, &ops)?;
    }

    #[test]
    fn a_shard_agrees_with_the_model_when_no_comparison_settles_at_a_glance(
        eviction in prop::sample::select(&ALL[..]),
        bounds in bounds(),
        expires in any::<bool>(),
        ops in prop::collection::vec(op(24), 0..120),
    ) {
        agree::<Unsettled>(eviction, bounds, expires, &ops)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn large_tables_agree_with_the_model(
        eviction in prop::sample::select(&ALL[..]),
        max_entries in 20..100_usize,
        ops in prop::collection::vec(op(200), 400),
    ) {
        agree::<OnTable>(eviction, Bounds::entries(max_entries), true, &ops)?;
    }
}
