//! The identities that are known: of each function, class or module, as long as it lives and nothing has changed.

use std::ffi::c_int;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyTupleMethods};
use pyo3::{ffi, intern};

use crate::guards::{Guards, Reference, digest_from, refers_to};
use crate::object::Obj;

/// How much of a function is to count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Track {
    Deep,
    Own,
    Version,
}

/// What an identity was asked with.
struct Question {
    track: Track,
    depends: Box<[Reference]>,
    version: Option<String>,
}

impl Question {
    const PLAIN: Asked<'static, 'static> = Asked {
        track: Track::Deep,
        depends: None,
        version: None,
    };

    fn is(&self, asked: &Asked<'_, '_>) -> bool {
        let depends = asked.depends.map_or(0, PyTupleMethods::len);
        self.track == asked.track
            && self.version.as_deref() == asked.version
            && self.depends.len() == depends
            && asked.depends.is_none_or(|depends| {
                depends
                    .iter_borrowed()
                    .zip(&self.depends)
                    .all(|(item, expected)| expected.is(item.as_ptr()))
            })
    }
}

/// The same, as it is asked.
#[derive(Clone, Copy)]
struct Asked<'a, 'py> {
    track: Track,
    depends: Option<&'a Bound<'py, PyTuple>>,
    version: Option<&'a str>,
}

/// An identity, and what it was found from.
struct Known {
    question: Question,
    guards: Guards,
    identity: Obj,
    digest: [u8; 32],
}

struct Entry {
    /// The function, weakly: its address may come to be another's.
    weak: Obj,
    known: Vec<Arc<Known>>,
}

/// So many identities are kept for one function, asked for with different options.
const MOST: usize = 16;

static TABLE: LazyLock<Mutex<HashMap<usize, Entry>>> = LazyLock::new(Mutex::default);

/// No code of the interpreter's or the user's runs while the table is locked: nothing is dropped meanwhile.
fn table() -> MutexGuard<'static, HashMap<usize, Entry>> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known, if all that it was found from is as it was.
fn lookup(function: &Bound<'_, PyAny>, asked: Asked<'_, '_>) -> PyResult<Option<Arc<Known>>> {
    let found = {
        let table = table();
        table
            .get(&function.as_ptr().addr())
            .filter(|entry| refers_to(&entry.weak, function))
            .and_then(|entry| entry.known.iter().find(|known| known.question.is(&asked)))
            .cloned()
    };
    match found {
        Some(known) if known.guards.hold(function.py())? => Ok(Some(known)),
        _ => Ok(None),
    }
}

/// Finds an identity out. What another thread changes meanwhile may have been seen in part: then it is found out again.
fn find_out(function: &Bound<'_, PyAny>, asked: Asked<'_, '_>) -> PyResult<Arc<Known>> {
    const PATIENCE: u32 = 8;
    let py = function.py();
    let mut known = compute(function, asked)?;
    for _ in 0..PATIENCE {
        if known.guards.hold(py)? {
            // SAFETY: the object is alive, and so is its type.
            if unsafe { ffi::PyType_SUPPORTS_WEAKREFS(ffi::Py_TYPE(function.as_ptr())) } != 0 {
                keep(function, asked, known.clone())?;
            }
            break;
        }
        known = compute(function, asked)?;
    }
    Ok(known)
}

fn compute(function: &Bound<'_, PyAny>, asked: Asked<'_, '_>) -> PyResult<Arc<Known>> {
    let py = function.py();
    let track = match asked.track {
        Track::Deep => intern!(py, "deep"),
        Track::Own => intern!(py, "own"),
        Track::Version => intern!(py, "version"),
    };
    let depends = asked
        .depends
        .map_or_else(|| PyTuple::empty(py), Clone::clone);
    let (identity, digest, groups): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) = py
        .import(intern!(py, "retain._identity"))?
        .call_method1(
            intern!(py, "_compute"),
            (function, track, &depends, asked.version),
        )?
        .extract()?;
    let references = depends.iter().map(|item| Reference::new(&item));
    Ok(Arc::new(Known {
        question: Question {
            track: asked.track,
            depends: references.collect::<PyResult<_>>()?,
            version: asked.version.map(str::to_owned),
        },
        guards: Guards::new(&groups)?,
        identity: identity.into(),
        digest: digest_from(&digest)?,
    }))
}

