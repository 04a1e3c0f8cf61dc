//! Reading a retain file whose bytes can be read at any place.

use std::io;
use std::sync::Mutex;

use crate::checksum::{self, Checksum, PIECE};
use crate::layout::{BUFFER_START, Buffer, HEAD_LEN, Head, Trailer};
use crate::opcode::{NEXT_BUFFER, PROTO, STOP};
use crate::{Error, ReadAt};

/// The skeleton is read in portions of this size.
const WINDOW: usize = 128 << 10;
/// Buffers of at least this size are read by several threads.
const SHARED: usize = 8 << 20;
/// More threads than this do not read faster.
const THREADS: usize = 4;

/// A retain file, opened: its head and trailer are read and checked.
pub struct Stored<S> {
    source: S,
    trailer: Trailer,
    /// Where the trailer's opcode lies.
    end: u64,
}

impl<S: ReadAt> Stored<S> {
    /// Opens the file; gives `source` back if it is no retain file.
    ///
    /// # Errors
    /// [`Error::Truncated`] and [`Error::Corrupt`] if head or trailer are damaged, and those of `source`.
    pub fn open(source: S) -> Result<Result<Self, S>, Error> {
        let mut head = [0; HEAD_LEN];
        if source.len() < HEAD_LEN as u64 {
            return Ok(Err(source));
        }
        source.read_exact_at(&mut head, 0)?;
        let Some(head) = Head::parse(&head)? else {
            return Ok(Err(source));
        };
        let (trailer, end) = Trailer::read(&source, head)?;
        Ok(Ok(Self {
            source,
            trailer,
            end,
        }))
    }

    /// The buffers in the order of the stream.
    pub fn buffers(&self) -> &[Buffer] {
        &self.trailer.buffers
    }

    /// What wrote the file.
    pub fn writer(&self) -> &str {
        &self.trailer.writer
    }

    /// Checks the bytes that are no buffer's data: read them, then trust them.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if their checksum does not match, and those of the source.
    pub fn check_skeleton(&self) -> Result<(), Error> {
        let mut sum = Checksum::new();
        let mut window = Window::new();
        for (start, end) in self.pieces() {
            let mut at = start;
            while at < end {
                let bytes = window.bytes(&self.source, at, end)?;
                sum.update(bytes);
                at += bytes.len() as u64;
            }
        }
        if sum.finish() == self.trailer.skeleton {
            return Ok(());
        }
        Err(Error::Corrupt(
            "the checksum of the objects does not match: the file was damaged after it was written"
                .into(),
        ))
    }

    /// The ranges between head, buffers and trailer, the opcodes before the data of a buffer included.
    fn pieces(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let starts = std::iter::once(HEAD_LEN as u64).chain(
            self.trailer
                .buffers
                .iter()
                .map(|buffer| buffer.offset + buffer.len),
        );
        let ends = self.trailer.buffers.iter().map(|buffer| buffer.offset);
        starts.zip(ends.chain(std::iter::once(self.end)))
    }

    /// The opcodes of the value, with `NEXT_BUFFER` in place of each buffer.
    pub fn skeleton(&self) -> Skeleton {
        Skeleton {
            window: Window::new(),
            at: HEAD_LEN as u64,
            next: 0,
            literal: &[PROTO, 5],
            ended: false,
        }
    }

