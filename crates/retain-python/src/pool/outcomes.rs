//! What is told of tasks.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use retain_pool::{Ended, Outcome, OutcomeKind};

use super::decode::decoded;
use super::pickle::Pickle;
use super::wire::APART;
use crate::object::Obj;

/// Functions of Python's side, which make the exceptions.
pub(super) struct Helpers {
    failed: Obj,
    died: Obj,
    timed_out: Obj,
    unsendable: Obj,
    unreadable: Obj,
    broken: Obj,
}

/// Status and value.
type Told<'py> = (u8, Bound<'py, PyAny>);

impl Helpers {
    pub(super) fn new(helpers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let named = |name| PyResult::Ok(Obj::from(helpers.getattr(name)?));
        Ok(Self {
            failed: named("failed")?,
            died: named("died")?,
            timed_out: named("timed_out")?,
            unsendable: named("unsendable")?,
            unreadable: named("unreadable")?,
            broken: named("broken")?,
        })
    }

    /// The exception of a task that could not be pickled.
    pub(super) fn unsendable<'py>(
        &self,
        task: &Bound<'py, PyTuple>,
        error: PyErr,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = task.py();
        self.unsendable.bind(py).call1((task, error.into_value(py)))
    }

    /// What is raised if no worker can be started.
    pub(super) fn broken(&self, py: Python<'_>, reason: &str) -> PyResult<PyErr> {
        Ok(PyErr::from_value(self.broken.bind(py).call1((reason,))?))
    }

    /// What an outcome is to the caller.
    pub(super) fn read<'py>(
        &self,
        py: Python<'py>,
        pickle: &Pickle,
        kind: OutcomeKind,
        task: &Obj,
    ) -> PyResult<Told<'py>> {
        let task = task.bind(py);
        match kind {
            OutcomeKind::Done(reply) => {
                match decoded(py, pickle, &reply.bytes, reply.buffers, true).1 {
                    Ok(value) => Ok((0, value)),
                    Err(error) => {
                        if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
                            return Err(error);
                        }
                        let error = error.into_value(py);
                        Ok((1, self.unreadable.bind(py).call1((task, error))?))
                    }
                }
            }
            OutcomeKind::Failed(reply) => {
                let (head, packed) = match (reply.bytes.split_first(), reply.buffers.first()) {
                    (Some((head, _)), Some(memory)) if head & APART != 0 => {
                        (head & !APART, memory.bytes())
                    }
                    (Some((head, packed)), _) => (*head, packed),
                    (None, _) => (u8::MAX, [].as_slice()),
                };
                let packed = PyBytes::new(py, packed);
                Ok((1, self.failed.bind(py).call1((task, head, packed))?))
            }
            OutcomeKind::Died { pid, status, rss } => {
                let (exit, signal) = match status {
                    Ended::Exit(code) => (Some(code), None),
                    Ended::Signal(number) => (None, Some(number)),
                };
                Ok((1, self.died.bind(py).call1((task, pid, exit, signal, rss))?))
            }
            OutcomeKind::TimedOut { after } => {
                let error = self.timed_out.bind(py).call1((task, after.as_secs_f64()))?;
                Ok((1, error))
            }
            OutcomeKind::Output { kind, bytes } => {
                let output = (kind, PyBytes::new(py, &bytes)).into_pyobject(py)?;
                Ok((2, output.into_any()))
            }
            OutcomeKind::Retried { reason } => {
                let (_, error) = self.read(py, pickle, *reason, &Obj::from(task))?;
                Ok((3, error))
            }
        }
    }
}

/// Where and when a task ran.
#[derive(Clone, Copy)]
pub(super) struct Read {
    worker: i64,
    started_ns: u64,
    ended_ns: u64,
    attempts: u32,
}

impl Read {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            worker: i64::from(outcome.worker),
            started_ns: outcome.started_ns,
            ended_ns: outcome.ended_ns,
            attempts: outcome.attempts,
        }
    }

    /// Of a task that no worker ran.
    pub(super) fn hit() -> Self {
        Self {
            worker: -1,
            started_ns: 0,
            ended_ns: 0,
            attempts: 0,
        }
    }
}

/// The tuple that tells of a task.
pub(super) fn told<'py>(
    py: Python<'py>,
    index: u64,
    status: u8,
    value: Bound<'py, PyAny>,
    details: Option<Read>,
) -> PyResult<Bound<'py, PyTuple>> {
    match details {
        None => (index, status, value).into_pyobject(py),
        Some(Read {
            worker,
            started_ns,
            ended_ns,
            attempts,
        }) => (index, status, value, worker, started_ns, ended_ns, attempts).into_pyobject(py),
    }
}
