//! scipy's sparse matrices.
//!
//! scipy checks their indices when a matrix is made from arrays, but not when it is loaded; its routines believe them.

use super::arena::{Holder, Kind, Value, size, truth};
use super::domain::{Reason, Verifier, refuse};

pub(super) const CSR: u8 = 0;
pub(super) const CSC: u8 = 1;
pub(super) const COO: u8 = 2;
pub(super) const BSR: u8 = 3;
pub(super) const DIA: u8 = 4;
pub(super) const LIL: u8 = 5;

impl Verifier<'_> {
    /// The state of a sparse matrix: a dict of its attributes.
    pub(super) fn sparse_build(
        &mut self,
        instance: Value,
        format: i64,
        state: Value,
    ) -> Result<(), Reason> {
        self.arena.freeze(state);
        if u8::try_from(format) == Ok(LIL) {
            let lists: Vec<Value> = self
                .arena
                .entries(state)
                .unwrap_or_default()
                .iter()
                .filter_map(|&(_, value)| self.arena.array(value))
                .map(|(array, _)| array.members)
                .collect();
            for list in lists {
                self.arena.freeze(list);
            }
        }
        self.sparse_state(u8::try_from(format).unwrap_or(u8::MAX), state)?;
        self.set_built(instance, format, state);
        Ok(())
    }

    fn sparse_state(&self, format: u8, state: Value) -> Result<(), Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a sparse matrix whose state is no dict");
        };
        let find = |name: &[u8]| {
            let found = entries.iter().find(|&&(key, _)| key == name);
            found.map_or(Value::None, |&(_, value)| value)
        };
        for &(key, value) in &entries {
            let good = match key {
                b"_shape" | b"indices" | b"indptr" | b"data" | b"coords" | b"row" | b"col"
                | b"offsets" | b"rows" | b"dtype" => true,
                b"maxprint" => size(value).is_some() || value == Value::None,
                b"_has_canonical_format"
                | b"has_canonical_format"
                | b"_has_sorted_indices"
                | b"has_sorted_indices" => truth(value).is_some(),
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "a sparse matrix with an attribute that is not its own: {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        let Some(shape) = self.arena.shape(find(b"_shape")) else {
            return refuse("a sparse matrix without a shape");
        };
        let product = shape
            .iter()
            .try_fold(1u64, |product, &length| product.checked_mul(length.max(1)));
        if shape.is_empty()
            || shape.iter().any(|&length| length > 1 << 62)
            || (format != COO && product.is_none())
        {
            return refuse("a sparse matrix of an impossible shape");
        }
        let (rows, columns) = match *shape.as_slice() {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ if format == COO => (0, 0),
            _ => return refuse("a sparse matrix of more than two dimensions"),
        };
        match format {
            CSR => self.compressed(&find, rows, columns, None),
            CSC => self.compressed(&find, columns, rows, None),
            BSR => {
                let blocks = self
                    .arena
                    .array(find(b"data"))
                    .map(|(array, _)| self.arena.sizes(array));
                let Some([_, high, wide]) = blocks.as_deref() else {
                    return refuse("a sparse matrix of blocks whose data are none");
                };
                if *high == 0
                    || *wide == 0
                    || !rows.is_multiple_of(*high)
                    || !columns.is_multiple_of(*wide)
                {
                    return refuse("a sparse matrix of blocks that do not fill it");
                }
                self.compressed(&find, rows / high, columns / wide, Some(()))
            }
            COO => self.coordinates(&find, &shape),
            DIA => {
                let data = self.arena.array(find(b"data"));
                let lines = data.map(|(array, _)| self.arena.sizes(array));
                let Some([lines, _]) = lines.as_deref() else {
                    return refuse("a sparse matrix of diagonals whose data are none");
                };
                let plain =
                    data.is_some_and(|(_, dtype)| dtype.is_raw() && dtype.fields.is_empty());
                if self.integer_count(find(b"offsets")) != Some(*lines) || !plain {
                    return refuse("a sparse matrix of diagonals without as many offsets");
                }
                let within = |offset: i64| offset.unsigned_abs() < 1 << 40;
                if !self.integers(find(b"offsets"), within)? {
                    return refuse("a sparse matrix of diagonals far outside");
                }
                Ok(())
            }
            LIL => self.lists(&find, rows, columns),
            _ => refuse("a sparse matrix of an unknown kind"),
        }
    }

    /// Rows (or columns) one after the other: where each begins, and the columns in it.
    fn compressed(
        &self,
        find: &impl Fn(&[u8]) -> Value,
        major: u64,
        minor: u64,
        blocks: Option<()>,
    ) -> Result<(), Reason> {
        let (indices, indptr) = (find(b"indices"), find(b"indptr"));
        let Some((data, dtype)) = self.arena.array(find(b"data")) else {
            return refuse("a sparse matrix without data");
        };
        let stored = self.arena.sizes(data).first().copied().unwrap_or(0);
        let flat = data.shape.len == if blocks.is_some() { 3 } else { 1 };
        if !flat || !dtype.is_raw() || !dtype.fields.is_empty() || data.fortran {
            return refuse("a sparse matrix of other data than numbers in a row");
        }
        // scipy's routines take both of one type.
        let kind = |value| {
            self.arena
                .array(value)
                .map(|(_, dtype)| (dtype.code, dtype.size))
        };
        if kind(indices) != kind(indptr) || !matches!(kind(indices), Some((b'i', 4 | 8))) {
            return refuse("a sparse matrix of indices of an unknown type");
        }
        if self.integer_count(indices) != Some(stored)
            || self.integer_count(indptr) != major.checked_add(1)
        {
            return refuse("a sparse matrix with another number of indices than data");
        }
        let mut last = 0;
        let mut first = true;
        let rising = self.integers(indptr, |start| {
            let good = if first { start == 0 } else { start >= last };
            (first, last) = (false, start);
            good
        })?;
        if !rising || u64::try_from(last) != Ok(stored) {
            return refuse("a sparse matrix whose rows do not lie one after the other");
        }
        if !self.integers(indices, |index| {
            u64::try_from(index).is_ok_and(|index| index < minor)
        })? {
            return refuse("a sparse matrix with indices outside of it");
        }
        Ok(())
    }

    fn coordinates(&self, find: &impl Fn(&[u8]) -> Value, shape: &[u64]) -> Result<(), Reason> {
        let Some((data, dtype)) = self.arena.array(find(b"data")) else {
            return refuse("a sparse matrix without data");
        };
        if data.shape.len != 1 || !dtype.is_raw() || !dtype.fields.is_empty() {
            return refuse("a sparse matrix of other data than numbers in a row");
        }
        let coords: Vec<Value> = match self.arena.tuple(find(b"coords")) {
            Some(coords) => coords.to_vec(),
            None => vec![find(b"row"), find(b"col")],
        };
        if coords.len() != shape.len() {
            return refuse("a sparse matrix with another number of coordinates than dimensions");
        }
        for (&coord, &length) in coords.iter().zip(shape) {
            let counted = self.integer_count(coord) == Some(data.count);
            if !counted
                || !self.integers(coord, |index| {
                    u64::try_from(index).is_ok_and(|index| index < length)
                })?
            {
                return refuse("a sparse matrix with coordinates outside of it");
            }
        }
        Ok(())
    }

    fn lists(&self, find: &impl Fn(&[u8]) -> Value, rows: u64, columns: u64) -> Result<(), Reason> {
        let lists = |name: &[u8]| {
            let (array, dtype) = self.arena.array(find(name))?;
            (dtype.code == b'O' && array.shape.len == 1 && array.count == rows)
                .then_some(array.members)
        };
        let (Some(indices), Some(data)) = (lists(b"rows"), lists(b"data")) else {
            return refuse("a sparse matrix of lists that are none");
        };
        if self
            .arena
            .dtype(find(b"dtype"))
            .is_none_or(|(_, dtype)| !dtype.is_raw() || !dtype.fields.is_empty())
        {
            return refuse("a sparse matrix of lists without a dtype");
        }
        let all = |value| {
            self.arena
                .members(value, Holder::List)
                .into_iter()
                .flatten()
        };
        for (indices, data) in all(indices).zip(all(data)) {
            let count = self.arena.member_count(indices, Holder::List);
            let mut last = -1;
            let rising = all(indices).all(|index| match index {
                Value::Int(index) if index > last && index.unsigned_abs() < columns => {
                    last = index;
                    true
                }
                _ => false,
            });
            let numbers = all(data).all(|number| {
                matches!(number, Value::Int(_) | Value::Float(_) | Value::Bool(_))
                    || self.arena.built(number, Kind::Data).is_some()
            });
            if count.is_none()
                || count != self.arena.member_count(data, Holder::List)
                || !rising
                || !numbers
            {
                return refuse("a sparse matrix of lists with indices outside of it");
            }
        }
        Ok(())
    }
}
