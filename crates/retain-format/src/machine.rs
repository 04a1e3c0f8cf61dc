//! The stack machine of pickle.
//!
//! [`Machine`] does what the unpickler of CPython does with the stack, the marks and the memo, and leaves to a
//! [`Domain`] what the values are. It is fed pieces of the stream, of any length: it takes the whole opcodes of a piece
//! and says what it is waiting for. Where CPython is lenient about how a thing is written (an index of the memo with
//! blanks around it), the machine is not; where the machine accepts a stream, CPython does the same with it.
//!
//! ```
//! use retain_format::{domain::Domain, machine::{Limits, Machine, Step}};
//!
//! struct Nothing;
//! impl Domain for Nothing {
//!     type Value = ();
//!     type Event = ();
//!     fn unknown(&mut self) {}
//! }
//! let mut machine = Machine::new(Nothing, Limits::default());
//! let (taken, step) = machine.run(b"\x80\x05]\x94(K\x01K")?;
//! assert_eq!((taken, step), (7, Step::More { at_least: 2 }));
//! assert_eq!(machine.run(b"K\x02e.")?, (4, Step::Stop));
//! # Ok::<(), retain_format::Error>(())
//! ```

mod stack;

use crate::domain::Domain;
use crate::opcode::{self as op, Argument};
use crate::{Error, memo::Memo};
use stack::{decimal, fixed, underflow};

/// What a [`Machine`] takes no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Opcodes.
    pub opcodes: u64,
    /// Values and marks on the stack at any time.
    pub stack: usize,
    /// Values in the memo.
    pub memo: usize,
    /// Bytes of a line, in the opcodes of protocol 0.
    pub line: usize,
    /// Where the stream ends at the latest; a payload that would reach beyond is refused before anything is made for it.
    pub end: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opcodes: u64::MAX,
            stack: 1 << 28,
            memo: 1 << 31,
            line: 1 << 30,
            end: u64::MAX,
        }
    }
}

/// Why [`Machine::run`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<E> {
    /// The next opcode does not end in the piece. The next piece has to begin with it, and to hold at least one byte
    /// more than what was left of this one, best `at_least` bytes in all. If there are no more, the stream is truncated:
    /// [`Machine::truncated`].
    More {
        /// How many bytes the opcode needs, or a guess at it.
        at_least: usize,
    },
    /// A counted opcode and its length have been taken; its payload, which the domain did not ask for, comes next: to be
    /// passed by [`Machine::advance`], or fed to [`Machine::run`], which then drops it.
    Payload {
        /// The opcode.
        opcode: u8,
        /// Bytes of opcode and length.
        header: usize,
        /// Bytes of the payload.
        length: u64,
    },
    /// The domain asked to stop behind the opcode just taken.
    Event(E),
    /// STOP was taken. The machine does nothing more.
    Stop,
}

/// The stack, the marks and the memo, over the values of a [`Domain`].
#[derive(Debug)]
pub struct Machine<D: Domain> {
    domain: D,
    stack: Vec<D::Value>,
    marks: Vec<usize>,
    /// Where the values above the topmost mark begin: what lies below is out of reach.
    fence: usize,
    memo: Memo<D::Value>,
    position: u64,
    opcodes: u64,
    pending: u64,
    /// Where the frame ends that was begun last.
    frame_end: u64,
    stopped: bool,
    limits: Limits,
}

/// A stream that was set aside for one within it.
#[derive(Debug)]
pub struct Outer<V> {
    stack: Vec<V>,
    marks: Vec<usize>,
    fence: usize,
    memo: Memo<V>,
    frame_end: u64,
    stopped: bool,
}

/// The piece ends before the opcode does: the bytes that the opcode needs.
enum Short {
    More(usize),
    Failed(Error),
}

impl From<Error> for Short {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What one opcode leads to.
enum Next<E> {
    On(usize),
    Payload(usize, u8, u64),
    Event(usize, E),
    Stop(usize),
}

impl<D: Domain> Machine<D> {
    /// A machine at the beginning of a stream.
    pub fn new(domain: D, limits: Limits) -> Self {
        Self {
            domain,
            stack: Vec::new(),
            marks: Vec::new(),
            fence: 0,
            memo: Memo::new(limits.memo),
            position: 0,
            opcodes: 0,
            pending: 0,
            frame_end: 0,
            stopped: false,
            limits,
        }
    }

