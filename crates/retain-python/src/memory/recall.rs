//! The way of a call that was computed before: from what this process holds, or from the store.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use retain_store::{Found, Key, Tally, Value};

use super::address::Address;
use super::store::{Store, found_in_python, unix};
use super::tier::{Held, Tier, as_held};
use crate::ending::Stay;
use crate::files::Block;
use crate::object::{Obj, discard};

/// A clock may be so many seconds behind another.
const SKEW: f64 = 60.0;
/// The store is told of hits once in so many.
const MANY: u64 = 1000;

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
    /// Whether results are files to be mapped: such are only found here.
    mapped: bool,
    /// How many seconds after it was made a result may be used.
    life: Option<f64>,
    store: OnceLock<Py<Store>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    /// Seconds that hits saved, and what the store was told of both.
    saved: Mutex<(f64, u64, f64)>,
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
        let py = args.py();
        let _stay = Stay::begin();
        let call = self.address.get().call(py, args, Some(kwargs))?;
        let Some(store) = self.store.get() else {
            return missed(py, &call, false, None);
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
                self.count(py, held.cost);
                return Ok(value);
            }
            return missed(py, &call, false, None);
        }
        let key = Key::from_bytes(&call);
        let Ok(found) = py.detach(|| folder.get(&key)) else {
            // It is asked again where what ails it is told.
            return missed(py, &call, false, None);
        };
        let Some(found) = found else {
            return missed(py, &call, true, None);
        };
        if !self.is_young(unix(found.record.created)) {
            return missed(py, &call, false, None);
        }
        match &found.value {
            Value::Bytes(bytes) if !self.mapped && !Block::is_file(bytes) => {}
            _ => return missed(py, &call, true, Some(found_in_python(py, found)?)),
        }
        let Found {
            record,
            value: Value::Bytes(bytes),
        } = found
        else {
            return missed(py, &call, false, None);
        };
        let payload = PyBytes::new(py, &bytes);
        let value = match self.loads.bind(py).call1((&payload,)) {
            Ok(value) => value,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                // As above.
                discard(py, error);
                return missed(py, &call, false, None);
            }
            Err(error) => return Err(error),
        };
        let cost = record.cost.as_secs_f64();
        if tier.holds() {
            let terms = (unix(record.created), cost, record.expires.map(unix));
            let held = Held::here(as_held(&value, &payload), terms, removals);
            tier.put(&call, &Bound::new(py, held)?);
        }
        self.count(py, cost);
        Ok(value)
    }

    /// How many hits there were, and how many seconds they saved.
    fn counts(&self) -> (u64, f64) {
        let saved = self.counts.saved.lock();
        let (saved, ..) = *saved.unwrap_or_else(PoisonError::into_inner);
        (self.counts.hits.load(Relaxed), saved)
    }

    /// Tells the store of the hits since it was told last.
    fn tell(&self, py: Python<'_>) {
        let Some(store) = self.store.get() else {
            return;
        };
        let tally = {
            let mut saved = self.counts.saved.lock();
            let (saved, told_hits, told_saved) =
                &mut **saved.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
            let hits = self.counts.hits.load(Relaxed);
            let tally = Tally {
                hits: hits - *told_hits,
                saved: Duration::try_from_secs_f64(*saved - *told_saved).unwrap_or_default(),
                ..Tally::default()
            };
            (*told_hits, *told_saved) = (hits, *saved);
            tally
        };
        if tally.hits > 0 {
            let folder = store.get().folder();
            py.detach(|| folder.count(&self.function, tally));
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.address)
    }
}

impl Recall {
    fn is_young(&self, created: f64) -> bool {
        self.life.is_none_or(|life| {
            let age = unix(SystemTime::now()) - created;
            (-SKEW..life).contains(&age)
        })
    }

    fn count(&self, py: Python<'_>, cost: f64) {
        let hits = self.counts.hits.fetch_add(1, Relaxed) + 1;
        {
            let mut saved = self.counts.saved.lock();
            saved
                .as_mut()
                .unwrap_or_else(|poisoned| poisoned.get_mut())
                .0 += cost;
        }
        if hits.is_multiple_of(MANY) {
            self.tell(py);
        }
    }
}

fn missed<'py>(
    py: Python<'py>,
    call: &[u8; Key::LEN],
    looked: bool,
    found: Option<Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let missed = Missed {
        call: PyBytes::new(py, call).unbind(),
        looked,
        found: found.map(Bound::unbind),
    };
    Ok(Bound::new(py, missed)?.into_any())
}
