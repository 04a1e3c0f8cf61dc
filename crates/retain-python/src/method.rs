//! Methods: each instance has results of its own, and does not live longer for it.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{ffi, intern};
use retain_memory::Stats;

use crate::binder::Binder;
use crate::keeper::Keeper;
use crate::memo::Memo;
use crate::object::{Obj, discard, owned_or_error};

/// What a memoized function that is a method needs besides.
pub(crate) struct Method {
    /// The signature, the instance left out.
    pub(crate) binder: Binder,
    /// The attribute under which an instance holds its results.
    attribute: Obj,
    /// The results of instances that take no attributes, by address; each goes when its instance does.
    beside: Obj,
    /// All results that there are.
    all: Mutex<Register>,
    /// The counts of instances that are gone.
    retired: Arc<Mutex<Stats>>,
}

/// Weak references to `MethodCache`s, those that are gone among them.
///
/// Not a `WeakSet`: that is written in Python, and would run a callback for each that goes.
#[derive(Default)]
struct Register {
    references: Vec<Obj>,
    /// With so many, the gone ones are let go.
    enough: usize,
}

impl Register {
    /// Gives references that are to be dropped under no lock.
    fn add<'py>(&mut self, py: Python<'py>, reference: Obj) -> Vec<Bound<'py, MethodCache>> {
        let mut alive = Vec::new();
        if self.references.len() >= self.enough {
            self.references.retain(|reference| {
                let known = alive.len();
                alive.extend(upgraded(py, reference));
                alive.len() > known
            });
            self.enough = 2 * self.references.len() + 16;
        }
        self.references.push(reference);
        alive
    }
}

/// What a weak reference to a `MethodCache` refers to, if it is still there.
fn upgraded<'py>(py: Python<'py>, reference: &Obj) -> Option<Bound<'py, MethodCache>> {
    let reference = reference.bind(py).cast::<PyWeakrefReference>().ok()?;
    reference.upgrade()?.cast_into::<MethodCache>().ok()
}

/// The results of one instance.
///
/// The instance itself holds them, so that what they refer to, itself not least, lives no longer than it does. They
/// are not part of its state: copied or pickled they are an empty dict, which the next call replaces.
#[pyclass(frozen, weakref, module = "retain._retain")]
pub(crate) struct MethodCache {
    pub(crate) keeper: Keeper,
    /// Whose results these are: a shallow copy of the instance holds them too, without a right to them.
    owner: Py<PyWeakrefReference>,
    retired: Arc<Mutex<Stats>>,
}

/// Where the results of a call are kept.
pub(crate) enum Place {
    Memo,
    Instance(Results),
}

/// A reference to the results of one instance.
pub(crate) struct Results(Obj);

impl Results {
    pub(crate) fn get(&self) -> &MethodCache {
        // SAFETY: made of nothing but a `MethodCache`; like every `Obj`, it is used by attached threads only.
        unsafe {
            let py = Python::assume_attached();
            self.0.bind(py).cast_unchecked::<MethodCache>().get()
        }
    }
}

impl<'py> From<Bound<'py, MethodCache>> for Results {
    fn from(cache: Bound<'py, MethodCache>) -> Self {
        Self(cache.into())
    }
}

impl Place {
    pub(crate) fn keeper<'a>(&'a self, memo: &'a Memo) -> &'a Keeper {
        match self {
            Self::Memo => &memo.keeper,
            Self::Instance(cache) => &cache.get().keeper,
        }
    }
}

impl Method {
    pub(crate) fn new(
        class: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        binder: Binder,
    ) -> PyResult<Self> {
        let py = name.py();
        // A method and the one that overrides it are two, and may be called on one instance.
        let class = class.getattr(intern!(py, "__qualname__"))?;
        Ok(Self {
            binder,
            attribute: PyString::intern(py, &format!("_retain_{class}.{name}")).into(),
            beside: PyDict::new(py).into(),
            all: Mutex::default(),
            retired: Arc::default(),
        })
    }

