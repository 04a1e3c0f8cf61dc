//! The gate that a fork closes.
//!
//! A database that is open in two processes by a fork is damaged by both. So whatever uses one does so inside the gate; a
//! fork waits until nobody is inside, closes what is open, and opens the gate again on both sides. Nobody may wait for
//! anything of a caller's (such as an interpreter's lock) inside, nor enter twice.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

static INSIDE: AtomicUsize = AtomicUsize::new(0);
static CLOSED: AtomicBool = AtomicBool::new(false);
static FORKS: AtomicU64 = AtomicU64::new(0);
static OPEN: Mutex<Vec<Weak<dyn Forkable>>> = Mutex::new(Vec::new());

/// What has to be closed before a fork.
pub(crate) trait Forkable: Send + Sync {
    /// Closes all there is, and opens it anew when it is next used.
    fn close(&self);
}

/// Being inside, until it is dropped.
pub(crate) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Enters, once no fork is under way.
pub(crate) fn enter() -> Inside {
    loop {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(());
        if !CLOSED.load(Ordering::SeqCst) {
            return inside;
        }
        drop(inside);
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// How many forks there were between the first process and this one: threads do not outlive one.
pub(crate) fn generation() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Has `what` closed before each fork.
pub(crate) fn watch(what: &Arc<impl Forkable + 'static>) {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(handle_forks);
    let _inside = enter();
    let what: Weak<dyn Forkable> = Arc::downgrade(what) as Weak<dyn Forkable>;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|known| known.strong_count() > 0);
    open.push(what);
}

#[cfg(unix)]
extern "C" fn before() {
    CLOSED.store(true, Ordering::SeqCst);
    while INSIDE.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(Duration::from_micros(20));
    }
    // Nobody else is inside, and so nobody holds this or any other lock that is only taken inside.
    for open in OPEN.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(open) = open.upgrade() {
            open.close();
        }
    }
}

#[cfg(unix)]
extern "C" fn after_in_parent() {
    CLOSED.store(false, Ordering::SeqCst);
}

#[cfg(unix)]
extern "C" fn after_in_child() {
    // Threads that were on their way in are not here.
    INSIDE.store(0, Ordering::SeqCst);
    FORKS.fetch_add(1, Ordering::Relaxed);
    CLOSED.store(false, Ordering::SeqCst);
}

#[cfg(unix)]
fn handle_forks() {
    // SAFETY: the handlers are functions of this library, which is never unloaded, and do not unwind.
    let _ =
        unsafe { libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child)) };
}

#[cfg(not(unix))]
fn handle_forks() {}
