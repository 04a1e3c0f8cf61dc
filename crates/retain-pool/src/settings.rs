//! How a pool and a run are to be.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::payload::Payload;

/// A program and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, looked up on `PATH` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Set in its environment, besides what this process has in its own.
    pub env: Vec<(OsString, OsString)>,
    /// Where it is started.
    pub cwd: Option<PathBuf>,
}

impl Command {
    /// A program without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// How workers come to be.
///
/// The program finds its socket in the place of standard input: see
/// [`take_inherited_socket`](crate::starter::take_inherited_socket).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// The program is started once and forked for each worker: it runs a [`zygote::Server`](crate::starter::zygote::Server).
    Zygote(Command),
    /// The program is started for each worker, with its index in `RETAIN_WORKER`: it calls [`worker::serve`](crate::worker::serve).
    Spawn(Command),
}

/// How a pool is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How workers come to be.
    pub starter: Starter,
    /// How many there are at most; [`Pool::grow`](crate::Pool::grow) raises it.
    pub workers: usize,
    /// How many bytes of private memory a worker may have.
    pub memory_limit: Option<u64>,
    /// A worker that had nothing to do for so long leaves.
    pub idle: Duration,
}

impl Settings {
    /// Without a limit of memory; workers leave after five minutes.
    #[must_use]
    pub fn new(starter: Starter, workers: usize) -> Self {
        Self {
            starter,
            workers,
            memory_limit: None,
            idle: Duration::from_secs(300),
        }
    }
}

/// How many tasks may be outstanding: submitted, and their last outcome not yet taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// As many as keep the workers busy, from measured durations.
    #[default]
    Auto,
    /// So many in all.
    Tasks(usize),
}

/// How a run is to be.
#[derive(Debug)]
pub struct RunOptions {
    /// Told to each worker before its first task of this run.
    pub context: Payload,
    /// How many workers may have tasks of this run at once.
    pub width: usize,
    /// How often a task that failed is tried again.
    pub retries: u32,
    /// How long a task may take.
    pub task_timeout: Option<Duration>,
    /// How many tasks may be outstanding.
    pub window: Window,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            context: Payload::default(),
            width: usize::MAX,
            retries: 0,
            task_timeout: None,
            window: Window::Auto,
        }
    }
}