    /// The same, for a stream that begins at `position` of something larger.
    #[must_use]
    pub fn starting_at(mut self, position: u64) -> Self {
        self.position = position;
        self
    }

    /// What makes the values.
    pub fn domain(&self) -> &D {
        &self.domain
    }

    /// What makes the values.
    pub fn domain_mut(&mut self) -> &mut D {
        &mut self.domain
    }

    /// The domain, when all is done.
    pub fn into_domain(self) -> D {
        self.domain
    }

    /// The limits; they may be changed on the way.
    pub fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// How many bytes of the stream have been taken or passed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many opcodes have been taken.
    pub fn opcodes(&self) -> u64 {
        self.opcodes
    }

    /// How many values the memo holds.
    pub fn memoized(&self) -> usize {
        self.memo.len()
    }

    /// How many bytes of a payload are still to be passed.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// `count` bytes have been passed outside of [`run`](Self::run): those of a payload, or what follows an event in the
    /// stream without being opcodes, as the data of joblib's arrays do.
    pub fn advance(&mut self, count: u64) {
        self.position = self.position.saturating_add(count);
        self.pending = self.pending.saturating_sub(count);
    }

    /// Set the stream aside that is being read, and begin another: the pickle of an array of objects lies within another
    /// pickle. The position goes on. [`leave`](Self::leave) takes the first up again.
    pub fn enter(&mut self) -> Outer<D::Value> {
        let memo = Memo::new(self.limits.memo);
        Outer {
            stack: std::mem::take(&mut self.stack),
            marks: std::mem::take(&mut self.marks),
            fence: std::mem::take(&mut self.fence),
            memo: std::mem::replace(&mut self.memo, memo),
            frame_end: std::mem::take(&mut self.frame_end),
            stopped: std::mem::take(&mut self.stopped),
        }
    }

    /// Go on with the stream that [`enter`](Self::enter) set aside.
    pub fn leave(&mut self, outer: Outer<D::Value>) {
        self.stack = outer.stack;
        self.marks = outer.marks;
        self.fence = outer.fence;
        self.memo = outer.memo;
        self.frame_end = outer.frame_end;
        self.stopped = outer.stopped;
    }

    /// The error for a stream that ends here, though STOP has not been seen.
    pub fn truncated(&self) -> Error {
        Error::Truncated(format!(
            "the pickle ends in the middle, after {} bytes and {} opcodes",
            self.position, self.opcodes
        ))
    }

    /// Take the whole opcodes of `piece`, which continues the stream where the last call and [`advance`](Self::advance)
    /// left it, and say how many bytes were taken and why no more.
    ///
    /// # Errors
    ///
    /// If the stream is not a pickle, exceeds the limits, or the domain says so. The machine is of no use afterwards.
    pub fn run(&mut self, piece: &[u8]) -> Result<(usize, Step<D::Event>), Error> {
        let mut taken = 0;
        if self.pending > 0 {
            taken = usize::try_from(self.pending).map_or(piece.len(), |n| n.min(piece.len()));
            self.advance(taken as u64);
            if self.pending > 0 {
                let at_least = usize::try_from(self.pending).unwrap_or(usize::MAX);
                return Ok((taken, Step::More { at_least }));
            }
        }
        if self.stopped {
            return Ok((taken, Step::Stop));
        }
        let start = self.position.wrapping_sub(taken as u64);
        loop {
            let rest = piece.get(taken..).unwrap_or_default();
            match self.step(rest) {
                Ok(Next::On(length)) => {
                    taken += length;
                    self.framed(start.wrapping_add(taken as u64))?;
                }
                Ok(Next::Payload(header, opcode, length)) => {
                    taken += header;
                    let position = start.wrapping_add(taken as u64);
                    if self.position < self.frame_end {
                        self.framed(position.saturating_add(length))?;
                    }
                    self.position = position;
                    self.pending = length;
                    let step = Step::Payload {
                        opcode,
                        header,
                        length,
                    };
                    return Ok((taken, step));
                }
                Ok(Next::Event(length, event)) => {
                    taken += length;
                    self.framed(start.wrapping_add(taken as u64))?;
                    return Ok((taken, Step::Event(event)));
                }
                Ok(Next::Stop(length)) => {
                    taken += length;
                    self.framed(start.wrapping_add(taken as u64))?;
                    self.stopped = true;
                    return Ok((taken, Step::Stop));
                }
                Err(Short::More(at_least)) => {
                    if self.position.saturating_add(at_least as u64) > self.limits.end
                        && self.position.saturating_add(rest.len() as u64) >= self.limits.end
                    {
                        return Err(self.truncated());
                    }
                    return Ok((taken, Step::More { at_least }));
                }
                Err(Short::Failed(error)) => return Err(error),
            }
        }
    }

