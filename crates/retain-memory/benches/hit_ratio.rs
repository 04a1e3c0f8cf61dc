//! Hit ratios of the policies on made traces, in percent.
//!
//! Run as `cargo bench -p retain-memory --bench hit_ratio`. The traces are the same in every run, and no time is
//! taken, so the figures are too.
//!
//! Each trace is drawn for 100,000 keys, and run against a table for 1 % and one for 10 % of them:
//!
//! - **Zipf 1.0**: a key is asked for in inverse proportion to its rank.
//! - **Half scan**: 20,000 requests as above, then as many for keys never seen before or after, and so on.
//! - **Loop**: 1.25 times as many keys as there is room for, one after the other, round and round.
//! - **Moving hot set**: 70 % of the requests are for 1,000 hot keys, the others for any key. Every 30 requests the
//!   oldest of the hot keys is replaced by another.
//! - **Sliding window**: uniform over as many keys as a quarter of the room; the window moves on by one key every 20
//!   requests, so that at best 95 % are hits.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use retain_memory::{AnyPolicy, Bounds, Departures, Eviction, Stored, Table};

const KEYS: u64 = 100_000;
const REQUESTS: u64 = 2_000_000;

struct Nothing;

impl Stored for Nothing {}

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

    #[allow(
        clippy::cast_precision_loss,
        reason = "53 bits are what a fraction takes"
    )]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks in inverse proportion to themselves.
struct Zipf {
    /// The share of requests for this rank or a lower one.
    shares: Vec<f64>,
    random: Random,
}

impl Zipf {
    #[allow(clippy::cast_precision_loss, reason = "ranks are small")]
    fn new(seed: u64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        Self {
            shares,
            random: Random(seed),
        }
    }

    fn rank(&mut self) -> u64 {
        let fraction = self.random.fraction();
        self.shares.partition_point(|share| *share < fraction) as u64
    }
}

/// The keys asked for, given the room there is.
type Trace = fn(u64) -> Vec<u64>;

fn zipf(_: u64) -> Vec<u64> {
    let mut zipf = Zipf::new(1);
    (0..REQUESTS).map(|_| zipf.rank()).collect()
}

fn half_scan(_: u64) -> Vec<u64> {
    let mut zipf = Zipf::new(2);
    (0..REQUESTS)
        .map(|nth| match nth / 20_000 % 2 {
            0 => zipf.rank(),
            _ => KEYS + nth,
        })
        .collect()
}

fn round_and_round(room: u64) -> Vec<u64> {
    (0..REQUESTS).map(|nth| nth % (room * 5 / 4)).collect()
}

fn moving_hot_set(_: u64) -> Vec<u64> {
    let mut random = Random(3);
    (0..REQUESTS)
        .map(|nth| {
            let hot = random.next() % 10 < 7;
            let among = random.next() % if hot { 1_000 } else { KEYS };
            (nth / 30 + among) % KEYS
        })
        .collect()
}

fn sliding_window(room: u64) -> Vec<u64> {
    let mut random = Random(4);
    (0..REQUESTS)
        .map(|nth| nth / 20 + random.next() % (room / 4))
        .collect()
}

const TRACES: [(&str, Trace); 5] = [
    ("Zipf 1.0", zipf),
    ("half scan", half_scan),
    ("loop of 1.25x the room", round_and_round),
    ("moving hot set", moving_hot_set),
    ("sliding window", sliding_window),
];

const POLICIES: [Eviction; 5] = [
    Eviction::Lru,
    Eviction::Fifo,
    Eviction::Lfu,
    Eviction::Sieve,
    Eviction::S3Fifo,
];

/// The share of hits in percent.
fn hit_ratio(policy: Eviction, room: u64, trace: &[u64]) -> f64 {
    let bounds = Bounds::entries(usize::try_from(room).unwrap_or(usize::MAX));
    let mut table: Table<u64, Nothing, AnyPolicy> = Table::new(policy.into(), bounds, false);
    // One without a random seed.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    for key in trace {
        let hash = hasher.hash_one(key);
        if let Some(slot) = table.find(hash, |stored| stored == key) {
            table.hit(slot, 0);
        } else {
            table.miss();
            table.insert(hash, *key, Nothing, 0, &mut Departures::none());
        }
    }
    table.stats().hit_ratio() * 100.0
}

fn main() {
    print!("{:<24}", "% hits, room 1 % / 10 %");
    for policy in POLICIES {
        print!("{:>14}", policy.name());
    }
    println!();
    for (name, trace) in TRACES {
        print!("{name:<24}");
        let rooms = [KEYS / 100, KEYS / 10];
        let traces = rooms.map(trace);
        for policy in POLICIES {
            let [small, large] = [0, 1].map(|nth| hit_ratio(policy, rooms[nth], &traces[nth]));
            print!("{:>14}", format!("{small:.1} / {large:.1}"));
        }
        println!();
    }
}
