//! Reading a stream from front to back, and checking it as it passes if it is a retain file.

use std::io::Read;

use crate::Error;
use crate::checksum::{self, Checksum, PIECE};
use crate::foreign::{Foreign, Pause};
use crate::layout::{BUFFER_START, Buffer, HEAD_LEN, Head, MARKER, TRAILER_MARKER, Trailer};
use crate::opcode::{BINBYTES8, BYTEARRAY8};

/// A [`Foreign`] stream whose checksums are checked if it has some.
///
/// They come last in the stream: [`finish`](Self::finish) tells whether they match.
pub struct Streamed<R> {
    foreign: Foreign<R>,
    head: Vec<u8>,
    /// Whether the stream is a retain file; not known before its head has passed.
    ours: Option<bool>,
    skeleton: Checksum,
    /// The last opcodes: the padding before a buffer or the trailer, if one comes next.
    recent: Vec<u8>,
    buffers: Vec<Buffer>,
    trailer: Option<(Trailer, u64)>,
    sum: u64,
}

/// The longest padding.
const PADDING: usize = 74;

impl<R: Read> Streamed<R> {
    /// Follows `foreign`, from its first byte on.
    pub fn new(foreign: Foreign<R>) -> Self {
        Self {
            foreign,
            head: Vec::new(),
            ours: None,
            skeleton: Checksum::new(),
            recent: Vec::new(),
            buffers: Vec::new(),
            trailer: None,
            sum: 0,
        }
    }

    /// The stream.
    pub fn foreign(&mut self) -> &mut Foreign<R> {
        &mut self.foreign
    }

    /// The bytes that an unpickler may have next, as [`Foreign::fill`] gives them.
    ///
    /// # Errors
    /// As there.
    pub fn fill(&mut self) -> Result<&[u8], Error> {
        self.foreign.fill()
    }

    /// The first `count` bytes of what [`fill`](Self::fill) returned have been taken.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they are the head of a retain file, and damaged.
    pub fn consume(&mut self, count: usize) -> Result<(), Error> {
        if self.ours != Some(false) && !self.foreign.offers() {
            let bytes = self.foreign.fill()?;
            let bytes = bytes.get(..count).unwrap_or(bytes);
            let mut rest = bytes;
            if self.ours.is_none() {
                let (head, behind) = bytes.split_at(bytes.len().min(HEAD_LEN - self.head.len()));
                self.head.extend_from_slice(head);
                rest = behind;
                if self.head.len() == HEAD_LEN {
                    self.ours = Some(Head::parse(&self.head)?.is_some());
                }
            }
            if self.ours == Some(true) && self.trailer.is_none() {
                self.skeleton.update(rest);
                self.recent.extend_from_slice(rest);
                let surplus = self.recent.len().saturating_sub(PADDING);
                self.recent.drain(..surplus);
            }
        }
        self.foreign.consume(count);
        Ok(())
    }

    /// What the unpickler asks its caller for: see [`Foreign::arrive`].
    pub fn arrive(&mut self) -> Option<Pause> {
        self.foreign.arrive()
    }

    /// Whether the stream is a retain file, as far as its head has passed.
    pub fn is_ours(&self) -> bool {
        self.ours == Some(true)
    }

    /// Whether what comes next is the trailer, and not a buffer of the value: it is read by
    /// [`read_trailer`](Self::read_trailer).
    pub fn at_trailer(&self) -> bool {
        let marked = |marker: [u8; 8]| {
            self.recent
                .windows(marker.len())
                .rposition(|bytes| bytes == marker)
        };
        self.ours == Some(true) && self.trailer.is_none() && marked(TRAILER_MARKER) > marked(MARKER)
    }

    /// Reads a buffer into `into`, which has its length, and goes on behind it.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn read_buffer(&mut self, read_only: bool, into: &mut [u8]) -> Result<(), Error> {
        self.pass_start(read_only, into.len() as u64);
        let offset = self.foreign.position();
        let mut sum = Checksum::new();
        for piece in into.chunks_mut(PIECE) {
            self.foreign.read_raw(piece)?;
            if self.ours == Some(true) {
                sum.update(piece);
            }
        }
        if self.ours == Some(true) {
            self.buffers.push(Buffer {
                offset,
                len: into.len() as u64,
                writable: !read_only,
                checksum: sum.finish(),
            });
        }
        self.foreign.resume()
    }

    /// Reads the trailer's record, of `len` bytes, and goes on behind it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged, and those of the stream.
    pub fn read_trailer(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        // As bytes arrive: the length is only a claim.
        let mut record = Vec::new();
        self.pass_start(true, len);
        let offset = self.foreign.position();
        let mut left = len;
        while left > 0 {
            let part = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let start = record.len();
            record
                .try_reserve(part)
                .map_err(|_| Error::Budget(format!("a trailer of {len} bytes")))?;
            record.resize(start + part, 0);
            self.foreign.read_raw(&mut record[start..])?;
            left -= part as u64;
        }
        self.trailer = Some((Trailer::parse(&record, offset)?, offset));
        self.recent.clear();
        self.sum = std::mem::replace(&mut self.skeleton, Checksum::new()).finish();
        self.foreign.resume()?;
        Ok(record)
    }

    /// The opcode and length before a buffer, which the unpickler does not see.
    fn pass_start(&mut self, read_only: bool, len: u64) {
        let mut start = [0; BUFFER_START];
        start[0] = if read_only { BINBYTES8 } else { BYTEARRAY8 };
        start[1..].copy_from_slice(&len.to_le_bytes());
        self.skeleton.update(&start);
    }

    /// Checks the checksums, once all has passed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the stream is a retain file and they do not match.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.ours != Some(true) {
            return Ok(());
        }
        let damaged = |what: &str| {
            Error::Corrupt(format!("{what}: the file was damaged after it was written"))
        };
        let Some((trailer, _)) = &self.trailer else {
            return Err(damaged("there is no trailer at the end"));
        };
        let same = |(found, said): (&Buffer, &Buffer)| {
            let unknown = said.checksum == checksum::UNKNOWN;
            *found
                == Buffer {
                    checksum: if unknown {
                        found.checksum
                    } else {
                        said.checksum
                    },
                    ..*said
                }
        };
        if trailer.buffers.len() != self.buffers.len()
            || !self.buffers.iter().zip(&trailer.buffers).all(same)
        {
            return Err(damaged("the checksum of an array does not match"));
        }
        if trailer.skeleton != self.sum {
            return Err(damaged("the checksum of the objects does not match"));
        }
        Ok(())
    }
}
