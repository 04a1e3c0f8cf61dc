//! A set of workers, and the handle of it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::error::Error;
use crate::run::Run;
use crate::segment::Arena;
use crate::settings::{RunOptions, Settings};
use crate::supervisor::Core;

/// Worker processes of one configuration. A clone is the same pool; when the last clone and the last run are gone, its
/// processes are ended.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Handle>);

/// The last one ends the pool.
struct Handle(ManuallyDrop<Arc<Core>>);

/// What is known of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Which place it has; one that replaces it has the same.
    pub index: u32,
    /// The process; 0 if it has not begun.
    pub pid: i32,
    /// Whether it has tasks.
    pub busy: bool,
    /// How many tasks it has done.
    pub tasks: u64,
    /// How many bytes of memory it had when it said so last.
    pub rss: u64,
}

impl Pool {
    /// Begins to start workers, and does not wait for them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no file descriptor or thread to be had.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let core = Core::new(settings)?;
        Ok(Self(Arc::new(Handle(ManuallyDrop::new(core)))))
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.0
    }

    /// Sees to it that there may be at least so many workers.
    pub fn grow(&self, workers: usize) {
        self.core().grow(workers);
    }

    /// Begins a set of tasks.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after a shutdown or in a forked child; [`Error::Io`] if there is no file descriptor to be had.
    pub fn run(&self, options: RunOptions) -> Result<Run, Error> {
        Run::new(self.clone(), options)
    }

    /// The workers there are.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.core().workers()
    }

    /// Kills all processes of the pool, and waits until they are dead. Whoever waits for outcomes gets
    /// [`Error::Closed`].
    pub fn shutdown(&self) {
        self.core().close();
        self.core().join();
    }

    /// Where large buffers are put for workers.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.core().arena
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child nothing of it is touched: its descriptors are closed, and its thread is not there.
        if self.0.generation.is_ours() {
            self.0.close();
            // SAFETY: it is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
