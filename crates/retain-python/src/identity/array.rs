//! numpy's arrays, read where they lie.
//!
//! An array is a struct whose fields are part of numpy's stable binary interface: its macros compile to reads of them.

use std::ffi::{CStr, c_int};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hashbrown::HashMap;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType, PyWeakrefReference};
use pyo3::{ffi, intern};
use retain_key::{Code, Encoder, KeyHasher, Large, Shape};

use super::leaf;
use crate::object::Obj;

#[repr(C)]
struct Fields {
    object: ffi::PyObject,
    data: *mut u8,
    dimensions: c_int,
    shape: *const isize,
    strides: *const isize,
    base: *mut ffi::PyObject,
    dtype: *mut ffi::PyObject,
    flags: c_int,
}

const C_CONTIGUOUS: c_int = 1;
const F_CONTIGUOUS: c_int = 2;

/// Whether `kind` is the type that numpy makes its arrays of.
pub(super) fn is_ndarray(kind: &Bound<'_, PyType>) -> bool {
    // SAFETY: the type is alive, and its name ends with a zero. Types that are made in C, and not of parts at run time,
    // cannot be made by Python code, nor renamed.
    unsafe {
        let kind = &*kind.as_type_ptr();
        kind.tp_flags & ffi::Py_TPFLAGS_HEAPTYPE == 0
            && CStr::from_ptr(kind.tp_name) == c"numpy.ndarray"
            && kind.tp_basicsize.cast_unsigned() >= size_of::<Fields>()
    }
}

pub(super) fn is_memory_map(kind: &Bound<'_, PyType>) -> bool {
    let py = kind.py();
    let memmap = || {
        let modules = py.import("sys").ok()?.getattr("modules").ok()?;
        modules.get_item("numpy").ok()?.getattr("memmap").ok()
    };
    // SAFETY: the type is alive, and its base null or a type.
    let base = unsafe {
        let base = (*kind.as_type_ptr()).tp_base;
        Bound::from_borrowed_ptr_or_opt(py, base.cast())
    };
    base.is_some_and(|base| base.cast::<PyType>().is_ok_and(is_ndarray))
        && memmap().is_some_and(|memmap| memmap.is(kind))
}

/// What an array's type says about its elements.
pub(super) enum Elements {
    /// Bytes that tell all.
    Raw(Raw),
    /// References to objects.
    Objects { dtype: Code },
    /// Bytes that refer to more.
    Other,
}

pub(super) struct Raw {
    dtype: Code,
    /// Bytes of each element.
    size: usize,
    /// Which of them are part of its value, if not all: between the fields of structs there can be room.
    mask: Option<Vec<u8>>,
}

struct Entry {
    dtype: Obj,
    /// The names of its fields. Of all that is told of a dtype, they alone can change.
    names: Obj,
    elements: Arc<Elements>,
}

/// The address of an array's dtype.
pub(super) fn dtype_of(array: &Bound<'_, PyAny>) -> usize {
    fields(array).dtype.addr()
}

/// While it lives, the array is not resized: numpy leaves alone those that are referred to weakly.
pub(super) fn pin<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyWeakrefReference>> {
    PyWeakrefReference::new(array)
}

/// The elements of `array`; `code_of` makes the code of its dtype. That can run any code: the array is to be looked at
/// again.
pub(super) fn elements<'py>(
    array: &Bound<'py, PyAny>,
    code_of: impl Fn(&Bound<'py, PyAny>) -> PyResult<Code>,
) -> PyResult<Arc<Elements>> {
    /// More dtypes than a program has, unless it makes them as it goes.
    const MOST: usize = 256;
    static TABLE: LazyLock<Mutex<HashMap<usize, Entry>>> = LazyLock::new(Mutex::default);

    let py = array.py();
    let address = dtype_of(array);
    let known = {
        let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.get(&address);
        entry.map(|entry| (entry.names.clone(), entry.elements.clone()))
    };
    // SAFETY: the array keeps its dtype alive.
    let dtype = unsafe { Bound::from_borrowed_ptr(py, fields(array).dtype) };
    if let Some((names, elements)) = known
        && (names.bind(py).is_none() || dtype.getattr(intern!(py, "names"))?.is(names.bind(py)))
    {
        return Ok(elements);
    }
    let names = dtype.getattr(intern!(py, "names"))?;
    let code: char = dtype.getattr("char")?.extract()?;
    let elements = Arc::new(if let Some(elements) = plain(&dtype, code)? {
        Elements::Raw(elements)
    } else if code == 'O' {
        Elements::Objects {
            dtype: code_of(&dtype)?,
        }
    } else if code == 'T' || dtype.getattr("hasobject")?.is_truthy()? {
        Elements::Other
    } else {
        let helpers = py.import(intern!(py, "retain._parts_numpy"))?;
        let mask: Vec<u8> = helpers.call_method1("mask", (&dtype,))?.extract()?;
        Elements::Raw(Raw {
            dtype: code_of(&dtype)?,
            size: mask.len(),
            mask: mask.contains(&0).then_some(mask),
        })
    });
    if can_change(&dtype)? {
        return Ok(elements);
    }
    let entry = Entry {
        dtype: dtype.into(),
        names: names.into(),
        elements: elements.clone(),
    };
    let gone = {
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let full = (table.len() >= MOST).then(|| std::mem::take(&mut *table));
        (table.insert(entry.dtype.as_ptr().addr(), entry), full)
    };
    drop(gone);
    Ok(elements)
}

