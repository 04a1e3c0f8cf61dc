//! What came of a task.

use std::fmt;
use std::time::Duration;

use crate::bytes::Bytes;
use crate::segment::Mapped;

/// What a worker answered.
pub struct Reply {
    /// The answer itself.
    pub bytes: Bytes,
    /// Its large parts, each a private mapping; dropped, the worker may use the memory again.
    pub buffers: Vec<Mapped>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and {} buffers", self.bytes, self.buffers.len())
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// One thing that is known of a task.
#[derive(Debug)]
pub struct Outcome {
    /// The tag that the task was submitted with.
    pub tag: u64,
    /// How often it was begun so far.
    pub attempts: u32,
    /// The index of the worker.
    pub worker: u32,
    /// When it was begun, in nanoseconds of the monotonic clock.
    pub started_ns: u64,
    /// When it ended, in nanoseconds of the monotonic clock.
    pub ended_ns: u64,
    /// What is known.
    pub kind: OutcomeKind,
}

/// What is known of a task.
#[derive(Debug)]
pub enum OutcomeKind {
    /// It was done. Nothing more comes of this task.
    Done(Reply),
    /// The worker says that it failed. Nothing more comes of this task.
    Failed(Reply),
    /// Its worker died of it. Nothing more comes of this task.
    Died {
        /// The process.
        pid: i32,
        /// How it ended.
        status: Ended,
        /// The most memory it had, in bytes, as far as known.
        rss: u64,
    },
    /// It took longer than it may. Nothing more comes of this task.
    TimedOut {
        /// How long it took.
        after: Duration,
    },
    /// The task emitted this; more will come.
    Output {
        /// What it is, as agreed between the worker and whoever reads it.
        kind: u8,
        /// What was emitted.
        bytes: Bytes,
    },
    /// It failed and is tried again; `attempts` were made. More will come.
    Retried {
        /// Why: one of `Failed`, `Died` and `TimedOut`.
        reason: Box<OutcomeKind>,
    },
}

impl OutcomeKind {
    /// Whether nothing more comes of the task.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Output { .. } | Self::Retried { .. })
    }
}
