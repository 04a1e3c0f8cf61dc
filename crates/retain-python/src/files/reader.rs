//! What an unpickler reads from.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use retain_format::{Buffer, Codec, Error, ReadAt, Seekable, Skeleton, Stored, Window};

use super::faults::{raised, system};
use super::view::View;
use crate::ending::Stay;
use crate::object::Obj;

/// Where huge pages pay.
const HUGE: usize = 4 << 20;

type Source = Box<dyn ReadAt>;

/// A file that is being loaded: the opcodes for an unpickler, as a file object, and its buffers, as an iterator.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Reader {
    stored: Stored<Source>,
    state: Mutex<State>,
    filename: Option<Obj>,
    /// Makes the buffer at an offset and of a length; None reads it.
    map: Option<Obj>,
}

struct State {
    skeleton: Skeleton,
    window: Window,
    next: usize,
}

#[pymethods]
impl Reader {
    /// Opens the retain file `path`; None if it is none. Its opcodes are checked.
    #[staticmethod]
    #[pyo3(signature = (path, map=None))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        map: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Self>> {
        let _stay = Stay::begin();
        let filename = path.as_path().into_pyobject(py)?.into_any();
        let opened = py.detach(|| -> Result<_, Error> {
            let Some(mut stored) = open(File::open(&path)?)? else {
                return Ok(None);
            };
            stored.check_skeleton()?;
            Ok(Some(stored))
        });
        let stored = opened.map_err(|error| raised(py, error, Some(&filename)))?;
        Ok(stored.map(|stored| Self {
            state: Mutex::new(State {
                skeleton: stored.skeleton(),
                window: Window::new(),
                next: 0,
            }),
            stored,
            filename: Some(filename.into()),
            map: map.map(Obj::from),
        }))
    }

    /// Some of the next bytes, without moving on.
    fn peek<'py>(&self, py: Python<'py>, _size: isize) -> PyResult<Bound<'py, PyBytes>> {
        let state = &mut *self.state()?;
        let filled = self.fill(py, state)?;
        Ok(PyBytes::new(py, filled))
    }

    /// So many of the next bytes; fewer at the end.
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let state = &mut *self.state()?;
        PyBytes::new_with_writer(py, size.min(1 << 20), |out| {
            let mut left = size;
            while left > 0 {
                let filled = self.fill(py, state)?;
                let part = &filled[..filled.len().min(left)];
                if part.is_empty() {
                    break;
                }
                io::Write::write_all(out, part)?;
                left -= part.len();
                let count = part.len();
                state.skeleton.consume(count);
            }
            Ok(())
        })
    }

    /// Fills a buffer with the next bytes; returns how many there were.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let state = &mut *self.state()?;
        let mut view = View::writable(buffer)?;
        let into = view.bytes_mut();
        let mut done = 0;
        while done < into.len() {
            let filled = self.fill(py, state)?;
            let count = filled.len().min(into.len() - done);
            if count == 0 {
                break;
            }
            into[done..done + count].copy_from_slice(&filled[..count]);
            done += count;
            state.skeleton.consume(count);
        }
        Ok(done)
    }

    /// The next bytes up to a newline and with it.
    fn readline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = &mut *self.state()?;
        let mut line = Vec::new();
        loop {
            let filled = self.fill(py, state)?;
            let end = filled.iter().position(|&byte| byte == b'\n');
            let count = end.map_or(filled.len(), |end| end + 1);
            line.extend_from_slice(&filled[..count]);
            state.skeleton.consume(count);
            if end.is_some() || count == 0 {
                return Ok(PyBytes::new(py, &line));
            }
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// The next buffer.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _stay = Stay::begin();
        let state = &mut *self.state()?;
        let index = state.next;
        state.next += 1;
        let Some(&buffer) = self.stored.buffers().get(index) else {
            return Ok(None);
        };
        match &self.map {
            Some(map) if buffer.len > 0 => {
                map.bind(py).call1((buffer.offset, buffer.len)).map(Some)
            }
            _ => self
                .read_buffer(py, &mut state.window, index, buffer)
                .map(Some),
        }
    }

    /// Where the trailer lies, and what it is to be while the buffers are written to in place.
    fn without_checksums<'py>(&self, py: Python<'py>) -> (u64, Bound<'py, PyBytes>) {
        let (offset, trailer) = self.stored.without_checksums();
        (offset, PyBytes::new(py, &trailer))
    }
}

impl Reader {
    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(state)) => Ok(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "this file is being read from already",
            )),
        }
    }

    fn fill<'a>(&'a self, py: Python<'_>, state: &'a mut State) -> PyResult<&'a [u8]> {
        py.check_signals()?;
        state
            .skeleton
            .fill(&self.stored)
            .map_err(|error| system(py, error, self.filename.as_ref().map(|name| name.bind(py))))
    }

    /// A new bytearray, or bytes, that holds the buffer.
    fn read_buffer<'py>(
        &self,
        py: Python<'py>,
        window: &mut Window,
        index: usize,
        buffer: Buffer,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (object, into) = allocated(py, buffer)?;
        py.detach(|| self.stored.read_buffer(window, index, into))
            .map_err(|error| raised(py, error, self.filename.as_ref().map(|name| name.bind(py))))?;
        py.check_signals()?;
        Ok(object)
    }
}

/// The retain file that `file` holds, if it holds one that can be read at any place.
fn open(file: File) -> Result<Option<Stored<Source>>, Error> {
    let mut start = [0; 4];
    let source: Source = match file.read_exact_at(&mut start, 0) {
        Ok(()) if Codec::detect(&start) == Some(Codec::Zstd) => match Seekable::open(file)? {
            Some(seekable) => Box::new(seekable),
            None => return Ok(None),
        },
        _ => Box::new(file),
    };
    Ok(Stored::open(source)?.ok())
}

/// A new bytearray or bytes object, and its memory, to be filled before anyone else sees it.
fn allocated<'py>(py: Python<'py>, buffer: Buffer) -> PyResult<(Bound<'py, PyAny>, &'py mut [u8])> {
    let len = isize::try_from(buffer.len)
        .map_err(|_| PyValueError::new_err("a buffer too large for this machine"))?;
    // SAFETY: with a null pointer, both make objects with so many bytes of memory that nothing else refers to yet.
    // Memory of C's allocator holds bytes, whichever.
    unsafe {
        let object = if buffer.writable {
            ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len)
        } else {
            ffi::PyBytes_FromStringAndSize(std::ptr::null(), len)
        };
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let start = if buffer.writable {
            ffi::PyByteArray_AsString(object.as_ptr())
        } else {
            ffi::PyBytes_AsString(object.as_ptr())
        };
        let bytes = std::slice::from_raw_parts_mut(start.cast::<u8>(), len.unsigned_abs());
        huge_pages(bytes);
        Ok((object, bytes))
    }
}

/// Asks for huge pages below fresh memory: filling it takes a fraction of the page faults.
#[cfg(target_os = "linux")]
fn huge_pages(bytes: &mut [u8]) {
    use rustix::mm::{Advice, madvise};

    if bytes.len() < HUGE {
        return;
    }
    let page = rustix::param::page_size();
    let start = bytes.as_mut_ptr();
    let skip = start.align_offset(page);
    let len = bytes.len().saturating_sub(skip) / page * page;
    // SAFETY: whole pages inside of the slice. The advice changes nothing that can be seen but time.
    let _ = unsafe { madvise(start.wrapping_add(skip).cast(), len, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn huge_pages(_bytes: &mut [u8]) {}
