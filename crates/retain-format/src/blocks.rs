//! Compressing a stream in blocks of equal size on several threads, written in their order.
//!
//! Small writes are gathered into blocks that worker threads take while the caller produces more. A slice of many blocks
//! is compressed where it lies, by threads that live as long as that call. Content of less than a block starts no thread.

mod crew;
mod slice;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;

use xxhash_rust::xxh32::Xxh32;

use crate::codec::stream::failed_before;
use crew::Crew;

/// The content of a block, the last excepted.
pub(crate) const BLOCK: usize = 1 << 20;

/// More threads than this gain nothing that a disk could keep up with, and cost memory.
const MOST_THREADS: usize = 8;

/// Compresses one block on its own.
pub(crate) trait BlockCoder: Send + 'static {
    /// Puts the compressed form of `block` into `into`, which is empty and may have been used before.
    fn encode(&mut self, block: &[u8], into: &mut Vec<u8>) -> io::Result<()>;
}

/// A panic of a library must not leave the threads waiting for each other.
fn encode_caught<C: BlockCoder>(coder: &mut C, block: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    catch_unwind(AssertUnwindSafe(|| coder.encode(block, into)))
        .unwrap_or_else(|_| Err(io::Error::other("the compressor panicked")))
}

/// The length of a block before and after compression.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths {
    pub(crate) plain: u32,
    pub(crate) packed: u32,
}

/// Where compressed blocks go, and what has gone there.
pub(crate) struct Sink<W> {
    pub(crate) output: W,
    pub(crate) written: Vec<Lengths>,
    /// Of the content so far, for formats that end in it.
    pub(crate) hash: Option<Xxh32>,
}

impl<W: Write> Sink<W> {
    fn put(&mut self, plain: &[u8], packed: &[u8]) -> io::Result<()> {
        let length = |n: usize| u32::try_from(n).map_err(io::Error::other);
        if let Some(hash) = &mut self.hash {
            hash.update(plain);
        }
        self.output.write_all(packed)?;
        self.written.push(Lengths {
            plain: length(plain.len())?,
            packed: length(packed.len())?,
        });
        Ok(())
    }
}

/// The writer of blocks.
pub(crate) struct Blocks<W, C> {
    pub(crate) sink: Sink<W>,
    make: Box<dyn Fn() -> io::Result<C> + Send>,
    threads: usize,
    /// Bytes that do not fill a block yet.
    pending: Vec<u8>,
    /// For blocks that this thread compresses itself.
    coders: Vec<C>,
    scratch: Vec<u8>,
    crew: Option<Crew>,
    failed: bool,
}

impl<W: Write + Send, C: BlockCoder> Blocks<W, C> {
    pub(crate) fn new(output: W, make: impl Fn() -> io::Result<C> + Send + 'static) -> Self {
        Self {
            sink: Sink {
                output,
                written: Vec::new(),
                hash: None,
            },
            make: Box::new(make),
            threads: available_parallelism()
                .map_or(1, usize::from)
                .min(MOST_THREADS),
            pending: Vec::new(),
            coders: Vec::new(),
            scratch: Vec::new(),
            crew: None,
            failed: false,
        }
    }

    /// Hashes the content as it goes.
    pub(crate) fn with_hash(mut self) -> Self {
        self.sink.hash = Some(Xxh32::new(0));
        self
    }

    pub(crate) fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, MOST_THREADS);
        self
    }

    /// Does `work`, and refuses all that comes after a failure: a stream with a hole must never be ended well.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.failed {
            return Err(failed_before());
        }
        self.failed = true;
        let done = work(self)?;
        self.failed = false;
        Ok(done)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.guarded(|blocks| blocks.take(bytes))
    }

    /// Compresses what is left, and waits until all is written to the output.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.guarded(|blocks| {
            if blocks.crew.is_some() && !blocks.pending.is_empty() {
                blocks.submit()?;
            }
            blocks.settle()?;
            blocks.crew = None;
            if !blocks.pending.is_empty() {
                let rest = std::mem::take(&mut blocks.pending);
                blocks.encode_here(&rest)?;
            }
            Ok(())
        })
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.pending.is_empty() {
                let whole = bytes.len() / BLOCK;
                let in_place = whole * BLOCK;
                if self.threads == 1 && whole > 0 {
                    let (block, rest) = bytes.split_at(BLOCK);
                    self.encode_here(block)?;
                    bytes = rest;
                    continue;
                }
                // Fewer blocks are not worth the threads, and better handed to those that work beside the caller.
                if whole >= 2 * self.threads {
                    let (blocks, rest) = bytes.split_at(in_place);
                    self.settle()?;
                    self.encode_in_place(blocks)?;
                    bytes = rest;
                    continue;
                }
            }
            let room = BLOCK.saturating_sub(self.pending.len()).min(bytes.len());
            let (fits, rest) = bytes.split_at(room);
            if self.pending.capacity() < BLOCK && self.pending.len() + fits.len() > BLOCK / 8 {
                self.pending.reserve_exact(BLOCK - self.pending.len());
            }
            self.pending.extend_from_slice(fits);
            bytes = rest;
            if self.pending.len() == BLOCK {
                self.submit()?;
            }
        }
        Ok(())
    }

    /// Hands the pending block to a worker, or compresses it here where there is one thread only.
    fn submit(&mut self) -> io::Result<()> {
        if self.threads > 1 && self.crew.is_none() {
            self.crew = Crew::start(self.threads, &self.make)?;
        }
        let block = std::mem::take(&mut self.pending);
        if let Some(crew) = &mut self.crew {
            self.pending = crew.submit(block, &mut self.sink)?;
            self.pending.clear();
            return Ok(());
        }
        self.encode_here(&block)?;
        self.pending = block;
        self.pending.clear();
        Ok(())
    }

    /// Waits for the workers.
    fn settle(&mut self) -> io::Result<()> {
        match &mut self.crew {
            Some(crew) => crew.settle(&mut self.sink),
            None => Ok(()),
        }
    }

    pub(crate) fn encode_here(&mut self, block: &[u8]) -> io::Result<()> {
        if self.coders.is_empty() {
            self.coders.push((self.make)()?);
        }
        if let Some(coder) = self.coders.first_mut() {
            encode_caught(coder, block, &mut self.scratch)?;
            self.sink.put(block, &self.scratch)?;
        }
        Ok(())
    }

    fn encode_in_place(&mut self, bytes: &[u8]) -> io::Result<()> {
        while self.coders.len() < self.threads {
            self.coders.push((self.make)()?);
        }
        slice::encode(bytes, &mut self.coders, &mut self.sink)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.sink.output.flush()
    }
}
