//! What a function's identity was found from, to be looked at again: whether all of it is as it was.
//!
//! Guards are looked at from the function down: its globals, what lies there, what lies in that. Functions, classes,
//! modules and whatever else can be are referred to weakly, and containers by what they hold, so that the guards of a
//! function keep neither it nor anything alive that leads back to it. Numbers and strings are held, so that their
//! addresses never come to be another's.

use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet, PyTuple, PyType, PyWeakrefReference};

use crate::identity::{Options, digest_of};
use crate::object::{Obj, discard, owned_or_error};

/// A certain object.
pub(crate) enum Reference {
    Strong(Obj),
    /// Its address, and a weak reference: the address may come to be another's.
    Weak(usize, Obj),
}

impl Reference {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        // SAFETY: the object is alive, and so is its type.
        let weakly = unsafe { ffi::PyType_SUPPORTS_WEAKREFS(ffi::Py_TYPE(object.as_ptr())) } != 0;
        if weakly {
            let weak = PyWeakrefReference::new(object)?;
            Ok(Self::Weak(object.as_ptr().addr(), weak.into_any().into()))
        } else {
            Ok(Self::Strong(object.into()))
        }
    }

    /// Whether the object that `found` points to, which is alive, is this one.
    #[inline]
    pub(crate) fn is(&self, found: *mut ffi::PyObject) -> bool {
        match self {
            Self::Strong(object) => object.as_ptr() == found,
            Self::Weak(address, weak) => *address == found.addr() && refers(weak) == found,
        }
    }

    /// The object, if it is still alive.
    fn get(&self) -> Option<Obj> {
        match self {
            Self::Strong(object) => Some(object.clone()),
            Self::Weak(_, weak) => referent(weak),
        }
    }
}

fn is_heap_type(kind: &Bound<'_, PyType>) -> bool {
    // SAFETY: the type is alive.
    unsafe { ffi::PyType_HasFeature(kind.as_type_ptr(), ffi::Py_TPFLAGS_HEAPTYPE) != 0 }
}

/// What a weak reference refers to: an address to compare with that of an object which is alive.
#[inline]
fn refers(weak: &Obj) -> *mut ffi::PyObject {
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: the object is a weak reference, made in this file; other threads are kept out by the interpreter's lock.
    unsafe {
        (*weak.as_ptr().cast::<ffi::PyWeakReference>()).wr_object
    }
    #[cfg(Py_GIL_DISABLED)]
    referent(weak).map_or(std::ptr::null_mut(), |object| object.as_ptr())
}

/// Whether a weak reference is to this very object.
pub(crate) fn refers_to(weak: &Obj, object: &Bound<'_, PyAny>) -> bool {
    // The object is alive: giving up another reference to it runs nothing.
    referent(weak).is_some_and(|found| found.as_ptr() == object.as_ptr())
}

/// What a weak reference refers to.
fn referent(weak: &Obj) -> Option<Obj> {
    let mut found = std::ptr::null_mut();
    // SAFETY: the object is a weak reference; what is given is a new reference or null.
    unsafe {
        ffi::compat::PyWeakref_GetRef(weak.as_ptr(), &raw mut found);
        std::ptr::NonNull::new(found).map(|found| Obj::from_owned(found))
    }
}

/// What is expected of a value.
enum Expected {
    /// To be this object.
    Same(Reference),
    Absent,
    /// To be of exactly this type.
    Type(Reference),
    List(Box<[Expected]>),
    Tuple(Box<[Expected]>),
    /// To have these items, in this order.
    Dict(Box<[(Reference, Expected)]>),
    Set(Box<[Reference]>),
    /// To have this content.
    Digest([u8; 32]),
    /// To be of exactly this type, with these attributes.
    Attributes(Reference, Box<[(Obj, Expected)]>),
    /// To be of exactly this type, and to have this `__dict__`.
    Instance(Reference, Box<Expected>),
}

/// More values inside one another are compared by their content.
const DEEPEST: usize = 100;

