//! A fork of the program: the child has copies of the descriptors of its parent's pools, and none of their threads.

use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// How often this process is a child of a fork since the library was loaded.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// What is closed in a child. No lock: a thread that the child has not may have held it.
static OPEN: [AtomicI32; 4096] = [const { AtomicI32::new(-1) }; 4096];

/// In which process something was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn current() -> Self {
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this is the process in which it was made.
    pub(crate) fn is_ours(self) -> bool {
        self == Self::current()
    }
}

/// To be called in each child of a fork: it lets go of the pools of the parent, and ends or waits for nothing.
pub fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for place in &OPEN {
        let fd = place.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: the descriptor is this process's copy; whatever holds it is never used or dropped here, as all
            // that belongs to another generation is leaked.
            unsafe { libc::close(fd) };
        }
    }
}

/// A descriptor that a child of a fork must not keep: by it somebody notices that this process is gone.
#[derive(Debug)]
pub(crate) struct Guarded {
    fd: OwnedFd,
    place: Option<&'static AtomicI32>,
}

impl Guarded {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let raw = fd.as_raw_fd();
        let place = OPEN.iter().find(|place| {
            place
                .compare_exchange(-1, raw, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        Self { fd, place }
    }
}

impl Deref for Guarded {
    type Target = OwnedFd;

    fn deref(&self) -> &OwnedFd {
        &self.fd
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            place.store(-1, Ordering::Release);
        }
    }
}
