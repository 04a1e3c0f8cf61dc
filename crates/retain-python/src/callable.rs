//! Callable types with a vectorcall entry of their own.
//!
//! `#[pyclass]` calls through `tp_call`, which packs a tuple and a dict for each call. These types are called with the
//! caller's own array of arguments, and as methods without a bound method in between.

use std::any::Any;
use std::ffi::{CStr, c_int, c_void};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::arguments::Arguments;
use crate::compare::Likeness;
use crate::ending::{Stay, endable};
use crate::object::{Obj, owned_or_error};

/// What vectorcall is, except that a thread which the interpreter ends at shutdown may unwind through it.
pub(crate) type Entry = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// What is particular to a callable type.
pub(crate) trait Body: Sized + Send + Sync {
    /// Module and name.
    const NAME: &'static CStr;
    const DOC: &'static CStr;

    /// The methods, the last one null.
    fn methods() -> Vec<ffi::PyMethodDef>;

    /// What `instance.attribute` gives: a bound method, unless the type has something better.
    fn bind(&self, this: *mut ffi::PyObject, instance: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: both are alive, and this thread attached.
        unsafe { PyMethod_New(this, instance) }
    }

    /// Slots beyond those that every callable type has.
    fn slots() -> Vec<ffi::PyType_Slot> {
        Vec::new()
    }

    /// Shows the collector every reference, until it returns something other than 0.
    fn traverse(&self, visit: &mut impl FnMut(*mut ffi::PyObject) -> c_int) -> c_int;

    /// Gives up references that can lie on a cycle.
    fn clear(&self);
}

/// An instance: the header that the interpreter knows, then the body.
#[repr(C)]
pub(crate) struct Instance<T> {
    base: ffi::PyObject,
    entry: Option<Entry>,
    dict: *mut ffi::PyObject,
    weak_references: *mut ffi::PyObject,
    body: T,
}

impl<T: Body> Instance<T> {
    /// Makes the type.
    pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
        const fn member(name: &'static CStr, offset: usize) -> ffi::PyMemberDef {
            ffi::PyMemberDef {
                name: name.as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: offset.cast_signed(),
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            }
        }
        fn slot(slot: c_int, function: *mut c_void) -> ffi::PyType_Slot {
            ffi::PyType_Slot {
                slot,
                pfunc: function,
            }
        }
        let mut members = vec![
            member(c"__vectorcalloffset__", offset_of!(Self, entry)),
            member(c"__dictoffset__", offset_of!(Self, dict)),
            member(c"__weaklistoffset__", offset_of!(Self, weak_references)),
        ];
        // SAFETY: a member with a null name ends the list.
        members.push(unsafe { std::mem::zeroed() });
        let getters = vec![
            ffi::PyGetSetDef {
                name: c"__dict__".as_ptr(),
                get: Some(ffi::PyObject_GenericGetDict),
                set: Some(ffi::PyObject_GenericSetDict),
                doc: ptr::null(),
                closure: ptr::null_mut(),
            },
            // SAFETY: a getter with a null name ends the list.
            unsafe { std::mem::zeroed() },
        ];
        let mut slots = vec![
            slot(ffi::Py_tp_doc, T::DOC.as_ptr().cast_mut().cast()),
            slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            slot(ffi::Py_tp_descr_get, descr_get::<T> as *mut c_void),
            slot(ffi::Py_tp_traverse, traverse::<T> as *mut c_void),
            slot(ffi::Py_tp_clear, clear::<T> as *mut c_void),
            slot(ffi::Py_tp_dealloc, dealloc::<T> as *mut c_void),
            // The type refers to these three for as long as it lives, which is as long as the process.
            slot(ffi::Py_tp_methods, T::methods().leak().as_mut_ptr().cast()),
            slot(ffi::Py_tp_members, members.leak().as_mut_ptr().cast()),
            slot(ffi::Py_tp_getset, getters.leak().as_mut_ptr().cast()),
        ];
        slots.extend(T::slots());
        slots.push(slot(0, ptr::null_mut()));
        let flags = ffi::Py_TPFLAGS_DEFAULT
            | ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_HAVE_VECTORCALL
            | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
            | ffi::Py_TPFLAGS_IMMUTABLETYPE
            | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
        let mut spec = ffi::PyType_Spec {
            name: T::NAME.as_ptr(),
            basicsize: c_int::try_from(size_of::<Self>()).expect("instances are small"),
            itemsize: 0,
            #[allow(
                clippy::cast_possible_truncation,
                reason = "type flags are 32 bits wide"
            )]
            flags: flags as _,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the specification is complete, and names only functions of the types that the slots ask for.
        let made = owned_or_error(py, unsafe { ffi::PyType_FromSpec(&raw mut spec) })?;
        Ok(made.bind(py).clone().cast_into::<PyType>()?)
    }

    /// A new instance of `kind`, which [`make_type`](Self::make_type) made.
    pub(crate) fn create(kind: &Bound<'_, PyType>, entry: Entry, body: T) -> PyResult<Obj> {
        // SAFETY: `kind` is a type whose instances have this layout; the collector sees the instance once the body is
        // written, since nothing that could run it lies between allocation and writing.
        unsafe {
            let pointer = ffi::PyType_GenericAlloc(kind.as_type_ptr(), 0);
            let Some(object) = NonNull::new(pointer) else {
                return Err(PyErr::fetch(kind.py()));
            };
            ptr::write(&raw mut (*pointer.cast::<Self>()).body, body);
            (*pointer.cast::<Self>()).entry = Some(entry);
            Ok(Obj::from_owned(object))
        }
    }

    /// The body of an instance.
    ///
    /// # Safety
    /// `this` is an instance of the type that [`make_type`](Self::make_type) made for `T`, alive for `'a`.
    #[inline]
    pub(crate) unsafe fn body<'a>(this: *mut ffi::PyObject) -> &'a T {
        // SAFETY: says the caller.
        unsafe { &(*this.cast::<Self>()).body }
    }
}

