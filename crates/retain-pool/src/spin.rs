//! Waits that are likely to be short are not slept through: to fall asleep and to be woken on another processor takes
//! from 10 microseconds to some milliseconds.

use crate::clock::now_ns;

/// A wait that is shorter is spun through.
pub(crate) const SHORT_NS: u64 = 2_000_000;

/// After so many waits in a row that were not short, no more are expected to be.
const LONG_WAITS: u8 = 4;

/// How long somebody had to wait of late.
#[derive(Debug)]
pub(crate) struct Waits {
    long: u8,
}

impl Waits {
    /// Of somebody who has not waited yet.
    pub(crate) fn new() -> Self {
        Self { long: LONG_WAITS }
    }

    pub(crate) fn note(&mut self, ns: u64) {
        self.long = if ns < SHORT_NS {
            0
        } else {
            self.long.saturating_add(1)
        };
    }

    /// Whether the next one is likely to be short.
    pub(crate) fn are_short(&self) -> bool {
        self.long < LONG_WAITS
    }
}

/// Looks until there is something, or until so much time is over. Other threads go first.
pub(crate) fn spin<T>(most_ns: u64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until_ns = now_ns().saturating_add(most_ns);
    loop {
        let found = look();
        if found.is_some() || now_ns() >= until_ns {
            return found;
        }
        std::thread::yield_now();
    }
}
