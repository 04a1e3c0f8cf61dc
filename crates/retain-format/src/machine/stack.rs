//! What opcodes do with the stack and the marks, and how their arguments are read.

use super::{Machine, Short};
use crate::Error;
use crate::domain::Domain;
use crate::opcode as op;

impl<D: Domain> Machine<D> {
    #[inline]
    pub(super) fn room(&self, at: u64) -> Result<(), Error> {
        if self.stack.len() + self.marks.len() >= self.limits.stack {
            return Err(Error::Budget(format!(
                "the pickle keeps more than {} values on its stack (at byte {at})",
                self.limits.stack
            )));
        }
        Ok(())
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "every value goes through it")]
    pub(super) fn push(&mut self, at: u64, value: D::Value) -> Result<(), Error> {
        self.room(at)?;
        self.stack.push(value);
        Ok(())
    }

    #[inline]
    pub(super) fn top(&self, at: u64) -> Result<D::Value, Error> {
        match self.stack.last() {
            Some(&value) if self.stack.len() > self.fence => Ok(value),
            _ => Err(underflow(at)),
        }
    }

    #[inline]
    pub(super) fn pop(&mut self, at: u64) -> Result<D::Value, Error> {
        let value = self.top(at)?;
        self.stack.pop();
        Ok(value)
    }

    /// Where the `count` topmost values begin.
    #[inline]
    pub(super) fn below(&self, at: u64, count: usize) -> Result<usize, Error> {
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= self.fence => Ok(from),
            _ => Err(underflow(at)),
        }
    }

    /// Remove the topmost mark, and say where the values above it begin.
    #[inline]
    pub(super) fn unmark(&mut self, at: u64) -> Result<usize, Error> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| Error::malformed(at, "no mark where one is needed"))?;
        self.fence = self.marks.last().copied().unwrap_or(0);
        Ok(mark)
    }

    /// Replace the values from `from` on by a collection of them.
    #[inline]
    pub(super) fn gather(&mut self, at: u64, opcode: u8, from: usize) -> Result<(), Error> {
        let items = self.stack.get(from..).unwrap_or_default();
        let value = self.domain.collect(at, opcode, items)?;
        self.stack.truncate(from);
        self.push(at, value)
    }

    /// Move the values from `from` on into the one below.
    #[inline]
    pub(super) fn extend(&mut self, at: u64, opcode: u8, from: usize) -> Result<(), Error> {
        if from > self.stack.len() || from <= self.fence {
            return Err(underflow(at));
        }
        let (below, items) = self.stack.split_at(from);
        let Some(&target) = below.last() else {
            return Err(underflow(at));
        };
        if items.is_empty() {
            return Ok(());
        }
        if matches!(opcode, op::SETITEM | op::SETITEMS) && !items.len().is_multiple_of(2) {
            return Err(Error::malformed(at, "a key that has no value"));
        }
        self.domain.extend(at, opcode, target, items)?;
        self.stack.truncate(from);
        Ok(())
    }

    #[inline]
    pub(super) fn recall(&self, at: u64, index: u64) -> Result<D::Value, Error> {
        self.memo.get(index).ok_or_else(|| {
            Error::malformed(at, format!("the memo holds no value of number {index}"))
        })
    }

    /// The line that begins at `from`, without its newline.
    pub(super) fn line<'p>(&self, rest: &'p [u8], from: usize) -> Result<&'p [u8], Short> {
        let tail = rest.get(from..).unwrap_or_default();
        match tail.iter().position(|&byte| byte == b'\n') {
            Some(length) if length <= self.limits.line => {
                Ok(tail.get(..length).unwrap_or_default())
            }
            // Twice what there is, so that a long line is not searched over and over.
            None if tail.len() <= self.limits.line => {
                Err(Short::More(rest.len().saturating_mul(2).max(16)))
            }
            _ => Err(Error::Budget(format!(
                "a line of more than {} bytes (at byte {})",
                self.limits.line, self.position
            ))
            .into()),
        }
    }

    pub(super) fn two_lines<'p>(
        &self,
        at: u64,
        rest: &'p [u8],
    ) -> Result<(&'p [u8], &'p [u8]), Short> {
        let first = self.line(rest, 1)?;
        let second = self.line(rest, first.len() + 2)?;
        if first.is_empty() || second.is_empty() {
            return Err(Error::malformed(at, "a global without a name").into());
        }
        Ok((first, second))
    }
}

pub(super) fn underflow(at: u64) -> Error {
    Error::malformed(at, "an opcode that needs more values than there are")
}

/// The `N` bytes behind the opcode.
#[inline]
pub(super) fn fixed<const N: usize>(rest: &[u8]) -> Result<[u8; N], Short> {
    match rest.get(1..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(&bytes) => Ok(bytes),
        None => Err(Short::More(N + 1)),
    }
}

/// An index of the memo, in decimal.
pub(super) fn decimal(at: u64, line: &[u8]) -> Result<u64, Error> {
    if !line.is_empty() && line.len() <= 19 && line.iter().all(u8::is_ascii_digit) {
        return Ok(line
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
    }
    Err(Error::malformed(
        at,
        "an index of the memo that is no number",
    ))
}
