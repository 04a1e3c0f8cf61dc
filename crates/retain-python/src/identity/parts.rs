//! The parts of a value that is begun, one after the other.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyString, PyTuple, PyWeakrefReference};
use retain_key::{Encoder, Shape};

use super::array;
use super::failure;
use super::leaf::leaf;
use super::verbs::{At, Raw};
use crate::compare::{is_str, type_of};

/// The parts of a value that are still to come.
pub(super) enum Parts<'py> {
    Tuple {
        tuple: Bound<'py, PyTuple>,
        next: usize,
        /// They are the members of a set.
        members: bool,
    },
    List {
        list: Bound<'py, PyList>,
        next: usize,
        length: usize,
    },
    Dict {
        dict: Bound<'py, PyDict>,
        position: isize,
        length: usize,
        /// The attributes of an object.
        attributes: bool,
        key: Option<Bound<'py, PyAny>>,
        /// The value of the key that is being walked over.
        value: Option<Bound<'py, PyAny>>,
    },
    /// The items of an iterator, in order.
    Items {
        items: Bound<'py, PyIterator>,
        count: usize,
    },
    /// The pairs of an iterator.
    Pairs {
        items: Bound<'py, PyIterator>,
        key: Option<Bound<'py, PyAny>>,
        value: Option<Bound<'py, PyAny>>,
    },
    /// What a handler returned, after the name.
    Handled {
        parts: Handled<'py>,
        step: Option<Bound<'py, At>>,
    },
    /// The parts of an object that the walk itself takes apart.
    Own {
        parts: std::vec::IntoIter<Part<'py>>,
        step: &'static str,
    },
    /// The objects in a flat array.
    Objects {
        flat: Bound<'py, PyAny>,
        /// Keeps the array whose objects they are as it is.
        _pin: Bound<'py, PyWeakrefReference>,
        next: usize,
        count: usize,
    },
}

/// An iterator of what a handler returned.
pub(super) enum Handled<'py> {
    Tuple(Bound<'py, PyTuple>, usize),
    Iterator(Bound<'py, PyIterator>),
}

/// The name that an object is written under, and its parts.
pub(super) type Taken<'py> = (Bound<'py, PyString>, Parts<'py>);

/// What a handler returned: a tuple or an iterator of the name, then the parts.
pub(super) fn handled<'py>(returned: &Bound<'py, PyAny>) -> PyResult<Taken<'py>> {
    let (name, parts) = if let Ok(tuple) = returned.cast_exact::<PyTuple>() {
        (tuple.iter().next(), Handled::Tuple(tuple.clone(), 1))
    } else {
        let mut items = returned.try_iter()?;
        (items.next().transpose()?, Handled::Iterator(items))
    };
    let name = name.ok_or_else(|| PyTypeError::new_err("a handler gave nothing"))?;
    let parts = Parts::Handled { parts, step: None };
    Ok((name.cast_into::<PyString>()?, parts))
}

impl<'py> Handled<'py> {
    fn next(&mut self) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Tuple(tuple, next) => {
                *next += 1;
                Ok((*next <= tuple.len())
                    .then(|| tuple.get_item(*next - 1))
                    .transpose()?)
            }
            Self::Iterator(items) => items.next().transpose(),
        }
    }
}

