//! The helper that is forked for each worker.

use std::os::fd::OwnedFd;

use crate::error::Error;

/// The zygote's side: the program calls it, and forks by itself.
#[derive(Debug)]
pub struct Server {}

/// A worker is wanted.
#[derive(Debug)]
pub struct Request {
    /// Its index, for `RETAIN_WORKER`.
    pub index: u32,
    /// What the child serves.
    pub socket: OwnedFd,
}

impl Server {
    /// Serves the supervisor at the other end of `socket`: see
    /// [`take_inherited_socket`](super::take_inherited_socket).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the process that made the pool cannot be watched.
    pub fn new(_socket: OwnedFd) -> Result<Self, Error> {
        todo!()
    }

    /// Waits until a worker is wanted, and meanwhile sees to those that end. `None`: all workers were killed, and the
    /// zygote is to exit. In the child of the fork, drop the `Server` and call [`worker::serve`](crate::worker::serve).
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] or [`Error::Io`], after all workers were killed.
    pub fn wait(&self) -> Result<Option<Request>, Error> {
        todo!()
    }

    /// Says that the child for a request is `pid`, or 0 if the fork failed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the supervisor is gone; `wait` says so as well.
    pub fn started(&self, _index: u32, _pid: i32) -> Result<(), Error> {
        todo!()
    }
}
