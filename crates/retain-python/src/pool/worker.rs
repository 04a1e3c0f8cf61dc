//! What a worker does: unpickle, call, pickle.

use std::collections::HashMap;
use std::os::fd::{FromRawFd, OwnedFd};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use retain_pool::worker::{Answer, Handler, Out, Parcel, serve};
use retain_pool::{Buffer, Mapped, Payload};

use super::atoms;
use super::decode::decoded;
use super::encode::{Pickler, Sharing};
use super::output::{Within, flush};
use super::pickle::Pickle;
use super::raised;
use super::wire::{
    APART, ARGS, ARGS_KWARGS, ATOM, ATOMS, BROKEN, DONE, RAISED, UNREADABLE, UNSENDABLE, WHOLE,
};
use crate::object::{Obj, owned_or_error};

/// A longer report of a failure travels in shared memory.
const LONG: usize = 64 << 10;

/// Serves the supervisor at the other end of a socket, or of the one that this process was started with.
#[pyfunction]
#[pyo3(signature = (socket, hooks))]
pub(crate) fn work(socket: Option<i32>, hooks: &Bound<'_, PyAny>) -> PyResult<()> {
    let socket = match socket {
        // SAFETY: the caller gives the descriptor away.
        Some(socket) => unsafe { OwnedFd::from_raw_fd(socket) },
        None => retain_pool::starter::take_inherited_socket()?,
    };
    let mut worker = Worker {
        pickle: Pickle::new(hooks.py())?,
        begin: hooks.getattr("begin")?.into(),
        activate: hooks.getattr("activate")?.into(),
        packed: hooks.getattr("packed")?.into(),
        dumps: hooks.getattr("dumps")?.into(),
        runs: HashMap::new(),
        active: None,
    };
    serve(socket, &mut worker).map_err(|error| raised(&error))
}

/// What a run's tasks have in common.
struct Ready {
    /// What Python's side made of the context.
    state: Obj,
    /// The context variables that each task finds.
    variables: Obj,
    pickler: Pickler,
    /// Whether a task may write to the buffers that it is lent.
    private: bool,
    /// Functions, or why they cannot be unpickled.
    functions: HashMap<u32, Result<Obj, Vec<u8>>>,
}

/// A failure: what it is, and its report.
type Failure = (u8, Vec<u8>);

struct Worker {
    pickle: Pickle,
    begin: Obj,
    activate: Obj,
    packed: Obj,
    dumps: Obj,
    /// The runs that tasks may come of, or why they could not begin.
    runs: HashMap<u32, Result<Ready, Vec<u8>>>,
    active: Option<u32>,
}

impl Worker {
    fn ready(&self, py: Python<'_>, context: &[u8]) -> PyResult<Ready> {
        let context = PyBytes::new(py, context);
        let (state, variables, max_nbytes, private): (
            Bound<'_, PyAny>,
            Bound<'_, PyAny>,
            Option<usize>,
            bool,
        ) = self.begin.bind(py).call1((context,))?.extract()?;
        Ok(Ready {
            state: state.into(),
            variables: variables.into(),
            pickler: Pickler::new(py, self.dumps.clone(), max_nbytes, false)?,
            private,
            functions: HashMap::new(),
        })
    }

    /// The report of an exception. If even that fails, what of it can be told in words.
    fn report(&self, py: Python<'_>, error: PyErr) -> Vec<u8> {
        let value = error.into_value(py);
        let report = self.packed.bind(py).call1((value,));
        let report = report.and_then(|report| report.extract::<Vec<u8>>());
        report.unwrap_or_else(|error| error.to_string().into_bytes())
    }

    /// Makes a run the one whose directory, environment and so on hold.
    fn activate(&mut self, py: Python<'_>, run: u32) -> Result<(), Failure> {
        let ready = match self.runs.get(&run) {
            Some(Ok(ready)) => ready,
            Some(Err(report)) => return Err((BROKEN, report.clone())),
            None => {
                let error = PyRuntimeError::new_err("a task came of a run that has not begun");
                return Err((BROKEN, self.report(py, error)));
            }
        };
        if self.active != Some(run) {
            if let Err(error) = self.activate.bind(py).call1((ready.state.bind(py),)) {
                return Err((BROKEN, self.report(py, error)));
            }
            self.active = Some(run);
        }
        Ok(())
    }

    fn perform(
        &mut self,
        py: Python<'_>,
        run: u32,
        definition: Option<u32>,
        task: Parcel<'_>,
        out: &mut Out,
    ) -> Result<Payload, Failure> {
        self.activate(py, run)?;
        let Some(Ok(ready)) = self.runs.get(&run) else {
            return Err((BROKEN, Vec::new()));
        };
        let unreadable = |error| (UNREADABLE, self.report(py, error));
        let known = match definition.map(|id| ready.functions.get(&id)) {
            None => None,
            Some(Some(Ok(function))) => Some(function.bind(py).clone()),
            Some(Some(Err(report))) => return Err((UNREADABLE, report.clone())),
            Some(None) => {
                let error = PyRuntimeError::new_err("a task of a function that was not sent");
                return Err(unreadable(error));
            }
        };
        let (function, args, kwargs) = ready
            .read(py, &self.pickle, known, task)
            .map_err(unreadable)?;
        let result = {
            let _within = Within::begin(out);
            call_in(&ready.variables, &function, &args, kwargs.as_ref())
        };
        drop((function, args, kwargs));
        let result = result.map_err(|error| (RAISED, self.report(py, error)))?;
        let mut bytes = Vec::with_capacity(16);
        bytes.push(ATOM);
        if atoms::put(&result, &mut bytes) {
            return Ok(Payload::from(bytes));
        }
        let arena = out.arena().clone();
        let payload = ready.pickler.payload(DONE, &result, &arena, Sharing::Once);
        let payload = payload.map_err(|error| (UNSENDABLE, self.report(py, error)));
        payload.map(|(payload, _)| payload)
    }
}

