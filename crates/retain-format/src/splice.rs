//! The splicing writer: a pickler's opcodes and its out-of-band buffers in, a retain file out.

use std::io::{self, IoSlice, Write};
use std::mem;
use std::thread::ScopedJoinHandle;

use crate::Error;
use crate::checksum::{self, Checksum, PIECE};
use crate::layout::{Buffer, HEAD_LEN, Head, MARKER, TRAILER_MARKER, Trailer, buffer_start};
use crate::opcode::{self, Argument, FRAME, NEXT_BUFFER, POP, PROTO, READONLY_BUFFER, STOP};

/// Opcodes are gathered up to this size before they are written.
const GATHER: usize = 128 << 10;
/// Bytes of at least this size are written from where they lie.
const DIRECT: usize = 8 << 10;
/// Buffers of at least this size are hashed by one thread while another writes them.
const OVERLAP: usize = 4 << 20;

/// What became of the opcodes that were fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All were taken.
    All,
    /// The next out-of-band buffer is to be written now, by [`Splicer::buffer`] or [`Splicer::begin_buffer`].
    Buffer,
}

/// What a finished file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The head that the file has, once it is known: to be written over the first bytes where that can be done.
    pub head: Head,
    /// How many bytes the file has, from its head to STOP.
    pub len: u64,
}

/// Writes a retain file from the opcodes of a pickler of protocol 5 and its buffers.
///
/// The pickler's opcodes are fed in any portions; where they ask for the next buffer, it is written in place, aligned.
/// Memory is bounded, however large the value.
pub struct Splicer<W> {
    out: W,
    base: u64,
    position: u64,
    pending: Vec<u8>,
    skeleton: Checksum,
    buffers: Vec<Buffer>,
    open: Option<Open>,
    /// The beginning of an opcode whose end was not fed yet.
    partial: Vec<u8>,
    /// So many bytes of payload are still to come.
    payload: u64,
    after_buffer: bool,
    stopped: bool,
}

struct Open {
    buffer: Buffer,
    left: u64,
    checksum: Checksum,
}

