//! In-memory caches: eviction policies, expiry, weights, statistics and single flight.
//!
//! [`Cache`] is the cache a Rust program uses: concurrent, bounded, cheap to read.
//!
//! ```
//! use retain_memory::Cache;
//!
//! let squares: Cache<u64, u64> = Cache::builder().max_entries(1_000).build()?;
//! assert_eq!(squares.get_or_insert_with(12, || 12 * 12), 144);
//! assert_eq!(squares.get(&12), Some(144));
//! assert_eq!(squares.stats().hits, 1);
//! # Ok::<(), retain_memory::BuildError>(())
//! ```
//!
//! Below it lie the pieces, for those who bring keys, values or locks of their own:
//!
//! - [`Table`] holds the entries: an index of stored hashes over a slab, one [`Policy`], the bounds, the statistics.
//!   It knows no lock.
//! - [`Shard`] is a table behind a [`Lock`]. Each of its operations takes a hash and a [`Probe`]: an equality in two
//!   steps, so that a comparison which can fail, block or re-enter the cache runs while no lock is held.
//! - [`Flight`] is one computation that many callers wait for.
//!
//! Nothing in this crate is unsafe.

#![forbid(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "a hit is so few instructions that a call in the middle of them shows in the figures"
)]

mod builder;
mod cache;
mod clock;
mod compute;
mod error;
mod flight;
mod held;
mod policy;
mod probe;
mod shard;
mod slab;
mod state;
mod stats;
mod sync;
mod table;
mod waits;

pub use builder::Builder;
pub use cache::Cache;
pub use clock::{Nanos, now};
pub use error::BuildError;
pub use flight::{Flight, Lead, Outcome, after_fork_in_child};
pub use held::{Held, Timing};
pub use policy::{
    AnyPolicy, Eviction, Fifo, Lfu, List, Lru, Node, Nodes, Policy, S3Fifo, Sieve, Slot, Unbounded,
};
pub use probe::{Exact, Probe};
pub use shard::{Begin, Lookup, Quick, Shard};
pub use state::State;
pub use stats::Stats;
pub use sync::Lock;
pub use table::{Bounds, Cause, Departed, Departures, Freshness, Stored, Table};
pub use waits::{Agent, Waiting};
