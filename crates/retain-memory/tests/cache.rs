//! The cache as programs use it: settings, callbacks, what is dropped where, many threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use retain_memory::{BuildError, Cache, Cause, Eviction};

#[test]
fn settings_that_contradict_one_another_are_refused() {
    let builder = Cache::<u64, u64>::builder;
    let refused = |result: Result<Cache<u64, u64>, BuildError>| result.expect_err("it is refused");
    assert_eq!(
        refused(builder().max_entries(3).policy(Eviction::Unbounded).build()),
        BuildError::BoundedUnbounded {
            setting: "max_entries"
        }
    );
    assert_eq!(
        refused(builder().max_weight(3).build()),
        BuildError::WeightWithoutWeigher { max_weight: 3 }
    );
    assert_eq!(
        refused(builder().time_to_live(Duration::ZERO).build()),
        BuildError::ZeroDuration {
            setting: "time_to_live"
        }
    );
    assert_eq!(
        refused(builder().time_to_idle(Duration::ZERO).build()),
        BuildError::ZeroDuration {
            setting: "time_to_idle"
        }
    );
    let unbounded = builder().build().expect("no bound, no contradiction");
    assert_eq!(
        unbounded.resize(3),
        Err(BuildError::BoundedUnbounded {
            setting: "max_entries"
        })
    );
}

#[test]
fn policies_are_known_by_their_names() {
    for name in Eviction::NAMES {
        assert_eq!(name.parse::<Eviction>().map(Eviction::name), Ok(name));
    }
    let unknown = "mru".parse::<Eviction>().expect_err("it is unknown");
    assert_eq!(
        unknown.to_string(),
        "unknown policy \"mru\": expected one of s3fifo, lru, sieve, lfu, fifo, unbounded"
    );
}

#[test]
fn bounds_hold_over_all_shards() {
    for shards in [1, 2, 3, 8, 64] {
        let cache: Cache<u64, u64> = Cache::builder()
            .max_entries(50)
            .shards(shards)
            .build()
            .expect("bounds alone are sound");
        (0..1000).for_each(|key| cache.insert(key, key));
        assert!(cache.len() <= 50, "{shards} shards hold {}", cache.len());
        assert!(
            cache.len() >= 32,
            "{shards} shards hold only {}",
            cache.len()
        );
        cache.resize(20).expect("the policy evicts");
        assert!(cache.len() <= 20);
    }
}

#[test]
fn a_cache_for_no_entries_keeps_nothing_and_still_computes() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(0)
        .build()
        .expect("it is sound");
    cache.insert(1, 1);
    assert_eq!(cache.get_or_insert_with(2, || 4), 4);
    assert_eq!((cache.get(&1), cache.len()), (None, 0));
}

#[test]
fn weights_are_bounded_and_what_is_too_heavy_is_given_but_not_kept() {
    let cache: Cache<u64, String> = Cache::builder()
        .max_weight(10)
        .weigher(|_, value: &String| value.len() as u64)
        .shards(1)
        .build()
        .expect("it is sound");
    cache.insert(1, "four".into());
    cache.insert(2, "five5".into());
    assert_eq!(cache.weight(), 9);
    let long = "longer than the bound";
    assert_eq!(cache.get_or_insert_with(3, || long.into()), long);
    assert_eq!(cache.get(&3), None);
    assert_eq!(cache.len(), 2, "what does not fit displaces nobody");
    cache.insert(1, long.into());
    assert_eq!(
        cache.get(&1),
        None,
        "nor does it leave the old value behind"
    );
    assert_eq!(cache.weight(), 5);
}

#[test]
fn a_small_bound_on_the_weight_is_not_split_into_shares_too_small_for_any_entry() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_weight(100)
        .weigher(|_, _| 40)
        .build()
        .expect("it is sound");
    (0..10).for_each(|key| cache.insert(key, key));
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_weigher_that_panics_leaves_the_cache_as_it_was() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_weight(10)
        .weigher(|_, value| {
            assert_ne!(*value, 13, "the weigher panics, as the test wants it");
            1
        })
        .build()
        .expect("it is sound");
    cache.insert(1, 1);
    let insert = std::panic::AssertUnwindSafe(|| cache.insert(1, 13));
    assert!(std::panic::catch_unwind(insert).is_err());
    let compute = std::panic::AssertUnwindSafe(|| cache.get_or_insert_with(2, || 13));
    assert!(std::panic::catch_unwind(compute).is_err());
    assert_eq!(cache.in_flight(), 0);
    assert_eq!((cache.get(&1), cache.weight()), (Some(1), 1));
    assert_eq!(cache.get_or_insert_with(2, || 2), 2);
}

