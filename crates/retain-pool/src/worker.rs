//! The worker's side.

mod memory;
mod serve;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::channel::Outgoing;
use crate::error::Error;
use crate::outbox::Outbox;
use crate::payload::{Buffer, Payload};
use crate::segment::{Arena, Mapped};
use crate::wire;

pub(crate) use serve::map;
pub use serve::serve;

/// The supervisor, as a peer of the worker's arena.
const SUPERVISOR: u64 = 0;

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

/// What a task may say before it ends.
#[derive(Debug)]
pub struct Out {
    socket: OwnedFd,
    outgoing: Outgoing,
    outbox: Outbox,
    arena: Arena,
    /// The task that runs.
    sequence: u64,
    /// When something was sent last.
    sent_ns: u64,
    /// Where a frame is made before it goes to the outbox.
    frame: Vec<u8>,
}

impl Out {
    /// Sends something at once, before the answer of the task.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the supervisor is gone.
    pub fn emit(&mut self, kind: u8, bytes: &[u8]) -> Result<(), Error> {
        if !wire::fits(0, bytes.len()) {
            return Err(Error::Protocol("more output than a frame can hold"));
        }
        self.outbox.drain(self.outgoing.bytes());
        wire::output(self.outgoing.bytes(), self.sequence, kind, bytes);
        self.flush()
    }

    /// Where large parts of an answer are put.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Sends all that was written.
    fn flush(&mut self) -> Result<(), Error> {
        self.outbox.drain(self.outgoing.bytes());
        self.outgoing
            .flush(self.socket.as_fd(), false)
            .map_err(Error::io("cannot write to the supervisor"))?;
        Ok(())
    }

    /// Writes an answer. It is sent at once if the last one was sent a while ago: the next task may take long.
    fn answer(&mut self, ending: wire::Ending, payload: &Payload) -> Result<(), Error> {
        /// So long an answer is kept back at most.
        const KEPT_NS: u64 = 500_000;

        let mut regions = Vec::new();
        for Buffer::Shared(shared) in &payload.buffers {
            let lent = self.arena.lend(SUPERVISOR, shared);
            regions.push(region(&mut self.outgoing, lent));
        }
        if !wire::fits(regions.len(), payload.bytes.len()) {
            return Err(Error::Protocol("an answer that no frame can hold"));
        }
        if regions.is_empty() {
            self.frame.clear();
            wire::answer(&mut self.frame, ending, &[], &payload.bytes);
            let kept = self.outbox.append(&self.frame);
            if !kept {
                self.outbox.drain(self.outgoing.bytes());
                self.outgoing.bytes().extend_from_slice(&self.frame);
                self.frame.shrink_to(1 << 20);
            }
            if kept && ending.ended_ns.saturating_sub(self.sent_ns) < KEPT_NS {
                return Ok(());
            }
        } else {
            wire::answer(self.outgoing.bytes(), ending, &regions, &payload.bytes);
        }
        self.sent_ns = ending.ended_ns;
        self.flush()
    }
}

/// How a region is told that was lent; the segment itself goes with the next frame.
pub(crate) fn region(outgoing: &mut Outgoing, lent: crate::segment::Lent) -> wire::Region {
    let with_fd = lent.fd.is_some();
    if let Some(fd) = lent.fd {
        outgoing.attach(Arc::clone(&fd));
    }
    wire::Region {
        segment: lent.segment,
        size: lent.size,
        offset: lent.offset,
        len: lent.len,
        number: lent.region,
        with_fd,
    }
}
