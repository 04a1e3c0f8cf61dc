//! Large buffers cross between processes in segments: shared memory that is passed by descriptor,
//! so that nothing has a name and nothing is left behind, whatever dies.
//!
//! Each process writes to segments of its own [`Arena`] and lends them to others, which map them
//! ([`Mappings`]). A segment that was written before has its pages, and filling it again is
//! several times cheaper than a fresh one: so it is used again when no task refers to it and every
//! receiver has returned what it was lent, and receivers keep it mapped until they are told.

pub(crate) mod anonymous;
mod class;
mod idle;
mod ledger;
mod mapping;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use mapping::{Mapped, Mappings, note_fork};

use ledger::Ledger;

/// Set in the number of a returned region that a fork of its receiver may still see: the segment
/// is given back to the system instead of being written again.
const SEEN_BY_FORK: u64 = 1 << 63;

/// The memory itself.
#[derive(Debug)]
struct Segment {
    id: u64,
    file: Arc<OwnedFd>,
    size: u64,
}

struct Inner {
    /// A child of a fork shares the memory of its parent's segments and must not write to it.
    pid: u32,
    next: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl Inner {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

/// A panic elsewhere leaves the lists whole: each change of them is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One process's segments; clones are the same arena.
///
/// A peer is a receiver, under a number that no other one ever has.
#[derive(Clone)]
pub struct Arena(Arc<Inner>);

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An arena without segments.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            pid: std::process::id(),
            next: AtomicU64::new(1),
            ledger: Mutex::new(Ledger::default()),
        }))
    }

    /// Writes the parts, one after the other, into a segment.
    ///
    /// # Errors
    /// If there is no memory for it, or in the child of a fork. The caller may send the bytes
    /// in the frame instead.
    pub fn share(&self, parts: &[&[u8]]) -> io::Result<Shared> {
        if std::process::id() != self.0.pid {
            return Err(io::Error::other(
                "the segments belong to the process that was forked",
            ));
        }
        let len = class::total(parts.iter().map(|part| part.len() as u64));
        let (Some(len), Some(size)) = (len, len.and_then(class::size)) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let idle = self.0.ledger().idle.take(size);
        let segment = match idle {
            Some(segment) => segment,
            None => Segment {
                id: self.0.number(),
                file: Arc::new(anonymous::file(c"retain-segment", size)?),
                size,
            },
        };
        let mut offset = 0;
        for part in parts {
            write_at(&segment.file, part, offset)?;
            offset += part.len() as u64;
        }
        Ok(Shared(Arc::new(Lease {
            region: self.0.number(),
            len,
            segment: Some(segment),
            arena: Arc::downgrade(&self.0),
        })))
    }

    /// Notes that a peer is told of a buffer, once more, and returns what to tell it. The peer
    /// returns the region as often as it was lent it.
    #[must_use]
    pub fn lend(&self, peer: u64, shared: &Shared) -> Lent {
        self.0.ledger().lend(peer, shared)
    }

    /// A peer is done with a region.
    pub fn returned(&self, peer: u64, region: u64) {
        // What it leads to locks the ledger itself.
        let lease = self.0.ledger().returned(peer, region);
        drop(lease);
    }

    /// A peer has died, or was told to go: what it was lent is returned.
    pub fn peer_gone(&self, peer: u64) {
        let leases = self.0.ledger().peer_gone(peer);
        drop(leases);
    }

    /// The segments that a peer has mapped and that will not be used again: it may unmap them.
    #[must_use]
    pub fn dropped(&self, peer: u64) -> Vec<u64> {
        self.0.ledger().dropped(peer)
    }

    /// Gives back the memory of segments that were not used for some seconds. Returns when to ask
    /// again, `None` when nothing is idle.
    #[must_use]
    pub fn tidy(&self) -> Option<Duration> {
        self.tidy_at(Instant::now())
    }

    fn tidy_at(&self, now: Instant) -> Option<Duration> {
        let (old, next) = self.0.ledger().tidy(now);
        // Memory is given back when the lock is free again.
        drop(old);
        next
    }

    /// Bytes that are kept for the next use.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.0.ledger().idle.bytes()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("idle", &self.idle())
            .finish_non_exhaustive()
    }
}

/// Files are written rather than mapped: a fresh page is then not cleared before it is filled, and
/// a full file system is an error here instead of a SIGBUS.
fn write_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// One use of a segment: from its writing until nothing refers to it.
struct Lease {
    region: u64,
    len: u64,
    /// `None` when a fork may still see it, and while this is dropped.
    segment: Option<Segment>,
    arena: Weak<Inner>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(arena), Some(segment)) = (self.arena.upgrade(), self.segment.take()) else {
            return;
        };
        let evicted = arena.ledger().put(self.region, segment, Instant::now());
        drop(evicted);
    }
}

/// A buffer in a segment, as tasks and answers refer to it. Clones are the same buffer.
#[derive(Clone)]
pub struct Shared(Arc<Lease>);

impl Shared {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("region", &self.0.region)
            .field("len", &self.len())
            .finish()
    }
}

/// What a peer is told of a buffer that it is lent.
#[derive(Debug)]
pub struct Lent {
    /// The segment's number.
    pub segment: u64,
    /// How many bytes of it to map.
    pub size: u64,
    /// Where the buffer starts.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// What the peer says when it returns it.
    pub region: u64,
    /// The segment itself, if the peer has not been sent it yet.
    pub fd: Option<Arc<OwnedFd>>,
}

#[cfg(test)]
mod tests;
