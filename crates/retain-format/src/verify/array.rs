//! numpy's arrays and scalars.

use super::arena::{Array, Holder, Kind, Node, Object, Value, truth};
use super::domain::{Reason, Verifier, refuse};
use super::dtype::Dtype;
use super::hashes::{self, Hash};

/// Where numpy's array classes live, in any version.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "numpy",
        &["ndarray", "matrix", "memmap", "recarray", "chararray"],
    ),
    ("numpy.matrixlib.defmatrix", &["matrix"]),
    ("numpy.core.memmap", &["memmap"]),
    ("numpy._core.memmap", &["memmap"]),
    ("numpy.rec", &["recarray"]),
    ("numpy.core.records", &["recarray"]),
    ("numpy._core.records", &["recarray"]),
    ("numpy.char", &["chararray"]),
    ("numpy.core.defchararray", &["chararray"]),
    ("numpy._core.defchararray", &["chararray"]),
];

impl Verifier<'_> {
    /// Whether the value is a class of arrays, and whether that is `matrix`.
    pub(super) fn array_class(&self, class: Value) -> Option<bool> {
        CLASSES
            .iter()
            .any(|(module, names)| self.is_global(class, module, names))
            .then(|| {
                self.is_global(class, "numpy", &["matrix"])
                    || self.is_global(class, "numpy.matrixlib.defmatrix", &["matrix"])
            })
    }

    /// Whether the value is one byte, `b`, as bytes or as text.
    fn is_b(&self, value: Value) -> bool {
        self.arena.short_bytes(value) == Some(b"b") || self.arena.text(value) == Some(b"b")
    }

    /// `_reconstruct(class, (0,), b"b")`: an empty array, for BUILD to fill.
    pub(super) fn reconstruct(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let &[class, shape, code] = args else {
            return refuse("an array that is not made of three arguments");
        };
        let Some(matrix) = self.array_class(class) else {
            return refuse("an array of an unknown class");
        };
        if self.arena.tuple(shape) != Some(&[Value::Int(0)]) || !self.is_b(code) {
            return refuse("an array that does not begin as an empty one");
        }
        self.unbuilt += 1;
        Ok(self.arena.new_array(Array {
            built: false,
            matrix,
            dtype: u32::MAX,
            shape: super::arena::Span::default(),
            count: 0,
            fortran: false,
            data: None,
            members: Value::None,
            depth: 0,
            frozen: false,
        }))
    }

    /// `matrix(array, None, False)`: an array of numbers as a matrix.
    pub(super) fn matrix(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let array = match *args {
            [array, Value::None, copy] if truth(copy) == Some(false) => array,
            _ => return refuse("a matrix that is not made of an array alone"),
        };
        let Some(&array) = self.arena.raw_array(array) else {
            return refuse("a matrix that is not made of an array");
        };
        if !array.built || array.data.is_none() || array.shape.len != 2 {
            return refuse("a matrix that is not made of numbers in two dimensions");
        }
        Ok(self.arena.new_array(Array {
            matrix: true,
            ..array
        }))
    }

    /// The state of an array: `(1, shape, dtype, fortran, data)`.
    pub(super) fn array_build(&mut self, instance: Value, state: Value) -> Result<(), Reason> {
        let Some(&array) = self.arena.raw_array(instance) else {
            return refuse("no array");
        };
        if array.built {
            return refuse("an array whose state is set twice");
        }
        let Some([Value::Int(1), shape, dtype, fortran, data]) = self.arena.tuple_of::<5>(state)
        else {
            return refuse("an array whose state is of another version");
        };
        let built = self.array_state(array.matrix, [shape, dtype, fortran, data])?;
        self.unbuilt -= 1;
        self.note_array(instance);
        if let Some(slot) = self.arena.array_mut(instance) {
            *slot = built;
        }
        Ok(())
    }

    fn array_state(
        &mut self,
        matrix: bool,
        [shape, dtype, fortran, data]: [Value; 4],
    ) -> Result<Array, Reason> {
        let Some(fortran) = truth(fortran) else {
            return refuse("an array whose order is no truth value");
        };
        let Some((number, dtype)) = self.arena.dtype(dtype) else {
            return refuse("an array of no whole dtype");
        };
        if dtype.subarray {
            return refuse("an array of a dtype of arrays");
        }
        let Some(sizes) = self.arena.shape(shape) else {
            return refuse("an array of an impossible shape");
        };
        let Some((count, nbytes)) = Self::extent(&sizes, dtype) else {
            return refuse("an array of an impossible size");
        };
        if matrix && sizes.len() != 2 {
            return refuse("a matrix that has not two dimensions");
        }
        let dtype_size = dtype.size;
        let mut place = None;
        let mut depth = 0;
        let mut objects = false;
        if dtype.object || dtype.code == b'T' {
            if self.holds_unfinished(data) {
                return refuse("an array of objects that holds one whose own state is not set yet");
            }
            let Some(length) = self.arena.member_count(data, Holder::List) else {
                return refuse("an array of objects whose data are no list");
            };
            if u64::from(length) != count {
                return refuse("an array of objects whose list is of another length");
            }
            depth = self.arena.depth(data) + 1;
            objects = true;
            if dtype.code == b'T' {
                let mut members = self.arena.members(data, Holder::List).into_iter().flatten();
                if !members.all(|item| {
                    self.arena.is_text(item) || matches!(item, Value::None | Value::Float(_))
                }) {
                    return refuse("an array of texts of something else");
                }
            } else if dtype.code != b'O' {
                let mut members = self.arena.members(data, Holder::List).into_iter().flatten();
                if !members.all(|item| self.is_record(dtype, item)) {
                    return refuse("a structured array whose elements are no tuples of its fields");
                }
            }
        } else {
            let length = match self.arena.bytes(data) {
                Some((length, data)) => {
                    place = data;
                    Some(length)
                }
                None => self.arena.latin_length(data),
            };
            if length != Some(nbytes) {
                return refuse("an array whose data are not as long as its shape says");
            }
        }
        if objects {
            // What changed later could make the array deeper than is known; arrays in arrays are taken apart recursively.
            self.arena.freeze(data);
        }
        // Elements of no size take time, and memory once something is made of them.
        self.charge(if dtype_size == 0 {
            count.saturating_mul(8)
        } else {
            nbytes
        });
        let sizes = self.arena.tuple(shape).unwrap_or_default().to_vec();
        let shape = self.arena.push_items(&sizes);
        Ok(Array {
            built: true,
            matrix,
            dtype: number,
            shape,
            count,
            fortran,
            data: place,
            members: if place.is_none() { data } else { Value::None },
            depth,
            frozen: false,
        })
    }

    /// Whether a list, or a tuple in it, holds an array whose state is not set yet: so could they be strung together deeper
    /// than is noticed, and taking such a string apart overflows the stack.
    fn holds_unfinished(&self, data: Value) -> bool {
        let unfinished = |value: Value| match self.arena.get(value) {
            Some(Node::Array(_)) => self
                .arena
                .raw_array(value)
                .is_some_and(|array| !array.built),
            Some(Node::Object(_)) => self
                .arena
                .object(value)
                .is_some_and(|object| !object.built && object.kind == Kind::Masked),
            _ => false,
        };
        self.arena
            .members(data, Holder::List)
            .is_some_and(|mut items| {
                items.any(|item| {
                    unfinished(item)
                        || self
                            .arena
                            .tuple(item)
                            .is_some_and(|parts| parts.iter().copied().any(unfinished))
                })
            })
    }

    /// Whether `item` is a tuple as numpy sets an element of structured `dtype` from: its numbers are numbers, so that no
    /// conversion calls anything.
    fn is_record(&self, dtype: &Dtype, item: Value) -> bool {
        let Some(parts) = self.arena.tuple(item) else {
            return false;
        };
        parts.len() == dtype.fields.len()
            && parts.iter().zip(&dtype.fields).all(|(&part, &field)| {
                let Some(field) = self.arena.dtypes.get(field as usize) else {
                    return false;
                };
                match field.code {
                    b'O' => true,
                    b'V' if field.subarray => {
                        self.arena.array(part).is_some_and(|(array, dtype)| {
                            field.fields.first() == Some(&array.dtype)
                                || (dtype.code != b'V'
                                    && dtype.size.checked_mul(array.count) == Some(field.size))
                        })
                    }
                    b'V' if !field.fields.is_empty() => self.is_record(field, part),
                    b'V' | b'S' => self
                        .arena
                        .bytes(part)
                        .is_some_and(|(length, _)| length <= field.size),
                    b'U' => self.arena.is_text(part),
                    b'm' | b'M' => {
                        matches!(part, Value::None | Value::Int(_))
                            || self.arena.built(part, Kind::Data).is_some()
                    }
                    b'c' => {
                        matches!(part, Value::Int(_) | Value::Float(_))
                            || self.arena.built(part, Kind::Data).is_some()
                    }
                    _ => matches!(part, Value::Int(_) | Value::Bool(_) | Value::Float(_)),
                }
            })
    }

    /// Whether buffer and shape fit, and the array over it.
    fn over_buffer(
        &mut self,
        buffer: Value,
        dtype: Value,
        shape: Value,
        fortran: bool,
    ) -> Result<Value, Reason> {
        let (Some((length, place)), Some((number, dtype)), Some(sizes)) = (
            self.arena.bytes(buffer),
            self.arena.dtype(dtype),
            self.arena.shape(shape),
        ) else {
            return refuse("an array that is not over bytes, of a dtype and a shape");
        };
        if !dtype.is_raw() || dtype.size == 0 {
            return refuse("an array over bytes of a dtype that cannot lie there");
        }
        let Some((count, nbytes)) = Self::extent(&sizes, dtype) else {
            return refuse("an array of an impossible size");
        };
        if nbytes != length {
            return refuse("an array over bytes of another length than its shape says");
        }
        let sizes = self.arena.tuple(shape).unwrap_or_default().to_vec();
        let shape = self.arena.push_items(&sizes);
        let value = self.arena.new_array(Array {
            built: true,
            matrix: false,
            dtype: number,
            shape,
            count,
            fortran,
            data: place,
            members: buffer,
            depth: 0,
            frozen: false,
        });
        self.note_array(value);
        Ok(value)
    }

    /// `_frombuffer(buffer, dtype, shape, order)`.
    pub(super) fn over_bytes(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let (&[buffer, dtype, shape, order], axes) = (match args {
            [first @ .., axes] if args.len() == 5 => (first, Some(*axes)),
            _ => (args, None),
        }) else {
            return refuse("an array over bytes that is not made of four arguments");
        };
        let fortran = match (self.arena.text(order), axes) {
            (Some(b"C"), None | Some(Value::None)) => false,
            (Some(b"F"), None | Some(Value::None)) => true,
            (Some(b"K"), Some(axes)) => {
                // The shape is that of the transposed array, and each axis is named once.
                let (Some(axes), Some(sizes)) = (self.arena.shape(axes), self.arena.shape(shape))
                else {
                    return refuse("an array whose axes are no tuple");
                };
                let mut sorted = axes;
                sorted.sort_unstable();
                if sorted.len() != sizes.len() || !sorted.iter().copied().eq(0..sizes.len() as u64)
                {
                    return refuse("an array whose axes are no permutation");
                }
                false
            }
            _ => return refuse("an array over bytes of an unknown order"),
        };
        self.over_buffer(buffer, dtype, shape, fortran)
    }

    /// `scalar(dtype, bytes)`.
    pub(super) fn scalar(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let &[dtype, data] = args else {
            return refuse("a scalar of other arguments");
        };
        let Some((_, dtype)) = self.arena.dtype(dtype) else {
            return refuse("a scalar of no whole dtype");
        };
        if !dtype.is_raw() {
            return refuse("a scalar of a dtype that cannot be made of bytes");
        }
        let length = match self.arena.bytes(data) {
            Some((length, _)) => Some(length),
            None => self.arena.latin_length(data),
        };
        if length != Some(dtype.size) {
            return refuse("a scalar whose bytes are not as many as its dtype says");
        }
        let (hashable, size) = (dtype.code != b'V', dtype.size);
        let hash = match (dtype.code, self.arena.short_bytes(data)) {
            (b'i' | b'u' | b'b' | b'f', Some(bytes)) if bytes.len() <= 8 => {
                let mut bytes: smallvec::SmallVec<[u8; 9]> = bytes.iter().copied().collect();
                if dtype.big_endian {
                    bytes.reverse();
                }
                match (dtype.code, <[u8; 8]>::try_from(bytes.as_slice())) {
                    (b'f', Ok(bytes)) => Hash::Known(hashes::float(f64::from_le_bytes(bytes))),
                    // Some versions of numpy do not reduce large ones.
                    (b'f', _) | (_, Ok([.., 0x10..=0xef])) => Hash::Apart,
                    (b'u' | b'b', _) => {
                        bytes.push(0);
                        Hash::Known(hashes::twos_complement(&bytes))
                    }
                    _ => Hash::Known(hashes::twos_complement(&bytes)),
                }
            }
            // Complex numbers, and those that are cut to floats.
            (b'c', _) => Hash::Any,
            (b'f', _) if size > 8 => Hash::Any,
            _ => Hash::Apart,
        };
        // What a rule later takes for a length or a code has to be a plain integer: scalars are not.
        self.charge(size);
        let scalar = self.object(Kind::Data, true, hashable, 0, Value::None);
        self.hashed(scalar, hash);
        Ok(scalar)
    }

    /// `_mareconstruct(class, ndarray, (0,), "b")`.
    pub(super) fn masked(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let &[class, base, shape, code] = args else {
            return refuse("a masked array of other arguments");
        };
        let known = ["numpy.ma", "numpy.ma.core"]
            .iter()
            .any(|module| self.is_global(class, module, &["MaskedArray"]));
        if !known
            || !self.is_global(base, "numpy", &["ndarray"])
            || self.arena.tuple(shape) != Some(&[Value::Int(0)])
            || !self.is_b(code)
        {
            return refuse("a masked array of an unknown class");
        }
        Ok(self.object(Kind::Masked, false, false, 0, Value::None))
    }

    /// The state of a masked array: `(1, shape, dtype, fortran, data, mask, fill)`.
    pub(super) fn masked_build(&mut self, instance: Value, state: Value) -> Result<(), Reason> {
        let Some([Value::Int(1), shape, dtype, fortran, data, mask, fill]) =
            self.arena.tuple_of::<7>(state)
        else {
            return refuse("a masked array whose state is of another version");
        };
        let array = self.array_state(false, [shape, dtype, fortran, data])?;
        let dtype = self.arena.dtypes.get(array.dtype as usize);
        if dtype.is_none_or(|dtype| !dtype.fields.is_empty() || dtype.code == b'T') {
            return refuse("a masked array of a structured dtype");
        }
        let length = match self.arena.bytes(mask) {
            Some((length, _)) => Some(length),
            None => self.arena.latin_length(mask),
        };
        if length != Some(array.count) {
            return refuse("a masked array whose mask is of another length");
        }
        let plain = matches!(
            fill,
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)
        ) || self.arena.is_text(fill)
            || self.arena.bytes(fill).is_some()
            || self.arena.built(fill, Kind::Data).is_some()
            || self.arena.array(fill).is_some_and(|(fill, dtype)| {
                fill.count == 1 && fill.shape.len == 0 && dtype.is_raw()
            });
        if !plain {
            return refuse("a masked array whose fill value is no plain value");
        }
        self.set_built(instance, 0, Value::None);
        Ok(())
    }

    /// A new object of a class that a rule knows.
    pub(super) fn object(
        &mut self,
        kind: Kind,
        built: bool,
        hashable: bool,
        extent: i64,
        detail: Value,
    ) -> Value {
        if !built {
            self.unbuilt += 1;
        }
        let depth = self.arena.depth(detail).saturating_add(1);
        self.arena.new_object(Object {
            kind,
            built,
            hashable,
            hash: Hash::Apart,
            frozen: false,
            depth,
            extent,
            detail,
            parts: detail,
        })
    }

    /// The state of an object is set.
    pub(super) fn set_built(&mut self, instance: Value, extent: i64, detail: Value) {
        let below = self.arena.depth(detail).saturating_add(1);
        if let Some(object) = self.arena.object_mut(instance)
            && !object.built
        {
            object.built = true;
            object.extent = extent;
            object.detail = detail;
            object.parts = detail;
            object.depth = object.depth.max(below);
            self.unbuilt -= 1;
        }
    }
}