/// Function, arguments and named arguments.
type Call<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyDict>>,
);

impl Ready {
    fn read<'py>(
        &self,
        py: Python<'py>,
        pickle: &Pickle,
        known: Option<Bound<'py, PyAny>>,
        task: Parcel<'_>,
    ) -> PyResult<Call<'py>> {
        let buffers = own(task.buffers, self.private)?;
        let (head, object) = decoded(py, pickle, task.bytes, buffers, self.private);
        let object = object?;
        match (head, known) {
            (ARGS | ATOMS, Some(function)) => Ok((function, object.cast_into()?, None)),
            (ARGS_KWARGS, Some(function)) => {
                let (args, kwargs) = object.extract()?;
                Ok((function, args, Some(kwargs)))
            }
            (WHOLE, None) => {
                let (function, args, kwargs) = object.extract()?;
                Ok((function, args, Some(kwargs)))
            }
            _ => Err(PyRuntimeError::new_err("a task of an unknown kind")),
        }
    }
}

/// Views of one's own, if they may be written to.
fn own(buffers: Vec<Mapped>, private: bool) -> PyResult<Vec<Mapped>> {
    if private {
        let own = buffers.iter().map(Mapped::private);
        Ok(own.collect::<Result<_, _>>()?)
    } else {
        Ok(buffers)
    }
}

/// Calls a function in a copy of a context, so that what tasks set does not reach others.
fn call_in<'py>(
    variables: &Obj,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: `begin` made a context; the others are a callable, a tuple and a dict. The context is left in any case.
    unsafe {
        let context = owned_or_error(py, ffi::PyContext_Copy(variables.as_ptr()))?;
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        let result = ffi::PyObject_Call(function.as_ptr(), args.as_ptr(), kwargs);
        let result = owned_or_error(py, result);
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(result?.into_pyobject(py)?)
    }
}

impl Handler for Worker {
    fn begin(&mut self, run: u32, context: Parcel<'_>) {
        Python::attach(|py| {
            let ready = self.ready(py, context.bytes);
            let ready = ready.map_err(|error| self.report(py, error));
            // Making it ready made it the active one.
            self.active = Some(run);
            self.runs.insert(run, ready);
        });
    }

    fn define(&mut self, run: u32, id: u32, definition: Parcel<'_>) {
        Python::attach(|py| {
            if self.activate(py, run).is_err() {
                return;
            }
            let Some(Ok(ready)) = self.runs.get(&run) else {
                return;
            };
            let function = own(definition.buffers, ready.private)
                .and_then(|own| decoded(py, &self.pickle, definition.bytes, own, ready.private).1)
                .map(Obj::from)
                .map_err(|error| self.report(py, error));
            if let Some(Ok(ready)) = self.runs.get_mut(&run) {
                ready.functions.insert(id, function);
            }
        });
    }

    fn forget(&mut self, run: u32, id: u32) {
        Python::attach(|_| {
            if let Some(Ok(ready)) = self.runs.get_mut(&run) {
                ready.functions.remove(&id);
            }
        });
    }

    fn call(
        &mut self,
        run: u32,
        definition: Option<u32>,
        task: Parcel<'_>,
        out: &mut Out,
    ) -> Answer {
        Python::attach(|py| {
            let answer = self.perform(py, run, definition, task, out);
            flush(out);
            match answer {
                Ok(payload) => Answer {
                    failed: false,
                    payload,
                },
                Err((head, report)) => Answer {
                    failed: true,
                    payload: reported(head, report, out),
                },
            }
        })
    }

    fn end(&mut self, run: u32) {
        Python::attach(|_| {
            self.runs.remove(&run);
            if self.active == Some(run) {
                self.active = None;
            }
        });
    }

    fn wait(&mut self, block: &mut dyn FnMut()) {
        /// Passes what is not `Send` to code that stays in this thread.
        struct Here<'a>(&'a mut dyn FnMut());

        // SAFETY: `detach` runs its closure in the thread that calls it.
        unsafe impl Send for Here<'_> {}

        impl Here<'_> {
            fn block(self) {
                (self.0)();
            }
        }

        let here = Here(block);
        Python::attach(|py| py.detach(|| here.block()));
    }
}

fn reported(head: u8, report: Vec<u8>, out: &Out) -> Payload {
    if report.len() > LONG
        && let Ok(shared) = out.arena().share(&[&report])
    {
        return Payload {
            bytes: vec![head | APART],
            buffers: vec![Buffer::Shared(shared)],
        };
    }
    let mut bytes = report;
    bytes.insert(0, head);
    Payload::from(bytes)
}
