//! The walk: from part to part with a stack of its own, so that a value may be as deep as memory allows.

use std::sync::Arc;

use hashbrown::HashMap;
use pyo3::exceptions::{PyException, PyRecursionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyComplex, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType,
};
use pyo3::{ffi, intern};
use retain_key::{Code, Digest, Encoder, Graph, KeyHasher, Shape};

use super::array::{self, Elements};
use super::exported::Exported;
use super::failure::{self, Failure};
use super::leaf::{self, leaf};
use super::met::Met;
use super::parts::{Next, Parts, Taken, changed, handled, own};
use super::reduce::{Reduced, instance, reduced};
use super::route::{self, Route};
use crate::compare::{is_bytes, is_dict, is_int, is_list, is_str, is_tuple, type_of};
use crate::ending::Stay;
use crate::known::digest_of_code;
use crate::object::discard;

/// How a value is walked over.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// Functions and classes are taken apart in place, and what has no identity is opaque.
    pub(crate) code: bool,
    /// A memory map is an array.
    pub(crate) coerce_mmap: bool,
}

/// Who a value is, and the paths to the parts that were opaque.
pub(crate) struct Digested {
    pub(crate) digest: Digest,
    pub(crate) opaque: Vec<String>,
}

/// More values inside one another than these are taken for a value that makes them as it goes.
const DEEPEST: usize = 1 << 22;

/// Signals are looked for once in so many values.
const PATIENCE: u32 = 1 << 16;

enum Stop {
    /// The value contains itself.
    Cycle,
    Error(PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Error(error)
    }
}

/// Who `value` is.
pub(crate) fn digest_of(value: &Bound<'_, PyAny>, options: Options) -> Result<Digested, Failure> {
    let _stay = Stay::begin();
    let mut tree = Walk::new(value.py(), KeyHasher::new(), options);
    match tree.run(value) {
        Ok(()) => return Ok(tree.digested(KeyHasher::finish)),
        Err(Stop::Error(error)) => return Err(tree.failure(error)),
        Err(Stop::Cycle) => drop(tree),
    }
    let mut graph = Walk::new(value.py(), Graph::new(), options);
    match graph.run(value) {
        Ok(()) => Ok(graph.digested(Graph::finish)),
        Err(Stop::Error(error)) => Err(graph.failure(error)),
        Err(Stop::Cycle) => unreachable!("a graph knows its values from their beginning"),
    }
}

/// The arguments of a call, each under its name.
pub(crate) struct Given<'a> {
    /// The codes of the parameters' names, and their values.
    pub(crate) parameters: (&'a [Code], &'a [Pointer]),
    /// Further arguments by position, if the signature takes any.
    pub(crate) rest: Option<&'a [Pointer]>,
    /// Further arguments by keyword, if the signature takes any: their names, exact `str`s in order, and their values.
    pub(crate) more: Option<(&'a [Pointer], &'a [Pointer])>,
}

type Pointer = *mut ffi::PyObject;

/// Who the arguments of a call are; or which of them has no identity, and why.
///
/// # Safety
/// All the pointers are to live objects, and stay so.
pub(crate) unsafe fn digest_of_call(
    py: Python<'_>,
    given: &Given<'_>,
    options: Options,
) -> Result<Digest, (usize, Failure)> {
    // SAFETY: says the caller.
    if let Some(digest) = unsafe { digest_of_leaves(given) } {
        return Ok(digest);
    }
    let _stay = Stay::begin();
    let mut tree = Walk::new(py, KeyHasher::new(), options);
    // SAFETY: says the caller.
    match unsafe { tree.call(given) } {
        Ok(()) => return Ok(tree.encoder.finish()),
        Err((place, Stop::Error(error))) => return Err((place, tree.failure(error))),
        Err((_, Stop::Cycle)) => drop(tree),
    }
    let mut graph = Walk::new(py, Graph::new(), options);
    // SAFETY: says the caller.
    match unsafe { graph.call(given) } {
        Ok(()) => Ok(graph.encoder.finish()),
        Err((place, Stop::Error(error))) => Err((place, graph.failure(error))),
        Err((_, Stop::Cycle)) => unreachable!("a graph knows its values from their beginning"),
    }
}

