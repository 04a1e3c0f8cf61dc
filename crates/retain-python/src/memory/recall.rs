//! The way of a call that was computed before: from what this process holds, or from the store.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use retain_store::{Body, Found, Key, Tally, Value};

use super::address::Address;
use super::errors::raised;
use super::store::{Store, found_in_python, new, unix};
use super::tier::{Held, Tier, as_held, immutable};
use crate::ending::Stay;
use crate::files::Block;
use crate::object::{Obj, discard};

/// A clock may be so many seconds behind another.
const SKEW: f64 = 60.0;
/// The store is told of hits once in so many.
const MANY: u64 = 1000;
/// Bytes of a value whose pickle is neither compressed nor kept in a file.
const SMALL: u64 = 500;
/// That of the pickles that are kept.
const PROTOCOL: u8 = 5;

/// A call whose result is not at hand.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Missed {
    /// Who it is.
    #[pyo3(get)]
    call: Py<PyBytes>,
    /// Whether the store was asked.
    #[pyo3(get)]
    looked: bool,
    /// What it has, as `Store.get` tells it: to be made a value.
    #[pyo3(get)]
    found: Option<Py<PyTuple>>,
}

/// Looks for what calls of a function came to.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Recall {
    address: Py<Address>,
    tier: Py<Tier>,
    function: String,
    /// Makes a value of a pickle.
    loads: Obj,
    /// Makes a pickle of a value.
    dumps: Obj,
    /// Whether results are files to be mapped: such are only found here.
    mapped: bool,
    /// How many seconds after it was made a result may be used.
    life: Option<f64>,
    store: OnceLock<Py<Store>>,
    counts: Counts,
}

/// What the calls came to, and what of that the store was told.
#[derive(Default)]
struct Counts(Mutex<(Totals, Totals)>);

#[derive(Clone, Copy, Default)]
struct Totals {
    hits: u64,
    misses: u64,
    /// Seconds that hits saved, and that misses took.
    saved: f64,
    spent: f64,
}

impl Counts {
    fn with<R>(&self, run: impl FnOnce(&mut Totals, &mut Totals) -> R) -> R {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, told) = &mut *both;
        run(now, told)
    }

    /// What came since this was asked last, if anything did.
    fn news(&self) -> Option<Totals> {
        let news = self.with(|now, told| {
            let news = Totals {
                hits: now.hits - told.hits,
                misses: now.misses - told.misses,
                saved: now.saved - told.saved,
                spent: now.spent - told.spent,
            };
            *told = *now;
            news
        });
        (news.hits > 0 || news.misses > 0).then_some(news)
    }
}

impl Totals {
    fn tally(self) -> Tally {
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Tally {
            hits: self.hits,
            misses: self.misses,
            saved: seconds(self.saved),
            spent: seconds(self.spent),
        }
    }
}

#[pymethods]
impl Recall {
    #[new]
    fn new(
        py: Python<'_>,
        address: Py<Address>,
        tier: Py<Tier>,
        function: String,
        mapped: bool,
        life: Option<f64>,
    ) -> PyResult<Self> {
        Ok(Self {
            address,
            tier,
            function,
            loads: py.import("_pickle")?.getattr("loads")?.into(),
            dumps: py.import("_pickle")?.getattr("dumps")?.into(),
            mapped,
            life,
            store: OnceLock::new(),
            counts: Counts::default(),
        })
    }

    /// Looks in a store, from now on.
    fn open(&self, store: Py<Store>) {
        // It is the same one each time.
        let _ = self.store.set(store);
    }

    /// The result of a call, or a `Missed`.
    fn look<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _stay = Stay::begin();
        match self.find(args, Some(kwargs))? {
            Ok(value) => Ok(value),
            Err(missed) => Ok(missed.into_any()),
        }
    }

    /// How many hits and misses there were, and how many seconds they saved and took.
    fn counts(&self) -> (u64, u64, f64, f64) {
        self.counts
            .with(|now, _| (now.hits, now.misses, now.saved, now.spent))
    }

    /// Counts a hit that saved so many seconds.
    fn hit(&self, py: Python<'_>, cost: f64) {
        let hits = self.counts.with(|now, _| {
            now.hits += 1;
            now.saved += cost;
            now.hits
        });
        if hits.is_multiple_of(MANY) && self.store.get().is_some() {
            self.tell(py);
        }
    }

    /// Counts a miss that took so many seconds.
    fn missed(&self, cost: f64) {
        self.counts.with(|now, _| {
            now.misses += 1;
            now.spent += cost;
        });
    }

    /// Keeps what a call came to, tells the store of what was counted, and returns what is held of it; None if the value is
    /// not a small one that nobody can change, or no store is known.
    #[expect(clippy::too_many_arguments, reason = "a class of the package's own")]
    fn keep<'py>(
        &self,
        py: Python<'py>,
        call: &[u8],
        value: &Bound<'py, PyAny>,
        cost: f64,
        lives: Option<f64>,
        about: &[u8],
        removals: Option<u64>,
    ) -> PyResult<Option<Bound<'py, Held>>> {
        let Some(store) = self.store.get() else {
            return Ok(None);
        };
        if self.mapped || immutable(value).is_none_or(|bytes| bytes > SMALL) {
            return Ok(None);
        }
        let _stay = Stay::begin();
        let payload = self.dumps.bind(py).call1((value, PROTOCOL))?;
        let payload = payload.cast::<PyBytes>()?.as_bytes();
        let new = new(call, &self.function, cost, lives, about)?;
        let created = unix(SystemTime::now());
        let folder = store.get().folder();
        let put = py.detach(|| {
            let put = folder.put(&new, Body::Bytes(payload));
            if let Some(news) = self.counts.news() {
                folder.count(&self.function, news.tally());
            }
            put
        });
        put.map_err(|error| raised(py, error))?;
        let ends = self.life.map(|life| created + life);
        let held = Held::here((value.into(), None), (created, cost, ends), removals);
        Bound::new(py, held).map(Some)
    }

    /// Whether misses took more than a moment so far, which is what a second look at the store costs.
    fn is_slow(&self) -> bool {
        const MOMENT: f64 = 1e-3;
        self.counts.with(|now, _| {
            #[expect(clippy::cast_precision_loss, reason = "so many calls are not made")]
            let misses = now.misses as f64;
            now.misses == 0 || now.spent > misses * MOMENT
        })
    }

    /// Tells the store of what was counted since it was told last; returns it where no store is known.
    fn tell(&self, py: Python<'_>) -> Option<(u64, u64, f64, f64)> {
        let news = self.counts.news()?;
        let Some(store) = self.store.get() else {
            return Some((news.hits, news.misses, news.saved, news.spent));
        };
        let folder = store.get().folder();
        py.detach(|| folder.count(&self.function, news.tally()));
        None
    }

    /// Leaves what was counted and not told to the process that this one was forked from.
    fn after_fork_in_child(&self) {
        self.counts.news();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.address)
    }
}