/// A part of an object that the walk itself takes apart.
pub(super) enum Part<'py> {
    None,
    Value(&'static str, Bound<'py, PyAny>),
    Attributes(Bound<'py, PyDict>),
    /// A tuple of such.
    Tuple(Vec<Self>),
    Items(Bound<'py, PyIterator>),
    Pairs(Bound<'py, PyIterator>),
}

/// What comes next.
pub(super) enum Next<'py> {
    /// A value that is not written at a glance.
    Value(Bound<'py, PyAny>),
    /// An object whose memory is to be written.
    Memory(Bound<'py, PyAny>),
    /// A value of this shape, with these parts.
    Begin(Shape, Parts<'py>),
    /// A part that is written by now.
    Written,
    /// No more.
    End,
}

impl<'py> Next<'py> {
    /// The value, unless it is written at a glance.
    fn unless_written<E: Encoder>(value: Bound<'py, PyAny>, encoder: &mut E) -> Self {
        if leaf(encoder, value.as_ptr()) {
            Self::Written
        } else {
            Self::Value(value)
        }
    }
}

impl<'py> Parts<'py> {
    pub(super) fn none() -> Self {
        let parts = Vec::new().into_iter();
        Self::Own { parts, step: "" }
    }

    #[inline(always)]
    pub(super) fn of_dict(dict: Bound<'py, PyDict>, attributes: bool) -> Self {
        Self::Dict {
            length: dict.len(),
            dict,
            position: 0,
            attributes,
            key: None,
            value: None,
        }
    }

    #[inline(always)]
    pub(super) fn of_list(list: Bound<'py, PyList>) -> Self {
        Self::List {
            length: list.len(),
            list,
            next: 0,
        }
    }

    #[inline(always)]
    pub(super) fn of_tuple(tuple: Bound<'py, PyTuple>, members: bool) -> Self {
        Self::Tuple {
            tuple,
            next: 0,
            members,
        }
    }

    /// Writes parts up to one that is not written at a glance.
    #[allow(clippy::too_many_lines, reason = "a few lines for each kind of parts")]
    pub(super) fn advance<E: Encoder>(
        &mut self,
        py: Python<'py>,
        encoder: &mut E,
    ) -> PyResult<Next<'py>> {
        // SAFETY: callers pass what a container keeps alive that no other code has reached since.
        let bound = |object| unsafe { Bound::from_borrowed_ptr(py, object) };
        match self {
            Self::Tuple {
                tuple,
                next,
                members,
            } => {
                while *next < tuple.len() {
                    if *members {
                        encoder.item();
                    }
                    // SAFETY: the index is below the length, which never changes.
                    let item = unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), next.cast_signed()) };
                    *next += 1;
                    if !leaf(encoder, item) {
                        return Ok(Next::Value(bound(item)));
                    }
                }
            }
            Self::List { list, next, length } => {
                if list.len() != *length {
                    return Err(changed("a list"));
                }
                while *next < *length {
                    // SAFETY: the index is below the length, and no other code has run since that was asked.
                    let item = unsafe { ffi::PyList_GET_ITEM(list.as_ptr(), next.cast_signed()) };
                    *next += 1;
                    if !leaf(encoder, item) {
                        return Ok(Next::Value(bound(item)));
                    }
                }
            }
            Self::Dict {
                dict,
                position,
                length,
                attributes,
                key,
                value,
            } => {
                if let Some(value) = value.take()
                    && !leaf(encoder, value.as_ptr())
                {
                    return Ok(Next::Value(value));
                }
                if dict.len() != *length {
                    return Err(changed("a dict"));
                }
                let (mut name, mut item) = (std::ptr::null_mut(), std::ptr::null_mut());
                // SAFETY: what is given back is borrowed from the dict; no other code runs before it is used.
                while unsafe {
                    ffi::PyDict_Next(dict.as_ptr(), position, &raw mut name, &raw mut item)
                } != 0
                {
                    if *attributes && is_private(name) {
                        continue;
                    }
                    encoder.item();
                    if !leaf(encoder, name) {
                        *value = Some(bound(item));
                        *key = Some(bound(name));
                        return Ok(Next::Value(bound(name)));
                    }
                    if !leaf(encoder, item) {
                        *key = Some(bound(name));
                        return Ok(Next::Value(bound(item)));
                    }
                }
            }
            Self::Items { items, count } => {
                if let Some(item) = items.next().transpose()? {
                    *count += 1;
                    return Ok(Next::unless_written(item, encoder));
                }
            }
            Self::Pairs { items, key, value } => {
                if let Some(value) = value.take() {
                    return Ok(Next::unless_written(value, encoder));
                }
                if let Some(pair) = items.next().transpose()? {
                    let (name, item) = pair.extract()?;
                    encoder.item();
                    *value = Some(item);
                    let name: &Bound<'_, PyAny> = key.insert(name);
                    return Ok(Next::unless_written(name.clone(), encoder));
                }
            }
            Self::Handled { parts, step } => {
                *step = None;
                let Some(part) = parts.next()? else {
                    return Ok(Next::End);
                };
                let value = match part.cast_into_exact::<At>() {
                    Ok(at) => step.insert(at).get().value.bind(py).clone(),
                    Err(other) => other.into_inner(),
                };
                return Ok(match value.cast_exact::<Raw>() {
                    Ok(raw) => Next::Memory(raw.get().buffer.bind(py).clone()),
                    Err(_) => Next::unless_written(value, encoder),
                });
            }
            Self::Own { parts, step } => {
                *step = "";
                return match parts.next() {
                    None => Ok(Next::End),
                    Some(Part::None) => {
                        encoder.none();
                        Ok(Next::Written)
                    }
                    Some(Part::Value(name, value)) => {
                        *step = name;
                        Ok(Next::unless_written(value, encoder))
                    }
                    Some(Part::Attributes(dict)) => {
                        Ok(Next::Begin(Shape::Map, Self::of_dict(own(dict)?, true)))
                    }
                    Some(Part::Tuple(parts)) => {
                        let parts = parts.into_iter();
                        Ok(Next::Begin(Shape::Tuple, Self::Own { parts, step: "" }))
                    }
                    Some(Part::Items(items)) => {
                        Ok(Next::Begin(Shape::List, Self::Items { items, count: 0 }))
                    }
                    Some(Part::Pairs(items)) => {
                        let (key, value) = (None, None);
                        Ok(Next::Begin(Shape::Map, Self::Pairs { items, key, value }))
                    }
                };
            }
            Self::Objects {
                flat, next, count, ..
            } => {
                while *next < *count {
                    let item = array::object_at(flat, *next);
                    *next += 1;
                    if !leaf(encoder, item.as_ptr()) {
                        return Ok(Next::Value(item));
                    }
                }
            }
        }
        Ok(Next::End)
    }

    /// The step of a path to the part that came last.
    pub(super) fn step(&self) -> String {
        match self {
            Self::Tuple { members: true, .. } => " -> a member".into(),
            Self::Tuple { next, .. } | Self::List { next, .. } | Self::Objects { next, .. } => {
                format!(" -> [{}]", next.saturating_sub(1))
            }
            Self::Items { count, .. } => format!(" -> [{}]", count.saturating_sub(1)),
            Self::Dict { value: Some(_), .. } | Self::Pairs { value: Some(_), .. } => {
                " -> a key".into()
            }
            Self::Dict {
                attributes: true,
                key: Some(key),
                ..
            } => format!(" -> .{key}"),
            Self::Dict { key: Some(key), .. } | Self::Pairs { key: Some(key), .. } => {
                failure::key(key)
            }
            Self::Handled {
                step: Some(step), ..
            } => format!(" -> {}", step.get().step),
            Self::Own { step, .. } if !step.is_empty() => format!(" -> {step}"),
            Self::Own { .. } | Self::Handled { .. } | Self::Dict { .. } | Self::Pairs { .. } => {
                String::new()
            }
        }
    }
}

/// A dict that no other thread changes: without the interpreter's lock, a copy.
pub(super) fn own(dict: Bound<'_, PyDict>) -> PyResult<Bound<'_, PyDict>> {
    if cfg!(Py_GIL_DISABLED) {
        dict.copy()
    } else {
        Ok(dict)
    }
}

/// Whether an attribute is what retain keeps in an instance: the results of its memoized methods. No program can write a
/// name with a dot in it.
fn is_private(name: *mut ffi::PyObject) -> bool {
    // SAFETY: the name is alive, and characters are asked for within its length.
    unsafe {
        if !is_str(type_of(name)) {
            return false;
        }
        let length = ffi::PyUnicode_GET_LENGTH(name);
        let is_at = |(place, char)| ffi::PyUnicode_ReadChar(name, place) == u32::from(char);
        let starts = || (0..).zip("_retain_".chars()).all(is_at);
        length > 8 && starts() && ffi::PyUnicode_FindChar(name, u32::from('.'), 8, length, 1) >= 0
    }
}

pub(super) fn changed(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("it is {what} that changed while it was hashed"))
}
