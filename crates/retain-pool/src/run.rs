//! One set of tasks.

use std::time::Duration;

use crate::error::Error;
use crate::outcome::Outcome;
use crate::payload::{Definition, Payload, Task};

/// A set of tasks that have something in common. Dropped, it is cancelled.
#[derive(Debug)]
pub struct Run {}

impl Run {
    /// Something that many tasks refer to.
    #[must_use]
    pub fn define(&self, _payload: Payload) -> Definition {
        todo!()
    }

    /// Hands over a task; it is written to a worker at once if one has nothing to do.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] after a shutdown or in a forked child.
    pub fn submit(&self, _task: Task) -> Result<(), Error> {
        todo!()
    }

    /// How many more tasks are wanted now.
    #[must_use]
    pub fn room(&self) -> usize {
        todo!()
    }

    /// Takes all outcomes that are there. If there is none but tasks are outstanding, waits for one so long at most:
    /// [`Duration::ZERO`] only looks, [`Duration::MAX`] waits for ever.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if a signal arrived, [`Error::Closed`] after a shutdown or in a forked child,
    /// [`Error::Start`] if no worker can be started.
    pub fn outcomes(&self, _wait: Duration, _into: &mut Vec<Outcome>) -> Result<(), Error> {
        todo!()
    }

    /// Drops what is queued, revokes what workers have not begun, and kills the workers that run one of its tasks. No
    /// outcome comes after this.
    pub fn cancel(&self) {
        todo!()
    }
}
