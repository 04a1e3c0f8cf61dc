//! What values are written to.

use crate::{tag, write};

/// The code of a value that many others hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(pub(crate) Box<[u8]>);

/// What a value with parts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Parts in order, of a fixed number by nature.
    Tuple,
    /// Parts in order.
    List,
    /// Members in no order.
    Set,
    /// Members in no order; of a set that does not change.
    FrozenSet,
    /// Pairs of a key and a value, in no order.
    Map,
    /// The name of a type, then parts in order.
    Object,
}

impl Shape {
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Tuple => tag::TUPLE,
            Self::List => tag::LIST,
            Self::Set => tag::SET,
            Self::FrozenSet => tag::FROZEN_SET,
            Self::Map => tag::MAP,
            Self::Object => tag::OBJECT,
        }
    }

    /// Whether the order of the parts counts.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Set | Self::FrozenSet | Self::Map)
    }
}

/// Takes a value's parts one by one, in the order of a walk over it.
///
/// A value is a call of one of the plain methods, or [`begin`](Self::begin), its parts, [`end`](Self::end). In a set or a
/// map, [`item`](Self::item) comes before each member or pair. [`KeyHasher`](crate::KeyHasher) takes trees, at the speed
/// of the walk; [`Graph`](crate::Graph) takes values that contain themselves, too.
pub trait Encoder {
    /// A value that was met before.
    type Known: Copy;

    /// Where the codes of plain values go.
    #[doc(hidden)]
    fn out(&mut self) -> &mut Vec<u8>;

    /// Called after each plain value.
    #[doc(hidden)]
    fn written(&mut self);

    /// Begins a value with parts. Where such a value can be referred to before its end, returns how.
    fn begin(&mut self, shape: Shape) -> Option<Self::Known>;

    /// Begins a member of the set, or a pair of the map, that was begun last.
    fn item(&mut self);

    /// Ends the value that was begun last. If it is to be [referred to](Self::again), returns how.
    fn end(&mut self, again: bool) -> Option<Self::Known>;

    /// A value that was met before, once more.
    fn again(&mut self, known: Self::Known);

    /// Nothing: `()`, Python's `None`.
    #[inline]
    fn none(&mut self) {
        self.out().push(tag::NONE);
        self.written();
    }

    /// A truth value.
    #[inline]
    fn boolean(&mut self, value: bool) {
        self.out().push(if value { tag::TRUE } else { tag::FALSE });
        self.written();
    }

    /// An integer.
    #[inline]
    fn integer(&mut self, value: i64) {
        write::small_integer(self.out(), value);
        self.written();
    }

    /// An integer by its two's complement, little endian, of any length. None at all is 0.
    fn long_integer(&mut self, digits: &[u8]) {
        write::integer(self.out(), digits);
        self.written();
    }

    /// A number of 64 bits. All bits count: 0.0 and -0.0 differ, and so do NaNs of different bits.
    #[inline]
    fn f64(&mut self, value: f64) {
        self.out().push(tag::F64);
        self.out().extend_from_slice(&value.to_bits().to_le_bytes());
        self.written();
    }

    /// A number of 32 bits; all bits count.
    fn f32(&mut self, value: f32) {
        self.out().push(tag::F32);
        self.out().extend_from_slice(&value.to_bits().to_le_bytes());
        self.written();
    }

    /// A complex number of two of 64 bits.
    fn complex(&mut self, real: f64, imaginary: f64) {
        self.out().push(tag::COMPLEX);
        for part in [real, imaginary] {
            self.out().extend_from_slice(&part.to_bits().to_le_bytes());
        }
        self.written();
    }

    /// A character.
    fn char(&mut self, value: char) {
        self.out().push(tag::CHAR);
        self.out()
            .extend_from_slice(&u32::from(value).to_le_bytes());
        self.written();
    }

    /// A text.
    #[inline]
    fn str(&mut self, value: &str) {
        self.utf8(value.as_bytes());
    }

    /// A text as its UTF-8. Python's lone surrogates, which UTF-8 leaves out, take three bytes each.
    #[inline]
    fn utf8(&mut self, value: &[u8]) {
        write::bytes(self.out(), tag::STR, value);
        self.written();
    }

    /// Bytes.
    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        write::bytes(self.out(), tag::BYTES, value);
        self.written();
    }

    /// A value by its code.
    fn encoded(&mut self, code: &Code) {
        self.out().extend_from_slice(&code.0);
        self.written();
    }

    /// A value that was digested apart: a [large](crate::Large) one.
    fn digested(&mut self, digest: [u8; 32]) {
        let out = self.out();
        out.push(tag::DIGEST);
        out.extend_from_slice(&digest);
        self.written();
    }
}
