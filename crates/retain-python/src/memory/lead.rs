//! The right to compute what a call comes to, while others wait.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use retain_store::{Error, Folder, Key};

use super::errors::raised;
use crate::ending::Stay;

/// On whose behalf calls are led, if not that of a thread: leads of one owner are nested in one another.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Owner(retain_store::Owner);

#[pymethods]
impl Owner {
    #[new]
    fn new() -> Self {
        Self(retain_store::Owner::new())
    }
}

/// The right to compute a call, until it is released or forgotten.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Lead {
    held: Mutex<Option<retain_store::Lead>>,
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
        let owner = owner.map_or_else(retain_store::Owner::thread, |owner| owner.0);
        let mut waited = false;
        loop {
            match py.detach(|| folder.lead(key, owner)) {
                Ok(lead) => return Ok(Self::new(lead, waited)),
                // Where the handler raises nothing, it is waited on.
                Err(Error::Interrupted) => {
                    waited = true;
                    py.check_signals()?;
                }
                Err(error) => return Err(raised(py, error)),
            }
        }
    }

    /// Leads the computation of a call, unless somebody does.
    pub(super) fn try_take(
        py: Python<'_>,
        folder: &Folder,
        key: &Key,
        owner: Option<&Owner>,
    ) -> PyResult<Option<Self>> {
        let _stay = Stay::begin();
        let owner = owner.map_or_else(retain_store::Owner::thread, |owner| owner.0);
        let lead = py.detach(|| folder.try_lead(key, owner));
        let lead = lead.map_err(|error| raised(py, error))?;
        Ok(lead.map(|lead| Self::new(lead, false)))
    }

    fn new(lead: retain_store::Lead, waited: bool) -> Self {
        Self {
            waited: waited | lead.waited(),
            is_held: lead.is_held(),
            held: Mutex::new(Some(lead)),
        }
    }
}

#[pymethods]
impl Lead {
    /// Lets go of it: the next of those that wait goes on.
    fn release(&self) {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(held);
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, pyo3::types::PyTuple>) {
        self.release();
    }
}
