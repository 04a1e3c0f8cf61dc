//! What is sent to a worker.

use std::sync::{Arc, Mutex, PoisonError};

use crate::segment::Shared;

/// Bytes for a worker, and the large buffers that they speak of.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    /// The bytes; many of them travel in shared memory by themselves.
    pub bytes: Vec<u8>,
    /// Memory that the worker maps.
    pub buffers: Vec<Buffer>,
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            buffers: Vec::new(),
        }
    }
}

/// A large buffer.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// In memory that is shared with workers.
    Shared(Shared),
}

/// One call.
#[derive(Debug)]
pub struct Task {
    /// What it has in common with other tasks.
    pub definition: Option<Definition>,
    /// What it is.
    pub payload: Payload,
    /// By which its outcomes are known.
    pub tag: u64,
}

/// What many tasks of a run refer to. Each worker is told it once, before its first use, and forgets it when the last
/// task and the last handle are gone.
#[derive(Clone, Debug)]
pub struct Definition(pub(crate) Arc<Defined>);

#[derive(Debug)]
pub(crate) struct Defined {
    pub(crate) run: u32,
    pub(crate) id: u32,
    pub(crate) payload: Payload,
    /// Where to say that it is gone: the last handle may go while the pool is locked.
    pub(crate) dropped: Arc<Dropped>,
}

/// The definitions that workers may forget: of which run, and which.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    ids: Mutex<Vec<(u32, u32)>>,
}

impl Dropped {
    pub(crate) fn take(&self) -> Vec<(u32, u32)> {
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Defined {
    fn drop(&mut self) {
        self.dropped
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((self.run, self.id));
    }
}