fn keep(function: &Bound<'_, PyAny>, asked: Asked<'_, '_>, known: Arc<Known>) -> PyResult<()> {
    let py = function.py();
    let address = function.as_ptr().addr();
    let callback = Bound::new(py, Forget { address })?;
    // SAFETY: both are alive, and the type can be referred to weakly.
    let weak = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyWeakref_NewRef(function.as_ptr(), callback.as_ptr()),
        )
    }?;
    let weak = Obj::from(weak);
    // What goes is dropped when the table is free: that can run any code.
    let gone = {
        let mut table = table();
        match table.get_mut(&address) {
            Some(entry) if refers_to(&entry.weak, function) => {
                let mut gone = Vec::new();
                if let Some(old) = entry
                    .known
                    .iter()
                    .position(|known| known.question.is(&asked))
                {
                    gone.push(entry.known.swap_remove(old));
                } else if entry.known.len() == MOST {
                    gone.push(entry.known.remove(0));
                }
                entry.known.push(known);
                (Some(weak), gone, None)
            }
            _ => {
                let entry = Entry {
                    weak,
                    known: vec![known],
                };
                (None, Vec::new(), table.insert(address, entry))
            }
        }
    };
    drop(gone);
    Ok(())
}

/// Called when a function is gone.
#[pyclass(frozen, module = "retain._retain")]
struct Forget {
    address: usize,
}

#[pymethods]
impl Forget {
    fn __call__(&self, weak: &Bound<'_, PyAny>) {
        let gone = {
            let mut table = table();
            match table.get(&self.address) {
                Some(entry) if entry.weak.as_ptr() == weak.as_ptr() => table.remove(&self.address),
                _ => None,
            }
        };
        drop(gone);
    }
}

/// The digest of a function, class or module with all that it depends on.
pub(crate) fn digest_of_code(function: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    match lookup(function, Question::PLAIN)? {
        Some(known) => Ok(known.digest),
        None => Ok(find_out(function, Question::PLAIN)?.digest),
    }
}

/// Return the 32 bytes of the digest of a function, class or module.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn digest_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(value.py(), &digest_of_code(value)?))
}

/// Tell who a function is: by its code, by what it reads from outside of itself, and by the same of all that it calls.
///
/// Parameters
/// ----------
/// function : callable
///     A function, method, class, ``functools.partial``, decorated function or other callable object.
/// track : {"deep", "own", "version"}, default "deep"
///     What counts. "deep": everything below. "own": only the function's own code. "version": only its name and
///     `version`.
/// depends : iterable, default ()
///     Functions, classes, modules and values that count besides. For what cannot be seen in the code: dispatch through
///     data, ``getattr`` with a computed name, ``eval``.
/// version : str, optional
///     Counts too: change it to make the function another one.
///
/// Returns
/// -------
/// Identity
///     With ``digest``, 64 hexadecimal digits that are equal in every process and on every Python version where the
///     source is at hand, and as data what went into it. The same object as long as nothing changes.
///
/// Raises
/// ------
/// TypeError
///     If `function` cannot be called, or an option is of the wrong kind.
/// ValueError
///     If `track` is none of the three, or "version" without a `version`.
///
/// Warns
/// -----
/// IdentityWarning
///     Once for a function that depends on something that cannot be followed, unless `depends` or `version` is given;
///     once for one that reads a large value from outside.
///
/// See Also
/// --------
/// explain : Print what went into an identity.
///
/// Notes
/// -----
/// These count: module and qualified name; the normalised source (not comments, formatting, docstrings and decorators;
/// the bytecode where the source is missing or is not what runs); the values of defaults, closure cells and globals that
/// the code reads; and the same for functions, classes and modules of the user's own that are found there, also in
/// containers, ``module.name``, decorators' wrappers and local imports. Libraries count by name and version, the standard
/// library by name.
///
/// A global or cell that the function only writes to (``calls.append(x)`` or ``count += 1`` as statements, with a
/// built-in container or number) is an output and does not count.
///
/// All of it is looked at again at each call, functions and values that cannot change by their address, others by their
/// content.
///
/// Examples
/// --------
/// >>> scale = 2
/// >>> def double(x):
/// ...     return scale * x
/// >>> before = retain.identity(double)
/// >>> before is retain.identity(double)
/// True
/// >>> scale = 3
/// >>> before == retain.identity(double)
/// False
#[pyfunction]
#[pyo3(
    signature = (function, track=None, depends=None, version=None),
    text_signature = "(function, track='deep', depends=(), version=None)"
)]
pub(crate) fn identity<'py>(
    function: &Bound<'py, PyAny>,
    track: Option<&Bound<'py, PyAny>>,
    depends: Option<&Bound<'py, PyAny>>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if track.is_none() && depends.is_none() && version.is_none() {
        return found(function, Question::PLAIN);
    }
    let checked = Checked::new(function, track, depends, version)?;
    found(
        function,
        checked.asked(checked.depends.bind(function.py()).cast()?),
    )
}

