//! Worker processes: every core, nothing lost.
//!
//! A [`Pool`] keeps processes that run tasks. A [`Run`] is one set of tasks with what they share; many runs can use one
//! pool at once. A task that its worker dies of costs only itself, and nothing of a pool outlives the process that made
//! it. What the tasks are is the program's own matter: a worker is any program that calls [`worker::serve`] with a
//! [`worker::Handler`].
//!
//! ```no_run
//! use retain_pool::{Command, Payload, Pool, RunOptions, Settings, Starter, Task};
//!
//! # fn main() -> Result<(), retain_pool::Error> {
//! let pool = Pool::new(Settings::new(Starter::Spawn(Command::new("my-worker")), 2))?;
//! let run = pool.run(RunOptions::default())?;
//! run.submit(Task { definition: None, payload: Payload::from(b"2 + 2".to_vec()), tag: 0 })?;
//! let mut outcomes = Vec::new();
//! run.outcomes(std::time::Duration::MAX, &mut outcomes)?;
//! # Ok(())
//! # }
//! ```
#![cfg(unix)]

mod alarm;
mod bytes;
mod channel;
mod clock;
mod error;
mod fork;
mod outbox;
mod outcome;
mod payload;
mod poller;
mod pool;
mod process;
mod run;
pub mod segment;
mod settings;
mod signal;
pub mod slots;
mod spin;
pub mod starter;
mod supervisor;
pub mod watch;
mod wire;
pub mod worker;

pub use bytes::Bytes;
pub use error::Error;
pub use fork::after_fork_in_child;
pub use outcome::{Ended, Outcome, OutcomeKind, Reply};
pub use payload::{Buffer, Definition, Payload, Task};
pub use pool::{Pool, WorkerInfo};
pub use run::Run;
pub use segment::{Arena, Mapped, Shared};
pub use settings::{Command, RunOptions, Settings, Starter, Window};