#[test]
fn weights_whose_sum_overflows_are_no_danger() {
    let cache: Cache<u64, u64> = Cache::builder()
        .weigher(|_, _| u64::MAX)
        .max_entries(10)
        .build()
        .expect("it is sound");
    (0..100).for_each(|key| cache.insert(key, key));
    assert_eq!((cache.len(), cache.weight()), (10, u64::MAX));
    cache.clear();
    assert_eq!(cache.weight(), 0);
}

#[test]
fn entries_expire() {
    let cache: Cache<u64, u64> = Cache::builder()
        .time_to_live(Duration::from_millis(80))
        .build()
        .expect("it is sound");
    cache.insert(1, 1);
    cache.insert(2, 2);
    assert_eq!(cache.get(&1), Some(1));
    thread::sleep(Duration::from_millis(100));
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.peek(&2), None);
    assert_eq!(cache.entries().count(), 0);
    assert_eq!(cache.len(), 1, "nobody met the second one yet");
    cache.expire();
    assert_eq!(cache.len(), 0);
    assert_eq!(cache.stats().expirations, 2);
}

#[test]
fn entries_in_use_outlive_the_time_to_idle() {
    let cache: Cache<u64, u64> = Cache::builder()
        .time_to_idle(Duration::from_millis(150))
        .build()
        .expect("it is sound");
    cache.insert(1, 1);
    cache.insert(2, 2);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(50));
        assert_eq!(cache.get(&1), Some(1));
    }
    assert_eq!(cache.get(&2), None);
}

#[test]
fn the_callback_is_told_once_of_each_entry_that_was_lost() {
    let lost: Arc<Mutex<HashMap<u64, Cause>>> = Arc::default();
    let told = Arc::clone(&lost);
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(2000)
        .on_evict(move |key, value, cause| {
            assert_eq!(key, value);
            match told.lock().expect("no panic").entry(key) {
                Entry::Occupied(_) => panic!("{key} was lost twice"),
                Entry::Vacant(place) => place.insert(cause),
            };
        })
        .build()
        .expect("it is sound");
    thread::scope(|scope| {
        for nth in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                for key in (nth * 5000)..(nth * 5000 + 5000) {
                    cache.get_or_insert_with(key, || key);
                }
            });
        }
    });
    let kept: Vec<u64> = cache.entries().map(|(key, _)| key).collect();
    let lost = lost.lock().expect("no panic");
    assert_eq!(kept.len() + lost.len(), 20_000);
    assert!(kept.iter().all(|key| !lost.contains_key(key)));
    assert!(lost.values().all(|cause| *cause == Cause::Evicted));
    assert_eq!(cache.stats().evictions, lost.len() as u64);
}

#[test]
fn the_callback_is_not_told_of_what_was_removed_or_replaced() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(10)
        .on_evict(|key, _, cause| panic!("{key} was lost: {cause:?}"))
        .build()
        .expect("it is sound");
    cache.insert(1, 1);
    cache.insert(1, 2);
    assert_eq!(cache.remove(&1), Some(2));
    cache.insert(2, 2);
    cache.clear();
    assert!(cache.is_empty());
}

/// A key or value that uses the cache it was in as it is dropped.
#[derive(Clone)]
struct Clingy {
    name: u64,
    home: Arc<OnceLock<Cache<Clingy, Clingy>>>,
    drops: Arc<AtomicUsize>,
}

