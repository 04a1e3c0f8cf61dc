//! Hashes and comparisons of Python objects: at a glance for the exact built-in types, by their own methods else.

use std::os::raw::c_int;

use pyo3::ffi;

use crate::ending::endable;

type Pointer = *mut ffi::PyObject;

/// How arguments are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// As `functools`: equal, except that a lone `int` or `str` is only like its own type.
    Functools,
    /// As `functools` with `typed=True`: equal and of one type, whatever lies inside.
    FunctoolsTyped,
    /// Equal.
    Equal,
    /// Equal and of one type, in nested tuples too; `0.0` and `-0.0` are two arguments.
    Strict,
}

impl Likeness {
    #[inline]
    pub(crate) const fn by_type(self) -> bool {
        matches!(self, Self::FunctoolsTyped | Self::Strict)
    }
}

/// `int` objects, laid out as in the interpreter this is built for: a word that tells sign and size, then digits.
#[repr(C)]
struct Int {
    base: ffi::PyObject,
    tag: isize,
    digits: [u32; 1],
}

impl Int {
    /// The number of digits, and the tag without the bits that say nothing about the value.
    #[inline]
    const fn size_and_sign(&self) -> (usize, isize) {
        #[cfg(Py_3_12)]
        {
            // From 3.12 on: size << 3, one bit of housekeeping, two bits of sign.
            ((self.tag as usize) >> 3, self.tag & !4)
        }
        #[cfg(not(Py_3_12))]
        {
            // Before: the size, negative for negative numbers.
            (self.tag.unsigned_abs(), self.tag)
        }
    }

    #[inline]
    const fn is_negative(&self) -> bool {
        #[cfg(Py_3_12)]
        {
            self.tag & 3 == 2
        }
        #[cfg(not(Py_3_12))]
        {
            self.tag < 0
        }
    }
}

#[inline]
pub(crate) fn type_of(object: Pointer) -> *mut ffi::PyTypeObject {
    // SAFETY: all objects handed to this module are alive.
    unsafe { ffi::Py_TYPE(object) }
}

macro_rules! exact {
    ($name:ident, $kind:ident) => {
        #[inline]
        pub(crate) fn $name(kind: *mut ffi::PyTypeObject) -> bool {
            kind == &raw mut ffi::$kind
        }
    };
}
exact!(is_int, PyLong_Type);
exact!(is_str, PyUnicode_Type);
exact!(is_float, PyFloat_Type);
exact!(is_bytes, PyBytes_Type);
exact!(is_tuple, PyTuple_Type);
exact!(is_list, PyList_Type);
exact!(is_dict, PyDict_Type);

/// Spreads a hash over all 64 bits: those of small integers and of addresses have few that differ.
#[inline]
pub(crate) const fn mix(hash: u64) -> u64 {
    let product = (hash ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the two halves of the product"
    )]
    {
        product as u64 ^ (product >> 64) as u64
    }
}

/// The object's hash as Python has it, or `None`: with the error set, unless its type has none at all.
#[inline(always)]
#[allow(clippy::cast_sign_loss, reason = "a hash is a pattern of bits")]
pub(crate) fn hash(object: Pointer) -> Option<u64> {
    let kind = type_of(object);
    if is_str(kind) {
        // SAFETY: an exact `str` starts with this struct.
        let cached = unsafe { (*object.cast::<ffi::PyASCIIObject>()).hash };
        if cached != -1 {
            return Some(cached as u64);
        }
    } else if is_int(kind) {
        // SAFETY: an exact `int` starts with this struct; a digit is there even for zero.
        let (int, digit) = unsafe { (&*object.cast::<Int>(), (*object.cast::<Int>()).digits[0]) };
        match int.size_and_sign().0 {
            0 => return Some(0),
            1 if !int.is_negative() => return Some(u64::from(digit)),
            _ => {}
        }
    }
    // SAFETY: the type is alive, and `object` a type that all others derive from.
    let (own, inherited) = unsafe { ((*kind).tp_hash, ffi::PyBaseObject_Type.tp_hash) };
    if own.map(|hash| hash as usize) == inherited.map(|hash| hash as usize) {
        return Some(hash_of_address(object));
    }
    hash_any(object)
}

/// What `object.__hash__` returns: the address, its lowest bits last since they are always the same.
#[inline]
fn hash_of_address(object: Pointer) -> u64 {
    (object.addr() as u64).rotate_right(4)
}

#[inline(never)]
fn hash_any(object: Pointer) -> Option<u64> {
    // SAFETY: the type is alive.
    let own = unsafe { (*type_of(object)).tp_hash };
    if own.is_some_and(|own| own as usize == ffi::PyObject_HashNotImplemented as *const () as usize)
    {
        return None;
    }
    // SAFETY: the object is alive and this thread attached.
    match endable(|| unsafe { ffi::PyObject_Hash(object) }) {
        -1 => None,
        hash => Some(hash.cast_unsigned() as u64),
    }
}

/// Whether two objects are alike as arguments or parts of one, where that can be told without running foreign code.
#[inline]
pub(crate) fn settle(stored: Pointer, given: Pointer, likeness: Likeness) -> Option<bool> {
    if stored == given {
        Some(true)
    } else {
        settle_two(stored, given, likeness)
    }
}

