//! Waits for many descriptors: epoll on Linux, kqueue elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::io::Errno;

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) key: u64,
    /// There is something to read, or the end of it.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// So many are told at once.
const AT_ONCE: usize = 64;

/// A set of descriptors, each with a key. It can itself be waited for: it is readable if one of them is ready.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(target_os = "linux")]
impl Poller {
    pub(crate) fn new() -> Result<Self, Errno> {
        rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).map(Self)
    }

    pub(crate) fn add(&self, fd: impl AsFd, key: u64) -> Result<(), Errno> {
        use rustix::event::epoll::{EventData, EventFlags, add};
        add(&self.0, fd, EventData::new_u64(key), EventFlags::IN)
    }

    /// Also waits, or does not, until it can be written.
    pub(crate) fn wait_for_room(&self, fd: impl AsFd, key: u64, wait: bool) -> Result<(), Errno> {
        use rustix::event::epoll::{EventData, EventFlags, modify};
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, wait);
        modify(&self.0, fd, EventData::new_u64(key), flags)
    }

    /// Whether it is waited for until there is something to read.
    pub(crate) fn listen(&self, fd: impl AsFd, key: u64, listen: bool) {
        use rustix::event::epoll::{EventData, EventFlags, modify};
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, listen);
        let _ = modify(&self.0, fd, EventData::new_u64(key), flags);
    }

    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = rustix::event::epoll::delete(&self.0, fd);
    }

    /// Waits until one is ready, and says which.
    pub(crate) fn wait(&self, timeout: Option<&Timespec>) -> Result<Vec<Ready>, Errno> {
        use rustix::event::epoll::{Event, EventData, EventFlags, wait};
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [nothing; AT_ONCE];
        let count = wait(&self.0, &mut events, timeout)?;
        let ready = events.iter().take(count).map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready {
                key: data.u64(),
                readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR),
                writable: flags.contains(EventFlags::OUT),
            }
        });
        Ok(ready.collect())
    }
}

#[cfg(not(target_os = "linux"))]
impl Poller {
    pub(crate) fn new() -> Result<Self, Errno> {
        rustix::event::kqueue::kqueue().map(Self)
    }

    fn change(&self, event: rustix::event::kqueue::Event) -> Result<(), Errno> {
        let mut none: [std::mem::MaybeUninit<rustix::event::kqueue::Event>; 0] = [];
        // SAFETY: the descriptor of the event is open, as its caller has borrowed it.
        unsafe { rustix::event::kqueue::kevent(&self.0, &[event], &mut none, None) }.map(|_| ())
    }

    pub(crate) fn add(&self, fd: impl AsFd, key: u64) -> Result<(), Errno> {
        self.filter(&fd, key, false, true)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys are small, or all ones"
    )]
    fn filter(&self, fd: &impl AsFd, key: u64, write: bool, on: bool) -> Result<(), Errno> {
        use rustix::event::kqueue::{Event, EventFilter, EventFlags};
        use std::os::fd::AsRawFd;
        let raw = fd.as_fd().as_raw_fd();
        let filter = if write {
            EventFilter::Write(raw)
        } else {
            EventFilter::Read(raw)
        };
        let flags = if on {
            EventFlags::ADD
        } else {
            EventFlags::DELETE
        };
        self.change(Event::new(
            filter,
            flags,
            key as usize as *mut std::ffi::c_void,
        ))
    }

    /// Also waits, or does not, until it can be written.
    pub(crate) fn wait_for_room(&self, fd: impl AsFd, key: u64, wait: bool) -> Result<(), Errno> {
        self.filter(&fd, key, true, wait)
    }

    /// Whether it is waited for until there is something to read.
    pub(crate) fn listen(&self, fd: impl AsFd, key: u64, listen: bool) {
        let _ = self.filter(&fd, key, false, listen);
    }

    /// Tells of `key` once, so much later; `None` is never.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys are small, or all ones"
    )]
    pub(crate) fn ring(&self, key: u64, after: Option<std::time::Duration>) {
        use rustix::event::kqueue::{Event, EventFilter, EventFlags};
        let flags = if after.is_some() {
            EventFlags::ADD | EventFlags::ONESHOT
        } else {
            EventFlags::DELETE
        };
        // A time without milliseconds would be taken for whole seconds.
        let timer = after.map(|after| after.max(std::time::Duration::from_millis(1)));
        let timer = timer.map(|after| match after.subsec_millis() {
            0 => after + std::time::Duration::from_millis(1),
            _ => after,
        });
        let filter = EventFilter::Timer { ident: 0, timer };
        let _ = self.change(Event::new(
            filter,
            flags,
            key as usize as *mut std::ffi::c_void,
        ));
    }

    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = self.filter(&fd, 0, false, false);
        let _ = self.filter(&fd, 0, true, false);
    }

    /// Waits until one is ready, and says which.
    pub(crate) fn wait(&self, timeout: Option<&Timespec>) -> Result<Vec<Ready>, Errno> {
        use rustix::event::kqueue::{Event, EventFilter, kevent_timespec};
        let mut events: Vec<Event> = Vec::with_capacity(AT_ONCE);
        // SAFETY: no descriptor is added.
        unsafe {
            kevent_timespec(
                &self.0,
                &[],
                rustix::buffer::spare_capacity(&mut events),
                timeout,
            )?;
        }
        let ready = events.iter().map(|event| Ready {
            key: event.udata() as usize as u64,
            readable: !matches!(event.filter(), EventFilter::Write(_)),
            writable: matches!(event.filter(), EventFilter::Write(_)),
        });
        Ok(ready.collect())
    }
}