impl<W: Write> Splicer<W> {
    /// Begins a file on `out`, whose next byte is at `base` of whatever it writes to: buffers are aligned there.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, base: u64) -> io::Result<Self> {
        let mut splicer = Self {
            out,
            base,
            position: 0,
            pending: Vec::with_capacity(GATHER + (GATHER >> 1)),
            skeleton: Checksum::new(),
            buffers: Vec::new(),
            open: None,
            partial: Vec::new(),
            payload: 0,
            after_buffer: false,
            stopped: false,
        };
        let head = Head::UNKNOWN.encode();
        splicer.pending.extend_from_slice(&head);
        splicer.position = HEAD_LEN as u64;
        Ok(splicer)
    }

    /// How many bytes the file has so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes opcodes, and moves `opcodes` behind those taken.
    ///
    /// # Errors
    /// Those of the writer; [`Error::Malformed`] if the opcodes are not such as a pickler of protocol 5 writes.
    pub fn feed(&mut self, opcodes: &mut &[u8]) -> Result<Fed, Error> {
        while !opcodes.is_empty() {
            if self.payload > 0 {
                let now = usize::try_from(self.payload)
                    .map_or(opcodes.len(), |left| left.min(opcodes.len()));
                let (payload, rest) = opcodes.split_at(now);
                self.emit(payload)?;
                self.payload -= now as u64;
                *opcodes = rest;
                continue;
            }
            if !self.partial.is_empty() {
                self.complete(opcodes)?;
                continue;
            }
            if self.skim(opcodes)? == Fed::Buffer {
                return Ok(Fed::Buffer);
            }
        }
        Ok(Fed::All)
    }

    /// Passes on opcodes in one piece up to one that needs more than that.
    fn skim(&mut self, opcodes: &mut &[u8]) -> Result<Fed, Error> {
        let bytes = *opcodes;
        let mut at = 0;
        while let Some(&opcode) = bytes.get(at) {
            if matches!(opcode, PROTO | FRAME | STOP | NEXT_BUFFER | READONLY_BUFFER) {
                match self.special(opcode, &bytes[at..], &bytes[..at])? {
                    Special::Dropped(len) => {
                        *opcodes = &bytes[at + len..];
                        return Ok(Fed::All);
                    }
                    Special::Partial => return self.keep_partial(opcodes, at),
                    Special::Buffer => {
                        *opcodes = &bytes[at + 1..];
                        return Ok(Fed::Buffer);
                    }
                }
            }
            self.after_buffer = false;
            let Some((header, payload)) = extent(&bytes[at..]) else {
                return self.bad_or_partial(opcodes, at);
            };
            at += header;
            match usize::try_from(payload) {
                Ok(payload) if payload <= bytes.len() - at => at += payload,
                _ => {
                    self.payload = payload - (bytes.len() - at) as u64;
                    at = bytes.len();
                }
            }
        }
        self.emit(bytes)?;
        *opcodes = &[];
        Ok(Fed::All)
    }

    fn special(&mut self, opcode: u8, bytes: &[u8], before: &[u8]) -> Result<Special, Error> {
        let dropped = match opcode {
            PROTO => 2,
            FRAME => 9,
            _ => 1,
        };
        if bytes.len() < dropped {
            return Ok(Special::Partial);
        }
        self.emit(before)?;
        let after_buffer = mem::replace(&mut self.after_buffer, opcode == NEXT_BUFFER);
        match opcode {
            PROTO if bytes[1] != 5 => Err(self.malformed("a protocol other than 5")),
            READONLY_BUFFER if !after_buffer => {
                Err(self.malformed("READONLY_BUFFER without a buffer"))
            }
            NEXT_BUFFER => Ok(Special::Buffer),
            STOP => {
                self.stopped = true;
                Ok(Special::Dropped(1))
            }
            _ => Ok(Special::Dropped(dropped)),
        }
    }

    fn bad_or_partial(&mut self, opcodes: &mut &[u8], at: usize) -> Result<Fed, Error> {
        let opcode = opcodes[at];
        match opcode::argument(opcode) {
            None | Some(Argument::Lines(_)) => Err(self.malformed(&format!(
                "the byte {opcode:#04x}, which no pickler of protocol 5 writes as an opcode"
            ))),
            Some(_) => self.keep_partial(opcodes, at),
        }
    }

    fn keep_partial(&mut self, opcodes: &mut &[u8], at: usize) -> Result<Fed, Error> {
        let (whole, partial) = opcodes.split_at(at);
        self.emit(whole)?;
        self.partial.extend_from_slice(partial);
        *opcodes = &[];
        Ok(Fed::All)
    }

    /// Completes an opcode that was fed in two portions, byte by byte.
    fn complete(&mut self, opcodes: &mut &[u8]) -> Result<(), Error> {
        let mut partial = mem::take(&mut self.partial);
        while let Some((&byte, rest)) = opcodes.split_first() {
            partial.push(byte);
            *opcodes = rest;
            let opcode = partial[0];
            let whole = match opcode {
                PROTO => partial.len() == 2,
                FRAME => partial.len() == 9,
                _ => extent(&partial).is_some(),
            };
            if whole {
                let mut all = &partial[..];
                self.skim(&mut all)?;
                return Ok(());
            }
        }
        self.partial = partial;
        Ok(())
    }

    /// Writes a buffer whose bytes lie in memory.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn buffer(&mut self, writable: bool, data: &[u8]) -> Result<(), Error> {
        self.begin_buffer(writable, data.len() as u64)?;
        self.buffer_bytes(data)?;
        self.end_buffer().map(|_| ())
    }

    /// Begins a buffer of `len` bytes that are then given to [`Self::buffer_bytes`].
    ///
    /// # Errors
    /// Those of the writer.
    pub fn begin_buffer(&mut self, writable: bool, len: u64) -> Result<(), Error> {
        let (start, used) = buffer_start(self.base + self.position, len, writable, MARKER);
        self.emit(&start[..used])?;
        let buffer = Buffer {
            offset: self.position,
            len,
            writable,
            checksum: 0,
        };
        self.open = Some(Open {
            buffer,
            left: len,
            checksum: Checksum::new(),
        });
        Ok(())
    }

    /// Writes the next bytes of the buffer that was begun.
    ///
    /// # Errors
    /// Those of the writer; [`Error::Malformed`] if they are more than was said.
    pub fn buffer_bytes(&mut self, data: &[u8]) -> Result<(), Error> {
        match &mut self.open {
            Some(open) if data.len() as u64 <= open.left => open.left -= data.len() as u64,
            _ => return Err(self.malformed("more bytes than the buffer has")),
        }
        if data.len() >= OVERLAP
            && self
                .open
                .as_ref()
                .is_some_and(|open| open.checksum.is_between_pieces())
        {
            return self.write_overlapped(data);
        }
        for piece in data.chunks(PIECE) {
            if let Some(open) = &mut self.open {
                // Most buffers are whole at once, and less than a piece.
                if open.left == 0 && piece.len() == data.len() && open.checksum.is_between_pieces()
                {
                    open.checksum.piece_of(checksum::of_piece(piece));
                } else {
                    open.checksum.update(piece);
                }
            }
            self.write(piece)?;
        }
        Ok(())
    }

    /// Hashes on one thread what another writes.
    fn write_overlapped(&mut self, data: &[u8]) -> Result<(), Error> {
        self.flush()?;
        let (whole, rest) = data.split_at(data.len() - data.len() % PIECE);
        let out = &mut self.out;
        let hash = || -> Vec<u64> { whole.chunks(PIECE).map(checksum::of_piece).collect() };
        let (hashes, written) = std::thread::scope(|scope| {
            let other = std::thread::Builder::new().spawn_scoped(scope, hash);
            let written = out.write_all(data);
            // Where there are no threads, this one does both.
            (
                other.map_or_else(|_| Ok(hash()), ScopedJoinHandle::join),
                written,
            )
        });
        written?;
        let hashes = hashes
            .map_err(|_| io::Error::other("the thread that computes checksums ended early"))?;
        self.position += data.len() as u64;
        if let Some(open) = &mut self.open {
            for hash in hashes {
                open.checksum.piece_of(hash);
            }
            open.checksum.update(rest);
        }
        Ok(())
    }

    /// Ends the buffer that was begun. Its checksum, as [`Checksum`] computes it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if bytes are missing.
    pub fn end_buffer(&mut self) -> Result<u64, Error> {
        match self.open.take() {
            Some(open) if open.left == 0 => {
                let checksum = open.checksum.finish();
                self.buffers.push(Buffer {
                    checksum,
                    ..open.buffer
                });
                Ok(checksum)
            }
            _ => Err(self.malformed("fewer bytes than the buffer has")),
        }
    }

    /// Writes the trailer, with `writer` as the text that tells what wrote the file, and gives back the writer below.
    ///
    /// # Errors
    /// Those of the writer; [`Error::Malformed`] if the opcodes did not end.
    pub fn finish(mut self, writer: &str) -> Result<(W, Finished), Error> {
        if !self.stopped || self.open.is_some() {
            return Err(self.malformed("no STOP at the end of the opcodes"));
        }
        let mut trailer = Trailer {
            buffers: mem::take(&mut self.buffers),
            skeleton: 0,
            writer: writer.to_owned(),
        };
        let position = self.base + self.position;
        let (start, used) = buffer_start(position, trailer.record_len(), false, TRAILER_MARKER);
        self.stopped = false;
        self.emit(&start[..used])?;
        let head = Head {
            trailer: self.position,
            buffers: trailer.buffers.len() as u64,
        };
        trailer.skeleton = mem::replace(&mut self.skeleton, Checksum::new()).finish();
        self.write(&trailer.encode())?;
        self.write(&[POP])?;
        self.write(&[STOP])?;
        self.flush()?;
        let len = self.position;
        Ok((self.out, Finished { head, len }))
    }

    /// Writes bytes of the skeleton.
    fn emit(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.stopped {
            return Err(self.malformed("opcodes behind STOP"));
        }
        self.skeleton.update(bytes);
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.position += bytes.len() as u64;
        if bytes.len() >= DIRECT {
            return self.write_with_pending(bytes);
        }
        if self.pending.len() + bytes.len() > GATHER {
            self.flush()?;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is pending and `bytes` in one call, without copying them together.
    fn write_with_pending(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut slices = &mut [IoSlice::new(&self.pending), IoSlice::new(bytes)][..];
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match self.out.write_vectored(slices) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => IoSlice::advance_slices(&mut slices, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.pending.clear();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn malformed(&self, what: &str) -> Error {
        Error::malformed(self.position, format!("the pickler wrote {what}"))
    }
}

enum Special {
    Dropped(usize),
    Partial,
    Buffer,
}

/// The length of the opcode that `bytes` begin with and its fixed argument, and of its payload; `None` if it is no opcode
/// of protocol 5 or not whole.
#[inline]
fn extent(bytes: &[u8]) -> Option<(usize, u64)> {
    match opcode::argument(bytes[0])? {
        Argument::None => Some((1, 0)),
        Argument::Fixed(len) => (bytes.len() > len as usize).then_some((1 + len as usize, 0)),
        Argument::Counted(1) => Some((2, u64::from(*bytes.get(1)?))),
        Argument::Counted(4) => {
            let len = bytes.get(1..)?.first_chunk()?;
            Some((5, u64::from(u32::from_le_bytes(*len))))
        }
        Argument::Counted(_) => {
            let len = bytes.get(1..)?.first_chunk()?;
            Some((9, u64::from_le_bytes(*len)))
        }
        Argument::Lines(_) => None,
    }
}
