//! Streams that are not plain pickles, handed to an unpickler as if they were.
//!
//! joblib writes the bytes of arrays into the middle of the opcodes; a file of retain that comes through a pipe or a
//! decompressor has its buffers there. [`Foreign`] reads such a stream from front to back. It hands out the opcodes, which
//! an unpickler takes, and where an array or a buffer lies it hands out one opcode of its own instead, which makes the
//! unpickler ask its caller for the object: BINPERSID, with joblib's wrapper as the id, or `NEXT_BUFFER`. Nothing beyond
//! is handed out before the caller has read the data through the same `Foreign` and has said [`resume`](Foreign::resume).
//! FRAMEs are left out, since their lengths would not hold any more.
//!
//! ```
//! use retain_format::foreign::{Foreign, Pause};
//! use retain_format::wrappers::Wrapper;
//!
//! // What joblib writes for an array of the two bytes 7 and 8, but for most of what describes it.
//! let stream = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b\x07\x08.";
//! let mut foreign = Foreign::new(&stream[..]);
//! let head = foreign.fill()?.len();
//! assert_eq!(head, stream.len() - 3);
//! foreign.consume(head);
//! assert_eq!(foreign.fill()?, b"Q");
//! assert_eq!(foreign.arrive(), Some(Pause::Array(Wrapper::NumpyArray)));
//! let mut array = [0; 2];
//! foreign.read_raw(&mut array)?;
//! assert_eq!(array, [7, 8]);
//! foreign.resume()?;
//! assert_eq!(foreign.fill()?, b".");
//! foreign.consume(1);
//! assert!(foreign.ended());
//! # Ok::<(), retain_format::Error>(())
//! ```

use std::io::{self, Read, Seek};

use crate::Error;
use crate::machine::{Limits, Machine, Step};
use crate::opcode::{self as op, Argument};
use crate::wrappers::{Found, Wrapper, Wrappers};

/// How many bytes are read at a time.
const CHUNK: usize = 1 << 17;
/// A FRAME with its length.
const FRAME: usize = 9;

/// What the caller is to read before the opcodes go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// An array of joblib's. The unpickler has its wrapper as a persistent id. What follows in the stream is told by the
    /// wrapper alone: padding and the data, a pickle of its own ([`Foreign::enter`]), or nothing.
    Array(Wrapper),
    /// A buffer of a file of retain, which comes next.
    Buffer {
        /// Bytes.
        length: u64,
        /// Whether the object that it belonged to could not be written to.
        read_only: bool,
    },
}

impl Pause {
    /// The opcode that makes an unpickler ask for the object.
    fn opcode(self) -> &'static [u8] {
        match self {
            Self::Array(_) => &[op::BINPERSID],
            Self::Buffer { .. } => &[op::NEXT_BUFFER],
        }
    }
}

/// Where the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Among opcodes.
    Opcodes,
    /// In front of data, the opcode in place of which is yet to be taken.
    Before(Pause),
    /// At data.
    At(Pause),
    /// Behind STOP.
    Ended,
}

/// A pickle inside of which others may lie.
#[derive(Debug)]
struct Level {
    machine: Machine<Wrappers>,
    /// Where it began.
    start: u64,
    /// For what the level above waits.
    above: Pause,
}

/// A stream of joblib's or retain's, read from front to back.
#[derive(Debug)]
pub struct Foreign<R> {
    input: R,
    skip: fn(&mut R, u64) -> io::Result<()>,
    machine: Machine<Wrappers>,
    nested: Vec<Level>,
    state: State,
    /// What has been read, and room for more: up to `from` it is done with, up to `ready` it may be handed out, the next
    /// `gap` bytes are to be left out, and the rest up to `filled` is yet to be looked at.
    data: Vec<u8>,
    from: usize,
    ready: usize,
    gap: usize,
    filled: usize,
    /// Whether the opcode in place of the next data has been handed out.
    offered: bool,
    chunk: usize,
    limits: Limits,
    items: u64,
}

impl<R: Read> Foreign<R> {
    /// The stream that begins where `input` stands.
    ///
    /// More is read than belongs to the stream: see [`read_ahead`](Self::read_ahead).
    pub fn new(input: R) -> Self {
        Self::with(input, skip_by_reading)
    }

    fn with(input: R, skip: fn(&mut R, u64) -> io::Result<()>) -> Self {
        let limits = Limits::default();
        Self {
            input,
            skip,
            machine: Machine::new(Wrappers::default(), limits),
            nested: Vec::new(),
            state: State::Opcodes,
            data: Vec::new(),
            from: 0,
            ready: 0,
            gap: 0,
            filled: 0,
            offered: false,
            chunk: CHUNK,
            limits,
            items: 0,
        }
    }

