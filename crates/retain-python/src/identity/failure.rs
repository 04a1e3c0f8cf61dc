//! Why an object has no identity, and where in the value it lies.

use pyo3::exceptions::{PyException, PyMemoryError, PyRecursionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

/// A walk that came to no end, and the steps from the value to the part where it stopped.
pub(crate) struct Failure {
    pub(crate) error: PyErr,
    pub(crate) path: String,
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self {
            error,
            path: String::new(),
        }
    }
}

impl Failure {
    /// The error to raise, about a value that is called `name`, with what helps.
    pub(crate) fn about(self, py: Python<'_>, name: &str, remedy: &str) -> PyErr {
        let Self { error, path } = self;
        let passes = error.is_instance_of::<PyMemoryError>(py)
            || error.is_instance_of::<PyRecursionError>(py)
            || !error.is_instance_of::<PyException>(py);
        if passes {
            return error;
        }
        let why = if error.is_instance_of::<PyTypeError>(py) {
            error.value(py).to_string()
        } else {
            format!("it cannot be taken apart: {error}")
        };
        let named = PyTypeError::new_err(format!("{name}{path}: {why}{remedy}"));
        named.set_cause(py, Some(error));
        named
    }
}

/// A step of a path: the item under a key.
pub(super) fn key(key: &Bound<'_, PyAny>) -> String {
    const LONGEST: usize = 60;
    // Only what has a repr of its own: any other may run code of the user's.
    if !key.is_exact_instance_of::<PyString>() && !key.is_exact_instance_of::<PyInt>() {
        return format!(" -> [a {}]", kind(key));
    }
    let mut text = key
        .repr()
        .map_or_else(|_| "...".into(), |text| text.to_string());
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain("...".chars()).collect();
    }
    format!(" -> [{text}]")
}

/// The name of an object's type.
pub(super) fn kind(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .fully_qualified_name()
        .map_or_else(|_| "object".into(), |name| name.to_string())
}
