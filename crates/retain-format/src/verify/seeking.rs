//! Files, of which only what is looked at is read.

use std::io::{Read, Seek};

use super::Input;
use crate::Error;

/// A file that can be read at any place: what is passed over is not read.
#[derive(Debug)]
pub struct Seeking<F> {
    file: F,
    length: u64,
    /// Where in the file the buffer ends.
    at: u64,
    buffer: Vec<u8>,
    from: usize,
}

const PIECE: usize = 1 << 17;

impl<F: Read + Seek> Seeking<F> {
    /// The rest of `file`, which has `length` bytes from where it stands.
    pub fn new(file: F, length: u64) -> Self {
        Self {
            file,
            length,
            at: 0,
            buffer: Vec::new(),
            from: 0,
        }
    }
}

impl<F: Read + Seek> Input<'_> for Seeking<F> {
    fn fill(&mut self, at_least: usize) -> Result<&[u8], Error> {
        while self.buffer.len() - self.from < at_least {
            self.buffer.drain(..self.from);
            self.from = 0;
            let mut piece = self.file.by_ref().take(PIECE as u64);
            let count = piece.read_to_end(&mut self.buffer)?;
            self.at += count as u64;
            if count == 0 {
                break;
            }
        }
        Ok(self.buffer.get(self.from..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.from = self.from.saturating_add(count).min(self.buffer.len());
    }

    fn skip(&mut self, count: u64) -> Result<u64, Error> {
        let here = self.buffer.len() - self.from;
        if count <= here as u64 {
            self.from += usize::try_from(count).unwrap_or(here);
            return Ok(count);
        }
        self.buffer.clear();
        self.from = 0;
        let beyond = (count - here as u64).min(self.length.saturating_sub(self.at));
        self.file
            .seek_relative(i64::try_from(beyond).unwrap_or(i64::MAX))?;
        self.at += beyond;
        Ok(here as u64 + beyond)
    }

    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
}
