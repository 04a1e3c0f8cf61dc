//! One set of tasks.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::outcome::Outcome;
use crate::payload::{Defined, Definition, Payload, Task};
use crate::pool::Pool;
use crate::settings::RunOptions;

/// A set of tasks that have something in common. Dropped, it is cancelled.
#[derive(Debug)]
pub struct Run {
    pool: Pool,
    /// Which of the pool's runs it is.
    place: u32,
    /// By what workers know it.
    wire: u32,
}

impl Run {
    pub(crate) fn new(pool: Pool, options: RunOptions) -> Result<Self, Error> {
        let (place, wire) = pool.core().begin(options)?;
        Ok(Self { pool, place, wire })
    }

    /// Something that many tasks refer to.
    #[must_use]
    pub fn define(&self, payload: Payload) -> Definition {
        let core = self.pool.core();
        Definition(Arc::new(Defined {
            run: self.wire,
            id: core.next_definition(),
            payload,
            dropped: Arc::clone(&core.dropped),
        }))
    }

    /// Hands over a task; it is written to a worker at once if one has nothing to do.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after a cancellation or shutdown, or in a forked child.
    pub fn submit(&self, task: Task) -> Result<(), Error> {
        self.pool.core().submit(self.place, task)
    }

    /// How many more tasks are wanted now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.pool.core().room(self.place)
    }

    /// Takes all outcomes that are there. If there is none but tasks are outstanding, waits for one so long at most:
    /// [`Duration::ZERO`] only looks, [`Duration::MAX`] waits for ever. One thread at a time waits for the outcomes of a
    /// run.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if a signal arrived or may have, [`Error::Closed`] after a shutdown or in a forked child,
    /// [`Error::Start`] if no worker can be started.
    pub fn outcomes(&self, wait: Duration, into: &mut Vec<Outcome>) -> Result<(), Error> {
        self.pool.core().outcomes(self.place, wait, into)
    }

    /// Drops what is queued, revokes what workers have not begun, and kills the workers that run one of its tasks. No
    /// outcome comes after this; whoever waits for one waits no more.
    pub fn cancel(&self) {
        self.pool.core().cancel(self.place, false);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.pool.core().cancel(self.place, true);
    }
}
