//! The worker's side.

use std::os::fd::OwnedFd;

use crate::error::Error;
use crate::payload::Payload;
use crate::segment::{Arena, Mapped};

/// What came for a handler.
#[derive(Debug)]
pub struct Parcel<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The large buffers; dropped, the memory may be used again.
    pub buffers: Vec<Mapped>,
}

/// What a task came to.
#[derive(Debug)]
pub struct Answer {
    /// Whether it failed.
    pub failed: bool,
    /// What it came to.
    pub payload: Payload,
}

/// What a task may say before it ends.
#[derive(Debug)]
pub struct Out {}

impl Out {
    /// Sends something at once, before the answer of the task.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the supervisor is gone.
    pub fn emit(&mut self, _kind: u8, _bytes: &[u8]) -> Result<(), Error> {
        todo!()
    }

    /// Where large parts of an answer are put.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        todo!()
    }
}

/// What a worker does.
pub trait Handler {
    /// A run begins: what its tasks have in common.
    fn begin(&mut self, run: u32, context: Parcel<'_>);
    /// What tasks of the run will refer to.
    fn define(&mut self, run: u32, id: u32, definition: Parcel<'_>);
    /// No task will refer to it again.
    fn forget(&mut self, run: u32, id: u32);
    /// One task.
    fn call(
        &mut self,
        run: u32,
        definition: Option<u32>,
        task: Parcel<'_>,
        out: &mut Out,
    ) -> Answer;
    /// No task of the run will come again.
    fn end(&mut self, run: u32);
    /// Called around each wait for the supervisor: a handler that holds a lock meanwhile lets go of it here. It must
    /// call `block` once.
    fn wait(&mut self, block: &mut dyn FnMut()) {
        block();
    }
}

/// Serves the supervisor at the other end of `socket`, until it wants this worker no more or is gone.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Protocol`] if the socket or what comes over it is of no use.
pub fn serve(_socket: OwnedFd, _handler: &mut dyn Handler) -> Result<(), Error> {
    todo!()
}
