//! What a cache counts.

use std::ops::AddAssign;
use std::time::Duration;

/// Counts since a cache was made or last cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups answered without a computation: from an entry, or by waiting for a computation already in flight.
    pub hits: u64,
    /// Lookups that were not.
    pub misses: u64,
    /// Entries that left to make room.
    pub evictions: u64,
    /// Entries that left because their time was over.
    pub expirations: u64,
    /// Seconds of computation that hits avoided, where the cost of each entry is known.
    pub seconds_saved: f64,
}

impl Stats {
    /// The share of lookups that were hits, from 0 to 1; 0 before the first lookup.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a ratio of counts needs no more than 53 bits"
    )]
    pub fn hit_ratio(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            lookups => self.hits as f64 / lookups as f64,
        }
    }

    /// The computing time that hits avoided.
    #[must_use]
    pub fn time_saved(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds_saved).unwrap_or(Duration::MAX)
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.expirations += other.expirations;
        self.seconds_saved += other.seconds_saved;
    }
}
