//! The loops between a (de)compressor that works on slices and the `Read` and `Write` of the standard library.
//!
//! Each codec's library brings such loops of its own, and they differ where it matters here: what a truncated stream
//! gives, what follows a complete one, and what dropping an unfinished writer does to the file. Hence one loop for all.

use std::io::{self, Read, Write};

use super::Encoder;

/// Large enough that calls into the codecs and the system do not count.
const BUFFER: usize = 128 << 10;

/// Steps in a row that neither take nor give bytes. liblzma is allowed one; more never lead on.
const IDLE_STEPS: u32 = 2;

/// What one step of a codec did.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    /// The member (decompression) or the whole stream (compression) is complete.
    pub(super) ended: bool,
}

/// Decompresses one member, slice by slice.
pub(super) trait Decompress: Send {
    /// The codec's name in messages.
    const NAME: &'static str;

    /// Decompresses some of `input` into `output`. Input that is empty is the end of it.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step>;

    /// Makes ready for a further member that starts with `prefix` (up to eight bytes), or says that it is none.
    fn next_member(&mut self, prefix: &[u8]) -> io::Result<bool>;
}

/// Compresses one stream, slice by slice.
pub(super) trait Compress: Send {
    /// Compresses some of `input` into `output`; with `finish` the stream is to be ended.
    fn step(&mut self, input: &[u8], output: &mut [u8], finish: bool) -> io::Result<Step>;
}

/// Whether a member with this magic number starts here, the end of the input taken for more of it: that is truncated.
pub(super) fn may_start_with(prefix: &[u8], magic: &[u8]) -> bool {
    prefix
        .iter()
        .zip(magic)
        .all(|(found, wanted)| found == wanted)
}

/// The bytes are not what the codec writes.
pub(super) fn damaged(name: &str, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged {name} data: {why}"),
    )
}

/// The bytes end too early.
pub(super) fn truncated(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the {name} data ends before it is complete"),
    )
}

/// Something follows a complete stream.
pub(super) fn trailing(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("other bytes follow the complete {name} data"),
    )
}

/// An impossible state of a codec's library, reported instead of looped upon.
pub(super) fn stalled(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the {name} data leads nowhere: it is damaged"),
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Inside,
    Between,
    Done,
}

/// A reader that decompresses.
pub(super) struct Decoding<R, D> {
    input: R,
    codec: D,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The input said that it has ended.
    last: bool,
    state: State,
    /// What went wrong: the codecs' libraries are not made to go on after that.
    failed: Option<(io::ErrorKind, String)>,
}

impl<R: Read, D: Decompress> Decoding<R, D> {
    pub(super) fn new(input: R, codec: D) -> Self {
        Self {
            input,
            codec,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            last: false,
            state: State::Inside,
            failed: None,
        }
    }

    /// Reads on until at least `wanted` bytes are at hand or the input has ended.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.end - self.start >= wanted || self.last {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted && !self.last {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.last = true,
                // A reader that claims more than it was given room for must not lead to a panic.
                Ok(read) => self.end = (self.end + read).min(self.buffer.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R: Read, D: Decompress> Read for Decoding<R, D> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, what)) = &self.failed {
            return Err(io::Error::new(*kind, what.clone()));
        }
        let outcome = self.decompress(output);
        if let Err(error) = &outcome
            && matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        {
            self.failed = Some((error.kind(), error.to_string()));
        }
        outcome
    }
}

impl<R: Read, D: Decompress> Decoding<R, D> {
    fn decompress(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        let mut idle = 0;
        loop {
            match self.state {
                State::Done => return Ok(0),
                State::Between => {
                    self.fill(8)?;
                    let rest = &self.buffer[self.start..self.end];
                    if rest.is_empty() {
                        self.state = State::Done;
                    } else if self.codec.next_member(&rest[..rest.len().min(8)])? {
                        self.state = State::Inside;
                    } else {
                        return Err(trailing(D::NAME));
                    }
                }
                State::Inside => {
                    self.fill(1)?;
                    let rest = &self.buffer[self.start..self.end];
                    let given = rest.len();
                    let step = self.codec.step(rest, output)?;
                    self.start = (self.start + step.consumed).min(self.end);
                    if step.ended {
                        self.state = State::Between;
                    }
                    if step.produced > 0 {
                        return Ok(step.produced.min(output.len()));
                    }
                    if step.consumed > 0 || step.ended {
                        idle = 0;
                        continue;
                    }
                    idle += 1;
                    if idle > IDLE_STEPS {
                        return Err(if given == 0 {
                            truncated(D::NAME)
                        } else {
                            stalled(D::NAME)
                        });
                    }
                }
            }
        }
    }
}

/// A writer that compresses.
pub(super) struct Encoding<W, C> {
    output: W,
    codec: C,
    buffer: Box<[u8]>,
    failed: bool,
}

impl<W: Write, C: Compress> Encoding<W, C> {
    pub(super) fn new(output: W, codec: C) -> Self {
        Self {
            output,
            codec,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            failed: false,
        }
    }

    fn drive(&mut self, mut input: &[u8], finish: bool) -> io::Result<()> {
        loop {
            let step = self.codec.step(input, &mut self.buffer, finish)?;
            self.output
                .write_all(self.buffer.get(..step.produced).unwrap_or_default())?;
            input = input.get(step.consumed..).unwrap_or_default();
            if step.ended || (!finish && input.is_empty()) {
                return Ok(());
            }
            if step.consumed == 0 && step.produced == 0 {
                return Err(io::Error::other("the compressor makes no progress"));
            }
        }
    }

    /// A stream that lost bytes must never be ended as if it were whole.
    fn guarded(&mut self, input: &[u8], finish: bool) -> io::Result<()> {
        if self.failed {
            return Err(failed_before());
        }
        self.failed = true;
        self.drive(input, finish)?;
        self.failed = false;
        Ok(())
    }
}

/// What further writes give after one has failed.
pub(crate) fn failed_before() -> io::Error {
    io::Error::other("an earlier write to this compressed stream failed")
}

impl<W: Write, C: Compress> Write for Encoding<W, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.guarded(bytes, false)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<W: Write + Send, C: Compress> Encoder for Encoding<W, C> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.guarded(&[], true)?;
        self.output.flush()
    }
}
