//! From calls to what travels.

use std::collections::HashMap;

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use retain_pool::{Arena, Buffer, Definition, Payload};
use smallvec::SmallVec;

use super::atoms;
use super::collector::Collector;
use super::pickle::{Pickle, mentions};
use super::shares::Shares;
use super::wire::{APART, ARGS, ARGS_KWARGS, ATOMS, OBJECT, WHOLE};
use crate::object::Obj;

/// A longer pickle travels in shared memory.
const LONG: usize = 64 << 10;
/// So many functions of a run are known to the workers at once.
const KNOWN: usize = 64;
/// Of so many callables it is remembered that they came before.
const SEEN: usize = 16;

/// The memory of the user that a task refers to: to be released when it has ended.
pub(super) type Places = SmallVec<[(usize, usize); 1]>;

/// What is sent for a call.
pub(super) struct Encoded {
    pub(super) definition: Option<Definition>,
    pub(super) payload: Payload,
    pub(super) places: Places,
}

/// Where results are shared, or what remembers the memory of the user that is.
pub(super) enum Sharing<'a> {
    Once,
    Remembered(&'a mut Shares),
}

/// Makes pickles, of which large parts lie in shared memory.
pub(super) struct Pickler {
    pub(super) pickle: Pickle,
    /// Pickles what the C pickler does not, or not rightly: functions and classes by value, mapped files by name.
    careful: Obj,
    collector: Py<Collector>,
    /// Functions of some modules travel by value: only the careful pickler knows which.
    by_value: bool,
}

impl Pickler {
    pub(super) fn new(
        py: Python<'_>,
        careful: Obj,
        from: Option<usize>,
        by_value: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            pickle: Pickle::new(py)?,
            careful,
            collector: Py::new(py, Collector::new(from))?,
            by_value,
        })
    }

    /// The payload that `head` begins.
    pub(super) fn payload(
        &self,
        head: u8,
        object: &Bound<'_, PyAny>,
        arena: &Arena,
        mut sharing: Sharing<'_>,
    ) -> PyResult<(Payload, Places)> {
        let py = object.py();
        let (stream, collected) = self.stream(object)?;
        let mut payload = Payload::default();
        let mut places = Places::new();
        for held in collected {
            let shared = match &mut sharing {
                Sharing::Once => py.detach(|| arena.share(&[held.bytes()])),
                Sharing::Remembered(shares) => {
                    shares.share(py, arena, held).map(|(place, shared)| {
                        places.push(place);
                        shared
                    })
                }
            };
            let Ok(shared) = shared else {
                // There is no memory to share: all of it travels in the stream.
                if let Sharing::Remembered(shares) = sharing {
                    places.drain(..).for_each(|place| shares.release(place));
                }
                let stream = self.carefully(object, &py.None().into_bound(py))?;
                return Ok((inline(head, &stream), places));
            };
            payload.buffers.push(Buffer::Shared(shared));
        }
        let bytes = stream.as_bytes();
        if bytes.len() > LONG
            && let Ok(shared) = py.detach(|| arena.share(&[bytes]))
        {
            if let Sharing::Remembered(shares) = sharing {
                shares.count(bytes.len());
            }
            payload.buffers.insert(0, Buffer::Shared(shared));
            payload.bytes = vec![head | APART];
        } else {
            payload.bytes = inline(head, &stream).bytes;
        }
        Ok((payload, places))
    }

    fn stream<'py>(
        &self,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<super::collector::Held>)> {
        let collector = self.collector.bind(object.py());
        if !self.by_value {
            let quick = self.pickle.dumps(object, collector.as_any());
            let collected = collector.get().take();
            match quick {
                Ok(stream) if !collected.mapped && is_complete(stream.as_bytes()) => {
                    return Ok((stream, collected.buffers));
                }
                Err(error) if !error.is_instance_of::<PyException>(object.py()) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        let careful = self.carefully(object, collector.as_any());
        let collected = collector.get().take();
        Ok((careful?, collected.buffers))
    }

    fn carefully<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        collector: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let careful = self.careful.bind(object.py());
        Ok(careful.call1((object, collector))?.cast_into::<PyBytes>()?)
    }
}

/// Whether the C pickler did right: it names what is of `__main__`, which is another module elsewhere, and copies mapped
/// files.
fn is_complete(stream: &[u8]) -> bool {
    !mentions(stream, *b"__main__") && !mentions(stream, *b"\x8c\x06memmap")
}

fn inline(head: u8, stream: &Bound<'_, PyBytes>) -> Payload {
    let stream = stream.as_bytes();
    let mut bytes = Vec::with_capacity(1 + stream.len());
    bytes.push(head);
    bytes.extend_from_slice(stream);
    Payload::from(bytes)
}

/// A function that the workers know.
struct Known {
    /// Keeps its address from being used for another one.
    _function: Obj,
    definition: Definition,
    places: Places,
    last: u64,
}

/// Who a function is: a bound method is another object each time.
type Identity = (usize, usize);

/// Encodes the calls of one run.
pub(super) struct Encoder {
    pub(super) pickler: Pickler,
    arena: Arena,
    pub(super) shares: Shares,
    known: HashMap<Identity, Known>,
    /// Callables that may be made anew for each call: they become known when they come again.
    seen: Vec<(Identity, Obj)>,
    clock: u64,
}

impl Encoder {
    pub(super) fn new(pickler: Pickler, arena: Arena) -> Self {
        Self {
            pickler,
            arena,
            shares: Shares::default(),
            known: HashMap::new(),
            seen: Vec::new(),
            clock: 0,
        }
    }

