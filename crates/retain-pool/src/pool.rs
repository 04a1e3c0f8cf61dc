//! A set of workers, and the handle of it.

use crate::error::Error;
use crate::run::Run;
use crate::segment::Arena;
use crate::settings::{RunOptions, Settings};

/// Worker processes of one configuration. A clone is the same pool; when the last clone and the last run are gone, its
/// processes are ended.
#[derive(Clone, Debug)]
pub struct Pool {}

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
    pub fn new(_settings: Settings) -> Result<Self, Error> {
        todo!()
    }

    /// Sees to it that there may be at least so many workers.
    pub fn grow(&self, _workers: usize) {
        todo!()
    }

    /// Begins a set of tasks.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after a shutdown or in a forked child; [`Error::Io`] if there is no file descriptor to be had.
    pub fn run(&self, _options: RunOptions) -> Result<Run, Error> {
        todo!()
    }

    /// The workers there are.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerInfo> {
        todo!()
    }

    /// Kills all processes of the pool, and waits until they are dead. Whoever waits for outcomes gets
    /// [`Error::Closed`].
    pub fn shutdown(&self) {
        todo!()
    }

    /// Where large buffers are put for workers.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        todo!()
    }
}

/// To be called in each child of a fork: it lets go of the pools of the parent, and ends or waits for nothing.
pub fn after_fork_in_child() {
    todo!()
}
