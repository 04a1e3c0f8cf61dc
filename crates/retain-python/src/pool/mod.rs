//! Worker processes, for Python: the loops that each task passes through.

mod atoms;
mod collector;
mod decode;
mod encode;
mod outcomes;
mod output;
mod pickle;
mod processes;
mod region;
mod run;
mod shares;
mod worker;
mod zygote;

pub(crate) use output::{emit, write};
pub(crate) use processes::{Pool, note_fork};
pub(crate) use run::Run;
pub(crate) use worker::work;
pub(crate) use zygote::ZygoteServer;

/// The first byte of what travels between this module's two ends says what the rest is.
mod wire {
    /// A task: the pickle of its positional arguments.
    pub(super) const ARGS: u8 = 0;
    /// A task: the pickle of its positional and named arguments.
    pub(super) const ARGS_KWARGS: u8 = 1;
    /// A task: the pickle of a function and all its arguments.
    pub(super) const WHOLE: u8 = 2;
    /// A task: its positional arguments, none of which need be pickled.
    pub(super) const ATOMS: u8 = 4;
    /// What is no task: the pickle of one object.
    pub(super) const OBJECT: u8 = 3;

    /// An answer: the pickle of a result.
    pub(super) const DONE: u8 = 0;
    /// An answer: the exception that the task raised.
    pub(super) const RAISED: u8 = 1;
    /// An answer: why the task could not be unpickled.
    pub(super) const UNREADABLE: u8 = 2;
    /// An answer: why the result could not be pickled.
    pub(super) const UNSENDABLE: u8 = 3;
    /// An answer: why the run could not begin in this worker.
    pub(super) const BROKEN: u8 = 4;

    /// An answer: a result that need not be pickled.
    pub(super) const ATOM: u8 = 5;

    /// Set where the pickle is the first buffer.
    pub(super) const APART: u8 = 0x80;
}

/// The exception for what went wrong in the pool.
fn raised(error: &retain_pool::Error) -> pyo3::PyErr {
    use pyo3::exceptions::{PyOSError, PyRuntimeError};
    use retain_pool::Error;

    match error {
        Error::Io { source, .. } | Error::Memory(source) => match source.raw_os_error() {
            Some(code) => PyOSError::new_err((code, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
        error => PyRuntimeError::new_err(error.to_string()),
    }
}
