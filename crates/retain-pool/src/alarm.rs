//! What wakes a thread that waits for descriptors at a certain time, which others may change while it sleeps.

use rustix::io::Errno;

use crate::poller::Poller;

/// A point in time that a poller can wait for.
#[derive(Debug)]
pub(crate) struct Alarm(Timer);

impl Alarm {
    /// One that is not set; the poller tells of it by `key`.
    pub(crate) fn new(poller: &std::sync::Arc<Poller>, key: u64) -> Result<Self, Errno> {
        Timer::new(poller, key).map(Self)
    }

    /// It goes off then, by the clock that supervisor and workers share, and no more when it was set to; `u64::MAX` is
    /// never.
    pub(crate) fn set(&self, at_ns: u64) {
        self.0.set(at_ns);
    }

    /// It was heard.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Timer(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Timer {
    fn new(poller: &Poller, key: u64) -> Result<Self, Errno> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poller.add(&timer, key)?;
        Ok(Self(timer))
    }

    fn set(&self, at_ns: u64) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        // All zeroes would be never.
        let at = (at_ns != u64::MAX).then(|| std::time::Duration::from_nanos(at_ns.max(1)));
        let new = Itimerspec {
            it_interval: Timespec::default(),
            it_value: at
                .and_then(|at| Timespec::try_from(at).ok())
                .unwrap_or_default(),
        };
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &new);
    }

    fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Timer {
    poller: std::sync::Arc<Poller>,
    key: u64,
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    #[expect(clippy::unnecessary_wraps, reason = "a timer of Linux may not be had")]
    fn new(poller: &std::sync::Arc<Poller>, key: u64) -> Result<Self, Errno> {
        let poller = std::sync::Arc::clone(poller);
        Ok(Self { poller, key })
    }

    fn set(&self, at_ns: u64) {
        let left = at_ns.saturating_sub(crate::clock::now_ns());
        let after = (at_ns != u64::MAX).then(|| std::time::Duration::from_nanos(left));
        self.poller.ring(self.key, after);
    }

    #[expect(clippy::unused_self, reason = "it rings once, and is then gone")]
    fn clear(&self) {}
}
