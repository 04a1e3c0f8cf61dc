//! The right to compute what a call comes to, while others wait.
#![allow(clippy::unused_self, clippy::unnecessary_wraps)]

use pyo3::prelude::*;
use retain_store::{Folder, Key};

use crate::ending::Stay;

/// On whose behalf calls are led, if not that of a thread: leads of one owner are nested in one another.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Owner;

#[pymethods]
impl Owner {
    #[new]
    fn new() -> Self {
        Self
    }
}

/// The right to compute a call, until it is released or forgotten.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Lead {
    /// Whether somebody else led when it was asked for: the value may be there by now.
    #[pyo3(get)]
    waited: bool,
    /// Whether others wait for it. If not, there is no waiting here: whoever asked computes.
    #[pyo3(get)]
    is_held: bool,
}

impl Lead {
    /// Leads the computation of a call, once nobody else does.
    pub(super) fn take(
        py: Python<'_>,
        folder: &Folder,
        key: &Key,
        owner: Option<&Owner>,
    ) -> PyResult<Self> {
        let _stay = Stay::begin();
        let _ = (py, folder, key, owner);
        Ok(Self {
            waited: false,
            is_held: false,
        })
    }
}

#[pymethods]
impl Lead {
    /// Lets go of it: the next of those that wait goes on.
    fn release(&self) {}

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, pyo3::types::PyTuple>) {
        self.release();
    }
}
