//! What lies in arrays that other things are reached by: offsets, codes, indices.
//!
//! pandas, scipy and Arrow do not check these when they use them, or not always, so that one that is out of range reads and
//! writes elsewhere in memory.

use super::arena::{Array, Value};
use super::domain::{Reason, Verifier, refuse};
use super::dtype::Dtype;

impl Verifier<'_> {
    /// The bytes of a bytes object, as they are in the stream.
    pub(super) fn content(&self, value: Value) -> Result<&[u8], Reason> {
        if let Some(short) = self.arena.short_bytes(value) {
            return Ok(short);
        }
        let Some((length, data)) = self.arena.bytes(value) else {
            return refuse("what is no bytes");
        };
        self.stretch(data, length)
    }

    /// A stretch of the stream.
    fn stretch(&self, data: Option<u64>, length: u64) -> Result<&[u8], Reason> {
        let (Some(memory), Some(data)) = (self.memory, data) else {
            return refuse(
                "contents that cannot be looked at, as they do not lie in memory as they are",
            );
        };
        usize::try_from(data)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(data, length)| memory.get(data..data.checked_add(length)?))
            .map_or_else(|| refuse("contents beyond the end"), Ok)
    }

    /// The bytes of an array.
    fn array_content(&self, array: &Array, dtype: &Dtype) -> Result<&[u8], Reason> {
        if self.arena.short_bytes(array.members).is_some() {
            return self.content(array.members);
        }
        self.stretch(array.data, array.count.saturating_mul(dtype.size))
    }

    /// Whether `good` holds for each integer of an array of one dimension.
    pub(super) fn integers(
        &self,
        value: Value,
        mut good: impl FnMut(i64) -> bool,
    ) -> Result<bool, Reason> {
        let Some((array, dtype)) = self.arena.array(value) else {
            return refuse("what is no array");
        };
        if array.shape.len != 1 || dtype.big_endian {
            return refuse("an array of more than one dimension, or of another byte order");
        }
        if array.count == 0 {
            return Ok(true);
        }
        let bytes = self.array_content(array, dtype)?;
        Ok(match (dtype.code, dtype.size) {
            (b'i', 1) => bytes
                .iter()
                .all(|&byte| good(i64::from(byte.cast_signed()))),
            (b'i', 2) => chunks(bytes).all(|word| good(i16::from_le_bytes(word).into())),
            (b'i', 4) => chunks(bytes).all(|word| good(i32::from_le_bytes(word).into())),
            (b'i', 8) => chunks(bytes).all(|word| good(i64::from_le_bytes(word))),
            _ => return refuse("an array of no integers"),
        })
    }

    /// The number of elements of an array of integers of one dimension.
    pub(super) fn integer_count(&self, value: Value) -> Option<u64> {
        let (array, dtype) = self.arena.array(value)?;
        let fits = dtype.code == b'i' && array.shape.len == 1;
        fits.then_some(array.count)
    }
}

/// The words of `bytes`.
pub(super) fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes
        .chunks_exact(N)
        .filter_map(|chunk| chunk.try_into().ok())
}
