//! Nanoseconds per operation on one thread, beside `quick_cache` in the same process.
//!
//! Run as `cargo bench -p retain-memory --bench get`. The contestants take turns, round after round, so that a noisy
//! machine disturbs them alike; the figures are medians over the rounds, and the ratio is the one to look at.

use std::hash::{BuildHasher, Hash};
use std::hint::black_box;
use std::time::Instant;

use hashbrown::DefaultHashBuilder;
use retain_memory::{Bounds, Cache, Departures, S3Fifo, Stored, Table};

const SOUND: &str = "a bound alone contradicts nothing";
const ROUNDS: usize = 15;
/// Operations that one round times.
const OPERATIONS: usize = 400_000;

#[derive(Clone, Copy)]
struct Number(u64);

impl Stored for Number {}

/// A key made from a number: the short strings are of the length of a name.
trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    const NAME: &'static str;
    fn numbered(number: u64) -> Self;
}

impl Key for u64 {
    const NAME: &'static str = "u64";
    fn numbered(number: u64) -> Self {
        number
    }
}

impl Key for String {
    const NAME: &'static str = "String";
    fn numbered(number: u64) -> Self {
        format!("key-{number:012}")
    }
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (end as u64 + 1)).unwrap_or(0);
            items.swap(end, other);
        }
    }
}

type Contestant<'a> = Box<dyn FnMut() + 'a>;

/// Times `ours` and `theirs` in turns; each call does `operations`.
fn compare(
    what: &str,
    operations: usize,
    ours: (&str, Contestant<'_>),
    theirs: (&str, Contestant<'_>),
) {
    let mut contestants = [ours, theirs];
    let mut times = [const { Vec::new() }; 2];
    for (_, run) in &mut contestants {
        run();
    }
    for _ in 0..ROUNDS {
        for ((_, run), times) in contestants.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            #[allow(
                clippy::cast_precision_loss,
                reason = "a time per operation needs a few digits only"
            )]
            times.push(start.elapsed().as_secs_f64() * 1e9 / operations as f64);
        }
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let [(our_name, _), (their_name, _)] = contestants;
    println!(
        "{what:<42} {our_name:<6} {ours:>7.1}   {their_name:<20} {theirs:>7.1}   {:>5.2}",
        ours / theirs
    );
}

fn lookups<K: Key>(entries: u64) {
    let name = format!("{}, {entries} entries", K::NAME);
    let mut keys: Vec<K> = (0..entries).map(K::numbered).collect();
    // Room for twice as many: both caches are divided into parts, and no part may overflow.
    let room = usize::try_from(entries).unwrap_or(0) * 2;

    let cache: Cache<K, u64> = Cache::builder().max_entries(room).build().expect(SOUND);
    let peer = quick_cache::sync::Cache::new(room);
    let hasher = DefaultHashBuilder::default();
    let mut table: Table<K, Number, S3Fifo> =
        Table::new(S3Fifo::default(), Bounds::entries(room), false);
    let mut unsync_peer = quick_cache::unsync::Cache::new(room);
    for (key, number) in keys.iter().zip(0..) {
        cache.insert(key.clone(), number);
        peer.insert(key.clone(), number);
        let departures = &mut Departures::none();
        table.insert(
            hasher.hash_one(key),
            key.clone(),
            Number(number),
            0,
            departures,
        );
        unsync_peer.insert(key.clone(), number);
    }
    Random(1).shuffle(&mut keys);
    let passes = OPERATIONS / keys.len();
    let operations = passes * keys.len();

    compare(
        &format!("get, {name}"),
        operations,
        (
            "Cache",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        black_box(cache.get(black_box(key)));
                    }
                }
            }),
        ),
        (
            "quick_cache::sync",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        black_box(peer.get(black_box(key)));
                    }
                }
            }),
        ),
    );
    compare(
        &format!("get, no lock, {name}"),
        operations,
        (
            "Table",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        let key = black_box(key);
                        let slot = table.find(hasher.hash_one(key), |stored| stored == key);
                        let value = slot
                            .and_then(|slot| table.hit(slot, 0))
                            .map(|number| number.0);
                        black_box(value);
                    }
                }
            }),
        ),
        (
            "quick_cache::unsync",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        black_box(unsync_peer.get(black_box(key)).copied());
                    }
                }
            }),
        ),
    );
    for slot in 0..3 {
        assert!(table.value(slot).is_some(), "the table was filled");
    }
    assert_eq!(peer.len(), keys.len(), "the peer kept every entry");
    assert_eq!(cache.len(), keys.len(), "the cache kept every entry");
}

