//! Why a pool did not do what it was asked to.

use std::io;

/// Why a pool could not be made, or a task not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The operating system has no shared memory or file descriptor left.
    #[error("no shared memory: {0}")]
    Memory(#[from] io::Error),
    /// A program could not be started, or ended before it served.
    #[error("{0}")]
    Start(String),
    /// What came over a socket or lay in shared memory is not of this protocol.
    #[error("the other end broke the protocol: {0}")]
    Protocol(&'static str),
    /// More bytes than a frame can hold: large ones travel in buffers.
    #[error("more than 4 GB in one message: put large parts into buffers")]
    TooLarge,
    /// A signal arrived while outcomes were waited for, or may have: call again once it is handled.
    #[error("interrupted by a signal")]
    Interrupted,
    /// The pool was shut down, or belongs to the process that this one was forked from.
    #[error("the pool is shut down")]
    Closed,
}

impl Error {
    /// For `map_err`: names what was tried.
    pub(crate) fn io<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }
}