/// The elements of a dtype that its name tells all of.
fn plain(dtype: &Bound<'_, PyAny>, code: char) -> PyResult<Option<Raw>> {
    let built_in =
        dtype.getattr("isbuiltin")?.extract::<i32>()? == 1 && "?bBhHiIlLqQefdFD".contains(code);
    if !(built_in || "SU".contains(code)) || dtype.getattr("metadata")?.is_truthy()? {
        return Ok(None);
    }
    let name = dtype.getattr("str")?.cast_into::<PyString>()?;
    let mut hasher = KeyHasher::new();
    hasher.object("numpy.dtype", |hasher| hasher.str(&name.to_string_lossy()));
    Ok(Some(Raw {
        dtype: hasher.code(),
        size: dtype.getattr("itemsize")?.extract()?,
        mask: None,
    }))
}

/// Whether there is more to a dtype that could be changed unseen: metadata, or the names of its fields' fields.
fn can_change(dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !dtype.getattr("metadata")?.is_none() {
        return Ok(true);
    }
    let fields = dtype.getattr("fields")?;
    if fields.is_none() {
        return Ok(!dtype.getattr("subdtype")?.is_none());
    }
    for field in fields.call_method0("values")?.try_iter()? {
        let inner = field?.get_item(0)?;
        if !inner.getattr("fields")?.is_none() || can_change(&inner)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fields<'a>(array: &'a Bound<'_, PyAny>) -> &'a Fields {
    // SAFETY: the object is an array, says the route of its type.
    unsafe { &*array.as_ptr().cast::<Fields>() }
}

impl Fields {
    fn shape(&self) -> &[isize] {
        self.lengths(self.shape)
    }

    fn strides(&self) -> &[isize] {
        self.lengths(self.strides)
    }

    fn lengths(&self, lengths: *const isize) -> &[isize] {
        match usize::try_from(self.dimensions) {
            Ok(count) if count > 0 => {
                // SAFETY: an array has as many lengths and strides as dimensions.
                unsafe { std::slice::from_raw_parts(lengths, count) }
            }
            _ => &[],
        }
    }

    fn count(&self) -> usize {
        self.shape()
            .iter()
            .map(|length| length.unsigned_abs())
            .product()
    }
}

/// Writes an array whose bytes tell all; its dtype is that of `elements`.
pub(super) fn raw<E: Encoder>(
    encoder: &mut E,
    scratch: &mut Vec<u8>,
    array: &Bound<'_, PyAny>,
    elements: &Raw,
) -> PyResult<()> {
    let fields = fields(array);
    let contiguous = fields.flags & (C_CONTIGUOUS | F_CONTIGUOUS);
    let fortran = contiguous == F_CONTIGUOUS;
    begin(
        encoder,
        fields,
        &elements.dtype,
        if fortran { "F" } else { "C" },
    );
    let length = fields.count() * elements.size;
    if length == 0 {
        encoder.bytes(&[]);
    } else if contiguous != 0 && elements.mask.is_none() {
        // SAFETY: so many bytes lie there, as long as the array lives. Another thread may write to them meanwhile, as
        // `hash` documents: then the digest is that of some mixture.
        let content = unsafe { std::slice::from_raw_parts(fields.data, length) };
        let _pin = (length >= leaf::MANY).then(|| pin(array)).transpose()?;
        leaf::bytes(array.py(), encoder, content);
    } else {
        let axes = fields
            .shape()
            .iter()
            .copied()
            .zip(fields.strides().iter().copied());
        let axes: Vec<_> = if fortran {
            axes.rev().collect()
        } else {
            axes.collect()
        };
        let _pin = (length >= leaf::MANY).then(|| pin(array)).transpose()?;
        gathered(array.py(), encoder, scratch, fields.data, &axes, elements)?;
    }
    Ok(())
}

/// Begins the object, up to what it holds.
fn begin<E: Encoder>(encoder: &mut E, fields: &Fields, dtype: &Code, order: &str) {
    encoder.str("array");
    encoder.encoded(dtype);
    encoder.begin(Shape::Tuple);
    for &length in fields.shape() {
        encoder.integer(length as i64);
    }
    encoder.end(false);
    encoder.str(order);
}

/// Begins an array of objects, and returns them in the order of C, in an array that keeps them.
pub(super) fn objects<'py, E: Encoder>(
    encoder: &mut E,
    array: &Bound<'py, PyAny>,
    dtype: &Code,
) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let flat = array.call_method0("ravel")?;
    begin(encoder, fields(array), dtype, "C");
    let count = fields(&flat).count();
    Ok((flat, count))
}

