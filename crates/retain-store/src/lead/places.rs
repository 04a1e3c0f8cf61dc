//! The folders that this process leads in.
//!
//! They are never freed, so that a child of a fork and a thread that follows who waits for whom can look at them without
//! a lock. There are as many as the process has ever opened.

use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::slots;

#[derive(Debug)]
pub(super) struct Place {
    /// Its lock file, or the folder of them.
    pub(super) path: PathBuf,
    users: AtomicUsize,
    next: AtomicPtr<Place>,
}

static FIRST: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

impl Place {
    /// Whether anybody has this place open.
    pub(super) fn is_used(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0
    }
}

/// The place of a path, which gets one more user.
pub(super) fn of(path: &Path) -> &'static Place {
    let place = all()
        .find(|place| place.path == path)
        .unwrap_or_else(|| add(path));
    place.users.fetch_add(1, Ordering::Relaxed);
    place
}

/// One user less. The last one closes what is kept open for the next lead.
pub(super) fn leave(place: &'static Place) {
    if place.users.fetch_sub(1, Ordering::Relaxed) == 1 {
        slots::close(place);
    }
}

/// Those that anybody has open.
pub(super) fn used() -> impl Iterator<Item = &'static Place> {
    all().filter(|place| place.is_used())
}

fn all() -> impl Iterator<Item = &'static Place> {
    let get = |pointer: &AtomicPtr<Place>| {
        // SAFETY: it is null or was leaked by `add`.
        unsafe { pointer.load(Ordering::Acquire).as_ref() }
    };
    std::iter::successors(get(&FIRST), move |place| get(&place.next))
}

/// Two threads may add the same path at once: its leads are locks of one file all the same.
fn add(path: &Path) -> &'static Place {
    let place = Box::leak(Box::new(Place {
        path: path.to_path_buf(),
        users: AtomicUsize::new(0),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let pointer = ptr::from_mut(place);
    let place: &'static Place = place;
    let mut first = FIRST.load(Ordering::Acquire);
    loop {
        place.next.store(first, Ordering::Relaxed);
        match FIRST.compare_exchange_weak(first, pointer, Ordering::Release, Ordering::Acquire) {
            Ok(_) => return place,
            Err(newer) => first = newer,
        }
    }
}
