//! The clock that supervisor and workers share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock, the same in all processes.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