impl Expected {
    /// From `(kind, ...)`, as `retain._survey` tells it.
    fn new(told: &Bound<'_, PyAny>, depth: usize) -> PyResult<Self> {
        if depth > DEEPEST {
            return Err(PyValueError::new_err("an expectation is too deep"));
        }
        let told = told.cast::<PyTuple>()?;
        let all = |index| -> PyResult<Box<[Self]>> {
            let items = told.get_item(index)?.cast_into::<PyTuple>()?;
            items
                .iter()
                .map(|item| Self::new(&item, depth + 1))
                .collect()
        };
        Ok(match told.get_item(0)?.extract::<u8>()? {
            0 => Self::Same(Reference::new(&told.get_item(1)?)?),
            1 => Self::Absent,
            2 => Self::Type(Reference::new(&told.get_item(1)?)?),
            3 => Self::List(all(1)?),
            4 => Self::Tuple(all(1)?),
            5 => {
                let pairs = told.get_item(1)?.cast_into::<PyTuple>()?;
                let pair = |pair: Bound<'_, PyAny>| {
                    let value = Self::new(&pair.get_item(1)?, depth + 1)?;
                    Ok((Reference::new(&pair.get_item(0)?)?, value))
                };
                Self::Dict(pairs.iter().map(pair).collect::<PyResult<_>>()?)
            }
            6 => {
                let members = told.get_item(1)?.cast_into::<PyTuple>()?;
                let members = members.iter().map(|member| Reference::new(&member));
                Self::Set(members.collect::<PyResult<_>>()?)
            }
            7 => Self::Digest(told.get_item(1)?.extract()?),
            8 => {
                let attributes = told.get_item(2)?.cast_into::<PyTuple>()?;
                let attribute = |pair: Bound<'_, PyAny>| {
                    let value = Self::new(&pair.get_item(1)?, depth + 1)?;
                    Ok((Obj::from(pair.get_item(0)?), value))
                };
                let attributes = attributes.iter().map(attribute).collect::<PyResult<_>>()?;
                Self::Attributes(Reference::new(&told.get_item(1)?)?, attributes)
            }
            9 => {
                let attributes = Self::new(&told.get_item(2)?, depth + 1)?;
                Self::Instance(Reference::new(&told.get_item(1)?)?, Box::new(attributes))
            }
            kind => {
                return Err(PyValueError::new_err(format!(
                    "{kind} is no kind of expectation"
                )));
            }
        })
    }

    /// Whether a value is as expected. Only the digest of one runs code of the user's.
    fn is_met(&self, py: Python<'_>, found: Option<&Obj>) -> PyResult<bool> {
        let Some(found) = found else {
            return Ok(matches!(self, Self::Absent));
        };
        let value = found.bind(py);
        match self {
            Self::Absent => Ok(false),
            Self::Same(expected) => Ok(expected.is(found.as_ptr())),
            Self::Type(expected) => Ok(expected.is(value.get_type_ptr().cast())),
            Self::List(expected) => {
                let Ok(list) = value.cast_exact::<PyList>() else {
                    return Ok(false);
                };
                if list.len() != expected.len() {
                    return Ok(false);
                }
                for (index, expected) in expected.iter().enumerate() {
                    // An item is gone if the list has become shorter meanwhile.
                    let item = list.get_item(index).ok().map(Obj::from);
                    if !expected.is_met(py, item.as_ref())? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Tuple(expected) => {
                let Ok(tuple) = value.cast_exact::<PyTuple>() else {
                    return Ok(false);
                };
                if tuple.len() != expected.len() {
                    return Ok(false);
                }
                for (item, expected) in tuple.iter_borrowed().zip(expected) {
                    if !expected.is_met(py, Some(&Obj::from(item.to_owned())))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Dict(expected) => match value.cast_exact::<PyDict>() {
                Ok(dict) => has_items(dict, expected),
                Err(_) => Ok(false),
            },
            Self::Set(expected) => {
                let Ok(set) = value.cast_exact::<PySet>() else {
                    return Ok(false);
                };
                let alike = set.len() == expected.len()
                    && set
                        .iter()
                        .zip(expected)
                        .all(|(member, expected)| expected.is(member.as_ptr()));
                Ok(alike)
            }
            Self::Digest(expected) => {
                let options = Options {
                    code: true,
                    ..Options::default()
                };
                match digest_of(value, options) {
                    Ok(digested) => Ok(digested.digest.as_bytes() == expected),
                    // It raises again where the identity is found out anew.
                    Err(failure) if failure.error.is_instance_of::<PyException>(py) => {
                        discard(py, failure.error);
                        Ok(false)
                    }
                    Err(failure) => Err(failure.error),
                }
            }
            Self::Instance(kind, expected) => {
                if !kind.is(value.get_type_ptr().cast()) {
                    return Ok(false);
                }
                // SAFETY: the object is alive; what is given is a new reference, or null with an error set.
                let attributes =
                    unsafe { ffi::PyObject_GenericGetDict(found.as_ptr(), std::ptr::null_mut()) };
                match owned_or_error(py, attributes) {
                    Ok(attributes) => expected.is_met(py, Some(&attributes)),
                    Err(error) => {
                        discard(py, error);
                        Ok(false)
                    }
                }
            }
            Self::Attributes(kind, expected) => {
                if !kind.is(value.get_type_ptr().cast()) {
                    return Ok(false);
                }
                for (name, expected) in expected {
                    let found =
                        match value.getattr_opt(name.bind(py).cast::<pyo3::types::PyString>()?) {
                            Ok(found) => found.map(Obj::from),
                            Err(error) => {
                                discard(py, error);
                                return Ok(false);
                            }
                        };
                    if !expected.is_met(py, found.as_ref())? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

fn has_items(dict: &Bound<'_, PyDict>, expected: &[(Reference, Expected)]) -> PyResult<bool> {
    if dict.len() != expected.len() {
        return Ok(false);
    }
    #[cfg(Py_GIL_DISABLED)]
    let dict = &dict.copy()?;
    let mut position = 0;
    for (key, value) in expected {
        let (mut name, mut item) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the dict is alive, and nobody else has this position.
        let more = unsafe {
            ffi::PyDict_Next(
                dict.as_ptr(),
                &raw mut position,
                &raw mut name,
                &raw mut item,
            )
        };
        if more == 0 || !key.is(name) {
            return Ok(false);
        }
        if let Expected::Same(value) = value {
            if !value.is(item) {
                return Ok(false);
            }
            continue;
        }
        // SAFETY: the dict keeps the item alive, and no other code has run since.
        let item = unsafe { Obj::from_borrowed(item) };
        if !value.is_met(dict.py(), Some(&item))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where something is found, at a function, class or module.
enum Place {
    Globals(Obj),
    Builtins(Obj),
    Module(Obj),
    Attributes(Obj),
    Modules(Obj),
    Cell(isize),
    Code,
    Defaults,
    Keywords,
    Members,
    Bases,
    Itself,
}

impl Place {
    fn new(place: u8, owner: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let function = owner.is_exact_instance_of::<pyo3::types::PyFunction>();
        let fits = match place {
            0 | 1 | 3 | 5..=8 => function,
            2 => owner.is_instance_of::<PyModule>(),
            4 => owner.is_none(),
            9 | 10 => owner.cast::<PyType>().is_ok_and(|kind| is_heap_type(kind)),
            _ => true,
        };
        if !fits {
            return Err(PyTypeError::new_err(format!(
                "the owner has no place {place}"
            )));
        }
        if place <= 4 {
            key.cast_exact::<pyo3::types::PyString>()?;
        }
        Ok(match place {
            0 => Self::Globals(key.into()),
            1 => Self::Builtins(key.into()),
            2 => Self::Module(key.into()),
            3 => Self::Attributes(key.into()),
            4 => Self::Modules(key.into()),
            5 => Self::Cell(key.extract()?),
            6 => Self::Code,
            7 => Self::Defaults,
            8 => Self::Keywords,
            9 => Self::Members,
            10 => Self::Bases,
            11 => Self::Itself,
            _ => return Err(PyValueError::new_err(format!("{place} is no place"))),
        })
    }

    /// What lies there now.
    ///
    /// # Safety
    /// The owner is one that the place was made for.
    unsafe fn look(&self, py: Python<'_>, owner: *mut ffi::PyObject) -> PyResult<Option<Obj>> {
        // SAFETY: the owner is alive and what the place was made for, so the layouts are right, and its fields are
        // alive or null.
        unsafe {
            let function = owner.cast::<ffi::PyFunctionObject>();
            let held = match self {
                Self::Globals(key) => return item(py, (*function).func_globals, key),
                Self::Builtins(key) => return item(py, (*function).func_builtins, key),
                Self::Module(key) => return item(py, ffi::PyModule_GetDict(owner), key),
                Self::Attributes(key) => return item(py, (*function).func_dict, key),
                Self::Modules(key) => return item(py, ffi::PyImport_GetModuleDict(), key),
                Self::Cell(index) => {
                    let cells = (*function).func_closure;
                    if cells.is_null() || *index >= ffi::PyTuple_Size(cells) {
                        return Ok(None);
                    }
                    let held = ffi::PyCell_Get(ffi::PyTuple_GET_ITEM(cells, *index));
                    return Ok(std::ptr::NonNull::new(held).map(|held| Obj::from_owned(held)));
                }
                Self::Code => (*function).func_code,
                Self::Defaults => (*function).func_defaults,
                Self::Keywords => (*function).func_kwdefaults,
                Self::Members => (*owner.cast::<ffi::PyTypeObject>()).tp_dict,
                Self::Bases => (*owner.cast::<ffi::PyTypeObject>()).tp_bases,
                Self::Itself => owner,
            };
            let held = if held.is_null() { ffi::Py_None() } else { held };
            Ok(Some(Obj::from_borrowed(held)))
        }
    }
}

/// The item of a dict under an exact `str`.
///
/// # Safety
/// `dict` is null, or an object that is alive.
unsafe fn item(py: Python<'_>, dict: *mut ffi::PyObject, key: &Obj) -> PyResult<Option<Obj>> {
    // SAFETY: both are alive, and the dict is one, or a subclass of it that is read as one.
    unsafe {
        if dict.is_null() || ffi::PyDict_Check(dict) == 0 {
            return Ok(None);
        }
        // Held meanwhile: a key's `__eq__` can make the owner give it up.
        let held = Obj::from_borrowed(dict);
        let dict = held.as_ptr();
        let mut found = std::ptr::null_mut();
        if ffi::compat::PyDict_GetItemRef(dict, key.as_ptr(), &raw mut found) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(std::ptr::NonNull::new(found).map(|found| Obj::from_owned(found)))
    }
}

/// All that is looked at of one function, class or module.
struct Group {
    /// `None` for what belongs to the interpreter.
    owner: Option<Reference>,
    checks: Box<[(Place, Expected)]>,
}

/// What an identity was found from.
pub(crate) struct Guards(Box<[Group]>);

impl Guards {
    /// From `[(owner, [(place, key, expectation), ...]), ...]`, as `retain._survey` tells it.
    pub(crate) fn new(told: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut groups = Vec::new();
        for group in told.cast::<PyList>()? {
            let (owner, told): (Bound<'_, PyAny>, Bound<'_, PyList>) = group.extract()?;
            let mut checks = Vec::with_capacity(told.len());
            for check in told {
                let (place, key, expected): (u8, Bound<'_, PyAny>, Bound<'_, PyAny>) =
                    check.extract()?;
                let place = Place::new(place, &owner, &key)?;
                checks.push((place, Expected::new(&expected, 0)?));
            }
            groups.push(Group {
                owner: if owner.is_none() {
                    None
                } else {
                    Some(Reference::new(&owner)?)
                },
                checks: checks.into(),
            });
        }
        Ok(Self(groups.into()))
    }

    /// Whether all is as it was.
    pub(crate) fn hold(&self, py: Python<'_>) -> PyResult<bool> {
        for group in &self.0 {
            let owner = match &group.owner {
                None => None,
                Some(owner) => match owner.get() {
                    None => return Ok(false),
                    owner => owner,
                },
            };
            let owner = owner.as_ref().map_or(std::ptr::null_mut(), Obj::as_ptr);
            for (place, expected) in &group.checks {
                // SAFETY: the owner is the one that the place was made for, and kept alive above.
                let found = unsafe { place.look(py, owner) }?;
                if !expected.is_met(py, found.as_ref())? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A digest from the 32 bytes that Python told.
pub(crate) fn digest_from(bytes: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let bytes = bytes.cast::<PyBytes>()?.as_bytes();
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err("a digest has 32 bytes"))
}