/// The same for arguments that are all written at a glance.
///
/// # Safety
/// As for [`digest_of_call`].
pub(crate) unsafe fn digest_of_leaves(given: &Given<'_>) -> Option<Digest> {
    if given.more.is_some_and(|(names, _)| !names.is_empty()) {
        return None;
    }
    let mut encoder = KeyHasher::new();
    encoder.begin(Shape::Object);
    encoder.str("call");
    for (name, value) in given.parameters.0.iter().zip(given.parameters.1) {
        encoder.encoded(name);
        if !leaf(&mut encoder, *value) {
            return None;
        }
    }
    if let Some(values) = given.rest {
        encoder.begin(Shape::Tuple);
        if !values.iter().all(|value| leaf(&mut encoder, *value)) {
            return None;
        }
        encoder.end(false);
    }
    if given.more.is_some() {
        encoder.begin(Shape::List);
        encoder.end(false);
    }
    encoder.end(false);
    Some(encoder.finish())
}

struct Walk<'py, E: Encoder> {
    py: Python<'py>,
    encoder: E,
    options: Options,
    frames: Vec<Frame<'py>>,
    met: Met<'py, E::Known>,
    /// The routes of the types met so far, which stay alive.
    routes: HashMap<usize, (Bound<'py, PyType>, Arc<Route>)>,
    opaque: Vec<String>,
    scratch: Vec<u8>,
    /// Until signals are looked for.
    patience: u32,
}

/// A value that is begun.
struct Frame<'py> {
    parts: Parts<'py>,
    /// Its address, if it may come again.
    again: Option<usize>,
}

impl<'py, E: Encoder> Walk<'py, E> {
    fn new(py: Python<'py>, encoder: E, options: Options) -> Self {
        Self {
            py,
            encoder,
            options,
            frames: Vec::new(),
            met: Met::default(),
            routes: HashMap::new(),
            opaque: Vec::new(),
            scratch: Vec::new(),
            patience: PATIENCE,
        }
    }

    fn digested(self, finish: impl FnOnce(E) -> Digest) -> Digested {
        Digested {
            digest: finish(self.encoder),
            opaque: self.opaque,
        }
    }

    fn failure(self, error: PyErr) -> Failure {
        Failure {
            error,
            path: self.path(),
        }
    }

    /// Writes the arguments of a call.
    ///
    /// # Safety
    /// All the pointers are to live objects, and stay so.
    unsafe fn call(&mut self, given: &Given<'_>) -> Result<(), (usize, Stop)> {
        let mut place = 0;
        self.encoder.begin(Shape::Object);
        self.encoder.str("call");
        for (name, value) in given.parameters.0.iter().zip(given.parameters.1) {
            self.encoder.encoded(name);
            // SAFETY: says the caller.
            unsafe { self.argument(*value, &mut place) }?;
        }
        if let Some(values) = given.rest {
            self.encoder.begin(Shape::Tuple);
            for value in values {
                // SAFETY: says the caller.
                unsafe { self.argument(*value, &mut place) }?;
            }
            self.encoder.end(false);
        }
        if let Some((names, values)) = given.more {
            self.encoder.begin(Shape::List);
            for (name, value) in names.iter().zip(values) {
                // SAFETY: says the caller: an exact `str`.
                let name = unsafe { Bound::from_borrowed_ptr(self.py, *name) };
                leaf::text(&mut self.encoder, &mut self.scratch, &name);
                // SAFETY: says the caller.
                unsafe { self.argument(*value, &mut place) }?;
            }
            self.encoder.end(false);
        }
        self.encoder.end(false);
        Ok(())
    }