fn computations(entries: u64) {
    let mut keys: Vec<u64> = (0..entries).collect();
    let room = keys.len() * 2;
    let cache: Cache<u64, u64> = Cache::builder().max_entries(room).build().expect(SOUND);
    let peer = quick_cache::sync::Cache::new(room);
    for key in &keys {
        cache.insert(*key, *key);
        peer.insert(*key, *key);
    }
    Random(1).shuffle(&mut keys);
    let passes = OPERATIONS / keys.len();
    compare(
        &format!("get or compute, hit, u64, {entries} entries"),
        passes * keys.len(),
        (
            "Cache",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        black_box(cache.get_or_insert_with(black_box(*key), || 0));
                    }
                }
            }),
        ),
        (
            "quick_cache::sync",
            Box::new(|| {
                for _ in 0..passes {
                    for key in &keys {
                        let value = peer.get_or_insert_with(black_box(key), || Ok::<_, ()>(0));
                        black_box(value.ok());
                    }
                }
            }),
        ),
    );
}

fn insertions<K: Key>(entries: u64) {
    let name = format!("{}, {entries} entries", K::NAME);
    let room = usize::try_from(entries).unwrap_or(0);
    let cache: Cache<K, u64> = Cache::builder().max_entries(room).build().expect(SOUND);
    let peer = quick_cache::sync::Cache::new(room);
    let hasher = DefaultHashBuilder::default();
    let mut table: Table<K, Number, S3Fifo> =
        Table::new(S3Fifo::default(), Bounds::entries(room), false);
    let mut unsync_peer = quick_cache::unsync::Cache::new(room);
    // Each contestant counts for itself, and no key comes twice.
    let mut next = [0_u64; 4];
    let [first, second, third, fourth] = &mut next;
    compare(
        &format!("insert + evict, {name}"),
        OPERATIONS,
        (
            "Cache",
            Box::new(|| {
                for _ in 0..OPERATIONS {
                    *first += 1;
                    cache.insert(K::numbered(*first), *first);
                }
            }),
        ),
        (
            "quick_cache::sync",
            Box::new(|| {
                for _ in 0..OPERATIONS {
                    *second += 1;
                    peer.insert(K::numbered(*second), *second);
                }
            }),
        ),
    );
    compare(
        &format!("insert + evict, no lock, {name}"),
        OPERATIONS,
        (
            "Table",
            Box::new(|| {
                for _ in 0..OPERATIONS {
                    *third += 1;
                    let key = K::numbered(*third);
                    let mut departures = Departures::none();
                    let hash = hasher.hash_one(&key);
                    // quick_cache looks for the key as well before it inserts.
                    if table.find(hash, |stored| *stored == key).is_none() {
                        table.insert(hash, key, Number(*third), 0, &mut departures);
                    }
                }
            }),
        ),
        (
            "quick_cache::unsync",
            Box::new(|| {
                for _ in 0..OPERATIONS {
                    *fourth += 1;
                    unsync_peer.insert(K::numbered(*fourth), *fourth);
                }
            }),
        ),
    );
}

fn main() {
    println!(
        "{:<42} {:<6} {:>7}   {:<20} {:>7}   ratio",
        "ns per operation, median", "ours", "", "peer", ""
    );
    for entries in [1_000, 100_000] {
        lookups::<u64>(entries);
        lookups::<String>(entries);
        computations(entries);
    }
    for entries in [1_000, 100_000] {
        insertions::<u64>(entries);
        insertions::<String>(entries);
    }
}