/// An item of a flat array of objects.
pub(super) fn object_at<'py>(flat: &Bound<'py, PyAny>, index: usize) -> Bound<'py, PyAny> {
    let py = flat.py();
    let items: *const [u8; size_of::<*mut ffi::PyObject>()] = fields(flat).data.cast();
    // SAFETY: callers stay below the count; in a field of a struct, references need not be aligned. An item that was never
    // set is null, and counts as None.
    unsafe {
        let item = items
            .add(index)
            .cast::<*mut ffi::PyObject>()
            .read_unaligned();
        Bound::from_borrowed_ptr_or_opt(py, item).unwrap_or_else(|| py.None().into_bound(py))
    }
}

/// Writes elements one after the other, by the lengths and strides of the axes, the innermost last.
fn gathered<E: Encoder>(
    py: Python<'_>,
    encoder: &mut E,
    scratch: &mut Vec<u8>,
    data: *const u8,
    axes: &[(isize, isize)],
    elements: &Raw,
) -> PyResult<()> {
    const GATHERED: usize = 1 << 16;
    let size = elements.size;
    let gather = |scratch: &mut Vec<u8>, start, count, stride| {
        let place = scratch.len();
        copy(scratch, start, count, stride, size);
        if let Some(mask) = &elements.mask {
            for element in scratch[place..].chunks_exact_mut(size) {
                element
                    .iter_mut()
                    .zip(mask)
                    .for_each(|(byte, used)| *byte &= used);
            }
        }
    };
    let length = size
        * axes
            .iter()
            .map(|axis| axis.0.unsigned_abs())
            .product::<usize>();
    scratch.clear();
    if length < Large::LEAST {
        for_each_run(data, axes, |start, count, stride| {
            gather(scratch, start, count, stride);
            Ok(())
        })?;
        encoder.bytes(scratch);
        return Ok(());
    }
    let mut large = Large::pieces(false, length);
    let mut patience = leaf::MANY;
    for_each_run(data, axes, |mut start, mut count, stride| {
        while count > 0 {
            let piece = count.min(GATHERED / size + 1);
            gather(scratch, start, piece, stride);
            if scratch.len() >= GATHERED {
                large.update(scratch);
                patience = patience.saturating_sub(scratch.len());
                scratch.clear();
            }
            if patience == 0 {
                // The turn of other threads, and of Ctrl-C.
                patience = leaf::MANY;
                py.detach(|| ());
                py.check_signals()?;
            }
            start = start.wrapping_offset(stride * piece.cast_signed());
            count -= piece;
        }
        Ok(())
    })?;
    large.update(scratch);
    encoder.digested(large.finish());
    Ok(())
}

/// Visits the rows along the last axis, in order: where each starts, of how many elements, how far apart.
fn for_each_run(
    data: *const u8,
    axes: &[(isize, isize)],
    mut visit: impl FnMut(*const u8, usize, isize) -> PyResult<()>,
) -> PyResult<()> {
    let Some((&(count, stride), axes)) = axes.split_last() else {
        return visit(data, 1, 0);
    };
    let mut index = vec![0; axes.len()];
    let mut start = data;
    loop {
        visit(start, count.unsigned_abs(), stride)?;
        let mut place = axes.len();
        loop {
            let Some(outer) = place.checked_sub(1) else {
                return Ok(());
            };
            place = outer;
            let (length, stride) = axes[place];
            index[place] += 1;
            start = start.wrapping_offset(stride);
            if index[place] < length {
                break;
            }
            start = start.wrapping_offset(-stride * length);
            index[place] = 0;
        }
    }
}

fn copy(out: &mut Vec<u8>, start: *const u8, count: usize, stride: isize, size: usize) {
    match size {
        _ if stride == size.cast_signed() => {
            // SAFETY: elements of the array, which is alive, without room between them.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(start, count * size) });
        }
        1 => copy_sized::<1>(out, start, count, stride),
        2 => copy_sized::<2>(out, start, count, stride),
        4 => copy_sized::<4>(out, start, count, stride),
        8 => copy_sized::<8>(out, start, count, stride),
        16 => copy_sized::<16>(out, start, count, stride),
        _ => {
            for step in 0..count.cast_signed() {
                // SAFETY: an element of the array, which is alive and of this size.
                let element = unsafe {
                    std::slice::from_raw_parts(start.wrapping_offset(step * stride), size)
                };
                out.extend_from_slice(element);
            }
        }
    }
}

fn copy_sized<const SIZE: usize>(out: &mut Vec<u8>, start: *const u8, count: usize, stride: isize) {
    let place = out.len();
    out.resize(place + count * SIZE, 0);
    for (step, to) in (0..).zip(out[place..].as_chunks_mut::<SIZE>().0) {
        let from = start.wrapping_offset(step * stride).cast::<[u8; SIZE]>();
        // SAFETY: an element of the array, which is alive and of this size.
        *to = unsafe { from.read_unaligned() };
    }
}