    /// Go on to `position`, which a frame that is under way has to reach to.
    ///
    /// CPython's unpickler reads a frame at once, and where an opcode goes on behind it, drops what was left of the frame,
    /// if it reads from a file, and does not if it reads from memory.
    #[inline]
    fn framed(&mut self, position: u64) -> Result<(), Error> {
        if self.position < self.frame_end && position > self.frame_end {
            return Err(Error::malformed(
                self.position,
                "an opcode that goes on behind the end of its frame",
            ));
        }
        self.position = position;
        Ok(())
    }

    /// One opcode, if `rest` holds the whole of it.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the loop over opcodes is the hot path of every reader"
    )]
    #[expect(
        clippy::too_many_lines,
        reason = "one arm to an opcode, in one place, is easier to compare with CPython's"
    )]
    fn step(&mut self, rest: &[u8]) -> Result<Next<D::Event>, Short> {
        let at = self.position;
        let Some(&opcode) = rest.first() else {
            return Err(Short::More(1));
        };
        if self.opcodes >= self.limits.opcodes {
            return Err(Error::Budget(format!(
                "the pickle has more than {} opcodes (at byte {at})",
                self.limits.opcodes
            ))
            .into());
        }
        let mut length = 1;
        match opcode {
            op::MARK => {
                self.room(at)?;
                self.marks.push(self.stack.len());
                self.fence = self.stack.len();
            }
            op::STOP => {
                let value = self.pop(at)?;
                self.domain.stop(at + 1, value, self.stack.len())?;
                self.opcodes += 1;
                return Ok(Next::Stop(1));
            }
            op::POP => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.unmark(at)?;
                } else {
                    let value = self.pop(at)?;
                    self.domain.dropped(at + 1, value);
                }
            }
            op::POP_MARK => {
                let mark = self.unmark(at)?;
                self.stack.truncate(mark);
            }
            op::DUP => {
                let value = self.top(at)?;
                self.push(at, value)?;
            }
            op::NONE => {
                let value = self.domain.none();
                self.push(at, value)?;
            }
            op::NEWTRUE | op::NEWFALSE => {
                let value = self.domain.boolean(opcode == op::NEWTRUE);
                self.push(at, value)?;
            }
            op::BININT => {
                let value = i32::from_le_bytes(fixed(rest)?);
                length = 5;
                let value = self.domain.integer(value.into());
                self.push(at, value)?;
            }
            op::BININT1 => {
                let [value] = fixed(rest)?;
                length = 2;
                let value = self.domain.integer(value.into());
                self.push(at, value)?;
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(fixed(rest)?);
                length = 3;
                let value = self.domain.integer(value.into());
                self.push(at, value)?;
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(fixed(rest)?);
                length = 9;
                let value = self.domain.float(value);
                self.push(at, value)?;
            }
            op::INT | op::LONG | op::FLOAT | op::STRING | op::UNICODE => {
                let line = self.line(rest, 1)?;
                length += line.len() + 1;
                if line.is_empty() && opcode != op::UNICODE {
                    return Err(Error::malformed(at, "an empty line for a value").into());
                }
                let value = self.domain.line(at, opcode, line)?;
                self.push(at, value)?;
            }
            op::BINGET => {
                let [index] = fixed(rest)?;
                length = 2;
                let value = self.recall(at, index.into())?;
                self.push(at, value)?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(fixed(rest)?);
                length = 5;
                let value = self.recall(at, index.into())?;
                self.push(at, value)?;
            }
            op::GET => {
                let line = self.line(rest, 1)?;
                length += line.len() + 1;
                let value = self.recall(at, decimal(at, line)?)?;
                self.push(at, value)?;
            }
            op::MEMOIZE => {
                let value = self.top(at)?;
                self.memo.append(at, value)?;
            }
            op::BINPUT => {
                let value = self.top(at)?;
                let [index] = fixed(rest)?;
                length = 2;
                self.memo.put(at, index.into(), value, self.opcodes)?;
            }
            op::LONG_BINPUT => {
                let value = self.top(at)?;
                let index = u32::from_le_bytes(fixed(rest)?);
                length = 5;
                self.memo.put(at, index.into(), value, self.opcodes)?;
            }
            op::PUT => {
                let value = self.top(at)?;
                let line = self.line(rest, 1)?;
                length += line.len() + 1;
                self.memo.put(at, decimal(at, line)?, value, self.opcodes)?;
            }
            op::SHORT_BINUNICODE
            | op::SHORT_BINBYTES
            | op::SHORT_BINSTRING
            | op::LONG1
            | op::BINUNICODE
            | op::BINBYTES
            | op::BINSTRING
            | op::LONG4
            | op::BINUNICODE8
            | op::BINBYTES8
            | op::BYTEARRAY8 => return self.counted(at, opcode, rest),
            op::EMPTY_TUPLE | op::EMPTY_LIST | op::EMPTY_DICT | op::EMPTY_SET => {
                let value = self.domain.empty(at, opcode)?;
                self.push(at, value)?;
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(opcode - op::TUPLE1) + 1;
                let from = self.below(at, count)?;
                self.gather(at, opcode, from)?;
            }
            op::TUPLE | op::LIST | op::DICT | op::FROZENSET => {
                let from = self.unmark(at)?;
                if opcode == op::DICT && !(self.stack.len() - from).is_multiple_of(2) {
                    return Err(Error::malformed(at, "a dict with a key that has no value").into());
                }
                self.gather(at, opcode, from)?;
            }
            op::APPEND => self.extend(at, opcode, self.stack.len().wrapping_sub(1))?,
            op::SETITEM => self.extend(at, opcode, self.stack.len().wrapping_sub(2))?,
            op::APPENDS | op::SETITEMS | op::ADDITEMS => {
                let from = self.unmark(at)?;
                self.extend(at, opcode, from)?;
            }
            op::GLOBAL => {
                let (module, name) = self.two_lines(at, rest)?;
                length += module.len() + name.len() + 2;
                let value = self.domain.global(at, module, name)?;
                self.push(at, value)?;
            }
            op::STACK_GLOBAL => {
                let name = self.pop(at)?;
                let module = self.pop(at)?;
                let value = self.domain.stack_global(at, module, name)?;
                self.push(at, value)?;
            }
            op::REDUCE => {
                let arguments = self.pop(at)?;
                let callable = self.pop(at)?;
                let value = self.domain.reduce(at, callable, arguments)?;
                self.push(at, value)?;
            }
            op::NEWOBJ | op::NEWOBJ_EX => {
                let keywords = match opcode {
                    op::NEWOBJ_EX => Some(self.pop(at)?),
                    _ => None,
                };
                let arguments = self.pop(at)?;
                let class = self.pop(at)?;
                let value = self.domain.new_object(at, class, arguments, keywords)?;
                self.push(at, value)?;
            }
            op::BUILD => {
                let state = self.pop(at)?;
                let instance = self.pop(at)?;
                let (value, event) = self.domain.build(at, instance, state)?;
                self.push(at, value)?;
                if let Some(event) = event {
                    self.opcodes += 1;
                    return Ok(Next::Event(1, event));
                }
            }
            op::OBJ => {
                let from = self.unmark(at)?;
                let Some((&class, items)) =
                    self.stack.get(from..).unwrap_or_default().split_first()
                else {
                    return Err(underflow(at).into());
                };
                let value = self.domain.instantiate(at, class, items)?;
                self.stack.truncate(from);
                self.push(at, value)?;
            }
            op::INST => {
                let (module, name) = self.two_lines(at, rest)?;
                length += module.len() + name.len() + 2;
                let from = self.unmark(at)?;
                let class = self.domain.global(at, module, name)?;
                let items = self.stack.get(from..).unwrap_or_default();
                let value = self.domain.instantiate(at, class, items)?;
                self.stack.truncate(from);
                self.push(at, value)?;
            }
            op::EXT1 | op::EXT2 | op::EXT4 => {
                let code = match opcode {
                    op::EXT1 => u32::from(u8::from_le_bytes(fixed(rest)?)),
                    op::EXT2 => u32::from(u16::from_le_bytes(fixed(rest)?)),
                    _ => u32::from_le_bytes(fixed(rest)?),
                };
                length += 1 << (opcode - op::EXT1);
                let value = self.domain.extension(at, code)?;
                self.push(at, value)?;
            }
            op::PERSID => {
                let line = self.line(rest, 1)?;
                length += line.len() + 1;
                let value = self.domain.persistent_line(at, line)?;
                self.push(at, value)?;
            }
            op::BINPERSID => {
                let id = self.pop(at)?;
                let value = self.domain.persistent(at, id)?;
                self.push(at, value)?;
            }
            op::PROTO => {
                let [version] = fixed(rest)?;
                length = 2;
                if version > 5 {
                    return Err(Error::Unsupported(format!(
                        "pickle protocol {version} is not known (at byte {at})"
                    ))
                    .into());
                }
                self.domain.protocol(at, version)?;
            }
            op::FRAME => {
                let frame = u64::from_le_bytes(fixed(rest)?);
                length = 9;
                if at < self.frame_end {
                    return Err(Error::malformed(at, "a frame within a frame").into());
                }
                if frame > self.limits.end.saturating_sub(at + 9) {
                    return Err(self.truncated().into());
                }
                self.frame_end = (at + 9).saturating_add(frame);
                if let Some(event) = self.domain.frame(at, frame)? {
                    self.opcodes += 1;
                    return Ok(Next::Event(length, event));
                }
            }
            op::NEXT_BUFFER => {
                let value = self.domain.buffer(at)?;
                self.push(at, value)?;
            }
            op::READONLY_BUFFER => {
                let value = self.pop(at)?;
                let value = self.domain.read_only(at, value)?;
                self.push(at, value)?;
            }
            _ => {
                return Err(
                    Error::malformed(at, format!("no opcode of pickle: {opcode:#04x}")).into(),
                );
            }
        }
        self.opcodes += 1;
        Ok(Next::On(length))
    }

    /// A counted opcode.
    #[inline]
    fn counted(&mut self, at: u64, opcode: u8, rest: &[u8]) -> Result<Next<D::Event>, Short> {
        let (header, length) = match op::argument(opcode) {
            Some(Argument::Counted(1)) => (2, u64::from(u8::from_le_bytes(fixed(rest)?))),
            Some(Argument::Counted(4)) => (5, u64::from(u32::from_le_bytes(fixed(rest)?))),
            _ => (9, u64::from_le_bytes(fixed(rest)?)),
        };
        let data = at.saturating_add(header as u64);
        if length > (i64::MAX as u64).saturating_sub(data)
            || (length > i32::MAX as u64 && matches!(opcode, op::LONG4 | op::BINSTRING))
        {
            return Err(
                Error::malformed(at, format!("a length that cannot be: {length} bytes")).into(),
            );
        }
        if data + length > self.limits.end {
            return Err(Error::Truncated(format!(
                "the pickle ends in the middle of a value of {length} bytes that begins at byte {data}"
            ))
            .into());
        }
        if self.domain.whole(at, opcode, data, length)? {
            // A length that was asked for as a whole and has no place in memory cannot be waited for.
            let end = usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_add(header))
                .ok_or_else(|| Error::Budget(format!("a value of {length} bytes")))?;
            let Some(payload) = rest.get(header..end) else {
                return Err(Short::More(end));
            };
            let value = self.domain.counted(at, opcode, data, payload)?;
            self.push(at, value)?;
            self.opcodes += 1;
            return Ok(Next::On(end));
        }
        let value = self.domain.passed(at, opcode, data, length)?;
        self.push(at, value)?;
        self.opcodes += 1;
        Ok(Next::Payload(header, opcode, length))
    }
}

#[cfg(test)]
mod tests;
