//! Fuzzes without a nightly compiler: `cargo run --release --bin mutate -- SECONDS [CORPUS [KEEP]]`.
//!
//! Takes the files of a folder (see `corpus.py`), alters and crosses them at random, and gives them to what is fuzzed. An
//! allocator that counts proves that no file takes more memory than its budget. Where a folder to keep is named, what was
//! accepted goes there, for Python to load: `tests/attacks/differential.py` does. A panic ends the program; the
//! file that led to it is then in `artifacts`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Random numbers, the same in each run from the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Opcodes, which random bytes hit too seldom.
const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcdefghijlopqrst}])uG\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8c\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\xff\x00\x7f";

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let reach = if random.below(8) == 0 { 64 } else { 6 };
        let length = 1 + random.below(reach);
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] = random.next() as u8,
            1 if at < bytes.len() => bytes[at] = OPCODES[random.below(OPCODES.len())],
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(if random.below(2) == 0 { 1 } else { 255 }),
            4 => {
                let end = (at + length).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            5 => {
                let some: Vec<u8> = (0..length).map(|_| OPCODES[random.below(OPCODES.len())]).collect();
                bytes.splice(at..at, some);
            }
            6 => {
                let from = random.below(bytes.len());
                let some = bytes[from..(from + length * 4).min(bytes.len())].to_vec();
                bytes.splice(at..at, some);
            }
            7 => {
                // The end of another file.
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                let some = other[from..(from + length * 8).min(other.len())].to_vec();
                bytes.splice(at..at, some);
            }
        }
    }
    bytes.truncate(1 << 16);
    bytes
}

fn corpus(folder: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let mut corpus = Vec::new();
    for file in files {
        let bytes = std::fs::read(file)?;
        if (1..1 << 14).contains(&bytes.len()) {
            corpus.push(bytes);
        }
    }
    Ok(corpus)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().unwrap_or_else(|| "10".into()).parse()?;
    let mut corpus = match arguments.next() {
        Some(folder) => corpus(&folder)?,
        None => vec![b"\x80\x05]\x94(K\x01K\x02e.".to_vec()],
    };
    let keep = arguments.next();
    let first = corpus.len();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    std::fs::create_dir_all("artifacts")?;
    let (mut executions, mut accepted, mut worst, mut slowest) = (0u64, 0u64, 0usize, Duration::ZERO);
    while Instant::now() < end {
        let bytes = mutate(&mut random, &corpus);
        let artifact = Path::new("artifacts/last");
        let before = NOW.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(|| {
            retain_fuzz::machine(&bytes);
            retain_fuzz::verify(&bytes)
        });
        slowest = slowest.max(start.elapsed());
        let most = MOST.load(Ordering::Relaxed) - before;
        worst = worst.max(most);
        // The verifier may take as much as loading, and what vectors hold in reserve.
        let over = most as u64 > 4 * retain_fuzz::ALLOCATION;
        let Ok(safe) = outcome else {
            std::fs::write(artifact, &bytes)?;
            return Err(format!("a panic: see {}", artifact.display()).into());
        };
        if over || start.elapsed() > Duration::from_secs(5) {
            std::fs::write(artifact, &bytes)?;
            return Err(format!("{most} bytes in {:?}: see {}", start.elapsed(), artifact.display()).into());
        }
        executions += 1;
        if safe {
            accepted += 1;
            // What is still accepted leads further than what is not.
            if corpus.len() < 20_000 && random.below(4) == 0 {
                corpus.push(bytes.clone());
            }
            if let Some(keep) = &keep {
                std::fs::write(format!("{keep}/{accepted}.pkl"), &bytes)?;
            }
        }
    }
    println!(
        "{executions} executions in {seconds} s, {accepted} accepted; corpus {first} files, {} in the end; \
         at most {worst} bytes at once, at most {slowest:?}",
        corpus.len()
    );
    Ok(())
}
