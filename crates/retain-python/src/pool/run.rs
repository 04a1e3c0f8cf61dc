//! One call of `Parallel` that worker processes run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use retain_pool::{Arena, Error, Outcome, OutcomeKind, Task};

use super::encode::{Encoded, Encoder, Pickler, Places, as_task, parts};
use super::outcomes::{Helpers, Read, told};
use super::raised;
use crate::ending::Stay;
use crate::object::Obj;

/// Answers that need no worker are handed over when there are so many.
const MANY: usize = 256;

/// How a run is to be, besides what the pool need know.
pub(super) struct Rules {
    pub(super) max_nbytes: Option<usize>,
    pub(super) by_value: bool,
    pub(super) detailed: bool,
}

/// A task that has not ended.
pub(super) struct Open {
    pub(super) task: Obj,
    places: Places,
}

/// Numbers that can be read at any time.
#[derive(Default)]
struct Counts {
    pulled: AtomicU64,
    dispatched: AtomicU64,
    completed: AtomicU64,
    retried: AtomicU64,
    hits: AtomicU64,
    died: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    busy_ns: AtomicU64,
    shared_bytes: AtomicU64,
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// What only the thread in `step` touches.
struct State {
    tasks: Option<Obj>,
    lookup: Option<Obj>,
    encoder: Encoder,
    /// The tasks from index `first` on; those that have ended are `None`.
    open: VecDeque<Option<Open>>,
    first: u64,
    outstanding: usize,
    outcomes: Vec<Outcome>,
}

/// The tasks of one call.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Run {
    tasks: retain_pool::Run,
    helpers: Helpers,
    detailed: bool,
    counts: Counts,
    cancelled: AtomicBool,
    state: Mutex<State>,
}

impl Run {
    pub(super) fn new(
        helpers: &Bound<'_, PyAny>,
        arena: Arena,
        run: retain_pool::Run,
        rules: &Rules,
    ) -> PyResult<Self> {
        let careful = helpers.getattr("dumps")?.into();
        let pickler = Pickler::new(helpers.py(), careful, rules.max_nbytes, rules.by_value)?;
        Ok(Self {
            tasks: run,
            helpers: Helpers::new(helpers)?,
            detailed: rules.detailed,
            counts: Counts::default(),
            cancelled: AtomicBool::new(false),
            state: Mutex::new(State {
                tasks: None,
                lookup: None,
                encoder: Encoder::new(pickler, arena),
                open: VecDeque::new(),
                first: 0,
                outstanding: 0,
                outcomes: Vec::new(),
            }),
        })
    }

    /// For one thread at a time: the iterator of tasks may lead back to here.
    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "the tasks of one call were asked for by two threads at once, or by the iterator of the tasks itself",
            )),
        }
    }
}

#[pymethods]
impl Run {
    /// Takes the tasks on.
    fn begin(&self, tasks: &Bound<'_, PyAny>, lookup: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut state = self.state()?;
        state.tasks = Some(tasks.try_iter()?.into_any().into());
        state.lookup = (!lookup.is_empty()).then(|| lookup.as_any().into());
        Ok(())
    }

