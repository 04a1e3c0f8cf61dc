//! What `memoize()` and `Cache()` are made with.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use retain_memory::{Bounds, Eviction};

use crate::binder::{Binder, Rest};
use crate::callable::Instance;
use crate::compare::Likeness;
use crate::keeper::{Keeper, Lifetime, Rules, nanos};
use crate::memo::{self, Memo};
use crate::object::Obj;

/// The rules of a table, as the Python face hands them over: checked there, with messages that name the argument.
#[derive(FromPyObject)]
pub(crate) struct RulesArgument<'py> {
    #[pyo3(item)]
    maxsize: Option<usize>,
    #[pyo3(item)]
    policy: String,
    #[pyo3(item)]
    max_bytes: Option<u64>,
    #[pyo3(item)]
    ttl: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    ttl_jitter: f64,
    #[pyo3(item)]
    time_to_idle: Option<f64>,
    #[pyo3(item)]
    stale: f64,
    #[pyo3(item)]
    weigher: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    on_evict: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    errors_end: bool,
}

impl TryFrom<RulesArgument<'_>> for Rules {
    type Error = PyErr;

    fn try_from(argument: RulesArgument<'_>) -> PyResult<Self> {
        let eviction = argument.policy.parse::<Eviction>();
        let lifetime = match argument.ttl {
            None => Lifetime::Forever,
            Some(ttl) => match ttl.extract::<f64>() {
                Ok(seconds) => Lifetime::Fixed(seconds),
                Err(_) => Lifetime::PerValue(ttl.into()),
            },
        };
        Ok(Self {
            bounds: Bounds {
                max_entries: argument.maxsize.unwrap_or(usize::MAX),
                max_weight: argument.max_bytes.unwrap_or(u64::MAX),
            },
            eviction: eviction.map_err(|error| PyValueError::new_err(error.to_string()))?,
            lifetime,
            jitter: argument.ttl_jitter,
            idle: argument.time_to_idle.map(nanos),
            stale_for: nanos(argument.stale),
            weigher: argument.weigher.map(Obj::from),
            on_evict: argument.on_evict.map(Obj::from),
            errors_end: argument.errors_end,
        })
    }
}

/// A function's parameters: those in the order in which they are kept (name, default, whether ignored; a parameter
/// without a default has an empty tuple in its place, else a tuple of one), how many are positional only, how many can
/// be positional, and what becomes of further arguments ("refused", "ignored" or "kept").
pub(crate) type Parameters<'py> = (
    Vec<(Bound<'py, PyAny>, Vec<Bound<'py, PyAny>>, bool)>,
    usize,
    usize,
    String,
    String,
);

/// The signature of these parameters.
pub(crate) fn binder_of(parameters: Parameters<'_>) -> Binder {
    fn rest(name: &str) -> Rest {
        match name {
            "kept" => Rest::Kept,
            "ignored" => Rest::Ignored,
            _ => Rest::Refused,
        }
    }
    let (parameters, positional_only, positional, further, named_further) = parameters;
    let parameters = parameters
        .into_iter()
        .map(|(name, default, ignored)| (name, default.into_iter().next(), ignored))
        .collect();
    Binder::new(
        parameters,
        positional_only,
        positional,
        rest(&further),
        rest(&named_further),
    )
}

/// What `memoize` returns.
#[pyfunction]
#[pyo3(signature = (function, parameters, rules, *, key, typed, copy, errors, single_flight, asynchronous, helpers))]
#[allow(clippy::too_many_arguments, reason = "the options of memoize")]
pub(crate) fn memoize_wrapper<'py>(
    function: &Bound<'py, PyAny>,
    parameters: Parameters<'py>,
    rules: RulesArgument<'py>,
    key: Option<Bound<'py, PyAny>>,
    typed: bool,
    copy: Option<Bound<'py, PyAny>>,
    errors: Option<(Bound<'py, PyAny>, f64)>,
    single_flight: bool,
    asynchronous: bool,
    helpers: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = function.py();
    let kind = TYPE.get_or_try_init(py, || Instance::<Memo>::make_type(py).map(Bound::unbind))?;
    let keeper = Keeper::new(Arc::new(Rules::try_from(rules)?));
    let plain = key.is_none() && copy.is_none() && !asynchronous && keeper.rules.is_plain();
    let memo = Memo {
        function: function.into(),
        binder: binder_of(parameters),
        keeper,
        key: key.map(Obj::from),
        likeness: if typed {
            Likeness::Strict
        } else {
            Likeness::Equal
        },
        copy: copy.map(Obj::from),
        errors: errors.map(|(types, seconds)| (types.into(), seconds)),
        single_flight,
        asynchronous,
        helpers: helpers.into(),
        method: OnceLock::new(),
        plain,
    };
    Ok(Instance::create(kind.bind(py), memo::enter, memo)?
        .bind(py)
        .clone())
}
