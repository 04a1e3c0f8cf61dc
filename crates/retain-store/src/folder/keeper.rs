//! What is done in the background.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::gate;

/// How long it waits for more to do.
const PAUSE: Duration = Duration::from_millis(1500);

/// Who has something to be done.
pub(super) trait Kept: Send + Sync + 'static {
    fn keeper(&self) -> &Keeper;

    /// Does it. `is_idle`: there was nothing new since the last time.
    fn tend(&self, is_idle: bool);
}

/// A thread that sleeps while there is nothing to do. It is started when there first is, and again in a forked child.
pub(super) struct Keeper {
    thread: Mutex<Option<Thread>>,
    /// The [`gate::generation`] that it was started in.
    generation: AtomicU64,
    sleeps: AtomicBool,
    /// Something was put or noted since it last looked.
    is_new: AtomicBool,
    is_urgent: AtomicBool,
    is_over: AtomicBool,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            thread: Mutex::new(None),
            generation: AtomicU64::new(u64::MAX),
            sleeps: AtomicBool::new(true),
            is_new: AtomicBool::new(false),
            is_urgent: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

impl Keeper {
    /// There is something to do; `now` if it should not wait.
    pub(super) fn awake(&self, kept: &Arc<impl Kept>, now: bool) {
        if !self.is_new.load(Ordering::Relaxed) {
            self.is_new.store(true, Ordering::SeqCst);
        }
        if self.generation.load(Ordering::Relaxed) != gate::generation() {
            self.start(kept);
        }
        let is_urgent = now && !self.is_urgent.swap(true, Ordering::SeqCst);
        if is_urgent
            || self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::SeqCst)
        {
            self.unpark();
        }
    }

    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.unpark();
    }

    fn unpark(&self) {
        let _inside = gate::enter();
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    fn start<K: Kept>(&self, kept: &Arc<K>) {
        let _inside = gate::enter();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = gate::generation();
        if self.generation.swap(generation, Ordering::SeqCst) == generation {
            return;
        }
        self.is_urgent.store(false, Ordering::SeqCst);
        self.sleeps.store(false, Ordering::SeqCst);
        let kept = kept.clone();
        // Without it, writers do what they must, and the log grows.
        *thread = thread::Builder::new()
            .name("retain-store".into())
            .spawn(move || run(&kept, generation))
            .ok()
            .map(|handle| handle.thread().clone());
    }
}

fn run(kept: &Arc<impl Kept>, generation: u64) {
    let keeper = kept.keeper();
    let is_over = || keeper.is_over.load(Ordering::SeqCst) || gate::generation() != generation;
    let mut last = Instant::now();
    while !is_over() {
        thread::park_timeout(PAUSE);
        let is_urgent = keeper.is_urgent.swap(false, Ordering::SeqCst);
        if keeper.is_new.swap(false, Ordering::SeqCst) {
            last = Instant::now();
        }
        if is_over() {
            break;
        }
        // It may be woken between two puts, and sees nothing new then.
        let is_idle = !is_urgent && last.elapsed() >= PAUSE;
        kept.tend(is_idle);
        if is_idle {
            keeper.sleeps.store(true, Ordering::SeqCst);
            while keeper.sleeps.load(Ordering::SeqCst)
                && !keeper.is_new.load(Ordering::SeqCst)
                && !is_over()
            {
                thread::park();
            }
            keeper.sleeps.store(false, Ordering::SeqCst);
        }
    }
}
