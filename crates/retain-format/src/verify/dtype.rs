//! The types of numpy's arrays.
//!
//! A dtype is what numpy reads memory by, and its pickled state is believed: one that says of references to objects that
//! they are none, or that a field lies behind the element's end, makes any array of it a way into memory. So a dtype is
//! worked out here from the text that makes it and from its fields, and the state has to say just the same.

use super::arena::{Node, Value, truth};
use super::domain::{Reason, Verifier, refuse};

/// A type of numpy's.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of one another"
)]
pub(super) struct Dtype {
    /// Whether its state has been set.
    pub(super) built: bool,
    /// `b i u f c m M O S U V`, or `T` for texts of any length.
    pub(super) code: u8,
    /// Bytes of an element.
    pub(super) size: u64,
    pub(super) align: u64,
    /// Whether elements hold references to objects.
    pub(super) object: bool,
    pub(super) big_endian: bool,
    /// Whether an element is an array itself.
    pub(super) subarray: bool,
    /// Whether it was made of `numpy.record`.
    record: bool,
    flags: i64,
    /// The dtypes of the fields of a structured one, in order.
    pub(super) fields: Vec<u32>,
    pub(super) unit: Vec<u8>,
    /// How many simple types it is made of, and how deep.
    pub(super) leaves: u32,
    depth: u32,
}

const NEEDS_INIT: i64 = 0x08;
const NEEDS_API: i64 = 0x10;
const ALIGNED: i64 = 0x80;
/// All that a type with references has, but for how items are got and set.
const REFERENCES: i64 = 0x01 | 0x02 | NEEDS_INIT | NEEDS_API;

impl Dtype {
    /// As numpy writes it.
    pub(super) fn name(&self) -> String {
        let code = char::from(self.code);
        match self.code {
            b'O' => "O".to_owned(),
            b'T' => "StringDType".to_owned(),
            b'U' => format!("U{}", self.size / 4),
            b'm' | b'M' => format!("{code}8[{}]", String::from_utf8_lossy(&self.unit)),
            _ => format!(
                "{}{code}{}",
                if self.big_endian { ">" } else { "" },
                self.size
            ),
        }
    }

    /// Whether it is a plain integer, float or so of this code and size, in the machine's order.
    pub(super) fn is(&self, code: u8, size: u64) -> bool {
        self.code == code && self.size == size && !self.big_endian
    }

    /// Whether arrays of it can be made of raw bytes.
    pub(super) fn is_raw(&self) -> bool {
        self.built && !self.object && !self.subarray && self.code != b'T'
    }

    /// What `numpy.dtype(text)` makes.
    fn of(text: &[u8]) -> Option<Self> {
        let (&code, digits) = text.split_first()?;
        if digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        if digits.len() > 1 && digits.starts_with(b"0") {
            return None;
        }
        let number = digits
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let simple = |align: u64| Self {
            code,
            size: number,
            align,
            leaves: 1,
            ..Self::default()
        };
        Some(match (code, number) {
            (b'b', 1) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'f', 2 | 4 | 8 | 12 | 16) => {
                simple(if number == 12 { 4 } else { number })
            }
            (b'c', 8 | 16 | 24 | 32) => simple(if number == 24 { 4 } else { number / 2 }),
            (b'm' | b'M', 8) => simple(8),
            (b'O', 8) => Self {
                object: true,
                flags: 63,
                ..simple(8)
            },
            (b'S' | b'V', _) if !digits.is_empty() => simple(1),
            (b'U', _) if !digits.is_empty() && number < 1 << 28 => Self {
                size: number * 4,
                flags: NEEDS_INIT,
                ..simple(4)
            },
            _ => return None,
        })
    }
}

