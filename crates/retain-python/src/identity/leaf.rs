//! Objects that hold no others and need no Python code to be read.

use pyo3::ffi;
use pyo3::prelude::*;
use retain_key::{Encoder, Large};

use crate::compare::{is_bytes, is_float, is_int, is_str, type_of};

type Pointer = *mut ffi::PyObject;

/// A text or bytes from this length on are not written at a glance.
const LONG: usize = 1 << 16;

/// Writes an object that can be written at a glance; whether it was one.
#[inline(always)]
pub(super) fn leaf<E: Encoder>(encoder: &mut E, object: Pointer) -> bool {
    let kind = type_of(object);
    // SAFETY: the object is alive, of the very type that is asked for, and does not change.
    unsafe {
        if is_str(kind) {
            if ffi::PyUnicode_IS_COMPACT_ASCII(object) == 0 {
                return false;
            }
            let length = ffi::PyUnicode_GET_LENGTH(object).cast_unsigned();
            if length >= LONG {
                return false;
            }
            let data = ffi::PyUnicode_DATA(object).cast::<u8>();
            encoder.utf8(std::slice::from_raw_parts(data, length));
        } else if is_int(kind) {
            let mut overflow = 0;
            let value = ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow);
            if overflow != 0 {
                return false;
            }
            encoder.integer(value);
        } else if is_float(kind) {
            encoder.f64(ffi::PyFloat_AS_DOUBLE(object));
        } else if object == ffi::Py_None() {
            encoder.none();
        } else if object == ffi::Py_True() || object == ffi::Py_False() {
            encoder.boolean(object == ffi::Py_True());
        } else if is_bytes(kind) {
            let bytes = bytes_of(object);
            if bytes.len() >= LONG {
                return false;
            }
            encoder.bytes(bytes);
        } else {
            return false;
        }
    }
    true
}

/// # Safety
/// `object` is an exact `bytes`, alive for `'a`.
pub(super) unsafe fn bytes_of<'a>(object: Pointer) -> &'a [u8] {
    // SAFETY: so many bytes lie there, and never change.
    unsafe {
        let data = ffi::PyBytes_AS_STRING(object).cast::<u8>();
        std::slice::from_raw_parts(data, ffi::Py_SIZE(object).cast_unsigned())
    }
}

/// Writes an integer of any size.
pub(super) fn integer<E: Encoder>(encoder: &mut E, object: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let bits: usize = object.call_method0("bit_length")?.extract()?;
    let signed = pyo3::types::PyDict::new(py);
    signed.set_item("signed", true)?;
    let digits = object.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&signed))?;
    encoder.long_integer(digits.extract::<&[u8]>()?);
    Ok(())
}

/// From so many bytes on, other threads run while they are hashed.
pub(super) const MANY: usize = 1 << 20;

/// Writes bytes, without Python's lock if they are many.
pub(super) fn bytes<E: Encoder>(py: Python<'_>, encoder: &mut E, content: &[u8]) {
    if content.len() < MANY {
        encoder.bytes(content);
    } else {
        encoder.digested(py.detach(|| Large::bytes(content)));
    }
}

/// Writes any text.
pub(super) fn text<E: Encoder>(encoder: &mut E, scratch: &mut Vec<u8>, object: &Bound<'_, PyAny>) {
    let object = object.as_ptr();
    // SAFETY: the object is an exact `str`, which holds so many code points of so many bytes, and never changes.
    unsafe {
        let length = ffi::PyUnicode_GET_LENGTH(object).cast_unsigned();
        let data = ffi::PyUnicode_DATA(object);
        match ffi::PyUnicode_KIND(object) {
            _ if ffi::PyUnicode_IS_COMPACT_ASCII(object) != 0 => {
                encoder.utf8(std::slice::from_raw_parts(data.cast::<u8>(), length));
            }
            ffi::PyUnicode_1BYTE_KIND => {
                let points = std::slice::from_raw_parts(data.cast::<u8>(), length);
                points_as_utf8(encoder, scratch, points);
            }
            ffi::PyUnicode_2BYTE_KIND => {
                let points = std::slice::from_raw_parts(data.cast::<u16>(), length);
                points_as_utf8(encoder, scratch, points);
            }
            _ => {
                let points = std::slice::from_raw_parts(data.cast::<u32>(), length);
                points_as_utf8(encoder, scratch, points);
            }
        }
    }
}

/// Writes code points as UTF-8, in which a lone surrogate takes three bytes.
fn points_as_utf8<E: Encoder, P: Copy + Into<u32>>(
    encoder: &mut E,
    scratch: &mut Vec<u8>,
    points: &[P],
) {
    scratch.clear();
    if points.len() < LONG {
        for &point in points {
            push(scratch, point.into());
        }
        encoder.utf8(scratch);
        return;
    }
    let length = points.iter().map(|&point| width(point.into())).sum();
    let mut large = Large::pieces(true, length);
    for piece in points.chunks(LONG / 4) {
        scratch.clear();
        for &point in piece {
            push(scratch, point.into());
        }
        large.update(scratch);
    }
    encoder.digested(large.finish());
}

const fn width(point: u32) -> usize {
    match point {
        0..0x80 => 1,
        0x80..0x800 => 2,
        0x800..0x1_0000 => 3,
        _ => 4,
    }
}

#[inline]
fn push(out: &mut Vec<u8>, point: u32) {
    let tail = |shift: u32| 0x80 | (point >> shift & 0x3f).to_le_bytes()[0];
    let head = |mark: u8, shift: u32| mark | (point >> shift).to_le_bytes()[0];
    match width(point) {
        1 => out.push(head(0, 0)),
        2 => out.extend([head(0xc0, 6), tail(0)]),
        3 => out.extend([head(0xe0, 12), tail(6), tail(0)]),
        _ => out.extend([head(0xf0, 18), tail(12), tail(6), tail(0)]),
    }
}