/// A result, or why there is none.
type Answer<'py> = PyResult<Result<Bound<'py, PyAny>, Bound<'py, Missed>>>;

impl Recall {
    fn find<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> Answer<'py> {
        let py = args.py();
        let call = self.address.get().call(py, args, kwargs)?;
        let Some(store) = self.store.get() else {
            return absent(py, &call, false, None);
        };
        let folder = store.get().folder();
        let removals = folder.removals();
        let tier = self.tier.get();
        if !self.mapped
            && let Some(held) = tier.find(py, &call)
        {
            let held = held.get();
            if held.removals == removals && removals.is_some() && self.is_young(held.created) {
                let value = match &held.payload {
                    None => held.value.bind(py).clone(),
                    Some(payload) => self.loads.bind(py).call1((payload.bind(py),))?,
                };
                self.hit(py, held.cost);
                return Ok(Ok(value));
            }
            return absent(py, &call, false, None);
        }
        let key = Key::from_bytes(&call);
        let Ok(found) = py.detach(|| folder.get(&key)) else {
            // It is asked again where what ails it is told.
            return absent(py, &call, false, None);
        };
        let Some(found) = found else {
            return absent(py, &call, true, None);
        };
        if !self.is_young(unix(found.record.created)) {
            return absent(py, &call, false, None);
        }
        match &found.value {
            Value::Bytes(bytes) if !self.mapped && !Block::is_file(bytes) => {}
            _ => return absent(py, &call, true, Some(found_in_python(py, found)?)),
        }
        let Found {
            record,
            value: Value::Bytes(bytes),
        } = found
        else {
            return absent(py, &call, false, None);
        };
        let payload = PyBytes::new(py, &bytes);
        let value = match self.loads.bind(py).call1((&payload,)) {
            Ok(value) => value,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                // As above.
                discard(py, error);
                return absent(py, &call, false, None);
            }
            Err(error) => return Err(error),
        };
        let cost = record.cost.as_secs_f64();
        if tier.holds() {
            let terms = (unix(record.created), cost, record.expires.map(unix));
            let held = Held::here(as_held(&value, &payload), terms, removals);
            tier.put(&call, &Bound::new(py, held)?);
        }
        self.hit(py, cost);
        Ok(Ok(value))
    }

    fn is_young(&self, created: f64) -> bool {
        self.life.is_none_or(|life| {
            let age = unix(SystemTime::now()) - created;
            (-SKEW..life).contains(&age)
        })
    }
}

fn absent<'py>(
    py: Python<'py>,
    call: &[u8; Key::LEN],
    looked: bool,
    found: Option<Bound<'py, PyTuple>>,
) -> Answer<'py> {
    let missed = Missed {
        call: PyBytes::new(py, call).unbind(),
        looked,
        found: found.map(Bound::unbind),
    };
    Ok(Err(Bound::new(py, missed)?))
}

/// What is called as a function is whose results are recalled. Subclasses have a method `_answer`, for what is not at hand.
///
/// A class of Python's own would run a method of it for each call.
#[pyclass(frozen, subclass, module = "retain._retain")]
pub(crate) struct Recalling {
    recall: OnceLock<Py<Recall>>,
}

#[pymethods]
impl Recalling {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            recall: OnceLock::new(),
        }
    }

    /// Looks there first, from now on.
    fn _recall_by(&self, recall: Py<Recall>) {
        // It is set up once.
        let _ = self.recall.set(recall);
    }

    /// Return the function's result, kept or computed.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let _stay = Stay::begin();
        let Some(recall) = slf.get().recall.get() else {
            return Err(PyTypeError::new_err("it is called before it is made"));
        };
        match recall.get().find(args, kwargs)? {
            Ok(value) => Ok(value),
            Err(missed) => {
                let kwargs = kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
                slf.call_method1(intern!(py, "_answer"), (missed, args, kwargs))
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.recall.get() {
            Some(recall) => visit.call(recall),
            None => Ok(()),
        }
    }
}