impl Verifier<'_> {
    /// `numpy.dtype(text, False, True)`: a copy that is nobody else's, for BUILD to set the state of.
    pub(super) fn dtype_call(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let &[text, align, copy] = args else {
            return refuse("a dtype that is not made of three arguments");
        };
        if truth(align) != Some(false) || truth(copy) != Some(true) {
            return refuse("a dtype that is aligned, or not a copy");
        }
        let dtype = if self.is_global(text, "numpy", &["record"])
            || self.is_global(text, "numpy.rec", &["record"])
            || self.is_global(text, "numpy.core.records", &["record"])
        {
            Dtype {
                code: b'V',
                align: 1,
                record: true,
                leaves: 1,
                ..Dtype::default()
            }
        } else {
            let Some(dtype) = self.arena.text(text).and_then(Dtype::of) else {
                return refuse(format!(
                    "a dtype that is not known: {}",
                    self.arena.describe(text)
                ));
            };
            dtype
        };
        Ok(self.new_dtype(dtype))
    }

    pub(super) fn new_dtype(&mut self, dtype: Dtype) -> Value {
        if !dtype.built {
            self.unbuilt += 1;
        }
        self.arena.dtypes.push(dtype);
        let number = u32::try_from(self.arena.dtypes.len() - 1).unwrap_or(u32::MAX);
        self.arena.node(Node::Dtype(number))
    }

    /// `StringDType`, by the function that numpy pickles it with.
    pub(super) fn string_dtype(&mut self, args: &[Value]) -> Result<Value, Reason> {
        match args {
            [coerce] | [coerce, Value::None | Value::Float(_) | Value::Text(_)]
                if truth(*coerce).is_some() => {}
            _ => return refuse("a StringDType of other arguments"),
        }
        Ok(self.new_dtype(Dtype {
            built: true,
            code: b'T',
            size: 16,
            align: 8,
            leaves: 1,
            ..Dtype::default()
        }))
    }

    /// The state of a dtype.
    pub(super) fn dtype_build(&mut self, number: u32, state: Value) -> Result<(), Reason> {
        let Some(dtype) = self.arena.dtypes.get(number as usize) else {
            return refuse("a dtype that is not known");
        };
        if dtype.built {
            return refuse("a dtype whose state is set twice");
        }
        let mut dtype = dtype.clone();
        let Some(state) = self.arena.tuple(state) else {
            return refuse("a dtype whose state is no tuple");
        };
        let (&[order, base, names, fields, elsize, align, flags], extra) = (match state {
            [Value::Int(3), rest @ ..] if rest.len() == 7 => (rest, None),
            [Value::Int(4), rest @ .., extra] if rest.len() == 7 => (rest, Some(*extra)),
            _ => return refuse("a dtype whose state is of another version"),
        }) else {
            return refuse("a dtype whose state is of another version");
        };
        let Some(&[order @ (b'<' | b'>' | b'|')]) = self.arena.text(order) else {
            return refuse("a dtype of no byte order");
        };
        let has_order = matches!(dtype.code, b'i' | b'u' | b'f' | b'c' | b'm' | b'M' | b'U')
            && (dtype.size > 1 || dtype.code == b'U');
        if has_order == (order == b'|') {
            return refuse("a dtype of another byte order than its kind has");
        }
        dtype.big_endian = order == b'>';
        let (Value::Int(elsize), Value::Int(align), Value::Int(flags)) = (elsize, align, flags)
        else {
            return refuse("a dtype whose size, alignment or flags are no integers");
        };
        // numpy 1 kept the flags in a signed byte.
        let flags = if (-128..0).contains(&flags) {
            flags + 256
        } else {
            flags
        };
        let count = self.arena.tuple(names).map_or(0, <[Value]>::len) as u64;
        // The fields are compared with one another.
        self.arena.spend(count * count);
        let stated = (elsize, align, flags);
        let simple = base == Value::None && names == Value::None && fields == Value::None;
        match dtype.code {
            b'V' if !simple => {
                if base == Value::None {
                    self.structured(&mut dtype, names, fields, stated)?;
                } else {
                    if names != Value::None || fields != Value::None || dtype.record {
                        return refuse("a dtype that is an array and has fields");
                    }
                    self.subarray(&mut dtype, base, stated)?;
                }
            }
            _ if !simple || dtype.record => {
                return refuse("a dtype with fields that its kind cannot have");
            }
            b'S' | b'U' | b'V' => {
                let size = i64::try_from(dtype.size).unwrap_or(-1);
                let align = i64::from(dtype.align == 4) * 3 + 1;
                if stated != (size, align, dtype.flags) {
                    return refuse("a dtype of texts whose state contradicts its name");
                }
            }
            _ => {
                if stated != (-1, -1, dtype.flags) {
                    return refuse("a dtype whose state contradicts its name");
                }
            }
        }
        self.metadata(&mut dtype, extra)?;
        dtype.built = true;
        self.unbuilt -= 1;
        if let Some(slot) = self.arena.dtypes.get_mut(number as usize) {
            *slot = dtype;
        }
        Ok(())
    }

    /// What a state of version 4 ends in: the unit of times, and what the user wrote.
    fn metadata(&mut self, dtype: &mut Dtype, extra: Option<Value>) -> Result<(), Reason> {
        let mut user = extra.unwrap_or(Value::None);
        if matches!(dtype.code, b'm' | b'M') {
            let Some([first, unit]) = self.arena.tuple_of::<2>(user) else {
                return refuse("a dtype of times without a unit");
            };
            let Some([name, Value::Int(number), Value::Int(1), Value::Int(1)]) =
                self.arena.tuple_of::<4>(unit)
            else {
                return refuse("a dtype of times whose unit is not of four parts");
            };
            let name = self.arena.short_bytes(name).or(self.arena.text(name));
            let known: [&[u8]; 14] = [
                b"Y", b"M", b"W", b"D", b"h", b"m", b"s", b"ms", b"us", b"ns", b"ps", b"fs", b"as",
                b"generic",
            ];
            let Some(name) = name.filter(|name| known.contains(name)) else {
                return refuse("a dtype of times of no known unit");
            };
            if number < 1 || number > i64::from(i32::MAX) {
                return refuse("a dtype of times of an impossible multiple");
            }
            if number != 1 {
                dtype.unit = number.to_string().into_bytes();
            }
            dtype.unit.extend_from_slice(name);
            user = first;
        }
        if user != Value::None
            && self
                .arena
                .members(user, super::arena::Holder::Dict)
                .is_none()
        {
            return refuse("a dtype whose metadata are no dict");
        }
        self.arena.freeze(user);
        Ok(())
    }

    /// A dtype with fields.
    fn structured(
        &self,
        dtype: &mut Dtype,
        names: Value,
        fields: Value,
        (elsize, align, flags): (i64, i64, i64),
    ) -> Result<(), Reason> {
        let (Some(names), Some(entries)) = (self.arena.tuple(names), self.arena.entries(fields))
        else {
            return refuse("a dtype whose fields are no names and a dict");
        };
        let Ok(size) = u64::try_from(elsize) else {
            return refuse("a dtype of a negative size");
        };
        if (!dtype.record && dtype.size != size) || size > i32::MAX as u64 || names.is_empty() {
            return refuse("a structured dtype whose state contradicts its name");
        }
        let mut combined = NEEDS_API;
        let mut largest = 1;
        let mut aligned = true;
        let mut titles = 0;
        let mut places = Vec::new();
        dtype.size = size;
        dtype.leaves = 0;
        for (index, &name) in names.iter().enumerate() {
            let Some(key) = self.arena.text(name) else {
                return refuse("a dtype with a field whose name is no short text");
            };
            if names
                .iter()
                .take(index)
                .any(|&other| self.arena.text(other) == Some(key))
            {
                return refuse("a dtype with two fields of one name");
            }
            let entry = entries.iter().find(|&&(other, _)| other == key);
            let Some(&(_, entry)) = entry else {
                return refuse("a dtype with a field that is not described");
            };
            let (part, offset) = match self.arena.tuple(entry) {
                Some(&[part, offset]) => (part, offset),
                Some(&[part, offset, title]) => {
                    if title != Value::None {
                        // A title is one more way to name the same field.
                        let title = self.arena.text(title);
                        let same = entries.iter().find(|&&(other, _)| Some(other) == title);
                        if same.map(|&(_, other)| self.arena.tuple(other))
                            != Some(self.arena.tuple(entry))
                            || names.iter().any(|&name| self.arena.text(name) == title)
                        {
                            return refuse("a dtype with a title that is no name of its field");
                        }
                        titles += 1;
                    }
                    (part, offset)
                }
                _ => return refuse("a dtype with a field that is no dtype and offset"),
            };
            let (Some((number, part)), Some(offset)) =
                (self.arena.dtype(part), super::arena::size(offset))
            else {
                return refuse("a dtype with a field of no whole dtype or offset");
            };
            if offset.checked_add(part.size).is_none_or(|end| end > size) || part.code == b'T' {
                return refuse("a dtype with a field that reaches beyond its end");
            }
            if part.object {
                combined |= REFERENCES;
            }
            combined |= part.flags & NEEDS_INIT;
            largest = largest.max(part.align);
            aligned &= offset.is_multiple_of(part.align.max(1));
            places.push((offset, offset + part.size));
            dtype.object |= part.object;
            dtype.fields.push(number);
            dtype.leaves = dtype.leaves.saturating_add(part.leaves);
            dtype.depth = dtype.depth.max(part.depth + 1);
        }
        if entries.len() != names.len() + titles {
            return refuse("a dtype with more descriptions than fields");
        }
        if dtype.leaves > 10_000 || dtype.depth > 32 {
            return refuse("a dtype of too many parts");
        }
        places.sort_unstable();
        let apart = places
            .iter()
            .zip(places.iter().skip(1))
            .all(|(&(_, end), &(start, _))| end <= start);
        if dtype.object && !apart {
            return refuse("a dtype whose fields lie over references to objects");
        }
        let says_aligned = flags & ALIGNED != 0;
        let expected = if says_aligned { largest } else { 1 };
        if says_aligned && (!aligned || !size.is_multiple_of(largest))
            || u64::try_from(align) != Ok(expected)
        {
            return refuse("a dtype that is not aligned as it says");
        }
        // Whether an element is set to nothing before its use is the one flag that versions of numpy differ in.
        let flags = flags & !ALIGNED;
        if flags != combined && (dtype.object || flags & !(NEEDS_INIT | NEEDS_API) != 0) {
            return refuse("a dtype whose flags contradict its fields");
        }
        dtype.align = expected;
        dtype.flags = combined;
        Ok(())
    }

    /// A dtype whose elements are arrays.
    fn subarray(
        &self,
        dtype: &mut Dtype,
        base: Value,
        (elsize, align, flags): (i64, i64, i64),
    ) -> Result<(), Reason> {
        let Some([part, shape]) = self.arena.tuple_of::<2>(base) else {
            return refuse("a dtype of arrays that is no dtype and shape");
        };
        let (Some((number, part)), Some(shape)) = (self.arena.dtype(part), self.arena.shape(shape))
        else {
            return refuse("a dtype of arrays of no whole dtype or shape");
        };
        let total = shape
            .iter()
            .try_fold(part.size, |total, &length| total.checked_mul(length));
        if total != Some(dtype.size) || u64::try_from(elsize) != Ok(dtype.size) {
            return refuse("a dtype of arrays whose size is not that of its elements");
        }
        if u64::try_from(align) != Ok(part.align)
            || (flags != part.flags && (part.object || flags & !(NEEDS_INIT | NEEDS_API) != 0))
            || part.code == b'T'
            || part.subarray
        {
            return refuse("a dtype of arrays whose state contradicts its elements");
        }
        if part.depth >= 31 || shape.is_empty() {
            return refuse("a dtype of too many parts");
        }
        dtype.align = part.align;
        dtype.object = part.object;
        dtype.flags = part.flags;
        dtype.fields = vec![number];
        dtype.subarray = true;
        dtype.leaves = part.leaves;
        dtype.depth = part.depth + 1;
        Ok(())
    }

    /// The number of elements of a shape, and their bytes in memory.
    pub(super) fn extent(shape: &[u64], dtype: &Dtype) -> Option<(u64, u64)> {
        // numpy refuses shapes whose sizes other than 0 overflow, also where one is 0.
        let full = shape
            .iter()
            .filter(|&&length| length != 0)
            .try_fold(dtype.size.max(1), |total, &length| {
                total.checked_mul(length)
            })?;
        if full > i64::MAX as u64 {
            return None;
        }
        let count = shape.iter().product();
        Some((count, count * dtype.size))
    }
}