    /// Set what the stream may not exceed; `end` is where it ends if that is known.
    #[must_use]
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        *self.machine.limits_mut() = limits;
        self
    }

    /// Set where in the file `input` stands, if that is not at its beginning.
    #[must_use]
    pub fn starting_at(mut self, position: u64) -> Self {
        self.machine = self.machine.starting_at(position);
        self
    }

    /// Set how many bytes are read at a time. With 0, no byte behind the STOP of the stream is read: for pipes and sockets
    /// through which something else follows. It is slow.
    #[must_use]
    pub fn read_ahead(mut self, bytes: usize) -> Self {
        self.chunk = bytes;
        self
    }

    /// The bytes that an unpickler may have next: whole opcodes, or a part of a long payload. Empty behind STOP, and as
    /// long as data are to be read.
    ///
    /// # Errors
    ///
    /// If the input cannot be read, ends early, or is no pickle.
    pub fn fill(&mut self) -> Result<&[u8], Error> {
        while self.from == self.ready && self.state == State::Opcodes {
            self.look()?;
        }
        if self.from == self.ready {
            return Ok(match self.state {
                State::Before(pause) => {
                    self.offered = true;
                    pause.opcode()
                }
                _ => &[],
            });
        }
        Ok(self.data.get(self.from..self.ready).unwrap_or_default())
    }

    /// The first `count` bytes of what [`fill`](Self::fill) returned have been taken.
    pub fn consume(&mut self, count: usize) {
        if count > 0
            && self.offered
            && let State::Before(pause) = self.state
        {
            self.offered = false;
            self.go_behind_gap();
            self.state = State::At(pause);
            return;
        }
        self.from = self.from.saturating_add(count).min(self.ready);
    }

    /// What the unpickler asks its caller for, if it is at one of the opcodes that were put in. `None` tells that the
    /// stream itself has persistent ids or asks for buffers. An opcode that was handed out but not consumed is consumed.
    pub fn arrive(&mut self) -> Option<Pause> {
        self.consume(usize::from(self.offered));
        match self.state {
            State::At(pause) => Some(pause),
            _ => None,
        }
    }

    /// Fill `into` with the data that come next. To be called after [`arrive`](Self::arrive).
    ///
    /// # Errors
    ///
    /// If there are no data here, or fewer.
    pub fn read_raw(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.room(into.len() as u64)?;
        let wanted = into.len();
        let held = self.unread().len().min(wanted);
        let (front, back) = into.split_at_mut(held);
        front.copy_from_slice(self.unread().get(..held).unwrap_or_default());
        self.pass_held(held);
        let mut filled = 0;
        while let Some(rest) = back.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => return Err(self.short(held + filled, wanted)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error, held + filled, wanted)),
            }
        }
        self.level().advance(wanted as u64);
        Ok(())
    }

    /// Pass over `count` bytes of data, as [`read_raw`](Self::read_raw) would read them. Where the input can seek, it may
    /// turn out only later that they are not all there.
    ///
    /// # Errors
    ///
    /// As those of `read_raw`.
    pub fn skip_raw(&mut self, count: u64) -> Result<(), Error> {
        self.room(count)?;
        let held = usize::try_from(count)
            .map_or(self.unread().len(), |count| count.min(self.unread().len()));
        self.pass_held(held);
        if let Err(error) = (self.skip)(&mut self.input, count - held as u64) {
            let wanted = usize::try_from(count).unwrap_or(usize::MAX);
            return Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => self.short(held, wanted),
                _ => self.failed(error, held, wanted),
            });
        }
        self.level().advance(count);
        Ok(())
    }

    /// The data that come next are a pickle: [`fill`](Self::fill) hands out its opcodes, up to its STOP. To be called after
    /// [`arrive`](Self::arrive).
    ///
    /// # Errors
    ///
    /// If there are no data here.
    pub fn enter(&mut self) -> Result<(), Error> {
        let State::At(above) = self.state else {
            return Err(self.misplaced());
        };
        let start = self.position();
        // What it may hold comes off what the whole stream may hold.
        let mut limits = self.limits;
        limits.opcodes = limits.opcodes.saturating_sub(self.level().opcodes());
        limits.memo = limits.memo.saturating_sub(self.level().memoized());
        let machine = Machine::new(Wrappers::default(), limits).starting_at(start);
        self.nested.push(Level {
            machine,
            start,
            above,
        });
        self.state = State::Opcodes;
        Ok(())
    }

    /// The pickle that was entered has been read.
    ///
    /// # Errors
    ///
    /// If it was not read up to its STOP.
    pub fn leave(&mut self) -> Result<(), Error> {
        if self.state != State::Ended || self.from != self.ready {
            return Err(self.misplaced());
        }
        let Some(level) = self.nested.pop() else {
            return Err(self.misplaced());
        };
        let end = level.machine.position();
        self.level().advance(end.saturating_sub(level.start));
        self.state = State::At(level.above);
        Ok(())
    }

    /// The data have been read, or as many of them as anybody wants; the opcodes go on.
    ///
    /// # Errors
    ///
    /// If there are no data here, or the rest of a buffer cannot be passed.
    pub fn resume(&mut self) -> Result<(), Error> {
        let State::At(pause) = self.state else {
            return Err(self.misplaced());
        };
        if let Pause::Buffer { .. } = pause {
            let rest = self.level().pending();
            self.skip_raw(rest)?;
        }
        self.state = State::Opcodes;
        Ok(())
    }

    /// Where in the stream the next byte of data lies; behind STOP, where the stream ends. Among opcodes, how far they have
    /// been looked at.
    pub fn position(&self) -> u64 {
        let machine = self
            .nested
            .last()
            .map_or(&self.machine, |level| &level.machine);
        machine.position()
    }

    /// Whether all has been handed out up to STOP, and taken.
    pub fn ended(&self) -> bool {
        self.state == State::Ended && self.from == self.ready
    }

    /// Whether what [`fill`](Self::fill) returns is an opcode that is not in the stream.
    pub fn offers(&self) -> bool {
        self.offered
    }

    /// How many arrays and buffers have been come upon.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// What has been read from the input beyond [`position`](Self::position).
    pub fn unread(&self) -> &[u8] {
        self.data
            .get(self.ready + self.gap..self.filled)
            .unwrap_or_default()
    }

    /// Behind STOP, looks whether the input ends there: decompressors check their own sums then.
    ///
    /// # Errors
    ///
    /// If the input is damaged. Other bytes may follow.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.unread().is_empty() {
            (self.ready, self.from, self.gap, self.filled) = (0, 0, 0, 0);
            self.read_bytes(1, 1).map_err(unreadable)?;
        }
        Ok(())
    }

    /// The input, which stands behind [`unread`](Self::unread).
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The pickle that is being read.
    fn level(&mut self) -> &mut Machine<Wrappers> {
        self.nested
            .last_mut()
            .map_or(&mut self.machine, |level| &mut level.machine)
    }

    fn go_behind_gap(&mut self) {
        self.ready = (self.ready + self.gap).min(self.filled);
        self.from = self.ready;
        self.gap = 0;
    }

    /// Bytes that are held count as read.
    fn pass_held(&mut self, count: usize) {
        self.ready = (self.ready + count).min(self.filled);
        self.from = self.ready;
    }

    /// Let the machine look at what has been read, or read more.
    fn look(&mut self) -> Result<(), Error> {
        self.go_behind_gap();
        let nested = self.nested.len();
        let Self {
            machine,
            nested: levels,
            data,
            ready,
            filled,
            ..
        } = self;
        let machine = levels
            .last_mut()
            .map_or(machine, |level| &mut level.machine);
        let (taken, step) = machine.run(data.get(*ready..*filled).unwrap_or_default())?;
        self.ready += taken;
        match step {
            Step::More { at_least } if taken == 0 => return self.read_more(at_least),
            Step::More { .. } => {}
            Step::Payload {
                opcode,
                header,
                length,
            } => {
                // A pickle of objects inside of joblib's stream was written by a plain pickler.
                if nested == 0 && self.machine.domain().is_buffer() {
                    self.leave_out(header);
                    self.pause(Pause::Buffer {
                        length,
                        read_only: opcode == op::BINBYTES8,
                    });
                }
            }
            Step::Event(Found::Frame(_)) => self.leave_out(FRAME),
            Step::Event(Found::Array(wrapper)) => {
                if nested == 0 {
                    self.pause(Pause::Array(wrapper));
                }
            }
            Step::Stop => self.state = State::Ended,
        }
        Ok(())
    }

    fn pause(&mut self, pause: Pause) {
        self.items += 1;
        self.state = State::Before(pause);
    }

    /// The last bytes that the machine has taken are not for the unpickler.
    fn leave_out(&mut self, count: usize) {
        self.gap = count.min(self.ready - self.from);
        self.ready -= self.gap;
    }

    /// Read what the machine waits for, and as much more as is read at a time.
    fn read_more(&mut self, at_least: usize) -> Result<(), Error> {
        // All that is held now belongs to one opcode, or there is nothing.
        self.data.copy_within(self.ready..self.filled, 0);
        self.filled -= self.ready;
        (self.from, self.ready) = (0, 0);
        let held = self.filled;
        let exact = self.chunk == 0 && self.level().pending() == 0;
        let lines = match self.data.get(..held).and_then(<[u8]>::first) {
            Some(&opcode) if exact => op::argument(opcode),
            _ => None,
        };
        let outcome = if let Some(Argument::Lines(lines)) = lines {
            self.read_lines(lines.into())
        } else {
            // A length in the stream is only a claim: memory is taken as bytes arrive.
            let wanted = at_least.saturating_sub(held).clamp(1, CHUNK);
            self.read_bytes(wanted, wanted.max(self.chunk.saturating_sub(held)))
        };
        match outcome {
            Err(error) if self.filled == held => Err(unreadable(error)),
            _ if self.filled == held => Err(self.level().truncated()),
            // If there was an error, it comes again.
            _ => Ok(()),
        }
    }

    /// Read at least `wanted` bytes, if they are there, and at most `most`.
    fn read_bytes(&mut self, wanted: usize, most: usize) -> io::Result<()> {
        let enough = self.filled + wanted;
        if self.data.len() < self.filled + most {
            self.data.resize(self.filled + most, 0);
        }
        let end = self.filled + most;
        while self.filled < enough {
            let room = self.data.get_mut(self.filled..end).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Read to the end of so many lines and no further, or as many bytes as are looked at together.
    fn read_lines(&mut self, lines: usize) -> io::Result<()> {
        let argument = self.data.get(1..self.filled).unwrap_or_default();
        let mut ended = argument.split(|&byte| byte == b'\n').count() - 1;
        let enough = self.filled + CHUNK;
        while ended < lines && self.filled < enough {
            let before = self.filled;
            self.read_bytes(1, 1)?;
            if self.filled == before {
                break;
            }
            ended += usize::from(self.data.get(before) == Some(&b'\n'));
        }
        Ok(())
    }

    /// Whether so many bytes of data can be read here.
    fn room(&mut self, count: u64) -> Result<(), Error> {
        let State::At(pause) = self.state else {
            return Err(self.misplaced());
        };
        let left = self.level().pending();
        if matches!(pause, Pause::Buffer { .. }) && count > left {
            return Err(Error::malformed(
                self.position(),
                format!("{count} bytes of a buffer of which {left} are left"),
            ));
        }
        let there = self.limits.end.saturating_sub(self.position());
        if count > there {
            let in_memory = |count| usize::try_from(count).unwrap_or(usize::MAX);
            return Err(self.short(in_memory(there), in_memory(count)));
        }
        Ok(())
    }

    fn misplaced(&self) -> Error {
        Error::malformed(self.position(), "the data of no array are to be read here")
    }

    fn short(&self, there: usize, wanted: usize) -> Error {
        let what = match self.state {
            State::At(Pause::Buffer { .. }) => "buffer",
            _ => "array",
        };
        Error::Truncated(format!(
            "ends in the middle of {what} {}: {there} of {wanted} bytes are there (at byte {})",
            self.items,
            self.position()
        ))
    }

    /// An error while data are read; decompressors tell of truncation in this way.
    fn failed(&self, error: io::Error, there: usize, wanted: usize) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let Error::Truncated(text) = self.short(there, wanted) else {
                    return Error::Io(error);
                };
                Error::Truncated(format!("{text}: {error}"))
            }
            io::ErrorKind::InvalidData => Error::Corrupt(error.to_string()),
            _ => Error::Io(error),
        }
    }
}

impl<R: Read + Seek> Foreign<R> {
    /// As [`new`](Self::new), for an input in which data that nobody wants are passed over without being read.
    pub fn seekable(input: R) -> Self {
        Self::with(input, |input, count| {
            let count = i64::try_from(count).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            input.seek_relative(count)
        })
    }
}

/// An error while opcodes are read.
fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated(error.to_string()),
        io::ErrorKind::InvalidData => Error::Corrupt(error.to_string()),
        _ => Error::Io(error),
    }
}

fn skip_by_reading<R: Read>(input: &mut R, count: u64) -> io::Result<()> {
    match io::copy(&mut input.take(count), &mut io::sink())? {
        passed if passed < count => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
