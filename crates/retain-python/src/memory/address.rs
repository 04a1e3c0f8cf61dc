//! Who a call is: the digest of the function as it is now, and that of its arguments.

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFunction, PyString, PyTuple};
use pyo3::{ffi, intern};
use retain_key::{Code, Encoder, KeyHasher};
use retain_store::Key;
use smallvec::SmallVec;

use super::told::{quote, tell};
use crate::binder::{Binder, BoundArguments, ROOM};
use crate::callable::Call;
use crate::compare::items;
use crate::ending::Stay;
use crate::identity::{Failure, Given, Options, digest_of_call, digest_of_leaves};
use crate::keeper::with_py_visit;
use crate::known::Watched;
use crate::memoize::{Parameters, binder_of};
use crate::object::discard;

type Pointer = *mut ffi::PyObject;

/// Tells who a call of a function is, in 64 bytes: equal for calls that come to the same, in every process.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Address {
    watched: Watched,
    binder: Binder,
    /// The codes of the names of the parameters that count.
    names: Box<[Code]>,
    /// The same names as JSON.
    quoted: Box<[String]>,
}

#[pymethods]
impl Address {
    /// `parameters` is the signature as `memoize` takes it; the others are the options of `identity`.
    #[new]
    #[pyo3(signature = (function, parameters, *, track=None, depends=None, version=None))]
    fn new(
        function: &Bound<'_, PyAny>,
        parameters: Parameters<'_>,
        track: Option<&Bound<'_, PyAny>>,
        depends: Option<&Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = function.py();
        let binder = binder_of(parameters);
        let (mut names, mut quoted) = (Vec::new(), Vec::new());
        for name in binder.kept() {
            let name = name.bind(py).cast::<PyString>()?.to_string_lossy();
            let mut hasher = KeyHasher::new();
            hasher.str(&name);
            names.push(hasher.code());
            let mut text = String::new();
            quote(&mut text, &name);
            quoted.push(text);
        }
        Ok(Self {
            watched: Watched::new(function, track, depends, version)?,
            names: names.into(),
            quoted: quoted.into(),
            binder,
        })
    }

    /// Who the call is: the version, then the digest of the arguments.
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let _stay = Stay::begin();
        Ok(PyBytes::new(py, &self.call(py, args, kwargs)?))
    }

    /// Who the function is as it is now.
    fn version<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let _stay = Stay::begin();
        Ok(PyBytes::new(py, &self.watched.digest(py)?))
    }

    /// Who the arguments are.
    #[pyo3(signature = (*args, **kwargs))]
    fn arguments<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let _stay = Stay::begin();
        let digest = self.with(py, args, kwargs, |bound| self.digest(py, &bound))?;
        Ok(PyBytes::new(py, &digest))
    }

    /// The arguments that count, by name; further ones under `"*"` and `"**"`.
    #[pyo3(signature = (*args, **kwargs))]
    fn bind<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let _stay = Stay::begin();
        self.with(py, args, kwargs, |bound| self.describe(py, &bound))
    }

    /// The arguments in a few words, as `reprs.about` tells them; None if that takes more than a glance.
    fn told<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        /// So many are told.
        const MOST: usize = 24;
        let _stay = Stay::begin();
        self.with(py, args, Some(kwargs), |bound| {
            let (keeps_rest, keeps_named) = self.binder.keeps_rests();
            if bound.values.len() != self.names.len() || self.names.len() + 2 > MOST {
                return Ok(None);
            }
            let mut out = String::from("{\"input_args\":{");
            let begun = out.len();
            for (name, value) in self.quoted.iter().zip(bound.values) {
                // SAFETY: the values are alive, says `with`.
                let value = unsafe { Bound::from_borrowed_ptr(py, *value) };
                if !tell(&mut out, begun, name, &value)? {
                    return Ok(None);
                }
            }
            for (keeps, name, text) in [
                (keeps_rest, "\"*\"", "\"()\""),
                (keeps_named, "\"**\"", "\"{}\""),
            ] {
                if keeps {
                    if out.len() > begun {
                        out.push(',');
                    }
                    out.extend([name, ":", text]);
                }
            }
            out.push_str("}}");
            Ok(Some(PyBytes::new(py, out.as_bytes())))
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        with_py_visit(&visit, |visit| match self.watched.traverse(visit) {
            0 => self.binder.traverse(&mut |object| visit(object)),
            status => status,
        })
    }
}

/// The arguments of a call that count, in the order of the signature: those of parameters, further ones by position,
/// those by keyword.
struct Bounded<'a> {
    values: &'a [Pointer],
    /// The names of the last values, in order.
    names: &'a [Pointer],
}

impl Address {
    /// Who a call is.
    pub(super) fn call<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<[u8; Key::LEN]> {
        // First the arguments: a call that does not fit is no reason to look at the function.
        let arguments = match self.glance(args, kwargs) {
            Some(digest) => digest,
            None => self.with(py, args, kwargs, |bound| self.digest(py, &bound))?,
        };
        let version = self.watched.digest(py)?;
        Ok(Key { version, arguments }.to_bytes())
    }

