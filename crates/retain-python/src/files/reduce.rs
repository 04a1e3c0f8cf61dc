//! Which objects are pickled otherwise than they would themselves.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::sink::Sink;
use crate::buffer::fill;
use crate::object::Obj;

/// Tells a pickler how to reduce arrays whose bytes would otherwise be copied into the stream, and leaves all else to it.
///
/// It also tells the sink when objects are left to code of users: that may change what the sink has yet to write.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Reducer {
    /// Types whose instances, also of subclasses, are asked about.
    types: Vec<Obj>,
    /// The reduction of one such instance, or `NotImplemented`.
    function: Obj,
    sink: Obj,
    /// Tells of a type whether its instances are pickled without code of users.
    is_plain: Obj,
    known: Mutex<Known>,
}

/// Types that are pickled without code of users, or not.
#[derive(Default)]
struct Known {
    /// The last that was asked for, as it comes many times in a row.
    last: Option<usize>,
    /// By address; each type is kept alive.
    all: HashMap<usize, (Obj, bool)>,
}

#[pymethods]
impl Reducer {
    #[new]
    fn new(
        types: Vec<Bound<'_, PyType>>,
        function: &Bound<'_, PyAny>,
        sink: &Bound<'_, Sink>,
        is_plain: &Bound<'_, PyAny>,
    ) -> Self {
        Self {
            types: types.into_iter().map(Obj::from).collect(),
            function: function.into(),
            sink: sink.as_any().into(),
            is_plain: is_plain.into(),
            known: Mutex::default(),
        }
    }

    /// What a pickler calls as its `reducer_override`.
    fn reduce<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let kind = object.get_type_ptr();
        // SAFETY: all of them are types, and alive.
        let asked = self
            .types
            .iter()
            .any(|base| unsafe { ffi::PyType_IsSubtype(kind, base.as_ptr().cast()) } != 0);
        if asked {
            let reduced = self.function.bind(py).call1((object,))?;
            if !reduced.is(py.NotImplemented()) {
                return Ok(reduced);
            }
        }
        let sink = self.sink.bind(py);
        // SAFETY: it was made of a sink.
        let sink = unsafe { sink.cast_unchecked::<Sink>() }.get();
        if sink.would_watch() && !self.is_plain(object)? {
            sink.watch(py)?;
        }
        Ok(py.NotImplemented().into_bound(py))
    }
}

impl Reducer {
    fn is_plain(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let address = object.get_type_ptr() as usize;
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.last == Some(address) {
                return Ok(true);
            }
            if let Some(&(_, is_plain)) = known.all.get(&address) {
                known.last = is_plain.then_some(address);
                return Ok(is_plain);
            }
        }
        let kind = object.get_type();
        let is_plain = self
            .is_plain
            .bind(object.py())
            .call1((&kind,))?
            .is_truthy()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .all
            .insert(address, (kind.into_any().into(), is_plain));
        Ok(is_plain)
    }
}

/// Stands for the bytes of an array that do not lie one after the other. They are gathered while they are written.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Strided {
    /// Makes an iterator over the bytes, in contiguous pieces.
    pieces: Obj,
    len: u64,
}

#[pymethods]
impl Strided {
    #[new]
    fn new(pieces: &Bound<'_, PyAny>, len: u64) -> Self {
        Self {
            pieces: pieces.into(),
            len,
        }
    }

    /// A buffer of no bytes: what a pickler need see.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the receiver that pyo3 asks for"
    )]
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        // SAFETY: no bytes lie anywhere.
        unsafe { fill(&slf, view, flags, &raw const *b"", true) }
    }
}

impl Strided {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn pieces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.pieces
            .bind(py)
            .call0()?
            .call_method0(intern!(py, "__iter__"))
    }
}