impl PartialEq for Clingy {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Clingy {}

impl Hash for Clingy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Drop for Clingy {
    fn drop(&mut self) {
        thread_local!(static INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
        self.drops.fetch_add(1, Ordering::Relaxed);
        // One level is enough: what it does is dropped as well.
        if INSIDE.replace(true) {
            return;
        }
        if let Some(cache) = self.home.get() {
            let mut other = self.clone();
            other.name = (self.name + 1) % 5;
            cache.get(&other);
            cache.insert(other.clone(), other.clone());
            cache.remove(&other);
            cache.get_or_insert_with(other.clone(), || other.clone());
            cache.len();
        }
        INSIDE.set(false);
    }
}

#[test]
fn keys_and_values_may_use_the_cache_while_they_are_dropped() {
    for eviction in [
        Eviction::S3Fifo,
        Eviction::Lru,
        Eviction::Sieve,
        Eviction::Lfu,
        Eviction::Fifo,
    ] {
        let home = Arc::new(OnceLock::new());
        let cache = Cache::builder()
            .max_entries(3)
            .shards(1)
            .policy(eviction)
            .build()
            .expect("it is sound");
        assert!(home.set(cache).is_ok());
        let cache = home.get().expect("it was set");
        let drops = Arc::new(AtomicUsize::new(0));
        let clingy = |name| Clingy {
            name,
            home: Arc::clone(&home),
            drops: Arc::clone(&drops),
        };
        for round in 0..50 {
            cache.insert(clingy(round % 7), clingy(round));
            cache.insert(clingy(round % 7), clingy(round));
            cache.get_or_insert_with(clingy(round % 5), || clingy(round));
            let failed = cache.try_get_or_insert_with(clingy(90), || Err::<Clingy, _>(clingy(91)));
            assert!(failed.is_err());
            cache.remove(&clingy(round % 3));
            if round % 10 == 9 {
                cache.clear();
            }
            if round % 13 == 0 {
                cache
                    .resize(3 - usize::from(round % 2 == 0))
                    .expect("the policy evicts");
            }
        }
        assert!(cache.len() <= 3);
        cache.clear();
        assert!(drops.load(Ordering::Relaxed) > 100);
    }
}

#[test]
fn a_callback_may_use_the_cache() {
    let home: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
    let inside = Arc::clone(&home);
    let cache = Cache::builder()
        .max_entries(2)
        .shards(1)
        .on_evict(move |key, value, _| {
            let cache: &Cache<u64, u64> = inside.get().expect("it was set");
            if key < 100 {
                assert_eq!(cache.get(&key), None, "it has left");
                cache.insert(key + 100, value);
            }
        })
        .build()
        .expect("it is sound");
    assert!(home.set(cache).is_ok());
    let cache = home.get().expect("it was set");
    (0..50).for_each(|key| cache.insert(key, key));
    assert!(cache.len() <= 2);
}

#[test]
fn threads_that_do_everything_at_once_only_ever_see_right_values() {
    for eviction in [
        Eviction::S3Fifo,
        Eviction::Lru,
        Eviction::Sieve,
        Eviction::Lfu,
    ] {
        let cache: Cache<u64, String> = Cache::builder()
            .max_entries(64)
            .shards(2)
            .policy(eviction)
            .time_to_live(Duration::from_millis(2))
            .build()
            .expect("it is sound");
        let right = |key: u64| format!("value of {key}");
        thread::scope(|scope| {
            for seed in 0..4_u64 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut state = seed;
                    for _ in 0..4000 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        let key = (state >> 33) % 100;
                        match (state >> 50) % 20 {
                            0 => drop(cache.remove(&key)),
                            1 => cache
                                .resize(20 + usize::from(state >> 62 == 0) * 44)
                                .expect("it evicts"),
                            2 if (state >> 56) % 8 == 0 => cache.clear(),
                            3 => cache.expire(),
                            4..=8 => cache.insert(key, right(key)),
                            9..=13 => {
                                assert_eq!(
                                    cache.get_or_insert_with(key, || right(key)),
                                    right(key)
                                );
                            }
                            _ => assert!(cache.get(&key).is_none_or(|value| value == right(key))),
                        }
                    }
                });
            }
        });
        assert_eq!(cache.in_flight(), 0);
        assert!(cache.len() <= 64);
        assert!(cache.entries().all(|(key, value)| value == right(key)));
    }
}
