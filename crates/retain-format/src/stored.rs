//! Reading a retain file whose bytes can be read at any place.

use std::io;
use std::sync::Mutex;

use crate::checksum::{self, Checksum, PIECE};
use crate::layout::{BUFFER_START, Buffer, HEAD_LEN, Head, Trailer};
use crate::opcode::{NEXT_BUFFER, PROTO, STOP};
use crate::verify::Plan;
use crate::{Error, ReadAt};

/// The skeleton is read in portions of this size.
const WINDOW: usize = 128 << 10;
/// Buffers of at least this size are read by several threads.
const SHARED: usize = 8 << 20;
/// Skeletons of at most this size are kept in memory.
const KEPT: u64 = 4 << 20;
/// Buffers below this size are read together with what is around them.
const NEAR: u64 = 8 << 10;
/// More threads than this do not read faster.
const THREADS: usize = 4;

/// A retain file, opened: its head and trailer are read and checked.
pub struct Stored<S> {
    source: S,
    trailer: Trailer,
    /// Where the trailer's record lies.
    end: u64,
    /// All bytes between head and the trailer's record that are no buffer's data, if they are few.
    kept: Option<Vec<u8>>,
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
            kept: None,
        }))
    }

    /// Checks that the trailer's index is what was verified: an index that lies would make other opcodes of the same bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Error> {
        if plan.has(self.buffers(), self.end) {
            return Ok(());
        }
        Err(index_lies())
    }

    /// The bytes that make its trailer one that knows no checksums of buffers, and where in the file they belong: for a
    /// file whose buffers are about to be written to in place.
    pub fn without_checksums(&self) -> (u64, Vec<u8>) {
        let mut trailer = self.trailer.clone();
        for buffer in &mut trailer.buffers {
            buffer.checksum = checksum::UNKNOWN;
        }
        (self.end, trailer.encode())
    }

    /// The buffers in the order of the stream.
    pub fn buffers(&self) -> &[Buffer] {
        &self.trailer.buffers
    }

    /// What wrote the file.
    pub fn writer(&self) -> &str {
        &self.trailer.writer
    }

    /// Checks the bytes that are no buffer's data, and keeps them in memory if they are few.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if their checksum does not match, and those of the source.
    pub fn check_skeleton(&mut self) -> Result<(), Error> {
        self.check(KEPT)
    }

    /// Checks the bytes that are no buffer's data, and keeps them in memory: what was checked is what will be read.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if their checksum does not match, and those of the source.
    pub fn keep_skeleton(&mut self) -> Result<(), Error> {
        self.check(u64::MAX)
    }

    fn check(&mut self, most: u64) -> Result<(), Error> {
        let len: u64 = self.pieces().map(|piece| piece.end - piece.start).sum();
        let mut kept = (len <= most).then(Vec::new);
        let mut sum = Checksum::new();
        let mut window = Window::new();
        for piece in self.pieces() {
            let mut at = piece.start;
            while at < piece.end {
                let bytes = window.bytes(&self.source, at, piece)?;
                sum.update(bytes);
                at += bytes.len() as u64;
                if let Some(kept) = &mut kept {
                    kept.extend_from_slice(bytes);
                }
            }
        }
        if sum.finish() != self.trailer.skeleton {
            return Err(Error::Corrupt(
                "the checksum of the objects does not match: the file was damaged after it was written".into(),
            ));
        }
        self.kept = kept;
        Ok(())
    }

    /// The ranges between head, buffers and trailer, the opcodes before the data of a buffer included.
    fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        (0..=self.trailer.buffers.len()).map(|index| self.piece(index))
    }

    /// The range before buffer number `index`.
    fn piece(&self, index: usize) -> Piece {
        let buffers = &self.trailer.buffers;
        let start = match index.checked_sub(1) {
            Some(before) => buffers[before].offset + buffers[before].len,
            None => HEAD_LEN as u64,
        };
        let (end, near) = match buffers.get(index) {
            Some(buffer) => (buffer.offset, buffer.len < NEAR),
            None => (self.end, false),
        };
        Piece { start, end, near }
    }

    /// The opcodes of the value, with `NEXT_BUFFER` in place of each buffer.
    pub fn skeleton(&self) -> Skeleton {
        Skeleton {
            window: Window::new(),
            at: HEAD_LEN as u64,
            kept: 0,
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
    pub fn read_buffer(
        &self,
        window: &mut Window,
        index: usize,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let buffer = self.trailer.buffers[index];
        assert_eq!(into.len() as u64, buffer.len, "the length of the buffer");
        let read = if into.len() >= SHARED {
            self.read_shared(buffer.offset, into)
        } else if buffer.len < NEAR {
            self.read_near(window, buffer, into)
        } else {
            self.read_alone(buffer.offset, into)
        };
        match read {
            Ok(sum) if sum == buffer.checksum || buffer.checksum == checksum::UNKNOWN => Ok(()),
            Ok(_) => Err(self.damaged(index)),
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

    /// Small buffers are read several at once.
    fn read_near(&self, window: &mut Window, buffer: Buffer, into: &mut [u8]) -> io::Result<u64> {
        let piece = Piece {
            start: buffer.offset,
            end: buffer.offset + buffer.len,
            near: true,
        };
        let mut done = 0;
        while done < into.len() {
            let bytes = window.bytes(&self.source, buffer.offset + done as u64, piece)?;
            into[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        }
        Ok(checksum::of(into))
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

    fn read_shared(&self, offset: u64, into: &mut [u8]) -> io::Result<u64> {
        let hashes = shared(into.chunks_mut(PIECE), |number, piece| {
            self.source
                .read_exact_at(piece, offset + (number * PIECE) as u64)?;
            Ok(checksum::of_piece(piece))
        })?;
        Ok(checksum::of_pieces(&hashes))
    }

    /// Checks all buffers of a file that lies in memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a checksum does not match.
    pub fn check_buffers(&self) -> Result<(), Error> {
        let all = self.source.bytes().unwrap_or_default();
        for (index, buffer) in self.trailer.buffers.iter().enumerate() {
            let data = usize::try_from(buffer.offset)
                .ok()
                .and_then(|start| all.get(start..)?.get(..usize::try_from(buffer.len).ok()?));
            let sum = match data {
                Some(data) => checksum_of(data),
                None => checksum::UNKNOWN,
            };
            if sum != buffer.checksum && buffer.checksum != checksum::UNKNOWN {
                return Err(self.damaged(index));
            }
        }
        Ok(())
    }

    fn damaged(&self, index: usize) -> Error {
        Error::Corrupt(format!(
            "the checksum of array {} of {} does not match: the file was damaged after it was written",
            index + 1,
            self.trailer.buffers.len()
        ))
    }
}

fn index_lies() -> Error {
    Error::Corrupt("the index of the arrays is not that of the objects".into())
}

/// Fills `into` with the bytes from `offset` on, by several threads if they are many.
///
/// # Errors
/// Those of `source`.
pub fn read_shared<S: ReadAt + ?Sized>(source: &S, offset: u64, into: &mut [u8]) -> io::Result<()> {
    if into.len() < SHARED {
        return source.read_exact_at(into, offset);
    }
    shared(into.chunks_mut(PIECE), |number, piece| {
        source.read_exact_at(piece, offset + (number * PIECE) as u64)
    })?;
    Ok(())
}

/// The checksum that a buffer of these bytes has in the trailer, computed by several threads if they are many.
#[must_use]
pub fn checksum_of(data: &[u8]) -> u64 {
    if data.len() < SHARED {
        return checksum::of(data);
    }
    shared(data.chunks(PIECE), |_, piece| Ok(checksum::of_piece(piece))).map_or_else(
        |_| checksum::of(data),
        |hashes| checksum::of_pieces(&hashes),
    )
}

/// Several threads take piece after piece, so that one that is held up holds up nobody. What became of each, in order.
fn shared<P: Send, T: Send>(
    pieces: impl ExactSizeIterator<Item = P> + Send,
    each: impl Fn(usize, P) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS));
    let count = pieces.len();
    let pieces = Mutex::new(pieces.enumerate());
    let work = || -> io::Result<Vec<(usize, T)>> {
        let mut done = Vec::with_capacity(count / threads + 1);
        loop {
            // Not held while working.
            let next = pieces.lock().ok().and_then(|mut pieces| pieces.next());
            let Some((number, piece)) = next else {
                return Ok(done);
            };
            match each(number, piece) {
                Ok(result) => done.push((number, result)),
                Err(error) => {
                    // The others need not go on.
                    if let Ok(mut pieces) = pieces.lock() {
                        pieces.by_ref().for_each(drop);
                    }
                    return Err(error);
                }
            }
        }
    };
    let mut done = std::thread::scope(|scope| -> io::Result<_> {
        // Without further threads there is less help, and nothing is lost.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work()?;
        for other in others {
            let more = other
                .join()
                .map_err(|_| io::Error::other("a thread that reads ended early"))?;
            done.append(&mut more?);
        }
        Ok(done)
    })?;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The opcodes of a retain file, portion by portion, with `NEXT_BUFFER` in place of each buffer.
pub struct Skeleton {
    window: Window,
    at: u64,
    /// Where `at` is among the bytes that are kept.
    kept: usize,
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
    pub fn fill<'a, S: ReadAt>(&'a mut self, stored: &'a Stored<S>) -> io::Result<&'a [u8]> {
        while self.literal.is_empty() && !self.ended {
            let mut piece = stored.piece(self.next);
            let next = stored.buffers().get(self.next);
            piece.end -= BUFFER_START as u64;
            if self.at < piece.end {
                let Some(kept) = &stored.kept else {
                    return self.window.bytes(&stored.source, self.at, piece);
                };
                let left = usize::try_from(piece.end - self.at).map_err(io::Error::other)?;
                return Ok(&kept[self.kept..self.kept + left]);
            }
            if let Some(buffer) = next {
                self.literal = &[NEXT_BUFFER];
                self.at = buffer.offset + buffer.len;
                self.kept += BUFFER_START;
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
            self.kept += count;
        } else {
            self.literal = &self.literal[count..];
        }
    }
}

/// A range of the file that is read, and whether what follows it will be read soon.
#[derive(Clone, Copy)]
struct Piece {
    start: u64,
    end: u64,
    near: bool,
}

/// A window on a source: small pieces that lie near one another are read at once.
pub struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// A window on nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// Bytes from `at` on: at least one of those in `piece`, and none beyond.
    fn bytes<S: ReadAt>(&mut self, source: &S, at: u64, piece: Piece) -> io::Result<&[u8]> {
        let have = self.start + self.bytes.len() as u64;
        if !(self.start..have).contains(&at) {
            let end = if piece.near { source.len() } else { piece.end };
            let left = end.saturating_sub(at);
            let size = usize::try_from(left).map_or(WINDOW, |left| left.min(WINDOW));
            if size == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.start = at;
            self.bytes.resize(size, 0);
            source.read_exact_at(&mut self.bytes, at)?;
        }
        let have = self.start + self.bytes.len() as u64;
        let from = usize::try_from(at - self.start).map_err(io::Error::other)?;
        let to = usize::try_from(piece.end.min(have) - self.start).map_err(io::Error::other)?;
        Ok(&self.bytes[from..to])
    }
}
