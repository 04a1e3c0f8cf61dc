//! The open files that leads are held by, those of all threads and folders, where a child of a fork finds them.
//!
//! A child has its parent's open files, and with them its locks: it closes them before anything else. It cannot take a
//! lock to do so, which might have been held by a thread that the child lacks. Hence a list that only grows, whose
//! members are taken and left in one step each.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::Owner;
use super::lock;
use super::places::Place;

/// Open files that are kept for one folder's next leads.
const KEPT: usize = 8;

/// It has no file.
const EMPTY: u32 = 0;
/// It has an open file that holds no lock.
const FREE: u32 = 1;
/// It is somebody's.
const TAKEN: u32 = 2;

const NONE: RawFd = -1;
const NOBODY: u64 = 0;

#[derive(Debug)]
struct Slot {
    state: AtomicU32,
    descriptor: AtomicI32,
    place: AtomicPtr<Place>,
    byte: AtomicU64,
    /// On whose behalf the byte is locked.
    owner: AtomicU64,
    next: AtomicPtr<Slot>,
}

static FIRST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

/// How many forks lie behind this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// An open file that nobody else uses, until it is dropped; then its lock is released.
#[derive(Debug)]
pub(super) struct Held {
    slot: &'static Slot,
    place: &'static Place,
    file: ManuallyDrop<File>,
    byte: u64,
    locked: bool,
    discarded: bool,
    forks: u64,
}

impl Held {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Notes that the byte is locked now.
    pub(super) fn locked(&mut self, owner: Owner) {
        self.locked = true;
        self.slot.owner.store(owner.0, Ordering::Release);
    }

    /// Has the file closed, and not used again.
    pub(super) fn discard(mut self) {
        self.discarded = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.forks != FORKS.load(Ordering::Relaxed) {
            // The file is the parent's, and closed here.
            return;
        }
        self.slot.owner.store(NOBODY, Ordering::Release);
        let unlocked =
            !self.locked || lock::unlock(&self.file, &self.place.path, self.byte).is_ok();
        let keep = lock::REUSABLE && unlocked && !self.discarded && self.place.is_used();
        if keep && slots().filter(|slot| slot.is_free_at(self.place)).count() < KEPT {
            self.slot.state.store(FREE, Ordering::Release);
        } else {
            self.slot.close();
        }
    }
}

impl Slot {
    fn is_at(&self, place: &'static Place) -> bool {
        ptr::eq(self.place.load(Ordering::Relaxed), place)
    }

    fn is_free_at(&self, place: &'static Place) -> bool {
        self.is_at(place) && self.state.load(Ordering::Relaxed) == FREE
    }

    fn claim(&self, state: u32) -> bool {
        let claimed =
            self.state
                .compare_exchange(state, TAKEN, Ordering::Acquire, Ordering::Relaxed);
        claimed.is_ok()
    }

    /// Claims it if it has a file of that place.
    fn claim_at(&self, place: &'static Place) -> bool {
        if !self.is_free_at(place) || !self.claim(FREE) {
            return false;
        }
        // Others may have given it to another place in between.
        let still = self.is_at(place);
        if !still {
            self.state.store(FREE, Ordering::Release);
        }
        still
    }

    /// Closes the file of a slot that is claimed.
    fn close(&self) {
        // A child that is forked between the two has one open file too many, and never closes another's.
        let descriptor = self.descriptor.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: the slot owned it, and does no longer.
            drop(unsafe { File::from_raw_fd(descriptor) });
        }
        self.state.store(EMPTY, Ordering::Release);
    }
}

/// An open file for a lock of `byte`.
pub(super) fn take(place: &'static Place, byte: u64) -> io::Result<Held> {
    let slot = if let Some(slot) = slots().find(|slot| slot.claim_at(place)) {
        slot
    } else {
        let file = lock::open(&place.path, byte)?;
        let slot = slots().find(|slot| slot.claim(EMPTY)).unwrap_or_else(add);
        slot.descriptor.store(file.into_raw_fd(), Ordering::Relaxed);
        slot.place
            .store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
        slot
    };
    slot.byte.store(byte, Ordering::Relaxed);
    let descriptor = slot.descriptor.load(Ordering::Relaxed);
    Ok(Held {
        slot,
        place,
        // SAFETY: the slot owns it, is this one's alone, and outlives it; only the slot closes it.
        file: ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) }),
        byte,
        locked: false,
        discarded: false,
        forks: FORKS.load(Ordering::Relaxed),
    })
}

/// What is led on behalf of `owner`.
pub(super) fn led_by(owner: Owner) -> Vec<(&'static Place, u64)> {
    slots()
        .filter(|slot| slot.owner.load(Ordering::Acquire) == owner.0)
        .filter_map(|slot| {
            // SAFETY: places are never freed.
            let place = unsafe { slot.place.load(Ordering::Relaxed).as_ref() }?;
            Some((place, slot.byte.load(Ordering::Relaxed)))
        })
        .collect()
}

/// Closes the files that are kept for a place.
pub(super) fn close(place: &'static Place) {
    for slot in slots().filter(|slot| slot.claim_at(place)) {
        slot.close();
    }
}

/// Closes the files of the parent, in a child.
pub(super) fn forget() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    for slot in slots() {
        slot.owner.store(NOBODY, Ordering::Relaxed);
        slot.close();
    }
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    let get = |pointer: &AtomicPtr<Slot>| {
        // SAFETY: it is null or was leaked by `add`.
        unsafe { pointer.load(Ordering::Acquire).as_ref() }
    };
    std::iter::successors(get(&FIRST), move |slot| get(&slot.next))
}

/// A new slot, which is taken.
fn add() -> &'static Slot {
    let slot = Box::leak(Box::new(Slot {
        state: AtomicU32::new(TAKEN),
        descriptor: AtomicI32::new(NONE),
        place: AtomicPtr::new(ptr::null_mut()),
        byte: AtomicU64::new(0),
        owner: AtomicU64::new(NOBODY),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let pointer = ptr::from_mut(slot);
    let slot: &'static Slot = slot;
    let mut first = FIRST.load(Ordering::Acquire);
    loop {
        slot.next.store(first, Ordering::Relaxed);
        match FIRST.compare_exchange_weak(first, pointer, Ordering::Release, Ordering::Acquire) {
            Ok(_) => return slot,
            Err(newer) => first = newer,
        }
    }
}
