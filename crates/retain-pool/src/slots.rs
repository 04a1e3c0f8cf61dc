//! A table that a supervisor and one worker share: which of the tasks in the worker's window are
//! claimed, and by whom.
//!
//! A task is queued in a slot before its frame is sent. The worker claims it just before it runs
//! it; the supervisor may claim it back until then. Both do so by one atomic exchange, so that a
//! task is never run twice and never lost, however the frames and a theft cross. What a worker was
//! doing when it died, or how long it has been at it, is read from here and needs no message.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::segment::anonymous;

const QUEUED: u64 = 1;
const TAKEN: u64 = 2;
const REVOKED: u64 = 3;

#[repr(C)]
struct Slot {
    /// A task's sequence and, in the lowest two bits, its state. The sequence is there so that a
    /// frame that comes late never takes the next task of its slot.
    word: AtomicU64,
    started_ns: AtomicU64,
}

/// As it lies in the shared memory. All words are atomic: both sides read and write at any time.
#[repr(C)]
struct Table {
    passed: AtomicU64,
    /// The slots start on a cache line of their own.
    _line: [u64; 7],
    slots: [Slot; Slots::COUNT],
}

/// One side's mapping of a worker's table.
#[derive(Debug)]
pub struct Slots {
    table: NonNull<Table>,
}

// SAFETY: the table holds atomics only, and the mapping lives as long as the value.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    /// The tasks that one worker can have in its window. A task's slot is its sequence modulo
    /// this: sequences count up from 1 for each worker.
    pub const COUNT: usize = 4096;

    /// A new table, and the descriptor by which the worker opens it.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let file = anonymous::file(c"retain-slots", size_of::<Table>() as u64)?;
        Ok((Self::map(file.as_fd())?, file))
    }

    /// The table behind a descriptor, as the worker got it.
    ///
    /// # Errors
    /// If it is none, or cannot be mapped.
    pub fn open(file: &OwnedFd) -> io::Result<Self> {
        let size = rustix::fs::fstat(file)?.st_size;
        if u64::try_from(size).is_ok_and(|size| size >= size_of::<Table>() as u64) {
            Self::map(file.as_fd())
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a table of slots that is too short",
            ))
        }
    }

    fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<Table>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        let table = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { table })
    }

    fn table(&self) -> &Table {
        // SAFETY: mapped for as long as `self`; zeroes are valid, and every access is atomic.
        unsafe { self.table.as_ref() }
    }

    fn slot(&self, sequence: u64) -> &Slot {
        // The table's length is a power of two: the lowest bits are the remainder.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits are what is wanted"
        )]
        &self.table().slots[sequence as usize % Self::COUNT]
    }

    fn claim(&self, sequence: u64, state: u64) -> bool {
        let (from, to) = (sequence << 2 | QUEUED, sequence << 2 | state);
        let word = &self.slot(sequence).word;
        word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Puts a task into its slot, before its frame is sent.
    pub fn queue(&self, sequence: u64) {
        self.slot(sequence)
            .word
            .store(sequence << 2 | QUEUED, Ordering::Release);
    }

    /// Takes a task back. `true`: the worker will never run it. `false`: the worker has taken it.
    #[must_use]
    pub fn revoke(&self, sequence: u64) -> bool {
        self.claim(sequence, REVOKED)
    }

    /// The worker's claim, just before it runs the task. `false`: it was revoked and is skipped.
    #[must_use]
    pub fn take(&self, sequence: u64, now_ns: u64) -> bool {
        // Written by the worker alone, and read only of a task that is taken.
        self.slot(sequence)
            .started_ns
            .store(now_ns, Ordering::Relaxed);
        self.claim(sequence, TAKEN)
    }

    /// When the worker took this task, by `CLOCK_MONOTONIC`; `None`: it has not taken it.
    #[must_use]
    pub fn taken(&self, sequence: u64) -> Option<u64> {
        let slot = self.slot(sequence);
        let taken = slot.word.load(Ordering::Acquire) == sequence << 2 | TAKEN;
        taken.then(|| slot.started_ns.load(Ordering::Relaxed))
    }

    /// Said by the worker: all tasks before this one are behind it.
    pub fn pass(&self, next: u64) {
        self.table().passed.store(next, Ordering::Release);
    }

    /// The first task that is not behind the worker.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.table().passed.load(Ordering::Acquire)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nothing refers to after `self`.
        let _ = unsafe { munmap(self.table.as_ptr().cast::<c_void>(), size_of::<Table>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Slots, Slots) {
        let (supervisor, file) = Slots::create().unwrap();
        (supervisor, Slots::open(&file).unwrap())
    }

    #[test]
    fn a_task_is_claimed_by_one_side_only() {
        let (supervisor, worker) = pair();
        supervisor.queue(1);
        assert_eq!(supervisor.taken(1), None);
        assert!(worker.take(1, 77));
        assert!(!supervisor.revoke(1));
        assert_eq!(supervisor.taken(1), Some(77));
        worker.pass(2);
        assert_eq!(supervisor.passed(), 2);

        supervisor.queue(2);
        assert!(supervisor.revoke(2));
        assert!(!worker.take(2, 78));
        assert_eq!(supervisor.taken(2), None);
    }

    #[test]
    fn a_late_frame_does_not_take_the_next_task_of_its_slot() {
        let (supervisor, worker) = pair();
        let next = 1 + Slots::COUNT as u64;
        supervisor.queue(1);
        assert!(supervisor.revoke(1));
        supervisor.queue(next);
        assert!(!worker.take(1, 5));
        assert!(worker.take(next, 6));
        assert_eq!(supervisor.taken(1), None);
    }

    #[test]
    fn a_short_file_is_no_table() {
        let file = anonymous::file(c"retain-test", 100).unwrap();
        assert!(Slots::open(&file).is_err());
    }

    #[test]
    fn under_contention_each_task_has_one_owner() {
        let (supervisor, worker) = pair();
        for first in (1..20_000u64).step_by(2000) {
            let tasks = first..first + 2000;
            tasks
                .clone()
                .for_each(|sequence| supervisor.queue(sequence));
            let (taken, revoked) = std::thread::scope(|scope| {
                let backwards = tasks.clone().rev();
                let thief = scope.spawn(|| backwards.filter(|&n| supervisor.revoke(n)).count());
                let taken = tasks.filter(|&n| worker.take(n, n)).count();
                (taken, thief.join().unwrap())
            });
            assert_eq!(taken + revoked, 2000);
        }
    }
}
