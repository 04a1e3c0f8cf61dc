//! The memo of an unpickler.

use crate::Error;

/// How far beyond the number of opcodes an index may lie: a pickler that is used several times goes on counting.
const SLACK: u64 = 1 << 16;

/// Values by number.
///
/// CPython keeps an array as long as twice the largest number, so that a PUT of four bytes of 0xff takes 64 GiB. Numbers
/// are therefore bounded by how many opcodes came before: no pickler counts faster than that.
#[derive(Debug)]
pub(crate) struct Memo<V> {
    values: Vec<Option<V>>,
    filled: usize,
    limit: usize,
}

impl<V: Copy> Memo<V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            values: Vec::new(),
            filled: 0,
            limit,
        }
    }

    /// How many numbers have a value.
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    #[inline]
    pub(crate) fn get(&self, index: u64) -> Option<V> {
        let index = usize::try_from(index).ok()?;
        self.values.get(index).copied().flatten()
    }

    /// Store `value` under the number that MEMOIZE takes: how many numbers have a value.
    #[inline]
    pub(crate) fn append(&mut self, at: u64, value: V) -> Result<(), Error> {
        if self.filled == self.values.len() && self.filled < self.limit {
            self.values.push(Some(value));
            self.filled += 1;
            return Ok(());
        }
        // Numbers were left out before, so that this one may lie among them.
        let index = self.filled as u64;
        self.put(at, index, value, index)
    }

    #[inline]
    pub(crate) fn put(&mut self, at: u64, index: u64, value: V, opcodes: u64) -> Result<(), Error> {
        if index > opcodes.saturating_add(SLACK) {
            return Err(Error::malformed(
                at,
                format!("number {index} of the memo, after {opcodes} opcodes"),
            ));
        }
        let index = match usize::try_from(index) {
            Ok(index) if index < self.limit => index,
            _ => {
                return Err(Error::Budget(format!(
                    "the pickle keeps more than {} values in its memo (at byte {at})",
                    self.limit
                )));
            }
        };
        if index >= self.values.len() {
            self.values.resize(index + 1, None);
        }
        if let Some(slot) = self.values.get_mut(index) {
            self.filled += usize::from(slot.is_none());
            *slot = Some(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memoize_counts_values_not_numbers() {
        let mut memo = Memo::new(100);
        memo.put(0, 5, 'a', 9).unwrap();
        memo.append(0, 'b').unwrap();
        assert_eq!(
            (memo.len(), memo.get(1), memo.get(5)),
            (2, Some('b'), Some('a'))
        );
        memo.put(0, 5, 'c', 9).unwrap();
        assert_eq!((memo.len(), memo.get(5), memo.get(4)), (2, Some('c'), None));
    }

    #[test]
    fn a_number_far_ahead_takes_no_memory() {
        let mut memo = Memo::new(usize::MAX);
        assert!(memo.put(0, u64::from(u32::MAX), (), 3).is_err());
        assert_eq!(memo.values.capacity(), 0);
    }

    #[test]
    fn the_limit_holds_for_both_ways() {
        let mut memo = Memo::new(1);
        memo.append(0, ()).unwrap();
        assert!(matches!(memo.append(0, ()), Err(Error::Budget(_))));
        assert!(matches!(memo.put(0, 1, (), 9), Err(Error::Budget(_))));
    }
}
