//! Streams whose checksums come last: held back from the unpickler until they are checked.

use std::collections::VecDeque;

use pyo3::prelude::*;
use retain_format::foreign::Pause;
use retain_format::opcode::{NEXT_BUFFER, POP, SHORT_BINBYTES, STOP};
use retain_format::{Error, HEAD_LEN, Head, Streamed};

use super::input::Input;
use crate::object::Obj;

/// Opcodes are held back up to this size; what is more is handed out as it comes.
const MOST: usize = 4 << 20;
/// Where a head always has the same bytes: before its numbers, and at its end.
const FIXED: [std::ops::Range<usize>; 2] = [0..12, 36..37];
/// So many of these, and it is a head; or so many of all bytes, where its numbers are not known.
const ENOUGH: (usize, usize) = (9, 24);

/// The first opcodes of a stream, and the buffers among them.
#[derive(Default)]
pub(super) struct Held {
    opcodes: Vec<u8>,
    at: usize,
    buffers: VecDeque<Obj>,
    /// Where the opcodes behind the last buffer begin.
    behind: usize,
}

impl Held {
    pub(super) fn push(&mut self, opcodes: &[u8]) {
        self.opcodes.extend_from_slice(opcodes);
    }

    pub(super) fn push_buffer(&mut self, buffer: Bound<'_, PyAny>) {
        self.opcodes.push(NEXT_BUFFER);
        self.buffers.push_back(buffer.into());
        self.behind = self.opcodes.len();
    }

    /// Checks what follows the last buffer, the trailer, which no checksum covers.
    pub(super) fn check_end(&self) -> Result<(), Error> {
        let ends_well = match self.opcodes.get(self.behind..).unwrap_or_default() {
            [POP, STOP] => true,
            [POP, SHORT_BINBYTES, len, signature @ .., POP, STOP] => {
                signature.len() == usize::from(*len)
            }
            _ => false,
        };
        if ends_well {
            Ok(())
        } else {
            Err(Error::Corrupt("the end of the file is damaged".into()))
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.opcodes.len() >= MOST
    }

    /// The opcodes that are next; none behind them.
    pub(super) fn rest(&self) -> &[u8] {
        self.opcodes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.at += count;
        if self.at >= self.opcodes.len() {
            // An unpickler that goes on behind them needs no copy.
            self.opcodes = Vec::new();
            self.at = 0;
        }
    }

    pub(super) fn next_buffer(&mut self) -> Option<Obj> {
        self.buffers.pop_front()
    }
}

/// The head that `bytes` begin with; `None` if they are no retain file.
///
/// # Errors
/// As those of [`Head::parse`], also if the damage is such that the head is only similar to one: without it, nothing else
/// would be checked.
pub(super) fn head_of(bytes: &[u8]) -> Result<Option<Head>, Error> {
    let head = Head::parse(bytes)?;
    if head.is_none() && bytes.len() >= HEAD_LEN {
        let usual = Head::UNKNOWN.encode();
        let alike = |places: &mut dyn Iterator<Item = usize>| {
            places.filter(|&at| bytes.get(at) == usual.get(at)).count()
        };
        let fixed = alike(&mut FIXED.into_iter().flatten());
        let all = alike(&mut (0..usual.len()));
        if fixed >= ENOUGH.0 || all >= ENOUGH.1 {
            return Err(head_is_damaged());
        }
    }
    Ok(head)
}

pub(super) fn head_is_damaged() -> Error {
    Error::Corrupt("the head of the file is damaged".into())
}

/// Reads a stream to its end, of which an unpickler did not make anything, and checks its checksums if it has some.
pub(super) fn check_rest(streamed: &mut Streamed<Input>) -> Result<(), Error> {
    /// By here it is known whether the stream is a retain file.
    const KNOWN: u64 = 64;
    loop {
        let filled = streamed.fill().map(<[u8]>::len);
        let count = match filled {
            Ok(count) => count,
            // Of no other stream it is told: what the unpickler raised tells more.
            Err(_) if !streamed.is_ours() => return Ok(()),
            Err(error) => return Err(error),
        };
        if streamed.foreign().offers() {
            let Some(Pause::Buffer { length, read_only }) = streamed.arrive() else {
                return Ok(());
            };
            if streamed.at_trailer() {
                streamed.read_trailer(length)?;
                continue;
            }
            let mut buffer = Vec::new();
            let len = usize::try_from(length).unwrap_or(usize::MAX);
            if buffer.try_reserve_exact(len).is_err() {
                return Ok(());
            }
            buffer.resize(len, 0);
            streamed.read_buffer(read_only, &mut buffer)?;
        } else if count == 0 {
            return streamed.finish();
        } else {
            streamed.consume(count)?;
            if streamed.foreign().position() > KNOWN && !streamed.is_ours() {
                return Ok(());
            }
        }
    }
}
