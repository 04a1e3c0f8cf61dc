//! What went wrong with a file, as the exception that Python programs expect.

use std::io;

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use retain_format::Error;

/// The exception for `error`, which tells of `filename`.
pub(super) fn raised(py: Python<'_>, error: Error, filename: Option<&Bound<'_, PyAny>>) -> PyErr {
    match error {
        Error::Io(error) => system(py, error, filename),
        error => {
            let kind = match error {
                Error::Signature(_) => "SignatureError",
                _ => "CorruptFileError",
            };
            named(py, kind, &error.to_string(), filename).unwrap_or_else(|error| error)
        }
    }
}

fn named(
    py: Python<'_>,
    kind: &str,
    reason: &str,
    filename: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    let errors = py.import(intern!(py, "retain._files.errors"))?;
    let error = errors.getattr(kind)?.call1((reason, filename))?;
    Ok(PyErr::from_value(error))
}

/// The exception for an error of the operating system, or the one that Python code raised below it.
pub(crate) fn system(
    py: Python<'_>,
    error: io::Error,
    filename: Option<&Bound<'_, PyAny>>,
) -> PyErr {
    if matches!(error.get_ref(), Some(inner) if inner.is::<PyErr>()) {
        let inner = error
            .into_inner()
            .and_then(|inner| inner.downcast::<PyErr>().ok());
        return inner.map_or_else(
            || PyRuntimeError::new_err("an error was lost"),
            |error| *error,
        );
    }
    let saying = |number: i32, text: Bound<'_, PyAny>| -> PyResult<PyErr> {
        let kind = py.get_type::<pyo3::exceptions::PyOSError>();
        let error = match filename {
            Some(filename) => kind.call1((number, text, filename))?,
            None => kind.call1((number, text))?,
        };
        Ok(PyErr::from_value(error))
    };
    let raised = |number: i32| -> PyResult<PyErr> {
        let text = py
            .import(intern!(py, "os"))?
            .call_method1("strerror", (number,))?;
        saying(number, text)
    };
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => raised(number).unwrap_or_else(|error| error),
        (None, io::ErrorKind::IsADirectory) => {
            raised(libc_errno::EISDIR).unwrap_or_else(|error| error)
        }
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
            named(py, "CorruptFileError", &error.to_string(), filename)
                .unwrap_or_else(|error| error)
        }
        (None, io::ErrorKind::OutOfMemory) => PyMemoryError::new_err(error.to_string()),
        (None, io::ErrorKind::WouldBlock) => {
            raised(libc_errno::EAGAIN).unwrap_or_else(|error| error)
        }
        (None, io::ErrorKind::InvalidInput) if filename.is_none() => PyErr::from(error),
        (None, kind) => {
            let number = match kind {
                io::ErrorKind::InvalidInput => libc_errno::EINVAL,
                _ => libc_errno::EIO,
            };
            let text = PyString::new(py, &error.to_string()).into_any();
            saying(number, text).unwrap_or_else(|error| error)
        }
    }
}

mod libc_errno {
    //! The same on all systems that Python knows, but for the last.

    pub(super) const EIO: i32 = 5;
    pub(super) const EISDIR: i32 = 21;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EAGAIN: i32 = if cfg!(any(target_os = "macos", target_os = "freebsd")) {
        35
    } else {
        11
    };
}
