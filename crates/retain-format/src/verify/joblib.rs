//! joblib's wrappers: what stands in the opcodes for an array whose bytes follow.

use super::arena::{Array, Value};
use super::domain::{Raw, Reason, Verifier, refuse};

impl Verifier<'_> {
    /// One of joblib's wrappers: the array that stands in its place, and the bytes that follow.
    pub(super) fn wrapper_build(&mut self, at: u64, state: Value) -> Result<Raw, Reason> {
        if self.nested {
            return refuse("an array of joblib's in an array of objects");
        }
        if at + 1 < self.frame_end {
            return refuse("an array of joblib's in a frame");
        }
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a wrapper of joblib's whose state is no dict");
        };
        let find = |name: &[u8]| {
            entries
                .iter()
                .find(|&&(key, _)| key == name)
                .map(|&(_, value)| value)
        };
        let (Some(subclass), Some(shape), Some(order), Some(dtype), Some(mmap)) = (
            find(b"subclass"),
            find(b"shape"),
            find(b"order"),
            find(b"dtype"),
            find(b"allow_mmap"),
        ) else {
            return refuse("a wrapper of joblib's without one of its attributes");
        };
        let alignment = find(b"numpy_array_alignment_bytes");
        if entries.len() != 5 + usize::from(alignment.is_some()) {
            return refuse("a wrapper of joblib's with other attributes than its own");
        }
        let padded = match alignment {
            None | Some(Value::None) => false,
            Some(Value::Int(16)) => true,
            Some(_) => return refuse("a wrapper of joblib's of an unknown alignment"),
        };
        let fortran = match self.arena.text(order) {
            Some(b"C") => false,
            Some(b"F") => true,
            _ => return refuse("a wrapper of joblib's of an unknown order"),
        };
        let (Some(matrix), Value::Bool(_)) = (self.array_class(subclass), mmap) else {
            return refuse("a wrapper of joblib's of an unknown class");
        };
        let (Some((number, dtype)), Some(sizes)) =
            (self.arena.dtype(dtype), self.arena.shape(shape))
        else {
            return refuse("a wrapper of joblib's of no whole dtype or shape");
        };
        if dtype.subarray || dtype.code == b'T' || (dtype.size == 0 && !dtype.object) {
            return refuse("a wrapper of joblib's of an impossible dtype");
        }
        let Some((count, nbytes)) = Self::extent(&sizes, dtype) else {
            return refuse("a wrapper of joblib's of an impossible size");
        };
        if matrix && sizes.len() != 2 {
            return refuse("a matrix that has not two dimensions");
        }
        let object = dtype.object;
        self.joblib = true;
        self.charge(nbytes);
        let sizes = self.arena.tuple(shape).unwrap_or_default().to_vec();
        let shape = self.arena.push_items(&sizes);
        let array = self.arena.new_array(Array {
            built: true,
            matrix,
            dtype: number,
            shape,
            count,
            fortran,
            data: None,
            members: Value::None,
            depth: 0,
            frozen: false,
        });
        self.note_array(array);
        Ok(Raw {
            array,
            nbytes,
            object,
            padded: padded && !object,
        })
    }
}
