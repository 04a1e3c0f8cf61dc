//! Numbers and short texts, of which most small tasks consist, without the ceremony of a pickler.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyTuple};

/// So many arguments at most.
const MOST: usize = 8;
/// A longer text is pickled.
const LONG: usize = 64;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;

/// Appends all items of a tuple. `false`: one of them is something else, and nothing is to be made of what was appended.
pub(super) fn put_all(tuple: &Bound<'_, PyTuple>, into: &mut Vec<u8>) -> bool {
    tuple.len() <= MOST && tuple.iter_borrowed().all(|item| put(&item, into))
}

/// Appends an object. `false`: it is something else.
pub(super) fn put(object: &Bound<'_, PyAny>, into: &mut Vec<u8>) -> bool {
    if let Ok(int) = object.cast_exact::<PyInt>() {
        let mut overflow = 0;
        // SAFETY: an int, and alive.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int.as_ptr(), &raw mut overflow) };
        if overflow != 0 {
            return false;
        }
        into.push(INT);
        into.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(float) = object.cast_exact::<PyFloat>() {
        into.push(FLOAT);
        into.extend_from_slice(&float.value().to_le_bytes());
    } else if object.is_none() {
        into.push(NONE);
    } else if let Ok(truth) = object.cast_exact::<PyBool>() {
        into.push(if truth.is_true() { TRUE } else { FALSE });
    } else if let Ok(text) = object.cast_exact::<PyString>() {
        let Ok(text) = text.to_str() else {
            return false;
        };
        let Some(len) = u8::try_from(text.len()).ok().filter(|_| text.len() <= LONG) else {
            return false;
        };
        into.push(TEXT);
        into.push(len);
        into.extend_from_slice(text.as_bytes());
    } else {
        return false;
    }
    true
}

/// The objects again.
pub(super) fn all<'py>(py: Python<'py>, mut bytes: &[u8]) -> Option<Bound<'py, PyTuple>> {
    let mut items = smallvec::SmallVec::<[Bound<'py, PyAny>; MOST]>::new();
    while !bytes.is_empty() {
        items.push(one(py, &mut bytes)?);
    }
    PyTuple::new(py, items).ok()
}

/// The next object.
pub(super) fn one<'py>(py: Python<'py>, bytes: &mut &[u8]) -> Option<Bound<'py, PyAny>> {
    let (&kind, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(match kind {
        NONE => py.None().into_bound(py),
        FALSE => PyBool::new(py, false).to_owned().into_any(),
        TRUE => PyBool::new(py, true).to_owned().into_any(),
        INT => i64::from_le_bytes(word(bytes)?)
            .into_pyobject(py)
            .ok()?
            .into_any(),
        FLOAT => PyFloat::new(py, f64::from_le_bytes(word(bytes)?)).into_any(),
        TEXT => {
            let (&len, rest) = bytes.split_first()?;
            let (text, rest) = rest.split_at_checked(len.into())?;
            *bytes = rest;
            PyString::new(py, std::str::from_utf8(text).ok()?).into_any()
        }
        _ => return None,
    })
}

fn word(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    let (word, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(*word)
}
