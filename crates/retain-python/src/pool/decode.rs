//! From what travelled to objects.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use retain_pool::Mapped;

use super::atoms;
use super::pickle::Pickle;
use super::region::Region;
use super::wire::{APART, ATOM, ATOMS};

/// What the other end sent: what it is, and the object.
pub(super) fn decoded<'py>(
    py: Python<'py>,
    pickle: &Pickle,
    bytes: &[u8],
    buffers: Vec<Mapped>,
    writable: bool,
) -> (u8, PyResult<Bound<'py, PyAny>>) {
    let Some((&head, inside)) = bytes.split_first() else {
        let empty = PyRuntimeError::new_err("an empty message came from a process of the pool");
        return (u8::MAX, Err(empty));
    };
    let atoms = match head {
        ATOMS => Some(atoms::all(py, inside).map(Bound::into_any)),
        ATOM => Some(atoms::one(py, &mut &*inside)),
        _ => None,
    };
    if let Some(object) = atoms {
        let broken = || PyRuntimeError::new_err("a broken message came from a process of the pool");
        return (head, object.ok_or_else(broken));
    }
    let object = if buffers.is_empty() {
        pickle.loads(py, PyBytes::new(py, inside).as_any())
    } else {
        of_buffers(py, pickle, head, inside, buffers, writable)
    };
    (head & !APART, object)
}

fn of_buffers<'py>(
    py: Python<'py>,
    pickle: &Pickle,
    head: u8,
    inside: &[u8],
    buffers: Vec<Mapped>,
    writable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut buffers = buffers.into_iter();
    let stream = match buffers.as_slice() {
        [_, ..] if head & APART != 0 => buffers
            .next()
            .map(|memory| Bound::new(py, Region::new(memory, false)))
            .transpose()?
            .map(Bound::into_any),
        _ => None,
    };
    let stream = stream.unwrap_or_else(|| PyBytes::new(py, inside).into_any());
    let regions = PyList::empty(py);
    for memory in buffers {
        regions.append(Bound::new(py, Region::new(memory, writable))?)?;
    }
    pickle.loads_with(py, &stream, regions.as_any())
}
