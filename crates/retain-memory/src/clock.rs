//! Time as the tables count it: nanoseconds on the monotonic clock, since the first time it was asked for.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the process's first call of [`now`]: 584 years fit.
pub type Nanos = u64;

/// The present, on a clock that never goes back.
#[must_use]
pub fn now() -> Nanos {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    // Starting at 1 keeps 0 free to mean "untimed".
    Nanos::try_from(start.elapsed().as_nanos()).map_or(Nanos::MAX, |nanos| nanos.saturating_add(1))
}
