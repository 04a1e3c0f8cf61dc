//! Waits that are likely to be short are not slept through: to fall asleep and to be woken on another processor takes
//! from 10 microseconds to some milliseconds.

use crate::clock::now_ns;

/// A wait that is shorter is spun through. Whoever has nothing else to run on its processor loses as much once.
pub(crate) const SHORT_NS: u64 = 2_000_000;

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