    /// # Safety
    /// `value` is a live object, and stays so.
    unsafe fn argument(&mut self, value: Pointer, place: &mut usize) -> Result<(), (usize, Stop)> {
        if !leaf(&mut self.encoder, value) {
            // SAFETY: says the caller.
            let value = unsafe { Bound::from_borrowed_ptr(self.py, value) };
            self.run(&value).map_err(|stop| (*place, stop))?;
        }
        *place += 1;
        Ok(())
    }

    fn run(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        if leaf(&mut self.encoder, value.as_ptr()) {
            return Ok(());
        }
        self.visit(value, true)?;
        while let Some(frame) = self.frames.last_mut() {
            match frame.parts.advance(self.py, &mut self.encoder)? {
                Next::Value(value) => {
                    // Besides `value` and the container, someone may refer to it.
                    // SAFETY: the object is alive.
                    let references = unsafe { ffi::Py_REFCNT(value.as_ptr()) };
                    let shared = cfg!(Py_GIL_DISABLED) || references > 2;
                    self.visit(&value, shared)?;
                }
                Next::Begin(shape, parts) => self.begin(shape, None, || parts)?,
                Next::Memory(object) => self.memory(&object)?,
                Next::Written => {}
                Next::End => self.end(),
            }
        }
        Ok(())
    }

    /// Begins a value. Its parts are made where they are kept: they are not copied there.
    #[inline(always)]
    fn begin(
        &mut self,
        shape: Shape,
        again: Option<Bound<'py, PyAny>>,
        parts: impl FnOnce() -> Parts<'py>,
    ) -> Result<(), Stop> {
        if self.frames.len() >= DEEPEST {
            return Err(too_deep());
        }
        let known = self.encoder.begin(shape);
        let again = again.map(|object| {
            let address = object.as_ptr().addr();
            self.met.insert(object, known);
            address
        });
        self.frames.push(Frame {
            parts: parts(),
            again,
        });
        Ok(())
    }

    fn end(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        let known = self.encoder.end(frame.again.is_some());
        if let Some(met) = frame.again.and_then(|again| self.met.get_mut(again)) {
            *met = known;
        }
    }

