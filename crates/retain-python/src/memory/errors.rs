//! What went wrong with a store, as the exception that Python programs expect.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::intern;
use pyo3::prelude::*;
use retain_store::Error;

use crate::files::system;

/// The exception for `error`.
pub(super) fn raised(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Io { path, source } => {
            let path = path.as_os_str().into_pyobject(py).map(Bound::into_any);
            system(py, source, path.as_ref().ok())
        }
        // The handler of the signal tells what is to be raised.
        Error::Interrupted => py
            .check_signals()
            .err()
            .unwrap_or_else(|| PyKeyboardInterrupt::new_err(())),
        error => {
            let kind = match error {
                Error::Untrusted(_) => "UntrustedFolderError",
                _ => "StoreError",
            };
            named(py, kind, &error.to_string()).unwrap_or_else(|error| error)
        }
    }
}

fn named(py: Python<'_>, kind: &str, reason: &str) -> PyResult<PyErr> {
    let errors = py.import(intern!(py, "retain._memory.errors"))?;
    let error = errors.getattr(kind)?.call1((reason,))?;
    Ok(PyErr::from_value(error))
}