fn settle_two(stored: Pointer, given: Pointer, likeness: Likeness) -> Option<bool> {
    let (kind, other) = (type_of(stored), type_of(given));
    if kind != other {
        return if likeness.by_type() {
            Some(false)
        } else {
            None
        };
    }
    if is_str(kind) {
        // SAFETY: both are exact `str`s, whose comparison runs no foreign code and cannot fail.
        return Some(unsafe { ffi::PyUnicode_Compare(stored, given) } == 0);
    }
    if is_int(kind) {
        return Some(equal_ints(stored, given));
    }
    if is_float(kind) {
        // SAFETY: both are exact `float`s.
        let (a, b) = unsafe {
            (
                ffi::PyFloat_AS_DOUBLE(stored),
                ffi::PyFloat_AS_DOUBLE(given),
            )
        };
        #[allow(clippy::float_cmp, reason = "Python's own comparison")]
        return Some(match likeness {
            Likeness::Strict => a.to_bits() == b.to_bits(),
            _ => a == b,
        });
    }
    if is_tuple(kind) {
        return settle_tuples(stored, given, likeness);
    }
    if is_bytes(kind) {
        return Some(equal_bytes(stored, given));
    }
    None
}

fn equal_ints(a: Pointer, b: Pointer) -> bool {
    // SAFETY: both are exact `int`s, with as many digits as their tags say.
    unsafe {
        let (a, b) = (a.cast::<Int>(), b.cast::<Int>());
        let (size, sign) = (*a).size_and_sign();
        if (size, sign) != (*b).size_and_sign() {
            return false;
        }
        let (a, b) = (&raw const (*a).digits, &raw const (*b).digits);
        std::slice::from_raw_parts(a.cast::<u32>(), size)
            == std::slice::from_raw_parts(b.cast::<u32>(), size)
    }
}

fn equal_bytes(a: Pointer, b: Pointer) -> bool {
    // SAFETY: both are exact `bytes`, whose buffers are as long as they say.
    unsafe {
        #[allow(clippy::cast_sign_loss, reason = "sizes are not negative")]
        let [a, b] = [a, b].map(|bytes| {
            let (data, size) = (ffi::PyBytes_AS_STRING(bytes), ffi::Py_SIZE(bytes));
            std::slice::from_raw_parts(data.cast::<u8>(), size as usize)
        });
        a == b
    }
}

/// The items of an exact tuple.
///
/// # Safety
/// `tuple` is a tuple, and outlives the slice.
#[inline]
pub(crate) unsafe fn items<'a>(tuple: Pointer) -> &'a [Pointer] {
    // SAFETY: the items lie in the object, one after the other.
    unsafe {
        let start = &raw const (*tuple.cast::<ffi::PyTupleObject>()).ob_item;
        #[allow(clippy::cast_sign_loss, reason = "sizes are not negative")]
        std::slice::from_raw_parts(start.cast(), ffi::PyTuple_GET_SIZE(tuple) as usize)
    }
}

/// Tuples nested deeper than this are compared by Python, which guards its stack.
const MAX_DEPTH: u32 = 8;

fn settle_tuples(stored: Pointer, given: Pointer, likeness: Likeness) -> Option<bool> {
    fn at_depth(stored: Pointer, given: Pointer, likeness: Likeness, depth: u32) -> Option<bool> {
        if depth == 0 {
            return None;
        }
        // SAFETY: both are exact tuples, which the caller keeps alive.
        let (stored, given) = unsafe { (items(stored), items(given)) };
        if stored.len() != given.len() {
            return Some(false);
        }
        for (&a, &b) in stored.iter().zip(given) {
            let alike = if is_tuple(type_of(a)) && is_tuple(type_of(b)) && a != b {
                at_depth(a, b, likeness, depth - 1)
            } else {
                settle(a, b, likeness)
            };
            if alike != Some(true) {
                return alike;
            }
        }
        Some(true)
    }
    // With `typed`, functools compares the types of the arguments, not of what lies inside them.
    let inside = match likeness {
        Likeness::Strict => Likeness::Strict,
        _ => Likeness::Equal,
    };
    at_depth(stored, given, inside, MAX_DEPTH)
}

/// Whether two objects are alike, by their own `__eq__` if need be; `None` with the error set.
///
/// May run any code.
pub(crate) fn compare(stored: Pointer, given: Pointer, likeness: Likeness) -> Option<bool> {
    if let Some(answer) = settle(stored, given, likeness) {
        return Some(answer);
    }
    if likeness == Likeness::Strict && is_tuple(type_of(stored)) {
        // SAFETY: settling left two exact tuples, which the caller keeps alive.
        let (stored, given) = unsafe { (items(stored), items(given)) };
        if stored.len() != given.len() {
            return Some(false);
        }
        return compare_all(stored.iter().zip(given), likeness);
    }
    // SAFETY: both objects are alive and this thread attached.
    from_int(endable(|| unsafe {
        ffi::PyObject_RichCompareBool(stored, given, ffi::Py_EQ)
    }))
}

/// Whether all pairs are alike; `None` with the error set.
pub(crate) fn compare_all<'a>(
    pairs: impl Iterator<Item = (&'a Pointer, &'a Pointer)>,
    likeness: Likeness,
) -> Option<bool> {
    for (&stored, &given) in pairs {
        // SAFETY: the stack is Python's to guard, since nested tuples come back here.
        unsafe {
            if ffi::Py_EnterRecursiveCall(c" in comparing arguments".as_ptr()) != 0 {
                return None;
            }
        }
        let alike = compare(stored, given, likeness);
        // SAFETY: entered above.
        unsafe { ffi::Py_LeaveRecursiveCall() };
        if alike != Some(true) {
            return alike;
        }
    }
    Some(true)
}

const fn from_int(answer: c_int) -> Option<bool> {
    match answer {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
