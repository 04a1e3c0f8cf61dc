//! Memoizes an expensive function for several threads: however many ask at once, each result is computed once.
//!
//! Run as `cargo run --release -p retain-memory --example memoize`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use retain_memory::{BuildError, Cache};

const THREADS: u64 = 4;
const NUMBERS: u64 = 400;

/// The number of partitions of `n` into parts of at most `largest`: cheap to write down, costly to compute.
fn partitions(n: u64, largest: u64) -> u64 {
    match (n, largest) {
        (0, _) => 1,
        (_, 0) => 0,
        _ if largest > n => partitions(n, n),
        _ => partitions(n, largest - 1) + partitions(n - largest, largest),
    }
}

fn main() -> Result<(), BuildError> {
    let cache: Cache<u64, u64> = Cache::builder().max_entries(1_000).build()?;
    let calls = AtomicUsize::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, calls) = (&cache, &calls);
            scope.spawn(move || {
                // All threads want the same forty numbers, each in an order of its own.
                for nth in 0..NUMBERS {
                    let n = 30 + (nth * (2 * thread + 1)) % 40;
                    cache.get_or_insert_with(n, || {
                        calls.fetch_add(1, Ordering::Relaxed);
                        partitions(n, n)
                    });
                }
            });
        }
    });
    let stats = cache.stats();
    println!("partitions of 69: {}", partitions_of(&cache, 69));
    println!(
        "{} questions, {} computations, {:.1} % hits",
        THREADS * NUMBERS,
        calls.into_inner(),
        stats.hit_ratio() * 100.0
    );
    println!(
        "took {:.0?}, saved {:.0?}",
        start.elapsed(),
        stats.time_saved()
    );
    Ok(())
}

fn partitions_of(cache: &Cache<u64, u64>, n: u64) -> u64 {
    cache.get_or_insert_with(n, || partitions(n, n))
}
