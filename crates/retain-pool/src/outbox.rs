//! Answers that a worker has written and not sent yet: they lie in memory that it shares with its supervisor, so that
//! they outlive the worker, and are seen while it is busy with a long task.
//!
//! The worker appends frames and, when they are sent, begins anew. Each beginning has a number, odd while it is being
//! changed: a copy counts if the number is even and the same before and after. What was copied is sent as well, or was;
//! the sequence numbers of the answers tell.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::segment::anonymous;

const HEAD: usize = 64;
/// For frames.
const ROOM: usize = 128 << 10;
const SIZE: usize = HEAD + ROOM;

/// One side's mapping.
#[derive(Debug)]
pub(crate) struct Outbox {
    memory: NonNull<u8>,
}

// SAFETY: shared memory that stays mapped until the value is dropped; its head is only used as atomics.
unsafe impl Send for Outbox {}
// SAFETY: as above. The frames are written by the one worker, which is single-threaded, and copied out by address.
unsafe impl Sync for Outbox {}

impl Outbox {
    /// A new one, and what to send to the worker.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let file = anonymous::file(c"retain-outbox", SIZE as u64)?;
        Ok((Self::map(file.as_fd())?, file))
    }

    /// The worker's end.
    pub(crate) fn open(file: &OwnedFd) -> io::Result<Self> {
        let size = rustix::fs::fstat(file)?.st_size;
        if u64::try_from(size).is_ok_and(|size| size >= SIZE as u64) {
            Self::map(file.as_fd())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        let memory = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory })
    }

    fn head(&self, word: usize) -> &AtomicU64 {
        debug_assert!(word * 8 < HEAD);
        // SAFETY: within the mapping, which is aligned to pages; all accesses are atomic.
        unsafe { &*self.memory.cast::<AtomicU64>().as_ptr().add(word) }
    }

    fn era(&self) -> &AtomicU64 {
        self.head(0)
    }

    fn length(&self) -> &AtomicU64 {
        self.head(1)
    }

    fn used(&self) -> usize {
        usize::try_from(self.length().load(Ordering::Acquire))
            .unwrap_or(usize::MAX)
            .min(ROOM)
    }

    /// The worker puts a whole frame there; `false` if there is no room for it.
    pub(crate) fn append(&self, frame: &[u8]) -> bool {
        let used = self.used();
        if frame.len() > ROOM - used {
            return false;
        }
        // SAFETY: within the mapping, as just checked; nobody reads beyond `length`.
        unsafe {
            let to = self.memory.as_ptr().add(HEAD + used);
            std::ptr::copy_nonoverlapping(frame.as_ptr(), to, frame.len());
        }
        let used = (used + frame.len()) as u64;
        self.length().store(used, Ordering::Release);
        true
    }

    /// The worker moves all frames to `out`.
    pub(crate) fn drain(&self, out: &mut Vec<u8>) {
        if self.used() == 0 {
            return;
        }
        self.copy(out);
        self.era().fetch_add(1, Ordering::AcqRel);
        self.length().store(0, Ordering::Release);
        self.era().fetch_add(1, Ordering::AcqRel);
    }

    fn copy(&self, out: &mut Vec<u8>) {
        let used = self.used();
        out.reserve(used);
        // SAFETY: `used` is within the mapping and reserved in `out`. The other process may be writing: bytes are
        // valid whatever they are, and a copy that was disturbed is thrown away.
        unsafe {
            let from = self.memory.as_ptr().add(HEAD);
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().add(out.len()), used);
            out.set_len(out.len() + used);
        }
    }

    /// The supervisor looks: the frames that are there, or none if they are just being sent.
    pub(crate) fn look(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        let before = self.era().load(Ordering::Acquire);
        if before % 2 == 1 || self.used() == 0 {
            return frames;
        }
        self.copy(&mut frames);
        fence(Ordering::Acquire);
        if self.era().load(Ordering::Relaxed) != before {
            frames.clear();
        }
        frames
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nothing refers to after `self`.
        let _ = unsafe { munmap(self.memory.as_ptr().cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_seen_until_it_is_sent() {
        let (supervisor, file) = Outbox::create().unwrap();
        let worker = Outbox::open(&file).unwrap();
        assert!(worker.append(b"one") && worker.append(b"two"));
        assert_eq!(supervisor.look(), b"onetwo");
        let mut out = Vec::new();
        worker.drain(&mut out);
        assert_eq!(out, b"onetwo");
        assert_eq!(supervisor.look(), b"");
        assert!(!worker.append(&vec![0; ROOM + 1]));
        assert!(worker.append(&vec![1; ROOM]));
        assert!(!worker.append(b"x"));
    }
}
