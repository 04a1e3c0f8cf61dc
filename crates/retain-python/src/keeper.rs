//! A table with its rules: how long values live, what they weigh, who is told when they leave.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyException, PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use retain_memory::{
    AnyPolicy, Bounds, Cause, Departures, Eviction, Held, Lookup, Nanos, Shard, State, Stats,
    Table, Timing, now,
};

use crate::arguments::{Arguments, Key};
use crate::callable;
use crate::lock::Guarded;
use crate::object::{Obj, discard, is_atomic};

/// What a computation came to: a value, or an exception that is kept like one.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Value(Obj),
    Error(Obj),
}

pub(crate) type Kept = Held<Answer>;
pub(crate) type Entries =
    Shard<Key, Kept, Obj, AnyPolicy, Guarded<State<Key, Kept, Obj, AnyPolicy>>>;
pub(crate) type Left = Departures<Key, Kept>;

/// How long values live.
pub(crate) enum Lifetime {
    Forever,
    Fixed(f64),
    /// A callable takes the value and returns seconds, or `None` for no end.
    PerValue(Obj),
}

/// The rules of a table. They are set once.
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) eviction: Eviction,
    pub(crate) lifetime: Lifetime,
    /// Lifetimes are shortened by up to this share, at random.
    pub(crate) jitter: f64,
    pub(crate) idle: Option<Nanos>,
    pub(crate) stale_for: Nanos,
    pub(crate) weigher: Option<Obj>,
    pub(crate) on_evict: Option<Obj>,
    /// Kept exceptions make entries end even where values do not.
    pub(crate) errors_end: bool,
}

/// A table that keeps to its rules.
pub(crate) struct Keeper {
    pub(crate) entries: Entries,
    pub(crate) rules: Arc<Rules>,
    /// Some entry has an end of its own, whatever the rules say.
    ends: AtomicBool,
}

/// Seconds as nanoseconds; what is more than 500 years is for ever.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float as an integer saturates"
)]
pub(crate) fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

impl Rules {
    fn is_timed(&self) -> bool {
        !matches!(self.lifetime, Lifetime::Forever) || self.idle.is_some() || self.errors_end
    }

    /// Whether a hit needs nothing but to be returned.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_timed()
    }

    pub(crate) fn traverse(
        &self,
        visit: &mut (impl FnMut(*mut ffi::PyObject) -> c_int + ?Sized),
    ) -> c_int {
        let lifetime = match &self.lifetime {
            Lifetime::PerValue(callable) => Some(callable),
            _ => None,
        };
        let objects = [lifetime, self.weigher.as_ref(), self.on_evict.as_ref()];
        let mut visits = objects
            .into_iter()
            .flatten()
            .map(|object| visit(object.as_ptr()));
        visits.find(|status| *status != 0).unwrap_or(0)
    }

    /// A value as it is stored. `lifetime` in seconds goes before the rules' own.
    ///
    /// # Errors
    /// What the weigher or the lifetime's callable raised, or that they returned nonsense.
    pub(crate) fn hold(
        &self,
        py: Python<'_>,
        value: &Obj,
        cost: f64,
        lifetime: Option<f64>,
    ) -> PyResult<Kept> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "seven digits of a duration are enough"
        )]
        let mut held = Held {
            cost: cost as f32,
            ..Held::new(Answer::Value(value.clone()))
        };
        if let Some(weigher) = &self.weigher {
            held.weight = weigh(weigher.bind(py), value.bind(py))?;
        }
        let seconds = match (&self.lifetime, lifetime) {
            (_, Some(seconds)) => Some(seconds),
            (Lifetime::Forever, None) => None,
            (Lifetime::Fixed(seconds), None) => Some(*seconds),
            (Lifetime::PerValue(callable), None) => seconds_of(callable.bind(py), value.bind(py))?,
        };
        held.timing = self.timing(seconds);
        Ok(held)
    }

    /// An exception as it is stored, for so many seconds.
    pub(crate) fn hold_error(&self, error: Obj, seconds: f64) -> Kept {
        Held {
            timing: self.timing(Some(seconds)),
            ..Held::new(Answer::Error(error))
        }
    }

    fn timing(&self, seconds: Option<f64>) -> Option<Box<Timing>> {
        if seconds.is_none() && self.idle.is_none() {
            return None;
        }
        let mut timing = Timing::forever(now());
        if let Some(seconds) = seconds {
            let seconds = seconds * (1.0 - self.jitter * chance());
            timing.expires = timing.touched.saturating_add(nanos(seconds));
            timing.stale_for = self.stale_for;
        }
        if let Some(idle) = self.idle {
            timing.idle = idle;
        }
        Some(Box::new(timing))
    }
}