unsafe extern "C" {
    // Public in the C API; the bindings leave it out.
    fn PyMethod_New(
        function: *mut ffi::PyObject,
        instance: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

unsafe extern "C" fn descr_get<T: Body>(
    this: *mut ffi::PyObject,
    instance: *mut ffi::PyObject,
    _owner: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter with live objects; `instance` may be null.
    unsafe {
        if instance.is_null() || instance == ffi::Py_None() {
            ffi::Py_INCREF(this);
            return this;
        }
        Instance::<T>::body(this).bind(this, instance)
    }
}

unsafe extern "C" fn traverse<T: Body>(
    this: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector on an instance. Its body is whole: it is written before anything can run the
    // collector.
    unsafe {
        let instance = this.cast::<Instance<T>>();
        for reference in [ffi::Py_TYPE(this).cast(), (*instance).dict] {
            if !reference.is_null() {
                let status = visit(reference, arg);
                if status != 0 {
                    return status;
                }
            }
        }
        (*instance).body.traverse(&mut |object| visit(object, arg))
    }
}

unsafe extern "C" fn clear<T: Body>(this: *mut ffi::PyObject) -> c_int {
    // SAFETY: called by the collector on an instance, with this thread attached.
    unsafe {
        let instance = this.cast::<Instance<T>>();
        let dict = std::mem::replace(&mut (*instance).dict, ptr::null_mut());
        ffi::Py_XDECREF(dict);
        (*instance).body.clear();
    }
    0
}

unsafe extern "C" fn dealloc<T: Body>(this: *mut ffi::PyObject) {
    // SAFETY: called once, when nothing refers to the instance any more, with this thread attached.
    unsafe {
        let kind = ffi::Py_TYPE(this);
        ffi::PyObject_GC_UnTrack(this.cast());
        let instance = this.cast::<Instance<T>>();
        if !(*instance).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(this);
        }
        let dict = std::mem::replace(&mut (*instance).dict, ptr::null_mut());
        ffi::Py_XDECREF(dict);
        ptr::drop_in_place(&raw mut (*instance).body);
        ffi::PyObject_GC_Del(this.cast());
        ffi::Py_DECREF(kind.cast());
    }
}

/// Runs the body of a method; an error or a panic becomes the exception that is set.
pub(crate) unsafe fn run_method<T: Body>(
    this: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
    body: impl FnOnce(
        &Bound<'_, PyAny>,
        &T,
        &Bound<'_, PyTuple>,
        Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Obj>,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, so this thread is attached and the arguments are alive, a tuple and, where
    // there are any keywords, a dict.
    unsafe {
        let py = Python::assume_attached();
        let _stay = Stay::begin();
        let result = guarded(|| {
            let args = Bound::from_borrowed_ptr(py, args).cast_into_unchecked::<PyTuple>();
            let kwargs = Bound::from_borrowed_ptr_or_opt(py, kwargs);
            let kwargs = kwargs.map(|kwargs| kwargs.cast_into_unchecked::<PyDict>());
            let owner = Bound::from_borrowed_ptr(py, this);
            body(&owner, Instance::<T>::body(this), &args, kwargs.as_ref())
        });
        result.map_or(ptr::null_mut(), Obj::into_ptr)
    }
}

/// Runs what may raise; an error or a panic becomes the exception that is set. Called by attached threads only.
pub(crate) fn guarded<R>(body: impl FnOnce() -> PyResult<R>) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(body));
    match result.unwrap_or_else(|panic| Err(panic_error(&*panic))) {
        Ok(value) => Some(value),
        Err(error) => {
            // SAFETY: says the caller.
            error.restore(unsafe { Python::assume_attached() });
            None
        }
    }
}

/// The exception for a panic.
fn panic_error(panic: &(dyn Any + Send)) -> PyErr {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    PanicException::new_err((message.unwrap_or_else(|| "panic in retain".into()),))
}

/// A method without arguments refuses them.
pub(crate) fn no_arguments(
    name: &str,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    if args.is_empty() && kwargs.is_none_or(PyDictMethods::is_empty) {
        Ok(())
    } else {
        Err(PyTypeError::new_err(format!("{name}() takes no arguments")))
    }
}