    /// The results of `instance`, made if there are none yet.
    pub(crate) fn place(
        &self,
        owner: &Bound<'_, PyAny>,
        memo: &Memo,
        instance: &Bound<'_, PyAny>,
    ) -> PyResult<Place> {
        let py = owner.py();
        if let Some(cache) = self.find(memo, instance)? {
            return Ok(Place::Instance(cache.into()));
        }
        let reference = PyWeakrefReference::new(instance).map_err(|error| {
            discard(py, error);
            PyTypeError::new_err(format!(
                "{} cannot keep results for a {}: its instances cannot be weakly referenced. Add '__weakref__' to its \
                 __slots__, or give memoize a key=",
                memo.name(py),
                instance.get_type(),
            ))
        })?;
        let mut cache = Bound::new(
            py,
            MethodCache {
                keeper: Keeper::new(Arc::clone(&memo.keeper.rules)),
                owner: reference.unbind(),
                retired: Arc::clone(&self.retired),
            },
        )?;
        if !self.keep_inside(instance, &cache)? {
            let helpers = memo.helpers.bind(py);
            let beside = self.beside.bind(py);
            let kept = (beside, instance, &cache);
            cache = helpers
                .call_method1(intern!(py, "keep_beside"), kept)?
                .cast_into::<MethodCache>()?;
        }
        let reference = PyWeakrefReference::new(&cache)?.into();
        let alive = self.register().add(py, reference);
        drop(alive);
        Ok(Place::Instance(cache.into()))
    }

    /// Keeps the results in the instance's own dict; whether that could be done.
    fn keep_inside<'py>(
        &self,
        instance: &Bound<'py, PyAny>,
        cache: &Bound<'py, MethodCache>,
    ) -> PyResult<bool> {
        let py = instance.py();
        if let Some(other) = self.inside(instance)? {
            // Of another class of the same name, further up or down the line.
            if other.get().belongs_to(instance) {
                return Ok(false);
            }
        }
        // Whatever its class thinks of new attributes.
        // SAFETY: all three are live objects.
        let set = unsafe {
            ffi::PyObject_GenericSetAttr(instance.as_ptr(), self.attribute.as_ptr(), cache.as_ptr())
        };
        if set == 0 {
            return Ok(true);
        }
        let error = PyErr::fetch(py);
        if error.is_instance_of::<PyAttributeError>(py) || error.is_instance_of::<PyTypeError>(py) {
            discard(py, error);
            return Ok(false);
        }
        Err(error)
    }

    /// What lies in the instance's own dict.
    fn inside<'py>(
        &self,
        instance: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, MethodCache>>> {
        let py = instance.py();
        // SAFETY: both are live objects.
        let found =
            unsafe { ffi::PyObject_GenericGetAttr(instance.as_ptr(), self.attribute.as_ptr()) };
        match owned_or_error(py, found) {
            Ok(found) => Ok(found.into_pyobject(py)?.cast_into::<MethodCache>().ok()),
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => {
                discard(py, error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The results of `instance`, if there are any.
    pub(crate) fn find<'py>(
        &self,
        memo: &Memo,
        instance: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, MethodCache>>> {
        let ours = |cache: &Bound<'py, MethodCache>| {
            let cache = cache.get();
            // Each memo has rules of its own.
            Arc::ptr_eq(&cache.keeper.rules, &memo.keeper.rules) && cache.belongs_to(instance)
        };
        if let Some(cache) = self.inside(instance)?.filter(ours) {
            return Ok(Some(cache));
        }
        let beside = self.beside.bind(instance.py()).cast::<PyDict>()?;
        let Some(kept) = beside.get_item(instance.as_ptr().addr())? else {
            return Ok(None);
        };
        let cache = kept.get_item(1)?.cast_into::<MethodCache>()?;
        Ok(Some(cache).filter(ours))
    }

    /// The results of all instances that are alive.
    pub(crate) fn caches<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, MethodCache>> {
        let register = self.register();
        let references = register.references.iter();
        references
            .filter_map(|reference| upgraded(py, reference))
            .collect()
    }

    /// Shows the collector what is kept beside instances.
    pub(crate) fn traverse(&self, visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int) -> c_int {
        match visit(self.beside.as_ptr()) {
            0 => self.binder.traverse(visit),
            status => status,
        }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn retired(&self) -> Stats {
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget_retired(&self) {
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner) = Stats::default();
    }
}

impl MethodCache {
    fn belongs_to(&self, instance: &Bound<'_, PyAny>) -> bool {
        let owner = self.owner.bind(instance.py()).upgrade();
        owner.is_some_and(|owner| owner.is(instance))
    }
}

#[pymethods]
impl MethodCache {
    #[allow(clippy::unused_self, reason = "Python calls it on an instance")]
    fn __reduce__(&self, py: Python<'_>) -> PyResult<Obj> {
        let nothing = py.get_type::<PyDict>();
        Ok((nothing, ()).into_pyobject(py)?.into())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        self.keeper.visit(&visit)
    }

    fn __clear__(&self) {
        self.keeper.clear();
    }
}

impl Drop for MethodCache {
    fn drop(&mut self) {
        let stats = self.keeper.entries.with(|state| state.table.stats());
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner) += stats;
    }
}