    /// The digest of arguments that are bound and written at a glance.
    fn glance(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Option<[u8; 32]> {
        // SAFETY: a tuple, which the caller keeps alive.
        let given = unsafe { items(args.as_ptr()) };
        let mut room = [ptr::null_mut(); ROOM];
        let values = match kwargs.filter(|kwargs| !kwargs.is_empty()) {
            None if self.binder.is_straight(given.len()) => given,
            None => {
                // SAFETY: so many live objects, without names.
                let call = unsafe { Call::new(given.as_ptr(), given.len(), ptr::null_mut()) };
                self.binder.lay_out(call, &mut room)?
            }
            #[cfg(not(Py_GIL_DISABLED))]
            // SAFETY: a dict.
            Some(kwargs) => unsafe {
                self.binder
                    .lay_out_dict(given, kwargs.as_ptr(), &mut room)?
            },
            #[cfg(Py_GIL_DISABLED)]
            Some(_) => return None,
        };
        let given = self.given(&Bounded { values, names: &[] });
        // SAFETY: the values are alive: no other code runs meanwhile.
        unsafe { digest_of_leaves(&given) }.map(Into::into)
    }

    fn given<'a>(&'a self, bound: &Bounded<'a>) -> Given<'a> {
        let (parameters, rest, named) = self.divided(bound);
        let (keeps_rest, keeps_named) = self.binder.keeps_rests();
        Given {
            parameters: (&self.names, parameters),
            rest: keeps_rest.then_some(rest),
            more: keeps_named.then_some((bound.names, named)),
        }
    }

    /// Binds the arguments of a call; all of them are alive while `use_them` runs.
    fn with<'py, R>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        use_them: impl FnOnce(Bounded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let Some(kwargs) = kwargs else {
            // SAFETY: a tuple, which the caller keeps alive.
            let values = unsafe { items(args.as_ptr()) };
            // SAFETY: so many live objects, without names.
            let call = unsafe { Call::new(values.as_ptr(), values.len(), ptr::null_mut()) };
            return self.with_call(py, call, (args, None), use_them);
        };
        // Held here: code of users that runs meanwhile may change the dict.
        let held: SmallVec<[(Bound<'_, PyAny>, Bound<'_, PyAny>); 8]> = kwargs.iter().collect();
        let names = exact(py, held.iter().map(|(name, _)| name))?;
        let by_position = args.iter_borrowed().map(|value| value.as_any().as_ptr());
        let by_keyword = held.iter().map(|(_, value)| value.as_ptr());
        let all: SmallVec<[Pointer; 8]> = by_position.chain(by_keyword).collect();
        // SAFETY: so many live objects, the last of which have the names.
        let call = unsafe { Call::new(all.as_ptr(), args.len(), names.as_ptr()) };
        self.with_call(py, call, (args, Some(kwargs)), use_them)
    }

    fn with_call<'py, R>(
        &self,
        py: Python<'py>,
        call: Call,
        given: (&Bound<'py, PyTuple>, Option<&Bound<'py, PyDict>>),
        use_them: impl FnOnce(Bounded<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        let plain = |values| Bounded { values, names: &[] };
        if call.named().0.is_null() && self.binder.is_straight(call.positional()) {
            return use_them(plain(call.values()));
        }
        let mut room = [ptr::null_mut(); ROOM];
        if let Some(values) = self.binder.lay_out(call, &mut room) {
            return use_them(plain(values));
        }
        match self.binder.bind(py, call) {
            None => Err(self.misfit(py, given)),
            Some(bound) => use_them(bounded(&bound)),
        }
    }

    /// The error for a call that does not fit the signature, as the function itself raises it.
    fn misfit<'py>(
        &self,
        py: Python<'py>,
        (args, kwargs): (&Bound<'py, PyTuple>, Option<&Bound<'py, PyDict>>),
    ) -> PyErr {
        let function = self.watched.function.bind(py);
        // Those of Python bind arguments before anything of them runs. Others, and those that tell another signature than
        // they have, might do their work.
        let own = plain_function(function).is_some_and(|plain| {
            let told = plain.getattr_opt(intern!(py, "__signature__"));
            told.is_ok_and(|told| told.is_none())
        });
        let raised = if own {
            function.call(args, kwargs).map(drop)
        } else {
            self.bind_in_python(function, args, kwargs)
        };
        raised.err().unwrap_or_else(|| {
            PyTypeError::new_err(format!(
                "the arguments do not fit the signature of {function}"
            ))
        })
    }

    #[expect(clippy::unused_self, reason = "a step of `misfit`")]
    fn bind_in_python<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let py = function.py();
        let options = PyDict::new(py);
        options.set_item("follow_wrapped", false)?;
        let signature = py
            .import(intern!(py, "inspect"))?
            .getattr(intern!(py, "signature"))?
            .call((function,), Some(&options))?;
        signature
            .getattr(intern!(py, "bind"))?
            .call(args, kwargs)
            .map(drop)
    }

    /// How the values of a call are divided: by parameters, further ones, and those by keyword.
    fn divided<'a>(&self, bound: &Bounded<'a>) -> (&'a [Pointer], &'a [Pointer], &'a [Pointer]) {
        let (parameters, further) = bound.values.split_at(self.names.len());
        let (rest, named) = further.split_at(further.len() - bound.names.len());
        (parameters, rest, named)
    }

    fn digest(&self, py: Python<'_>, bound: &Bounded<'_>) -> PyResult<[u8; 32]> {
        /// A memory map counts as the array that it shows: a result that was mapped is the one that was computed.
        const OPTIONS: Options = Options {
            code: false,
            coerce_mmap: true,
        };
        let given = self.given(bound);
        // SAFETY: the values are alive while they are used, says `with`.
        match unsafe { digest_of_call(py, &given, OPTIONS) } {
            Ok(digest) => Ok(digest.into()),
            Err((place, failure)) => Err(self.unidentified(py, bound, place, failure)),
        }
    }

    /// The error for an argument that has no identity.
    fn unidentified(
        &self,
        py: Python<'_>,
        bound: &Bounded<'_>,
        place: usize,
        failure: Failure,
    ) -> PyErr {
        let function = self.watched.function.bind(py);
        let name = match function.getattr(intern!(py, "__qualname__")) {
            Ok(name) => format!("{name}()"),
            Err(error) => {
                discard(py, error);
                "a function".into()
            }
        };
        let by_keyword = (place + bound.names.len()).checked_sub(bound.values.len());
        let (argument, remedy) = if let Some(parameter) = self.binder.name_of(py, place) {
            let remedy = format!("; or leave it out of the key by ignore=['{parameter}']");
            (format!("argument '{parameter}'"), remedy)
        } else if let Some(&keyword) = by_keyword.and_then(|place| bound.names.get(place)) {
            // SAFETY: the names are alive, says `with`.
            let keyword = unsafe { Bound::from_borrowed_ptr(py, keyword) };
            (format!("argument '{keyword}'"), String::new())
        } else {
            (format!("argument number {}", place + 1), String::new())
        };
        failure.about(py, &format!("{name}: {argument}"), &remedy)
    }

    fn describe<'py>(&self, py: Python<'py>, bound: &Bounded<'_>) -> PyResult<Bound<'py, PyDict>> {
        // SAFETY: values and names are alive, says `with`.
        let object = |pointer: &Pointer| unsafe { Bound::from_borrowed_ptr(py, *pointer) };
        let (parameters, rest, named) = self.divided(bound);
        let (keeps_rest, keeps_named) = self.binder.keeps_rests();
        let described = PyDict::new(py);
        for (name, value) in self.binder.kept().zip(parameters) {
            described.set_item(name.bind(py), object(value))?;
        }
        if keeps_rest {
            let rest = PyTuple::new(py, rest.iter().map(object).collect::<Vec<_>>())?;
            described.set_item(intern!(py, "*"), rest)?;
        }
        if keeps_named {
            let more = PyDict::new(py);
            for (name, value) in bound.names.iter().zip(named) {
                more.set_item(object(name), object(value))?;
            }
            described.set_item(intern!(py, "**"), more)?;
        }
        Ok(described)
    }
}

