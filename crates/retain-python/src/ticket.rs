//! A computation as the parts in Python see it: the duty to end it, and the flight that others wait for.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{ffi, intern};
use retain_memory::{Agent, Flight, Outcome, Waiting};

use crate::callable::{self, Call, Instance};
use crate::compute::Pending;
use crate::keeper::Kept;
use crate::memo::Memo;
use crate::method::Place;
use crate::object::Obj;

/// Calls a Python callable when woken.
struct Alarm(Obj);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // SAFETY: flights are landed by attached threads only.
        let py = unsafe { Python::assume_attached() };
        if let Err(error) = callable::call(self.0.bind(py), []) {
            error.write_unraisable(py, None);
        }
    }
}

/// A thread that waits for a flight, on one of Python's own locks: the wait lets others run, and ends on Ctrl-C.
pub(crate) struct Waiter {
    pub(crate) place: Place,
    flight: Arc<Flight<Kept, Obj>>,
    acquire: Obj,
    /// The waker is known to the flight by this.
    waker: Waker,
    _waiting: Waiting,
}

impl Waiter {
    pub(crate) fn new(
        py: Python<'_>,
        place: Place,
        flight: Arc<Flight<Kept, Obj>>,
        waiting: Waiting,
    ) -> PyResult<Self> {
        static ALLOCATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let lock = ALLOCATE.import(py, "_thread", "allocate_lock")?.call0()?;
        lock.call_method0(intern!(py, "acquire"))?;
        let release = lock.getattr(intern!(py, "release"))?.into();
        let waiter = Self {
            place,
            flight,
            acquire: lock.getattr(intern!(py, "acquire"))?.into(),
            waker: Waker::from(Arc::new(Alarm(release))),
            _waiting: waiting,
        };
        if waiter.flight.poll(&waiter.waker).is_ready() {
            // It landed meanwhile: nothing to wait for.
            lock.call_method0(intern!(py, "release"))?;
        }
        Ok(waiter)
    }

    /// Waits: a new reference, or null with the error set.
    ///
    /// # Safety
    /// This thread is attached.
    pub(crate) unsafe fn block(&self) -> *mut ffi::PyObject {
        // SAFETY: a call without arguments of a live object.
        unsafe { Call::new(std::ptr::null(), 0, std::ptr::null_mut()).run(self.acquire.as_ptr()) }
    }

    pub(crate) fn outcome(&self) -> Option<Outcome<Kept, Obj>> {
        match self.flight.poll(&self.waker) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

/// The duty to end a computation.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Ticket {
    memo: Obj,
    pending: Mutex<Option<Pending>>,
    agent: Agent,
}

impl Ticket {
    pub(crate) fn new(memo: &Bound<'_, PyAny>, pending: Pending, agent: Agent) -> Self {
        Self {
            memo: memo.into(),
            pending: Mutex::new(Some(pending)),
            agent,
        }
    }

    fn take(&self) -> Option<Pending> {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn memo(&self) -> &Memo {
        // SAFETY: tickets are made for memos only, and keep theirs alive.
        unsafe { Instance::<Memo>::body(self.memo.as_ptr()) }
    }
}

#[pymethods]
impl Ticket {
    /// The number of the agent that computes.
    #[getter]
    fn agent(&self) -> u64 {
        self.agent.number()
    }

    /// This thread computes, not the one that looked the arguments up.
    fn lead_here(&self) {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let lead = pending.as_ref().and_then(|pending| pending.lead.as_ref());
        if let Some(lead) = lead {
            lead.flight().hand_over(Agent::thread());
        }
    }

    /// The function that computes.
    #[getter]
    fn function<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.memo().function.bind(py).clone()
    }

    /// The computation came to `value`.
    fn finish(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.take() {
            Some(pending) => self.memo().finish(py, pending, &value.into()),
            None => Ok(()),
        }
    }

    /// What a caller gets of `value`.
    fn present(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Obj> {
        self.memo().copied(py, value.into())
    }

    /// The computation raised `error`.
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) {
        if let Some(pending) = self.take() {
            let error = PyErr::from_value(error.clone());
            if let Err(raised) = self.memo().complete(py, pending, Err(error.clone_ref(py))) {
                // The error comes back to be raised; here its caller has it already.
                if !raised.value(py).is(error.value(py)) {
                    raised.write_unraisable(py, None);
                }
            }
        }
    }

    /// The computation was given up.
    fn abandon(&self) {
        if let Some(pending) = self.take() {
            self.memo().land(pending, Outcome::Abandoned);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A flight, to be waited for.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct FlightView {
    memo: Obj,
    place: Place,
    flight: Arc<Flight<Kept, Obj>>,
}

impl FlightView {
    pub(crate) fn new(
        memo: &Bound<'_, PyAny>,
        place: Place,
        flight: &Arc<Flight<Kept, Obj>>,
    ) -> Self {
        Self {
            memo: memo.into(),
            place,
            flight: Arc::clone(flight),
        }
    }
}

/// While it lives, an agent is known to wait for a flight.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Wait(#[allow(dead_code, reason = "kept for its end")] Mutex<Option<Waiting>>);

#[pymethods]
impl Wait {
    /// The wait is over.
    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[pymethods]
impl FlightView {
    /// A number that no other flight has while this one lives.
    #[getter]
    fn number(&self) -> usize {
        Arc::as_ptr(&self.flight).addr()
    }

    /// Notes that `agent` waits; `None` if that would be for ever.
    fn join(&self, agent: u64) -> Option<Wait> {
        let waiting = self.flight.join(Agent::numbered(agent))?;
        Some(Wait(Mutex::new(Some(waiting))))
    }

    /// Has `callback` called, from any thread, when the flight ends; `False` if it has ended.
    fn subscribe(&self, callback: Bound<'_, PyAny>) -> bool {
        let waker = Waker::from(Arc::new(Alarm(callback.into())));
        self.flight.poll(&waker).is_pending()
    }

    /// How the flight ended: the value, or the exception; `None` if it was given up.
    fn outcome(&self, py: Python<'_>) -> PyResult<Option<(bool, Obj)>> {
        // SAFETY: views are made for memos only, and keep theirs alive.
        let memo = unsafe { Instance::<Memo>::body(self.memo.as_ptr()) };
        match self.flight.poll(Waker::noop()) {
            Poll::Ready(Outcome::Value(held)) => {
                memo.present(py, held).map(|value| Some((true, value)))
            }
            Poll::Ready(Outcome::Error(error)) => Ok(Some((false, error))),
            Poll::Ready(Outcome::Abandoned) | Poll::Pending => Ok(None),
        }
    }

    /// Counts a lookup that waited.
    fn joined(&self, got_value: bool) {
        // SAFETY: as above.
        let memo = unsafe { Instance::<Memo>::body(self.memo.as_ptr()) };
        self.place.keeper(memo).entries.joined(got_value);
    }
}
