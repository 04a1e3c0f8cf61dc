//! Where the verifier reads from.

use std::io::{self, Read};

use crate::Error;

/// A stream that is read once, forwards, and whose large payloads are passed over.
pub trait Input<'a> {
    /// What comes next: at least so many bytes, unless the stream ends before.
    ///
    /// # Errors
    ///
    /// If reading fails.
    fn fill(&mut self, at_least: usize) -> Result<&[u8], Error>;

    /// Take so many of the bytes that [`fill`](Self::fill) gave.
    fn consume(&mut self, count: usize);

    /// Pass over so many bytes; how many there were.
    ///
    /// # Errors
    ///
    /// If reading fails.
    fn skip(&mut self, count: u64) -> Result<u64, Error>;

    /// How many bytes there are in all, if that is known.
    fn length(&self) -> Option<u64> {
        None
    }

    /// All bytes, if they lie in memory. What has to be looked at for its meaning (where the texts of a column begin, say)
    /// is read there; without it, files with such things are refused.
    fn memory(&self) -> Option<&'a [u8]> {
        None
    }
}

/// Bytes in memory, or a file that is mapped into it.
#[derive(Debug, Clone)]
pub struct Slice<'a> {
    all: &'a [u8],
    taken: usize,
}

impl<'a> Slice<'a> {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            all: bytes,
            taken: 0,
        }
    }
}

impl<'a> Input<'a> for Slice<'a> {
    fn fill(&mut self, _at_least: usize) -> Result<&[u8], Error> {
        Ok(self.all.get(self.taken..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.all.len());
    }

    fn skip(&mut self, count: u64) -> Result<u64, Error> {
        let left = self.all.len() - self.taken;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(left);
        self.taken += count;
        Ok(count as u64)
    }

    fn length(&self) -> Option<u64> {
        Some(self.all.len() as u64)
    }

    fn memory(&self) -> Option<&'a [u8]> {
        Some(self.all)
    }
}

/// Anything that can be read, as a decompressor. A piece of it is kept in memory, as long as the longest text.
#[derive(Debug)]
pub struct Stream<R> {
    reader: R,
    buffer: Vec<u8>,
    from: usize,
}

const PIECE: usize = 1 << 18;

impl<R: Read> Stream<R> {
    /// The rest of `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            from: 0,
        }
    }

    fn more(&mut self) -> Result<usize, Error> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let length = self.buffer.len();
        let count = self
            .reader
            .by_ref()
            .take(PIECE as u64)
            .read_to_end(&mut self.buffer)?;
        debug_assert_eq!(self.buffer.len(), length + count);
        Ok(count)
    }
}

impl<R: Read> Input<'_> for Stream<R> {
    fn fill(&mut self, at_least: usize) -> Result<&[u8], Error> {
        while self.buffer.len() - self.from < at_least && self.more()? > 0 {}
        Ok(self.buffer.get(self.from..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.from = self.from.saturating_add(count).min(self.buffer.len());
    }

    fn skip(&mut self, count: u64) -> Result<u64, Error> {
        let here = (self.buffer.len() - self.from) as u64;
        if count <= here {
            self.from += usize::try_from(count).unwrap_or(usize::MAX);
            return Ok(count);
        }
        self.buffer.clear();
        self.from = 0;
        let passed = io::copy(
            &mut self.reader.by_ref().take(count - here),
            &mut io::sink(),
        )?;
        Ok(here + passed)
    }
}
