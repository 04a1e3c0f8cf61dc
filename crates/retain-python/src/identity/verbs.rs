//! `retain.hash` and what it is made of, for Python.

#![allow(clippy::doc_markdown, reason = "docstrings in the manner of numpy")]

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::route;
use super::walk::{Options, digest_of};

/// Return who a value is: a digest that is equal for equal values, in every process and on every machine.
///
/// Parameters
/// ----------
/// obj : object
///     Anything that has an identity beyond its address: see *Notes*.
/// hash_name : {"blake3", "sha1", "md5"}, default "blake3"
///     How long the digest is: 32, 20 or 16 bytes. Only the length follows the name: whatever it says, the digest is
///     the BLAKE3 of the same encoding, cut off. "sha1" and "md5" are accepted so that code written for joblib runs.
/// coerce_mmap : bool, default False
///     Whether a ``numpy.memmap`` counts as an array of the same content, rather than as a type of its own.
///
/// Returns
/// -------
/// str
///     64, 40 or 32 hexadecimal digits.
///
/// Raises
/// ------
/// TypeError
///     If a part of `obj` has no identity, such as a lock or an open file. The message tells the path to it.
/// ValueError
///     If `hash_name` is not one of the three.
///
/// See Also
/// --------
/// register_key : Tell what stands for the objects of a type.
/// identity : Who a function is.
///
/// Notes
/// -----
/// Values are taken apart by their structure, not pickled. Types count: ``1``, ``True`` and ``1.0`` are three values, and
/// so are arrays of different types or memory order (C or Fortran; any other layout counts as its C-ordered copy). All
/// bits of floating-point numbers count: ``0.0`` and ``-0.0`` differ, and NaNs of different bits. The order of dicts and
/// sets does not count, nor what is shared inside, nor what is interned. Values may contain themselves, and be nested as
/// deep as memory allows.
///
/// Instances count by their class and their attributes (the values of cached properties are among them, once they were
/// asked for), and classes and functions of the user's own by their code, as
/// told by `identity`. Other objects are asked by ``__reduce_ex__``, as for pickle.
///
/// While arrays and bytes of more than a mebibyte are hashed, other threads run. An array that one of them writes to
/// meanwhile gives the digest of neither state.
///
/// The method is BLAKE3 [1]_ over a canonical encoding, told in the documentation of the crate ``retain-key``.
///
/// References
/// ----------
/// .. [1] J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere", 2020.
///
/// Examples
/// --------
/// >>> retain.hash({"a": 1, "b": [2, 3]}) == retain.hash({"b": [2, 3], "a": 1})
/// True
/// >>> retain.hash(1) == retain.hash(True)
/// False
#[pyfunction]
#[pyo3(
    signature = (obj, hash_name=None, coerce_mmap=false),
    text_signature = "(obj, hash_name='blake3', coerce_mmap=False)"
)]
pub(crate) fn hash<'py>(
    obj: &Bound<'py, PyAny>,
    hash_name: Option<&Bound<'py, PyAny>>,
    coerce_mmap: bool,
) -> PyResult<Bound<'py, PyString>> {
    let py = obj.py();
    let digits = match hash_name {
        None => 64,
        Some(name) => digits_of(name)?,
    };
    let options = Options {
        coerce_mmap,
        ..Options::default()
    };
    match digest_of(obj, options) {
        Ok(digested) => Ok(PyString::new(py, &digested.digest.to_string()[..digits])),
        Err(failure) => Err(failure.about(py, "obj", "")),
    }
}

/// How many hexadecimal digits the digests of a `hash_name` have.
fn digits_of(name: &Bound<'_, PyAny>) -> PyResult<usize> {
    let refusal = format!(
        "hash_name is {}, but it must be one of 'blake3', 'sha1', 'md5'",
        name.repr()?
    );
    let Ok(name) = name.cast::<PyString>() else {
        return Err(PyTypeError::new_err(refusal));
    };
    match &*name.to_string_lossy() {
        "blake3" => Ok(64),
        "sha1" => Ok(40),
        "md5" => Ok(32),
        _ => Err(PyValueError::new_err(refusal)),
    }
}

/// Return the 32 bytes of a value's digest; with `code`, functions and classes are taken apart in place, and what has no
/// identity is opaque: `opaque`, a list, is told the paths to it.
#[pyfunction]
#[pyo3(signature = (obj, code=false, opaque=None))]
pub(crate) fn digest<'py>(
    obj: &Bound<'py, PyAny>,
    code: bool,
    opaque: Option<&Bound<'py, pyo3::types::PyList>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = obj.py();
    let options = Options {
        code,
        ..Options::default()
    };
    match digest_of(obj, options) {
        Ok(digested) => {
            if let Some(opaque) = opaque {
                for path in digested.opaque {
                    opaque.append(path)?;
                }
            }
            Ok(PyBytes::new(py, digested.digest.as_bytes()))
        }
        Err(failure) => Err(failure.about(py, "obj", "")),
    }
}

/// Ask for the handlers of types anew, as more may be registered.
#[pyfunction]
pub(crate) fn forget_handlers() {
    route::forget();
}

/// A part of an object, and the step that a path shows for it.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct At {
    #[pyo3(get)]
    pub(super) step: String,
    #[pyo3(get)]
    pub(super) value: Py<PyAny>,
}

/// A part that is the memory of an object, which exports it as one piece: bytes, not a value of its own.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Raw {
    #[pyo3(get)]
    pub(super) buffer: Py<PyAny>,
}

#[pymethods]
impl Raw {
    #[new]
    fn new(buffer: Py<PyAny>) -> Self {
        Self { buffer }
    }
}

#[pymethods]
impl At {
    #[new]
    fn new(step: String, value: Py<PyAny>) -> Self {
        Self { step, value }
    }
}