    /// Reads buffer number `index` into `into`, which has its length, and checks it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its checksum does not match, and those of the source.
    ///
    /// # Panics
    /// If there is no such buffer or `into` has another length.
    pub fn read_buffer(&self, index: usize, into: &mut [u8]) -> Result<(), Error> {
        let buffer = self.trailer.buffers[index];
        assert_eq!(into.len() as u64, buffer.len, "the length of the buffer");
        let read = if into.len() >= SHARED {
            self.read_shared(buffer.offset, into)
        } else {
            self.read_alone(buffer.offset, into)
        };
        match read {
            Ok(sum) if sum == buffer.checksum => Ok(()),
            Ok(_) => Err(Error::Corrupt(format!(
                "the checksum of array {} of {} does not match: the file was damaged after it was written",
                index + 1,
                self.trailer.buffers.len()
            ))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::Truncated(format!(
                    "the file ends in the middle of array {} of {}",
                    index + 1,
                    self.trailer.buffers.len()
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_alone(&self, offset: u64, into: &mut [u8]) -> io::Result<u64> {
        let mut sum = Checksum::new();
        let mut at = offset;
        for piece in into.chunks_mut(PIECE) {
            self.source.read_exact_at(piece, at)?;
            at += piece.len() as u64;
            sum.update(piece);
        }
        Ok(sum.finish())
    }

    /// Several threads take piece after piece, so that one that is held up holds up nobody.
    fn read_shared(&self, offset: u64, into: &mut [u8]) -> io::Result<u64> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
        let count = into.len().div_ceil(PIECE);
        let pieces = Mutex::new(into.chunks_mut(PIECE).enumerate());
        let work = || -> io::Result<Vec<(usize, u64)>> {
            let mut hashes = Vec::with_capacity(count / threads + 1);
            loop {
                // Not held while reading.
                let next = pieces.lock().ok().and_then(|mut pieces| pieces.next());
                let Some((number, piece)) = next else {
                    return Ok(hashes);
                };
                self.source
                    .read_exact_at(piece, offset + (number * PIECE) as u64)?;
                hashes.push((number, checksum::of_piece(piece)));
            }
        };
        let mut hashes = std::thread::scope(|scope| -> io::Result<_> {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut hashes = work()?;
            for other in others {
                let more = other
                    .join()
                    .map_err(|_| io::Error::other("a thread that reads ended early"))?;
                hashes.append(&mut more?);
            }
            Ok(hashes)
        })?;
        hashes.sort_unstable();
        let hashes: Vec<u64> = hashes.into_iter().map(|(_, hash)| hash).collect();
        Ok(checksum::of_pieces(&hashes))
    }
}

/// The opcodes of a retain file, portion by portion, with `NEXT_BUFFER` in place of each buffer.
pub struct Skeleton {
    window: Window,
    at: u64,
    /// The next buffer.
    next: usize,
    /// Opcodes that are not in the file, before those at `at`.
    literal: &'static [u8],
    ended: bool,
}

impl Skeleton {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn fill<S: ReadAt>(&mut self, stored: &Stored<S>) -> io::Result<&[u8]> {
        while self.literal.is_empty() && !self.ended {
            let next = stored.buffers().get(self.next);
            let end = next.map_or(stored.end, |buffer| buffer.offset - BUFFER_START as u64);
            if self.at < end {
                return self.window.bytes(&stored.source, self.at, end);
            }
            if let Some(buffer) = next {
                self.literal = &[NEXT_BUFFER];
                self.at = buffer.offset + buffer.len;
                self.next += 1;
            } else {
                self.literal = &[STOP];
                self.ended = true;
            }
        }
        Ok(self.literal)
    }

    /// Moves on by `count` of the bytes that [`Self::fill`] gave.
    pub fn consume(&mut self, count: usize) {
        if self.literal.is_empty() {
            self.at += count as u64;
        } else {
            self.literal = &self.literal[count..];
        }
    }
}

/// A window on a source.
struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// Bytes from `at` on: at least one of those before `end`, and none beyond.
    fn bytes<S: ReadAt>(&mut self, source: &S, at: u64, end: u64) -> io::Result<&[u8]> {
        let have = self.start + self.bytes.len() as u64;
        if !(self.start..have).contains(&at) {
            // Beyond `end`, too: small buffers lie between small pieces.
            let left = source.len().saturating_sub(at);
            let size = usize::try_from(left).map_or(WINDOW, |left| left.min(WINDOW));
            if size == 0 && at < end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.bytes.resize(size, 0);
            self.start = at;
            source.read_exact_at(&mut self.bytes, at)?;
        }
        let have = self.start + self.bytes.len() as u64;
        let from = usize::try_from(at - self.start).map_err(io::Error::other)?;
        let to = usize::try_from(end.min(have) - self.start).map_err(io::Error::other)?;
        Ok(&self.bytes[from..to])
    }
}