/// The options of `identity`, checked.
struct Checked {
    track: Track,
    /// A tuple.
    depends: Obj,
    version: Option<String>,
}

impl Checked {
    fn new(
        function: &Bound<'_, PyAny>,
        track: Option<&Bound<'_, PyAny>>,
        depends: Option<&Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = function.py();
        let track = track.map_or_else(|| intern!(py, "deep").as_any().clone(), Clone::clone);
        let checked = py.import(intern!(py, "retain._identity"))?.call_method1(
            intern!(py, "_checked"),
            (function, &track, depends, version),
        )?;
        let (track, depends, version): (
            Bound<'_, PyString>,
            Bound<'_, PyTuple>,
            Option<Bound<'_, PyString>>,
        ) = checked.extract()?;
        Ok(Self {
            track: match track.to_str()? {
                "own" => Track::Own,
                "version" => Track::Version,
                _ => Track::Deep,
            },
            depends: depends.into(),
            version: match &version {
                None => None,
                Some(version) => Some(version.to_str()?.to_owned()),
            },
        })
    }

    fn asked<'a, 'py>(&'a self, depends: &'a Bound<'py, PyTuple>) -> Asked<'a, 'py> {
        Asked {
            track: self.track,
            depends: Some(depends),
            version: self.version.as_deref(),
        }
    }
}

/// A function whose identity is asked for again and again, with the same options.
pub(crate) struct Watched {
    pub(crate) function: Obj,
    options: Checked,
    last: Mutex<Option<Arc<Known>>>,
}

impl Watched {
    pub(crate) fn new(
        function: &Bound<'_, PyAny>,
        track: Option<&Bound<'_, PyAny>>,
        depends: Option<&Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self {
            function: function.into(),
            options: Checked::new(function, track, depends, version)?,
            last: Mutex::default(),
        })
    }

    /// The digest of the function as it is now.
    pub(crate) fn digest(&self, py: Python<'_>) -> PyResult<[u8; 32]> {
        let last = self.last().clone();
        if let Some(known) = last
            && known.guards.hold(py)?
        {
            return Ok(known.digest);
        }
        let function = self.function.bind(py);
        let asked = self.options.asked(self.options.depends.bind(py).cast()?);
        let known = match lookup(function, asked)? {
            Some(known) => known,
            None => find_out(function, asked)?,
        };
        let digest = known.digest;
        // What goes is dropped when the lock is free: that can run any code.
        let gone = self.last().replace(known);
        drop(gone);
        Ok(digest)
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<Known>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the collector what is kept alive, until it returns something other than 0.
    pub(crate) fn traverse(
        &self,
        visit: &mut (impl FnMut(*mut ffi::PyObject) -> c_int + ?Sized),
    ) -> c_int {
        match visit(self.function.as_ptr()) {
            0 => visit(self.options.depends.as_ptr()),
            status => status,
        }
    }
}

fn found<'py>(function: &Bound<'py, PyAny>, asked: Asked<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let known = match lookup(function, asked)? {
        Some(known) => known,
        None => find_out(function, asked)?,
    };
    Ok(known.identity.bind(function.py()).clone())
}
