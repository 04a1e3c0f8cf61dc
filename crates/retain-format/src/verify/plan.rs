//! Where the opcodes of a stream lie that was verified, and what lies between them.

use std::io::Read;

use crate::Error;
use crate::foreign::{Foreign, Pause};
use crate::layout::Buffer;
use crate::opcode::BINPERSID;

/// What the verifier saw of a stream's layout: whoever loads the stream goes by it, and so reads what was verified and
/// nothing else.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    cuts: Vec<Cut>,
    /// Offset, length and whether it is writable, of each long bytes object and bytearray.
    payloads: Vec<(u64, u64, bool)>,
    end: u64,
}

/// What is no opcode for an unpickler.
#[derive(Debug, Clone, Copy)]
struct Cut {
    start: u64,
    end: u64,
    /// Of joblib, which takes an opcode that asks for it; else a FRAME.
    array: bool,
}

impl Plan {
    pub(super) fn frame(&mut self, start: u64) {
        self.cuts.push(Cut {
            start,
            end: start + 9,
            array: false,
        });
    }

    pub(super) fn array(&mut self, start: u64, end: u64) {
        self.cuts.push(Cut {
            start,
            end,
            array: true,
        });
    }

    pub(super) fn payload(&mut self, offset: u64, len: u64, writable: bool) {
        self.payloads.push((offset, len, writable));
    }

    pub(super) fn end(&mut self, end: u64) {
        self.end = end;
    }

    /// Checks that a reader which finds the arrays by itself finds them where the verifier did: then what was verified is
    /// what it reads.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it does not, and those of the stream.
    pub fn check<R: Read>(&self, mut foreign: Foreign<R>) -> Result<(), Error> {
        let differs = || Error::Corrupt("its arrays can be taken to lie in two ways".into());
        let mut arrays = self.cuts.iter().filter(|cut| cut.array);
        loop {
            let filled = foreign.fill()?.len();
            if !foreign.offers() {
                if filled == 0 {
                    break;
                }
                foreign.consume(filled);
                continue;
            }
            let length = match foreign.arrive() {
                Some(Pause::Buffer { length, .. }) => length,
                Some(Pause::Array(_)) => match arrays.next() {
                    Some(cut) if cut.start == foreign.position() => cut.end - cut.start,
                    _ => return Err(differs()),
                },
                None => return Err(differs()),
            };
            foreign.skip_raw(length)?;
            foreign.resume()?;
        }
        if arrays.next().is_some() || foreign.position() != self.end {
            return Err(differs());
        }
        Ok(())
    }

    /// Whether an index of buffers, and of where the trailer's record lies, tells of payloads only: then taking them out of
    /// the stream leaves the opcodes as they were verified.
    #[must_use]
    pub fn has(&self, buffers: &[Buffer], trailer: u64) -> bool {
        let mut payloads = self.payloads.iter();
        let listed = buffers.iter().all(|buffer| {
            payloads.any(|payload| *payload == (buffer.offset, buffer.len, buffer.writable))
        });
        let last = payloads.next_back();
        listed
            && last.is_some_and(|&(offset, len, writable)| {
                let behind = offset.saturating_add(len).saturating_add(2);
                let ends = behind == self.end || behind + crate::sign::PLAIN_LENGTH == self.end;
                offset == trailer && !writable && ends
            })
            && self.cuts.is_empty()
    }
}

/// A stream in memory that is read as it was verified.
#[derive(Debug)]
pub struct Planned {
    plan: Plan,
    /// The next cut.
    next: usize,
    at: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Among opcodes.
    Opcodes,
    /// In front of an array, the opcode for which was offered.
    Offered,
    /// In the data of an array.
    Array,
    /// In the pickle of an array of objects.
    Nested,
}

impl Planned {
    /// A reader of the stream that `plan` is of.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            next: 0,
            at: 0,
            place: Place::Opcodes,
        }
    }

    /// The bytes of `all` that an unpickler may have next.
    pub fn fill<'a>(&mut self, all: &'a [u8]) -> &'a [u8] {
        loop {
            match self.place {
                Place::Offered => return &[BINPERSID],
                Place::Array => return &[],
                Place::Nested => return part(all, self.at, self.data_end()),
                Place::Opcodes => {}
            }
            match self.plan.cuts.get(self.next) {
                Some(cut) if self.at < cut.start => return part(all, self.at, cut.start),
                Some(cut) if cut.array => self.place = Place::Offered,
                Some(cut) => {
                    self.at = cut.end;
                    self.next += 1;
                }
                None => return part(all, self.at, self.plan.end),
            }
        }
    }

    /// The first `count` bytes of what [`fill`](Self::fill) returned have been taken.
    pub fn consume(&mut self, count: usize) {
        match self.place {
            Place::Offered if count > 0 => self.place = Place::Array,
            Place::Offered | Place::Array => {}
            Place::Opcodes | Place::Nested => self.at += count as u64,
        }
    }

    /// Whether what [`fill`](Self::fill) returns is an opcode that is not in the stream.
    #[must_use]
    pub fn offers(&self) -> bool {
        self.place == Place::Offered
    }

    /// Whether the unpickler stands at an array. An opcode that was handed out but not consumed is consumed.
    pub fn arrive(&mut self) -> bool {
        self.consume(usize::from(self.offers()));
        self.place == Place::Array
    }

    /// The next `count` bytes of the array.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there are fewer.
    pub fn take<'a>(&mut self, all: &'a [u8], count: u64) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count);
        match end {
            Some(end) if self.place == Place::Array && end <= self.data_end() => {
                let data = part(all, self.at, end);
                self.at = end;
                Ok(data)
            }
            _ => Err(self.differs()),
        }
    }

    /// Where in the stream the next byte lies.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Goes into the pickle that the array is.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is no array here.
    pub fn enter(&mut self) -> Result<(), Error> {
        if self.place != Place::Array {
            return Err(self.differs());
        }
        self.place = Place::Nested;
        Ok(())
    }

    /// Leaves it, at its end.
    ///
    /// # Errors
    /// [`Error::Malformed`] if that is not where the array ends.
    pub fn leave(&mut self) -> Result<(), Error> {
        if self.place != Place::Nested || self.at != self.data_end() {
            return Err(self.differs());
        }
        self.place = Place::Array;
        Ok(())
    }

    /// Goes on behind the array, all of which was read.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it was not.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.place != Place::Array || self.at != self.data_end() {
            return Err(self.differs());
        }
        self.next += 1;
        self.place = Place::Opcodes;
        Ok(())
    }

    fn data_end(&self) -> u64 {
        self.plan.cuts.get(self.next).map_or(0, |cut| cut.end)
    }

    fn differs(&self) -> Error {
        Error::malformed(self.at, "the file is read otherwise than it was verified")
    }
}

fn part(all: &[u8], start: u64, end: u64) -> &[u8] {
    let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
    all.get(index(start)..index(end)).unwrap_or_default()
}