    /// Goes on, and returns the outcomes that came; None when all were.
    #[pyo3(signature = (wait=None, limit=None))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        wait: Option<&Bound<'py, PyAny>>,
        limit: Option<usize>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let _stay = Stay::begin();
        let wait = wait.map_or(Ok(Duration::MAX), duration)?;
        let mut state = self.state()?;
        if self.cancelled.load(Ordering::Acquire) {
            state.clear();
            return Ok(None);
        }
        let list = PyList::empty(py);
        let mut limit = limit.unwrap_or(usize::MAX);
        let deadline = Instant::now().checked_add(wait);
        loop {
            self.dispatch(py, &mut state, &list, &mut limit)?;
            if state.outstanding == 0 && list.is_empty() {
                if state.tasks.is_none() {
                    state.clear();
                    return Ok(None);
                }
                if limit == 0 {
                    return Ok(Some(list));
                }
            }
            let left = if list.is_empty() {
                deadline.map_or(Duration::MAX, |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                })
            } else {
                Duration::ZERO
            };
            self.collect(py, &mut state, &list, left)?;
            if self.cancelled.load(Ordering::Acquire) {
                state.clear();
                return Ok(None);
            }
            if !list.is_empty() || left.is_zero() {
                return Ok(Some(list));
            }
        }
    }

    /// Gives up the tasks that have not ended.
    fn cancel(&self, py: Python<'_>) {
        self.cancelled.store(true, Ordering::Release);
        py.detach(|| self.tasks.cancel());
        // A thread that is in `step` clears up itself.
        if let Ok(mut state) = self.state() {
            state.clear();
        }
    }

    #[getter]
    fn pulled(&self) -> u64 {
        self.counts.pulled.load(Ordering::Relaxed)
    }

    #[getter]
    fn dispatched(&self) -> u64 {
        self.counts.dispatched.load(Ordering::Relaxed)
    }

    #[getter]
    fn completed(&self) -> u64 {
        self.counts.completed.load(Ordering::Relaxed)
    }

    #[getter]
    fn retried(&self) -> u64 {
        self.counts.retried.load(Ordering::Relaxed)
    }

    #[getter]
    fn hits(&self) -> u64 {
        self.counts.hits.load(Ordering::Relaxed)
    }

    #[getter]
    fn died(&self) -> u64 {
        self.counts.died.load(Ordering::Relaxed)
    }

    #[getter]
    fn timed_out(&self) -> u64 {
        self.counts.timed_out.load(Ordering::Relaxed)
    }

    #[getter]
    fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }

    #[getter]
    fn busy_ns(&self) -> u64 {
        self.counts.busy_ns.load(Ordering::Relaxed)
    }

    #[getter]
    fn shared_bytes(&self) -> u64 {
        self.counts.shared_bytes.load(Ordering::Relaxed)
    }
}

