//! The awaitable that an async function's hit gives.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;

use crate::object::Obj;

/// What a call came to at once.
pub(crate) enum Ready {
    Value(Obj),
    Error(Obj),
}

/// A result that is there already, to be awaited.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Resolved {
    result: Mutex<Option<Ready>>,
}

impl Resolved {
    pub(crate) fn new(result: Ready) -> Self {
        Self {
            result: Mutex::new(Some(result)),
        }
    }

    fn take(&self, py: Python<'_>) -> PyErr {
        let ready = self
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match ready {
            Some(Ready::Value(value)) => {
                PyStopIteration::new_err((value.bind(py).clone().unbind(),))
            }
            Some(Ready::Error(error)) => PyErr::from_value(error.bind(py).clone()),
            None => PyRuntimeError::new_err("cannot reuse already awaited coroutine"),
        }
    }
}

#[pymethods]
impl Resolved {
    fn __await__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<()> {
        Err(self.take(py))
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(self.take(py))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        drop(traceback);
        drop(self.take(py));
        match value {
            Some(value) if value.is_instance_of::<PyBaseException>() => {
                Err(PyErr::from_value(value))
            }
            _ => Err(PyErr::from_value(kind.clone())),
        }
    }

    fn close(&self) {
        // Dropped once the mutex is free again: that can run any code.
        let taken = self
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(taken);
    }
}