/// An entry of a method table: `method!(Type, "name", "($self, /)", "doc", |owner, body, args, kwargs| ...)`.
macro_rules! method {
    ($body:ty, $name:literal, $signature:literal, $doc:literal, $run:expr) => {{
        unsafe extern "C" fn method(
            this: *mut pyo3::ffi::PyObject,
            args: *mut pyo3::ffi::PyObject,
            kwargs: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls a method of the type with an instance of it.
            unsafe { $crate::callable::run_method::<$body>(this, args, kwargs, $run) }
        }
        const NAME: &str = concat!($name, "\0");
        const DOC: &str = concat!($name, $signature, "\n--\n\n", $doc, "\0");
        pyo3::ffi::PyMethodDef {
            ml_name: NAME.as_ptr().cast(),
            ml_meth: pyo3::ffi::PyMethodDefPointer {
                PyCFunctionWithKeywords: method,
            },
            ml_flags: pyo3::ffi::METH_VARARGS | pyo3::ffi::METH_KEYWORDS,
            ml_doc: DOC.as_ptr().cast(),
        }
    }};
}
pub(crate) use method;

/// A call as vectorcall hands it over.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
}

impl Call {
    /// # Safety
    /// The parameters are those of a vectorcall that goes on as long as this is used.
    #[inline]
    pub(crate) unsafe fn new(
        args: *const *mut ffi::PyObject,
        nargsf: usize,
        names: *mut ffi::PyObject,
    ) -> Self {
        Self {
            args,
            nargsf,
            names,
        }
    }

    /// How many arguments are given by position.
    #[inline]
    pub(crate) fn positional(self) -> usize {
        self.nargsf & !(1 << (usize::BITS - 1))
    }

    /// The arguments by position.
    #[inline]
    pub(crate) fn values<'a>(self) -> &'a [*mut ffi::PyObject] {
        match self.positional() {
            0 => &[],
            // SAFETY: vectorcall's promise.
            count => unsafe { std::slice::from_raw_parts(self.args, count) },
        }
    }

    /// The arguments by keyword: their names, a tuple or null, and their values.
    #[inline]
    pub(crate) fn named<'a>(self) -> (*mut ffi::PyObject, &'a [*mut ffi::PyObject]) {
        if self.names.is_null() {
            return (self.names, &[]);
        }
        // SAFETY: vectorcall's promise: the values of the names lie behind those by position.
        unsafe {
            match ffi::PyTuple_GET_SIZE(self.names) {
                0 => (ptr::null_mut(), &[]),
                count => {
                    let start = self.args.add(self.positional());
                    let values = std::slice::from_raw_parts(start, count.cast_unsigned());
                    (self.names, values)
                }
            }
        }
    }

    /// The arguments as they were given.
    #[inline]
    pub(crate) fn arguments<'a>(self, likeness: Likeness) -> Arguments<'a> {
        let (names, by_keyword) = self.named();
        let count = self.positional() + by_keyword.len();
        // SAFETY: vectorcall's promise: so many live arguments, the last of them named.
        unsafe {
            let values = match count {
                0 => &[],
                _ => std::slice::from_raw_parts(self.args, count),
            };
            Arguments::new(values, names, likeness)
        }
    }

    /// Calls `function` with the same arguments: a new reference, or null with the error set.
    ///
    /// # Safety
    /// `function` is a live object.
    #[inline]
    pub(crate) unsafe fn run(self, function: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: vectorcall's promise, passed on.
        endable(|| unsafe {
            ffi::PyObject_Vectorcall(function, self.args, self.nargsf, self.names)
        })
    }
}

/// Calls `function` with arguments by position.
pub(crate) fn call<'py, const N: usize>(
    function: &Bound<'py, PyAny>,
    args: [&Bound<'py, PyAny>; N],
) -> PyResult<Obj> {
    let args = args.map(Bound::as_ptr);
    // SAFETY: the arguments and the function are alive.
    let result = unsafe { Call::new(args.as_ptr(), N, ptr::null_mut()).run(function.as_ptr()) };
    owned_or_error(function.py(), result)
}

/// A tuple and a dict of arguments, as an array for vectorcall.
pub(crate) struct Unpacked<'py> {
    values: Vec<*mut ffi::PyObject>,
    positional: usize,
    names: Option<Bound<'py, PyTuple>>,
}

impl<'py> Unpacked<'py> {
    /// `args` and `kwargs` must outlive the result, and not change meanwhile.
    pub(crate) fn new(args: &Bound<'py, PyTuple>, kwargs: Option<&Bound<'py, PyDict>>) -> Self {
        let mut values = args.iter().map(|value| value.as_ptr()).collect::<Vec<_>>();
        let positional = values.len();
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let names = match kwargs {
            Some(kwargs) => {
                values.extend(kwargs.values().iter().map(|value| value.as_ptr()));
                Some(kwargs.keys().to_tuple())
            }
            None => None,
        };
        Self {
            values,
            positional,
            names,
        }
    }

    pub(crate) fn call(&self) -> Call {
        let names = self.names.as_ref().map_or(ptr::null_mut(), Bound::as_ptr);
        // SAFETY: so many live arguments, with so many names.
        unsafe { Call::new(self.values.as_ptr(), self.positional, names) }
    }
}
