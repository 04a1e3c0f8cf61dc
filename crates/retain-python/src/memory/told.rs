//! The arguments of a call in a few words, for people: those that are told at a glance.

use std::fmt::Write;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::compare::{is_bytes, is_float, is_int, is_str, type_of};

/// Longer texts are cut, by Python.
const WIDTH: usize = 80;

/// Writes `"name":"value"`, as `retain._memory.reprs` does; false if it takes more than a glance.
/// What `out` held up to `begun` is no argument.
pub(super) fn tell(
    out: &mut String,
    begun: usize,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let kind = type_of(value.as_ptr());
    // SAFETY: the value is alive.
    let plain = unsafe {
        value.is_none()
            || kind == &raw mut ffi::PyBool_Type
            || is_float(kind)
            || (is_int(kind) && is_short(value))
            || ((is_str(kind) || is_bytes(kind)) && value.len()? <= WIDTH)
    };
    if !plain {
        return Ok(false);
    }
    let text = value.repr()?;
    let Some(text) = shown(&text) else {
        return Ok(false);
    };
    if out.len() > begun {
        out.push(',');
    }
    out.push_str(name);
    out.push(':');
    quote(out, text);
    Ok(true)
}

/// # Safety
/// The value is an exact `int`.
unsafe fn is_short(value: &Bound<'_, PyAny>) -> bool {
    let mut overflow = 0;
    // SAFETY: says the caller.
    unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    overflow == 0
}

fn shown<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a str> {
    let text = text.to_str().ok()?;
    (text.len() <= WIDTH).then_some(text)
}

/// Writes a text as JSON.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control @ '\0'..' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