    /// Writes a value, or begins it. `shared` tells that it may come again.
    fn visit(&mut self, value: &Bound<'py, PyAny>, shared: bool) -> Result<(), Stop> {
        self.patience -= 1;
        if self.patience == 0 {
            self.patience = PATIENCE;
            self.py.check_signals()?;
        }
        let object = value.as_ptr();
        if shared && let Some(known) = self.met.get_mut(object.addr()) {
            let known = known.ok_or(Stop::Cycle)?;
            self.encoder.again(known);
            return Ok(());
        }
        let again = || shared.then(|| value.clone());
        let kind = type_of(object);
        // SAFETY: each is exactly what it is taken for.
        unsafe {
            if is_dict(kind) {
                let dict = own(value.cast_unchecked::<PyDict>().clone())?;
                return self.begin(Shape::Map, again(), || Parts::of_dict(dict, false));
            }
            if is_list(kind) {
                let list = value.cast_unchecked::<PyList>();
                if cfg!(Py_GIL_DISABLED) {
                    let items = list.to_tuple();
                    return self.begin(Shape::List, again(), || Parts::of_tuple(items, false));
                }
                return self.begin(Shape::List, again(), || Parts::of_list(list.clone()));
            }
            if is_tuple(kind) {
                let tuple = value.cast_unchecked::<PyTuple>().clone();
                return self.begin(Shape::Tuple, again(), || Parts::of_tuple(tuple, false));
            }
        }
        if is_int(kind) {
            return Ok(leaf::integer(&mut self.encoder, value)?);
        }
        if is_str(kind) {
            leaf::text(&mut self.encoder, &mut self.scratch, value);
            return Ok(());
        }
        if is_bytes(kind) {
            // SAFETY: the object is an exact `bytes`, alive as long as `value`.
            let content = unsafe { leaf::bytes_of(object) };
            leaf::bytes(self.py, &mut self.encoder, content);
            return Ok(());
        }
        let set = value.is_exact_instance_of::<PySet>();
        if set || value.is_exact_instance_of::<PyFrozenSet>() {
            // SAFETY: the object is alive; a new reference, or null with the error set.
            let members =
                unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PySequence_Tuple(object)) }?;
            let members = members.cast_into::<PyTuple>().map_err(PyErr::from)?;
            let shape = if set { Shape::Set } else { Shape::FrozenSet };
            return self.begin(shape, again(), || Parts::of_tuple(members, true));
        }
        if value.is_exact_instance_of::<PyComplex>() {
            // SAFETY: the object is an exact `complex`.
            let (real, imaginary) = unsafe {
                (
                    ffi::PyComplex_RealAsDouble(object),
                    ffi::PyComplex_ImagAsDouble(object),
                )
            };
            self.encoder.complex(real, imaginary);
            return Ok(());
        }
        if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
            self.encoder.begin(Shape::Object);
            self.encoder.str("bytearray");
            self.memory(bytes)?;
            self.encoder.end(false);
            return Ok(());
        }
        let again = again();
        self.take_apart(value, again)
    }

    /// Writes the memory of an object that exports it.
    fn memory(&mut self, value: &Bound<'py, PyAny>) -> Result<(), Stop> {
        let buffer = Exported::new(value)?;
        leaf::bytes(self.py, &mut self.encoder, buffer.bytes());
        Ok(())
    }

    fn take_apart(
        &mut self,
        value: &Bound<'py, PyAny>,
        again: Option<Bound<'py, PyAny>>,
    ) -> Result<(), Stop> {
        let taken = match &*self.route(value)? {
            Route::Code if self.options.code => {
                let helper = self.py.import(intern!(self.py, "retain._identity"))?;
                let parts = helper.call_method1(intern!(self.py, "parts"), (value,));
                return self.push(handled(&parts?)?, again);
            }
            Route::Code => return self.identity(value, again),
            Route::Array => return self.array(value, again),
            Route::MemoryMap(_) if self.options.coerce_mmap => return self.array(value, again),
            Route::MemoryMap(Some(handler)) | Route::Handler(handler) => {
                let parts = handler.bind(self.py).call1((value,));
                parts.and_then(|parts| self.in_code(value, "keyed", &parts, "key"))
            }
            Route::Instance { slots } => instance(value, slots),
            Route::Reduce | Route::MemoryMap(None) => match reduced(value) {
                Ok(Reduced::Object(taken)) => Ok(taken),
                Ok(Reduced::Global(parts)) => self.in_code(value, "named", &parts, "global"),
                Err(error) => Err(error),
            },
        };
        match taken {
            Ok(taken) => self.push(taken, again),
            Err(error) if self.options.code && error.is_instance_of::<PyException>(self.py) => {
                discard(self.py, error);
                let kind = failure::kind(value);
                self.opaque.push(format!("{} ({kind})", self.path()));
                let parts = self.opaque("parts")?.call1((value,)).map_err(Stop::from)?;
                self.push(handled(&parts)?, again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was taken apart to `parts` of a certain name; where code counts, what a function of `retain._opaque` makes of
    /// them.
    fn in_code(
        &self,
        value: &Bound<'py, PyAny>,
        function: &str,
        parts: &Bound<'py, PyAny>,
        name: &str,
    ) -> PyResult<Taken<'py>> {
        if self.options.code
            && let Ok(tuple) = parts.cast_exact::<PyTuple>()
            && let Ok((found, first, second)) =
                tuple.extract::<(Bound<'_, PyString>, Bound<'_, PyAny>, Bound<'_, PyAny>)>()
            && found.to_string_lossy() == name
        {
            return handled(&self.opaque(function)?.call1((value, first, second))?);
        }
        handled(parts)
    }

    fn opaque(&self, function: &str) -> PyResult<Bound<'py, PyAny>> {
        let helpers = self.py.import(intern!(self.py, "retain._opaque"))?;
        helpers.getattr(function)
    }

    fn push(
        &mut self,
        (name, parts): Taken<'py>,
        again: Option<Bound<'py, PyAny>>,
    ) -> Result<(), Stop> {
        self.begin(Shape::Object, again, || parts)?;
        leaf::text(&mut self.encoder, &mut self.scratch, name.as_any());
        Ok(())
    }

    fn route(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Arc<Route>> {
        let kind = value.get_type();
        if let Some((_, route)) = self.routes.get(&kind.as_ptr().addr()) {
            return Ok(route.clone());
        }
        let route = route::of(value)?;
        self.routes
            .insert(kind.as_ptr().addr(), (kind, route.clone()));
        Ok(route)
    }

    /// Writes a function, class or module by its digest.
    fn identity(
        &mut self,
        value: &Bound<'py, PyAny>,
        again: Option<Bound<'py, PyAny>>,
    ) -> Result<(), Stop> {
        let digest = digest_of_code(value)?;
        let known = self.encoder.begin(Shape::Object);
        self.encoder.str("identity");
        self.encoder.bytes(&digest);
        let known = self.encoder.end(again.is_some()).or(known);
        if let Some(object) = again {
            self.met.insert(object, known);
        }
        Ok(())
    }

    fn array(
        &mut self,
        value: &Bound<'py, PyAny>,
        again: Option<Bound<'py, PyAny>>,
    ) -> Result<(), Stop> {
        let dtype = array::dtype_of(value);
        let elements = array::elements(value, |dtype| code_of(dtype))?;
        if array::dtype_of(value) != dtype {
            return Err(changed("an array").into());
        }
        match &*elements {
            Elements::Raw(elements) => {
                let known = self.encoder.begin(Shape::Object);
                array::raw(&mut self.encoder, &mut self.scratch, value, elements)?;
                let known = self.encoder.end(again.is_some()).or(known);
                if let Some(object) = again {
                    self.met.insert(object, known);
                }
                Ok(())
            }
            Elements::Objects { dtype } => {
                let pin = array::pin(value)?;
                self.begin(Shape::Object, again, Parts::none)?;
                let (flat, count) = array::objects(&mut self.encoder, value, dtype)?;
                self.begin(Shape::List, None, || Parts::Objects {
                    flat,
                    _pin: pin,
                    next: 0,
                    count,
                })
            }
            Elements::Other => {
                let helper = self.py.import("retain._parts_numpy")?.getattr("array")?;
                let parts = helper.call1((value,))?;
                self.push(handled(&parts)?, again)
            }
        }
    }

    /// The steps from the value to the part that the walk is at; of very many, the first and the last.
    fn path(&self) -> String {
        const SHOWN: usize = 20;
        let steps = |frames: &[Frame<'_>]| -> String {
            frames.iter().map(|frame| frame.parts.step()).collect()
        };
        let count = self.frames.len();
        if count <= 2 * SHOWN {
            return steps(&self.frames);
        }
        let (first, last) = (&self.frames[..SHOWN], &self.frames[count - SHOWN..]);
        let left_out = count - 2 * SHOWN;
        format!("{} -> ({left_out} more){}", steps(first), steps(last))
    }
}

#[cold]
fn too_deep() -> Stop {
    PyRecursionError::new_err(format!(
        "more than {DEEPEST} values inside one another: does some __reduce__ make new ones as it is asked?"
    ))
    .into()
}

/// The code of a value by itself.
fn code_of(value: &Bound<'_, PyAny>) -> PyResult<Code> {
    let mut walk = Walk::new(value.py(), KeyHasher::new(), Options::default());
    match walk.run(value) {
        Ok(()) => Ok(walk.encoder.code()),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Cycle) => Err(PyTypeError::new_err("a dtype contains itself")),
    }
}