impl Run {
    /// Takes tasks from the iterator while more are wanted.
    fn dispatch(
        &self,
        py: Python<'_>,
        state: &mut State,
        list: &Bound<'_, PyList>,
        limit: &mut usize,
    ) -> PyResult<()> {
        let mut room = 0;
        while *limit > 0 && list.len() < MANY {
            let Some(tasks) = &state.tasks else { break };
            if room == 0 {
                room = self.tasks.room();
                if room == 0 {
                    break;
                }
            }
            // SAFETY: it is an iterator, and alive: nothing that is called here takes it from the state.
            let next = unsafe { ffi::PyIter_Next(tasks.as_ptr()) };
            // SAFETY: a new reference, or none.
            let next = unsafe { Bound::from_owned_ptr_or_opt(py, next) };
            let Some(next) = next else {
                if let Some(error) = PyErr::take(py) {
                    return Err(error);
                }
                state.tasks = None;
                break;
            };
            *limit -= 1;
            let index = self.counts.pulled.fetch_add(1, Ordering::Relaxed);
            let task = as_task(&next)?;
            if let Some(value) = state.found(&task)? {
                add(&self.counts.hits, 1);
                state.open.push_back(None);
                add(&self.counts.completed, 1);
                list.append(told(py, index, 0, value, self.detailed.then(Read::hit))?)?;
                state.shrink();
                continue;
            }
            match state.encoder.call(&task, &self.tasks) {
                Ok(encoded) => {
                    room -= 1;
                    self.submit(state, index, task, encoded)?;
                }
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    // It stands where the task's result would.
                    state.open.push_back(None);
                    add(&self.counts.completed, 1);
                    add(&self.counts.failed, 1);
                    let error = self.helpers.unsendable(&task, error)?;
                    list.append(told(py, index, 1, error, self.detailed.then(Read::hit))?)?;
                    state.shrink();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn submit(
        &self,
        state: &mut State,
        index: u64,
        task: Bound<'_, PyTuple>,
        encoded: Encoded,
    ) -> PyResult<()> {
        let shared = state.encoder.shares.bytes();
        self.counts.shared_bytes.store(shared, Ordering::Relaxed);
        state.open.push_back(Some(Open {
            task: task.into_any().into(),
            places: encoded.places,
        }));
        state.outstanding += 1;
        let submitted = self.tasks.submit(Task {
            definition: encoded.definition,
            payload: encoded.payload,
            tag: index,
        });
        add(&self.counts.dispatched, 1);
        submitted.map_err(|error| raised(&error))
    }

    /// Takes what the workers answered.
    fn collect(
        &self,
        py: Python<'_>,
        state: &mut State,
        list: &Bound<'_, PyList>,
        wait: Duration,
    ) -> PyResult<()> {
        if state.outstanding == 0 {
            return Ok(());
        }
        let outcomes = &mut state.outcomes;
        let came = if wait.is_zero() {
            self.tasks.outcomes(wait, outcomes)
        } else {
            py.detach(|| self.tasks.outcomes(wait, outcomes))
        };
        match came {
            Ok(()) => {}
            Err(Error::Interrupted) => py.check_signals()?,
            Err(Error::Closed) if self.cancelled.load(Ordering::Acquire) => return Ok(()),
            Err(Error::Start(reason)) => return Err(self.helpers.broken(py, &reason)?),
            Err(error) => return Err(raised(&error)),
        }
        for outcome in std::mem::take(&mut state.outcomes) {
            self.tell(py, state, list, outcome)?;
        }
        state.shrink();
        Ok(())
    }

    fn tell(
        &self,
        py: Python<'_>,
        state: &mut State,
        list: &Bound<'_, PyList>,
        outcome: Outcome,
    ) -> PyResult<()> {
        let index = outcome.tag;
        let details = self.detailed.then(|| Read::of(&outcome));
        let is_final = outcome.kind.is_final();
        match &outcome.kind {
            OutcomeKind::Died { .. } => add(&self.counts.died, 1),
            OutcomeKind::TimedOut { .. } => add(&self.counts.timed_out, 1),
            OutcomeKind::Retried { reason } => {
                add(&self.counts.retried, 1);
                match **reason {
                    OutcomeKind::Died { .. } => add(&self.counts.died, 1),
                    OutcomeKind::TimedOut { .. } => add(&self.counts.timed_out, 1),
                    _ => {}
                }
                if !self.detailed {
                    return Ok(());
                }
            }
            _ => {}
        }
        let busy = outcome.ended_ns.saturating_sub(outcome.started_ns);
        let at = usize::try_from(index.wrapping_sub(state.first)).unwrap_or(usize::MAX);
        let slot = state.open.get_mut(at);
        let open = if is_final {
            add(&self.counts.busy_ns, busy);
            add(&self.counts.completed, 1);
            let open = slot.and_then(Option::take);
            if open.is_some() {
                state.outstanding -= 1;
            }
            open
        } else {
            slot.and_then(|slot| slot.as_ref()).map(|open| Open {
                task: open.task.clone(),
                places: Places::new(),
            })
        };
        let Some(open) = open else {
            return Err(PyRuntimeError::new_err(format!(
                "an outcome came of task {index}, which is not running"
            )));
        };
        open.places
            .iter()
            .for_each(|place| state.encoder.shares.release(*place));
        let pickle = &state.encoder.pickler.pickle;
        let (status, value) = self.helpers.read(py, pickle, outcome.kind, &open.task)?;
        if status == 1 {
            add(&self.counts.failed, 1);
        }
        list.append(told(py, index, status, value, details)?)
    }
}

impl State {
    /// The result of a task, if it is known.
    fn found<'py>(&self, task: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(lookup) = &self.lookup else {
            return Ok(None);
        };
        let (function, args, kwargs) = parts(task)?;
        // SAFETY: `begin` took a dict.
        let lookup = unsafe { lookup.bind(task.py()).cast_unchecked::<PyDict>() };
        let Some(look) = lookup.get_item(function.get_type().cast::<PyType>()?)? else {
            return Ok(None);
        };
        let found = look.call1((function, args, kwargs))?;
        if found.is_none() {
            return Ok(None);
        }
        Ok(Some(found.get_item(0)?))
    }

    /// Forgets the tasks at the front that have ended.
    fn shrink(&mut self) {
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first += 1;
        }
    }

    /// Lets go of everything that is not needed after the end.
    fn clear(&mut self) {
        self.tasks = None;
        self.open.clear();
        self.outstanding = 0;
        self.outcomes.clear();
        self.encoder.forget();
    }
}

/// `True`, `False`, or how many seconds to wait.
fn duration(wait: &Bound<'_, PyAny>) -> PyResult<Duration> {
    if let Ok(wait) = wait.cast::<pyo3::types::PyBool>() {
        return Ok(if wait.is_true() {
            Duration::MAX
        } else {
            Duration::ZERO
        });
    }
    let seconds: f64 = wait.extract()?;
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "wait is {seconds}, but it must be a number of seconds"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