impl Keeper {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        let table = Table::new(
            AnyPolicy::from(rules.eviction),
            rules.bounds,
            rules.is_timed(),
        );
        Self {
            entries: Shard::new(table),
            rules,
            ends: AtomicBool::new(false),
        }
    }

    pub(crate) fn lookup<'a>(
        &self,
        hash: u64,
        probe: &'a Arguments<'a>,
    ) -> Lookup<'a, Arguments<'a>> {
        Lookup {
            hash,
            probe,
            now: self.now(),
        }
    }

    /// The present, where it matters.
    pub(crate) fn now(&self) -> Nanos {
        if self.rules.is_timed() || self.ends.load(Ordering::Relaxed) {
            now()
        } else {
            0
        }
    }

    /// From here on, entries may have ends of their own.
    pub(crate) fn allow_ends(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.entries.with(|state| state.table.set_expires(true));
    }

    /// Shows the collector the entries; the rules are shown by whoever owns them.
    pub(crate) fn traverse(
        &self,
        visit: &mut (impl FnMut(*mut ffi::PyObject) -> c_int + ?Sized),
    ) -> c_int {
        self.entries.with(|state| {
            for (key, held) in state.table.iter() {
                let (Answer::Value(value) | Answer::Error(value)) = &held.value;
                let status = match key.traverse(visit) {
                    0 if is_atomic(value.as_ptr()) => 0,
                    0 => visit(value.as_ptr()),
                    status => status,
                };
                if status != 0 {
                    return status;
                }
            }
            0
        })
    }

    /// As [`traverse`](Self::traverse), for `#[pyclass]`.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        with_py_visit(visit, |visit| self.traverse(visit))
    }

    /// As [`visit`](Self::visit), the rules included: for the one who owns them.
    pub(crate) fn visit_all(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        with_py_visit(visit, |visit| match self.rules.traverse(visit) {
            0 => self.traverse(visit),
            status => status,
        })
    }

    /// Removes every entry and resets the counts.
    pub(crate) fn clear(&self) {
        self.entries
            .with(|state| *state.table.stats_mut() = Stats::default());
        drop(self.entries.clear());
    }

    /// Tells the user's callback who left, each with its key as `describe` puts it. What the callback raises is
    /// reported, not raised: the call it happens in has nothing to do with it.
    pub(crate) fn bid_farewell<'py>(
        &self,
        py: Python<'py>,
        left: Left,
        describe: impl Fn(&Key) -> PyResult<Bound<'py, PyAny>>,
    ) {
        if left.is_empty() {
            return;
        }
        let Some(on_evict) = &self.rules.on_evict else {
            return;
        };
        for (key, held, cause) in left.lost() {
            let Answer::Value(value) = held.value else {
                continue;
            };
            let cause = if cause == Cause::Expired {
                intern!(py, "expired")
            } else {
                intern!(py, "evicted")
            };
            let told = describe(&key)
                .and_then(|key| callable::call(on_evict.bind(py), [&key, value.bind(py), cause]));
            if let Err(error) = told {
                error.write_unraisable(py, Some(on_evict.bind(py)));
            }
        }
    }
}

/// A number from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "a random number of 53 bits")]
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(now()) >> 11) as f64 / (1u64 << 53) as f64
}

fn weigh(weigher: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let weight = callable::call(weigher, [value])?;
    let weight = weight.bind(value.py());
    match number(weight) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float as an integer saturates"
        )]
        Some(float) if float >= 0.0 => Ok(float.ceil() as u64),
        Some(_) => Err(PyValueError::new_err(format!(
            "weigher returned {}, but a weight is 0 or more",
            weight.repr()?
        ))),
        None => Err(PyTypeError::new_err(format!(
            "weigher returned {}, but a weight is a number",
            weight.repr()?
        ))),
    }
}

/// The object as a float, if it is a number.
fn number(object: &Bound<'_, PyAny>) -> Option<f64> {
    object
        .extract::<f64>()
        .map_err(|error| discard(object.py(), error))
        .ok()
}

fn seconds_of(ttl: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    let seconds = callable::call(ttl, [value])?;
    let seconds = seconds.bind(value.py());
    if seconds.is_none() {
        return Ok(None);
    }
    match number(seconds) {
        Some(float) if float >= 0.0 => Ok(Some(float)),
        Some(_) => Err(PyValueError::new_err(format!(
            "ttl returned {}, but a time to live is 0 seconds or more, or None",
            seconds.repr()?
        ))),
        None => Err(PyTypeError::new_err(format!(
            "ttl returned {}, but a time to live is a number of seconds, or None",
            seconds.repr()?
        ))),
    }
}

/// Says that a value could not be kept, as a warning: the one who asked for it gets it all the same. An interrupt or
/// an exit goes on.
pub(crate) fn warn_not_kept(py: Python<'_>, name: &str, error: PyErr) -> PyResult<()> {
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let message = format!("a result of {name} was returned but not kept: {error}");
    discard(py, error);
    let message = std::ffi::CString::new(message.replace('\0', "")).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1)
}

/// Shows the collector of a `#[pyclass]` what a `traverse` shows.
pub(crate) fn with_py_visit(
    visit: &PyVisit<'_>,
    traverse: impl FnOnce(&mut dyn FnMut(*mut ffi::PyObject) -> c_int) -> c_int,
) -> Result<(), PyTraverseError> {
    let mut result = Ok(());
    traverse(&mut |object| {
        // SAFETY: a `Py` is one pointer to a live object and nothing else.
        result = visit.call(unsafe { &*(&raw const object).cast::<Py<PyAny>>() });
        c_int::from(result.is_err())
    });
    result
}
