//! The runs of a pool, as its supervisor sees them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::outcome::{Outcome, OutcomeKind};
use crate::payload::{Payload, Task};
use crate::settings::{RunOptions, Window};
use crate::signal::Signal;
use crate::slots::Slots;

/// So much measured work a worker may have before it.
const AHEAD_NS: f64 = 2e6;

/// A task that is with no worker.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) task: Task,
    /// How often it was begun.
    pub(super) attempts: u32,
}

/// A run.
#[derive(Debug)]
pub(crate) struct RunState {
    /// By what workers know it; never used again.
    pub(super) wire: u32,
    pub(super) context: Payload,
    pub(super) width: usize,
    pub(super) retries: u32,
    pub(super) timeout: Option<Duration>,
    window: Window,
    pub(super) queue: VecDeque<Queued>,
    /// What nobody has taken yet.
    ready: Vec<Outcome>,
    /// How many of these are the last of their task.
    ready_finals: usize,
    /// Tasks whose last outcome nobody has taken yet.
    pub(super) outstanding: usize,
    /// Tasks that are with workers, also such that were cancelled.
    pub(super) in_flight: usize,
    /// How many workers have tasks of this run.
    pub(super) serving: usize,
    /// How long tasks take, the recent ones counting more; 0 before the first.
    mean_ns: f64,
    /// What wakes whoever waits without reading; made when somebody does.
    signal: Option<Arc<Signal>>,
    /// Whether somebody sleeps until the signal is raised.
    pub(super) waiting: bool,
    pub(super) cancelled: bool,
    /// When workers that run a cancelled task are killed.
    pub(super) kill_at_ns: u64,
    /// Whether the handle is gone.
    pub(super) closed: bool,
}

impl RunState {
    pub(super) fn new(wire: u32, options: RunOptions) -> Self {
        Self {
            wire,
            context: options.context,
            width: options.width.max(1),
            retries: options.retries,
            timeout: options.task_timeout,
            window: options.window,
            queue: VecDeque::new(),
            ready: Vec::new(),
            ready_finals: 0,
            outstanding: 0,
            in_flight: 0,
            serving: 0,
            mean_ns: 0.0,
            signal: None,
            waiting: false,
            cancelled: false,
            kill_at_ns: 0,
            closed: false,
        }
    }

    pub(super) fn signal(&mut self) -> Result<Arc<Signal>, Error> {
        if let Some(signal) = &self.signal {
            return Ok(Arc::clone(signal));
        }
        let made = Signal::new().map_err(Error::io("cannot make a signal"))?;
        Ok(Arc::clone(self.signal.insert(Arc::new(made))))
    }

    pub(super) fn raise(&self) {
        if let Some(signal) = &self.signal {
            signal.raise();
        }
    }

    pub(super) fn mean_ns(&self) -> f64 {
        self.mean_ns
    }

    /// Notes how long a task took.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn measured(&mut self, ns: u64) {
        let ns = (ns as f64).max(1.0);
        self.mean_ns = if self.mean_ns == 0.0 {
            ns
        } else {
            self.mean_ns * 0.85 + ns * 0.15
        };
    }

    /// How many tasks a worker may have, of which it runs one: enough that it need not wait for the next, and no more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    pub(super) fn window(&self, workers: usize) -> usize {
        let most = match self.window {
            Window::Auto => Slots::COUNT / 2,
            Window::Tasks(tasks) => tasks.div_ceil(self.width.min(workers).max(1)).max(1),
        };
        let enough = if self.mean_ns == 0.0 || self.mean_ns >= AHEAD_NS {
            1
        } else {
            ((AHEAD_NS / self.mean_ns) as usize).max(2)
        };
        enough.min(most).min(Slots::COUNT / 2)
    }

    /// How many more tasks are wanted.
    pub(super) fn room(&self, workers: usize) -> usize {
        let wanted = match self.window {
            Window::Tasks(tasks) => tasks,
            Window::Auto => 2 * self.width.min(workers).max(1) * self.window(workers),
        };
        wanted.saturating_sub(self.outstanding)
    }

    /// Notes what is known of a task.
    pub(super) fn push(&mut self, outcome: Outcome) {
        if self.cancelled {
            return;
        }
        if outcome.kind.is_final() {
            self.ready_finals += 1;
        }
        self.ready.push(outcome);
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn take(&mut self, into: &mut Vec<Outcome>) {
        self.outstanding = self.outstanding.saturating_sub(self.ready_finals);
        self.ready_finals = 0;
        into.append(&mut self.ready);
    }

    /// A task failed: it is tried again, or that was its last outcome.
    pub(super) fn failed(&mut self, queued: Queued, outcome: Outcome) -> bool {
        if self.cancelled || queued.attempts > self.retries {
            self.push(outcome);
            return false;
        }
        self.push(Outcome {
            kind: OutcomeKind::Retried {
                reason: Box::new(outcome.kind),
            },
            ..outcome
        });
        self.queue.push_front(queued);
        true
    }

    pub(super) fn forget_all(&mut self) {
        self.cancelled = true;
        self.queue.clear();
        self.ready.clear();
        self.ready_finals = 0;
        self.outstanding = 0;
    }
}