fn bounded(bound: &BoundArguments) -> Bounded<'_> {
    let (values, names) = bound.parts();
    Bounded {
        values,
        // SAFETY: the names are a tuple, which `bound` keeps.
        names: names.map_or(&[], |names| unsafe { items(names.as_ptr()) }),
    }
}

/// Names as exact `str`s, which is what keywords are compared as: `**` passes those of a subclass, too.
fn exact<'a, 'py: 'a>(
    py: Python<'py>,
    names: impl ExactSizeIterator<Item = &'a Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let plain = names.map(|name| {
        if name.is_exact_instance_of::<PyString>() {
            return Ok(name.clone());
        }
        if !name.is_instance_of::<PyString>() {
            return Err(PyTypeError::new_err("keywords must be strings"));
        }
        // SAFETY: the name is alive; a new reference, or null with the error set.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_FromObject(name.as_ptr())) }
    });
    PyTuple::new(py, plain.collect::<PyResult<SmallVec<[_; 8]>>>()?)
}

/// The function of Python's that a call of `function` comes to at once, if it is one.
fn plain_function<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if function.is_exact_instance_of::<PyFunction>() {
        return Some(function.clone());
    }
    let py = function.py();
    let methods = py.import(intern!(py, "types")).ok()?;
    let kind = methods.getattr(intern!(py, "MethodType")).ok()?;
    if !function.get_type().is(&kind) {
        return None;
    }
    let inner = function.getattr(intern!(py, "__func__")).ok()?;
    inner.is_exact_instance_of::<PyFunction>().then_some(inner)
}