    /// Lets go of what tasks had in common.
    pub(super) fn forget(&mut self) {
        self.shares.forget();
        self.known.clear();
        self.seen.clear();
    }

    /// A call.
    pub(super) fn call(
        &mut self,
        task: &Bound<'_, PyTuple>,
        run: &retain_pool::Run,
    ) -> PyResult<Encoded> {
        let py = task.py();
        let (function, args, kwargs) = parts(task)?;
        let definition = self.definition(&function, run)?;
        if definition.is_some() && kwargs.is_empty() {
            let mut bytes = Vec::with_capacity(32);
            bytes.push(ATOMS);
            if atoms::put_all(&args, &mut bytes) {
                return Ok(Encoded {
                    definition,
                    payload: Payload::from(bytes),
                    places: Places::new(),
                });
            }
        }
        let sharing = Sharing::Remembered(&mut self.shares);
        let (payload, places) = if definition.is_none() {
            self.pickler
                .payload(WHOLE, task.as_any(), &self.arena, sharing)?
        } else if kwargs.is_empty() {
            self.pickler
                .payload(ARGS, args.as_any(), &self.arena, sharing)?
        } else {
            let both = PyTuple::new(py, [args.as_any(), kwargs.as_any()])?;
            self.pickler
                .payload(ARGS_KWARGS, both.as_any(), &self.arena, sharing)?
        };
        Ok(Encoded {
            definition,
            payload,
            places,
        })
    }

    /// What the workers know the function by; `None`: it travels with each call.
    fn definition(
        &mut self,
        function: &Bound<'_, PyAny>,
        run: &retain_pool::Run,
    ) -> PyResult<Option<Definition>> {
        let identity = identity(function);
        self.clock += 1;
        if let Some(known) = self.known.get_mut(&identity) {
            known.last = self.clock;
            return Ok(Some(known.definition.clone()));
        }
        if !is_lasting(function) && !self.seen.iter().any(|(seen, _)| *seen == identity) {
            if self.seen.len() >= SEEN {
                self.seen.remove(0);
            }
            self.seen.push((identity, function.into()));
            return Ok(None);
        }
        let sharing = Sharing::Remembered(&mut self.shares);
        let (payload, places) = self
            .pickler
            .payload(OBJECT, function, &self.arena, sharing)?;
        let definition = run.define(payload);
        if self.known.len() >= KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last);
            let oldest = oldest.map(|(identity, _)| *identity);
            if let Some(gone) = oldest.and_then(|oldest| self.known.remove(&oldest)) {
                gone.places
                    .iter()
                    .for_each(|place| self.shares.release(*place));
            }
        }
        let known = Known {
            _function: function.into(),
            definition: definition.clone(),
            places,
            last: self.clock,
        };
        self.known.insert(identity, known);
        Ok(Some(definition))
    }
}

/// The function and the arguments of a task.
pub(super) fn parts<'py>(
    task: &Bound<'py, PyTuple>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let [function, args, kwargs] = task.as_slice() else {
        return Err(not_a_task(task.as_any()));
    };
    let args = args.cast::<PyTuple>();
    let kwargs = kwargs.cast::<PyDict>();
    let (Ok(args), Ok(kwargs)) = (args, kwargs) else {
        return Err(not_a_task(task.as_any()));
    };
    Ok((function.clone(), args.clone(), kwargs.clone()))
}

/// A task as a tuple of a function, a tuple and a dict.
pub(super) fn as_task<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = task.py();
    if let Ok(tuple) = task.cast_exact::<PyTuple>()
        && let [_, args, kwargs] = tuple.as_slice()
        && args.is_exact_instance_of::<PyTuple>()
        && kwargs.is_exact_instance_of::<PyDict>()
    {
        return Ok(tuple.clone());
    }
    let parts: Vec<Bound<'py, PyAny>> = task.extract().map_err(|_| not_a_task(task))?;
    let [function, args, kwargs] = parts.as_slice() else {
        return Err(not_a_task(task));
    };
    let args = py.get_type::<PyTuple>().call1((args,))?;
    let kwargs = py.get_type::<PyDict>().call1((kwargs,))?;
    PyTuple::new(py, [function, &args, &kwargs])
}

fn not_a_task(task: &Bound<'_, PyAny>) -> PyErr {
    let kind = task.get_type();
    let kind = kind
        .name()
        .map_or_else(|_| "?".into(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "a task is a tuple (function, args, kwargs), as `delayed(function)(*args, **kwargs)` makes it, but one is a {kind}"
    ))
}

unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

fn is_method(pointer: *mut ffi::PyObject) -> bool {
    // SAFETY: callers pass a live object.
    unsafe { ffi::Py_IS_TYPE(pointer, &raw mut PyMethod_Type) != 0 }
}

fn identity(function: &Bound<'_, PyAny>) -> Identity {
    let pointer = function.as_ptr();
    if is_method(pointer) {
        // SAFETY: a live bound method has both.
        unsafe {
            return (
                PyMethod_Function(pointer) as usize,
                PyMethod_Self(pointer) as usize,
            );
        }
    }
    (pointer as usize, 0)
}

/// Whether the callable is likely the same one for many calls.
fn is_lasting(function: &Bound<'_, PyAny>) -> bool {
    let pointer = function.as_ptr();
    // SAFETY: the object is alive.
    unsafe {
        ffi::PyFunction_Check(pointer) != 0
            || is_method(pointer)
            || ffi::PyCFunction_Check(pointer) != 0
            || ffi::PyType_Check(pointer) != 0
    }
}
