//! Compressing the blocks of one large slice where they lie.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{BLOCK, BlockCoder, Sink, encode_caught};

#[derive(Default)]
struct Progress {
    /// The next block that nobody has taken.
    next: usize,
    /// Blocks in the output.
    written: usize,
    done: HashMap<usize, io::Result<Vec<u8>>>,
    spare: Vec<Vec<u8>>,
    /// Nothing more is wanted: all is done, or something failed.
    stop: bool,
}

struct Shared<'a> {
    bytes: &'a [u8],
    blocks: usize,
    /// How many blocks may be compressed ahead of the one being written.
    ahead: usize,
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl<'a> Shared<'a> {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(&self, index: usize) -> &'a [u8] {
        let start = index.saturating_mul(BLOCK).min(self.bytes.len());
        let rest = self.bytes.split_at(start).1;
        rest.split_at(BLOCK.min(rest.len())).0
    }

    fn free_to_take(&self, progress: &Progress) -> bool {
        progress.next < self.blocks && progress.next - progress.written < self.ahead
    }

    /// Compresses the next block nobody has taken. The lock is given up meanwhile.
    fn encode_next<C: BlockCoder>(&self, mut progress: MutexGuard<'_, Progress>, coder: &mut C) {
        let index = progress.next;
        progress.next += 1;
        let mut packed = progress.spare.pop().unwrap_or_default();
        drop(progress);
        let outcome = encode_caught(coder, self.block(index), &mut packed).map(|()| packed);
        self.lock().done.insert(index, outcome);
        self.changed.notify_all();
    }

    fn help<C: BlockCoder>(&self, coder: &mut C) {
        loop {
            let mut progress = self.lock();
            while !progress.stop && !self.free_to_take(&progress) {
                if progress.next >= self.blocks {
                    return;
                }
                progress = self
                    .changed
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if progress.stop {
                return;
            }
            self.encode_next(progress, coder);
        }
    }

    /// Writes the blocks in their order, and compresses some where the next one is not ready.
    fn write_all<W: Write, C: BlockCoder>(
        &self,
        coder: &mut C,
        sink: &mut Sink<W>,
    ) -> io::Result<()> {
        loop {
            let mut progress = self.lock();
            let index = progress.written;
            if index >= self.blocks {
                return Ok(());
            }
            if let Some(outcome) = progress.done.remove(&index) {
                drop(progress);
                let packed = outcome?;
                sink.put(self.block(index), &packed)?;
                let mut progress = self.lock();
                progress.written += 1;
                progress.spare.push(packed);
                drop(progress);
                self.changed.notify_all();
            } else if self.free_to_take(&progress) {
                self.encode_next(progress, coder);
            } else {
                progress = self
                    .changed
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner);
                drop(progress);
            }
        }
    }
}

/// Compresses all of `bytes` with one thread for each of `coders`, of which the calling thread is one.
pub(super) fn encode<W: Write, C: BlockCoder>(
    bytes: &[u8],
    coders: &mut [C],
    sink: &mut Sink<W>,
) -> io::Result<()> {
    let Some((own, others)) = coders.split_first_mut() else {
        return Err(io::Error::other("no thread to compress with"));
    };
    let shared = Shared {
        bytes,
        blocks: bytes.len().div_ceil(BLOCK),
        ahead: others.len() + 3,
        progress: Mutex::default(),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for coder in others {
            // Without a further thread there is less help, and nothing is lost.
            let _ = thread::Builder::new()
                .name("retain-compress".into())
                .spawn_scoped(scope, || shared.help(coder));
        }
        let _release = Release(&shared);
        shared.write_all(own, sink)
    })
}

/// Lets the helpers go, also where the output panics.
struct Release<'a>(&'a Shared<'a>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.changed.notify_all();
    }
}
