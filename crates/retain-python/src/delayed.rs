//! `delayed`: notes a call instead of making it. It is called once for each task, so it costs no more than it must.

use std::ffi::{CStr, c_int};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use crate::callable::{Body, Call, Instance, method};
use crate::object::Obj;

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// A function whose calls are noted.
struct Delayed {
    function: Obj,
}

/// Return a function that notes a call instead of making it.
///
/// Parameters
/// ----------
/// function : callable
///     What is to be called.
///
/// Returns
/// -------
/// callable
///     It returns ``(function, args, kwargs)``, which `Parallel` takes. It has the attributes of the function, and the
///     function itself as ``__wrapped__``.
///
/// Examples
/// --------
/// >>> delayed(pow)(2, 3)
/// (<built-in function pow>, (2, 3), {})
#[pyfunction]
#[pyo3(signature = (function, /))]
pub(crate) fn delayed<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let kind =
        TYPE.get_or_try_init(py, || Instance::<Delayed>::make_type(py).map(Bound::unbind))?;
    let body = Delayed {
        function: function.clone().into(),
    };
    let object = Instance::create(kind.bind(py), note, body)?;
    Ok(object.bind(py).clone())
}

/// `delayed(function)(*args, **kwargs)`.
unsafe extern "C-unwind" fn note(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: a vectorcall on an instance; each new reference is handed to the tuple that is made for it, and where one
    // cannot be made, the others are given up.
    unsafe {
        let call = Call::new(args, nargsf, names);
        let task = ffi::PyTuple_New(3);
        if task.is_null() {
            return task;
        }
        let function = Instance::<Delayed>::body(this).function.clone();
        ffi::PyTuple_SET_ITEM(task, 0, function.into_ptr());
        let positional = tuple_of(call.values());
        if !positional.is_null() {
            ffi::PyTuple_SET_ITEM(task, 1, positional);
            let keywords = dict_of(call);
            if !keywords.is_null() {
                ffi::PyTuple_SET_ITEM(task, 2, keywords);
                return task;
            }
        }
        ffi::Py_DECREF(task);
        ptr::null_mut()
    }
}

/// # Safety
/// The values are alive, and this thread is attached.
unsafe fn tuple_of(values: &[*mut ffi::PyObject]) -> *mut ffi::PyObject {
    // SAFETY: says the caller; so many places are filled as there are.
    unsafe {
        let tuple = ffi::PyTuple_New(values.len().cast_signed());
        if !tuple.is_null() {
            for (place, &value) in (0..).zip(values) {
                ffi::Py_INCREF(value);
                ffi::PyTuple_SET_ITEM(tuple, place, value);
            }
        }
        tuple
    }
}

/// # Safety
/// The call goes on, and this thread is attached.
unsafe fn dict_of(call: Call) -> *mut ffi::PyObject {
    let (names, values) = call.named();
    // SAFETY: says the caller; there are as many names as values.
    unsafe {
        let dict = ffi::PyDict_New();
        if !dict.is_null() {
            for (place, &value) in (0..).zip(values) {
                if ffi::PyDict_SetItem(dict, ffi::PyTuple_GET_ITEM(names, place), value) < 0 {
                    ffi::Py_DECREF(dict);
                    return ptr::null_mut();
                }
            }
        }
        dict
    }
}

/// What is not found here is the function's, as `functools.wraps` would have it.
unsafe extern "C" fn getattro(
    this: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter with an instance and a string, this thread attached.
    unsafe {
        let function = Instance::<Delayed>::body(this).function.as_ptr();
        let mut length = 0;
        let text = ffi::PyUnicode_AsUTF8AndSize(name, &raw mut length);
        if text.is_null() {
            return ptr::null_mut();
        }
        match std::slice::from_raw_parts(text.cast::<u8>(), length.cast_unsigned()) {
            b"__wrapped__" => {
                ffi::Py_INCREF(function);
                return function;
            }
            // Those of the type itself would be found first.
            b"__doc__" | b"__module__" => return ffi::PyObject_GetAttr(function, name),
            _ => {}
        }
        let found = ffi::PyObject_GenericGetAttr(this, name);
        if found.is_null() && ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) != 0 {
            ffi::PyErr_Clear();
            return ffi::PyObject_GetAttr(function, name);
        }
        found
    }
}

impl Body for Delayed {
    const NAME: &'static CStr = c"retain.delayed_function";
    const DOC: &'static CStr = c"A function whose calls are noted: what delayed() returns.";

    fn methods() -> Vec<ffi::PyMethodDef> {
        vec![
            method!(
                Delayed,
                "__reduce__",
                "($self, /)",
                "Pickles as what is delayed.",
                |owner, this, _, _| {
                    let py = owner.py();
                    let delayed = py.import("retain")?.getattr("delayed")?;
                    let args = PyTuple::new(py, [this.function.bind(py)])?;
                    Ok(PyTuple::new(py, [delayed, args.into_any()])?
                        .into_any()
                        .into())
                }
            ),
            // SAFETY: an entry without a name ends the table.
            unsafe { std::mem::zeroed() },
        ]
    }

    fn slots() -> Vec<ffi::PyType_Slot> {
        vec![ffi::PyType_Slot {
            slot: ffi::Py_tp_getattro,
            pfunc: getattro as *mut _,
        }]
    }

    fn traverse(&self, visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int) -> c_int {
        visit(self.function.as_ptr())
    }

    // A tuple on every cycle that runs through a task can be taken apart, but for one of this object and its function:
    // `f.delayed = delayed(f)`, which the function's own dict breaks.
    fn clear(&self) {}
}
