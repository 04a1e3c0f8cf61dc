//! What an unpickler reads from.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice};
use retain_format::foreign::{Foreign, Pause};
use retain_format::verify::Planned;
use retain_format::{
    Buffer, Codec, Error, HEAD_LEN, Head, ReadAt, Skeleton, Stored, Streamed, Window,
};

use super::block::{Block, InMemory};
use super::faults::raised;
use super::held::{Held, check_rest, head_is_damaged, head_of};
use super::input::{Input, Interruptible, Source};
use super::memory::{HUGE, huge_pages, new_bytearray, new_bytes};
use super::open::{COMPRESSED, Opened, START, open, other, read_start, shared};
use super::view::View;
use crate::ending::Stay;
use crate::object::Obj;

pub(super) type Place = Box<dyn ReadAt>;

/// A file that is being loaded: the opcodes for an unpickler, as a file object, and its buffers, as an iterator.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Reader {
    body: Mutex<Body>,
    filename: Option<Obj>,
    /// Makes the buffer at an offset and of a length; None reads it.
    map: Option<Obj>,
    codec: Option<Codec>,
    /// The file in memory, if most of it is buffers: they are parts of it then.
    block: Option<Py<Block>>,
    /// What went wrong. An unpickler may hide it behind an error of its own.
    fault: Mutex<Option<Obj>>,
    /// Whether the lengths that the file tells of are known to be true: they are checked, or within the file.
    is_bounded: bool,
}

pub(super) enum Body {
    /// A retain file that is read at any place.
    Stored {
        stored: Stored<Place>,
        skeleton: Skeleton,
        window: Window,
        next: usize,
    },
    /// Any other, from front to back.
    Streamed {
        streamed: Box<Streamed<Input>>,
        /// Opcodes that the unpickler has had but not yet read, as it sees it; of the streams around this one, too.
        owed: Vec<usize>,
        /// What was read before the unpickler began.
        held: Held,
    },
    /// A file in memory, as it was verified.
    Planned {
        planned: Planned,
        block: Py<Block>,
        owed: Vec<usize>,
    },
}

#[pymethods]
impl Reader {
    /// Opens the file `path`. What is no pickle, compressed or not, is not opened: its first bytes are returned instead.
    #[staticmethod]
    /// With `handle`, the file that is open there is read, whatever has the name by now.
    #[pyo3(signature = (path, map=None, handle=None))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn open<'py>(
        py: Python<'py>,
        path: PathBuf,
        map: Option<&Bound<'py, PyAny>>,
        handle: Option<isize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _stay = Stay::begin();
        let filename = path.as_os_str().into_pyobject(py)?.into_any();
        let opened = py
            .detach(|| open(handle.map_or_else(|| File::open(&path), shared)?))
            .map_err(|error| raised(py, error, Some(&filename)))?;
        let (body, codec) = match opened {
            Opened::Pickle(body, codec) => (*body, codec),
            Opened::Other(start) => return Ok(PyBytes::new(py, &start).into_any()),
        };
        let reader = Self {
            body: Mutex::new(body),
            filename: Some(filename.into()),
            map: map.filter(|_| codec.is_none()).map(Obj::from),
            codec,
            block: None,
            fault: Mutex::default(),
            is_bounded: codec.is_none(),
        };
        reader.hold(py)?;
        Ok(Bound::new(py, reader)?.into_any())
    }

    /// Reads from the object `file`, where it stands. With `exact`, nothing behind the value is read.
    #[staticmethod]
    #[pyo3(signature = (file, exact, path=None))]
    fn of<'py>(
        py: Python<'py>,
        file: &Bound<'py, PyAny>,
        exact: bool,
        path: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _stay = Stay::begin();
        let filename = path.map(Obj::from);
        let mut source = Source::new(file.clone().unbind());
        let start = py
            .detach(|| {
                let mut start = Vec::new();
                read_start(&mut source, &mut start, 2)?;
                // A pickle of two bytes may be followed by something else.
                let magic = COMPRESSED.iter().any(|magic| start == magic[..]);
                if !exact || magic || Codec::detect(&start).is_some() {
                    read_start(&mut source, &mut start, START)?;
                }
                Ok(start)
            })
            .map_err(|error: io::Error| raised(py, error.into(), path))?;
        if start.is_empty() {
            return Err(raised(
                py,
                Error::Truncated("there is nothing to read".into()),
                path,
            ));
        }
        if other(&start) {
            return Ok(PyBytes::new(py, &start).into_any());
        }
        let codec = Codec::detect(&start);
        source.give_back(start);
        let foreign = match codec {
            Some(codec) => Foreign::new(Input::Decoder(Interruptible::new(
                codec
                    .decoder(source)
                    .map_err(|error| raised(py, error.into(), path))?,
            ))),
            None if exact => Foreign::new(Input::Object(source)).read_ahead(0),
            None => Foreign::new(Input::Object(source)),
        };
        let reader = Self {
            body: Mutex::new(Body::streamed(foreign)),
            filename,
            map: None,
            codec,
            block: None,
            fault: Mutex::default(),
            is_bounded: false,
        };
        reader.hold(py)?;
        Ok(Bound::new(py, reader)?.into_any())
    }

    /// Reads from a file that lies in memory.
    #[staticmethod]
    fn of_block(py: Python<'_>, block: &Bound<'_, Block>) -> PyResult<Self> {
        let _stay = Stay::begin();
        let memory = InMemory(block.clone().unbind());
        let stream = Input::Block(block.clone().unbind(), 0);
        let verified = block.clone().unbind();
        let plan = block.get().plan();
        let filename = block
            .get()
            .filename
            .as_ref()
            .map(|name| name.into_pyobject(py))
            .transpose()?;
        let opened = py.detach(|| -> Result<_, Error> {
            let head = Head::parse(memory.bytes().unwrap_or_default())?;
            match Stored::open(Box::new(memory) as Place) {
                Ok(Ok(mut stored)) => {
                    if let Some(plan) = &plan {
                        stored.check_plan(plan)?;
                    }
                    stored.keep_skeleton()?;
                    stored.check_buffers()?;
                    Ok(Body::stored(stored))
                }
                Err(error) if head != Some(Head::UNKNOWN) => Err(error),
                _ => Ok(match plan {
                    Some(plan) => Body::Planned {
                        planned: Planned::new(plan),
                        block: verified,
                        owed: vec![0],
                    },
                    None => Body::streamed(Foreign::new(stream)),
                }),
            }
        });
        let filename = filename.map(Bound::into_any);
        let body = opened.map_err(|error| raised(py, error, filename.as_ref()))?;
        let whole = match &body {
            Body::Stored { stored, .. } => {
                let buffers: u64 = stored.buffers().iter().map(|buffer| buffer.len).sum();
                buffers.saturating_mul(2) >= block.get().bytes().len() as u64
            }
            Body::Streamed { .. } | Body::Planned { .. } => false,
        };
        Ok(Self {
            body: Mutex::new(body),
            filename: filename.map(Obj::from),
            map: None,
            codec: block.get().codec,
            block: whole.then(|| block.clone().unbind()),
            fault: Mutex::default(),
            is_bounded: true,
        })
    }

    /// The name of the codec that the file is compressed with.
    #[getter]
    fn codec(&self) -> Option<&'static str> {
        self.codec.map(Codec::name)
    }

    /// Whether the lengths that the file tells of are known to be true.
    #[getter]
    fn is_bounded(&self) -> PyResult<bool> {
        Ok(match &*self.body()? {
            Body::Stored { .. } | Body::Planned { .. } => true,
            Body::Streamed { .. } => self.is_bounded,
        })
    }

    /// The last error that was raised here. It is given away: it would keep its frames, and those this reader.
    fn take_fault<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.take().map(|fault| fault.bind(py).clone())
    }

    /// What is wrong with the file, now that the unpickler has failed: what was raised here, or else what the rest of the
    /// stream brings to light.
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _stay = Stay::begin();
        if let Some(fault) = self.take_fault(py) {
            return Ok(Some(fault));
        }
        let Body::Streamed { streamed, .. } = &mut *self.body()? else {
            return Ok(None);
        };
        Ok(match py.detach(|| check_rest(streamed)) {
            Ok(()) => None,
            // What keeps it from being read is another matter.
            Err(Error::Io(error))
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                None
            }
            Err(error) => Some(
                self.told(py, error)
                    .into_value(py)
                    .into_bound(py)
                    .into_any(),
            ),
        })
    }

    /// Some of the next bytes, without moving on.
    fn peek<'py>(&self, py: Python<'py>, _size: isize) -> PyResult<Bound<'py, PyBytes>> {
        let body = &mut *self.body()?;
        let filled = self.fill(py, body)?;
        Ok(PyBytes::new(py, filled))
    }

    /// So many of the next bytes; fewer at the end.
    fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyBytes>> {
        let body = &mut *self.body()?;
        let mut bytes = vec![0; body.settle(size)];
        while bytes.len() < size {
            let filled = self.fill(py, body)?;
            let count = filled.len().min(size - bytes.len());
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&filled[..count]);
            self.consume(py, body, count)?;
        }
        Ok(PyBytes::new(py, &bytes))
    }

    /// Fills a buffer with the next bytes; returns how many there were.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let body = &mut *self.body()?;
        let mut view = View::writable(buffer)?;
        let into = view.bytes_mut();
        let mut done = body.settle(into.len());
        while done < into.len() {
            let filled = self.fill(py, body)?;
            let count = filled.len().min(into.len() - done);
            if count == 0 {
                break;
            }
            into[done..done + count].copy_from_slice(&filled[..count]);
            done += count;
            self.consume(py, body, count)?;
        }
        Ok(done)
    }

    /// The next bytes up to a newline and with it.
    fn readline<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let body = &mut *self.body()?;
        body.settle(usize::MAX);
        let mut line = Vec::new();
        loop {
            let filled = self.fill(py, body)?;
            let end = filled.iter().position(|&byte| byte == b'\n');
            let count = end.map_or(filled.len(), |end| end + 1);
            line.extend_from_slice(&filled[..count]);
            if count > 0 {
                self.consume(py, body, count)?;
            }
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
        match &mut *self.body()? {
            Body::Stored {
                stored,
                window,
                next,
                ..
            } => {
                let index = *next;
                *next += 1;
                let Some(&buffer) = stored.buffers().get(index) else {
                    return Ok(None);
                };
                if let Some(block) = self.block.as_ref().filter(|_| buffer.len > 0) {
                    return part(block.bind(py), buffer).map(Some);
                }
                if let Some(map) = self.map.as_ref().filter(|_| buffer.len > 0) {
                    return map.bind(py).call1((buffer.offset, buffer.len)).map(Some);
                }
                let (object, into) = self.allocated(py, buffer.len, buffer.writable, true)?;
                py.detach(|| stored.read_buffer(window, index, into))
                    .map_err(|error| self.failed(py, error))?;
                py.check_signals()?;
                Ok(Some(object))
            }
            Body::Planned { .. } => Ok(None),
            body @ Body::Streamed { .. } => {
                if let Body::Streamed { held, .. } = body
                    && let Some(buffer) = held.next_buffer()
                {
                    return Ok(Some(buffer.bind(py).clone()));
                }
                let Some(Pause::Buffer { length, read_only }) = body.arrive() else {
                    return Ok(None);
                };
                let Body::Streamed { streamed, .. } = body else {
                    return Ok(None);
                };
                self.streamed_buffer(py, streamed, length, read_only)
                    .map(Some)
            }
        }
    }

    /// Tells whether an array of joblib's comes next, whose wrapper the unpickler has as a persistent id.
    fn arrive(&self) -> PyResult<bool> {
        Ok(match &mut *self.body()? {
            Body::Planned { planned, owed, .. } => {
                if let Some(owed) = owed.last_mut() {
                    *owed += usize::from(planned.offers());
                }
                planned.arrive()
            }
            body => matches!(body.arrive(), Some(Pause::Array(_))),
        })
    }

    /// Fills a buffer with the bytes of the array that comes next.
    fn read_raw(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut view = View::writable(buffer)?;
        for part in view.bytes_mut().chunks_mut(HUGE) {
            let read = match &mut *self.body()? {
                Body::Planned { planned, block, .. } => planned
                    .take(block.get().bytes(), part.len() as u64)
                    .map(|data| part.copy_from_slice(data)),
                // One byte is not worth letting others run.
                body if part.len() == 1 => body.foreign()?.read_raw(part),
                body => {
                    let foreign = body.foreign()?;
                    py.detach(|| foreign.read_raw(part))
                }
            };
            read.map_err(|error| self.failed(py, error))?;
            py.check_signals()?;
        }
        Ok(())
    }

    /// Passes over bytes of the array that comes next.
    fn skip_raw(&self, py: Python<'_>, count: u64) -> PyResult<()> {
        match &mut *self.body()? {
            Body::Planned { planned, block, .. } => {
                planned.take(block.get().bytes(), count).map(|_| ())
            }
            body => body.foreign()?.skip_raw(count),
        }
        .map_err(|error| self.failed(py, error))
    }

    /// Where in the stream the next byte lies.
    fn position(&self) -> PyResult<u64> {
        Ok(match &mut *self.body()? {
            Body::Planned { planned, .. } => planned.position(),
            body => body.foreign()?.position(),
        })
    }

    /// Goes into the pickle that lies where an array's bytes would.
    fn enter(&self, py: Python<'_>) -> PyResult<()> {
        let body = &mut *self.body()?;
        match &mut *body {
            Body::Planned { planned, .. } => planned.enter(),
            body => body.foreign()?.enter(),
        }
        .map_err(|error| self.failed(py, error))?;
        if let Body::Streamed { owed, .. } | Body::Planned { owed, .. } = body {
            owed.push(0);
        }
        Ok(())
    }

    /// Leaves the pickle that was entered.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let body = &mut *self.body()?;
        if let Body::Streamed { owed, .. } | Body::Planned { owed, .. } = body {
            owed.pop();
        }
        match &mut *body {
            Body::Planned { planned, .. } => planned.leave(),
            body => body.foreign()?.leave(),
        }
        .map_err(|error| self.failed(py, error))
    }

    /// Goes on behind an array.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        match &mut *self.body()? {
            Body::Planned { planned, .. } => planned.resume(),
            body => body.foreign()?.resume(),
        }
        .map_err(|error| self.failed(py, error))
    }

    /// Checks what is known only at the end of the stream. Returns how many bytes were read beyond it.
    fn finish(&self, py: Python<'_>) -> PyResult<usize> {
        let body = &mut *self.body()?;
        let Body::Streamed { streamed, .. } = body else {
            return Ok(0);
        };
        let compressed = self.codec.is_some();
        py.detach(|| {
            streamed.finish()?;
            let beyond = streamed.foreign().unread().len();
            if beyond == 0 && compressed {
                streamed.foreign().end()?;
            }
            Ok(beyond)
        })
        .map_err(|error| self.told(py, error))
    }

    /// Where the trailer lies, and what it is to be while the buffers are written to in place; None if it has none.
    fn without_checksums<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(u64, Bound<'py, PyBytes>)>> {
        Ok(match &*self.body()? {
            Body::Stored { stored, .. } => {
                let (offset, trailer) = stored.without_checksums();
                Some((offset, PyBytes::new(py, &trailer)))
            }
            Body::Streamed { .. } | Body::Planned { .. } => None,
        })
    }
}

impl Body {
    pub(super) fn streamed(foreign: Foreign<Input>) -> Self {
        Self::Streamed {
            streamed: Box::new(Streamed::new(foreign)),
            owed: vec![0],
            held: Held::default(),
        }
    }

    pub(super) fn stored(stored: Stored<Place>) -> Self {
        Self::Stored {
            skeleton: stored.skeleton(),
            stored,
            window: Window::new(),
            next: 0,
        }
    }

    /// Of `size` bytes that the unpickler reads, how many it has had.
    fn settle(&mut self, size: usize) -> usize {
        match self {
            Self::Streamed { owed, .. } | Self::Planned { owed, .. } => {
                let Some(owed) = owed.last_mut() else {
                    return 0;
                };
                let settled = (*owed).min(size);
                *owed -= settled;
                settled
            }
            Self::Stored { .. } => 0,
        }
    }

    /// What the unpickler asks for. It has peeked at the opcode that makes it ask, and will read it later.
    fn arrive(&mut self) -> Option<Pause> {
        match self {
            Self::Streamed { streamed, owed, .. } => {
                if streamed.foreign().offers()
                    && let Some(owed) = owed.last_mut()
                {
                    *owed += 1;
                }
                streamed.arrive()
            }
            Self::Stored { .. } | Self::Planned { .. } => None,
        }
    }

    fn foreign(&mut self) -> PyResult<&mut Foreign<Input>> {
        match self {
            Self::Streamed { streamed, .. } => Ok(streamed.foreign()),
            Self::Stored { .. } | Self::Planned { .. } => Err(PyRuntimeError::new_err(
                "this file has no arrays of joblib's",
            )),
        }
    }
}

impl Reader {
    fn body(&self) -> PyResult<MutexGuard<'_, Body>> {
        match self.body.try_lock() {
            Ok(body) => Ok(body),
            Err(TryLockError::Poisoned(body)) => Ok(PoisonError::into_inner(body)),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "this file is being read from already",
            )),
        }
    }

    fn told(&self, py: Python<'_>, error: Error) -> PyErr {
        raised(py, error, self.filename.as_ref().map(|name| name.bind(py)))
    }

    /// An error that the unpickler sees, and may hide behind one of its own.
    fn failed(&self, py: Python<'_>, error: Error) -> PyErr {
        let error = self.told(py, error);
        let fault = Obj::from(error.value(py));
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        error
    }

    /// Reads a retain file that comes as a stream up to its end, or as far as that is reasonable: its checksums come last,
    /// and damaged opcodes are not for an unpickler.
    fn hold(&self, py: Python<'_>) -> PyResult<()> {
        let Body::Streamed { streamed, held, .. } = &mut *self.body()? else {
            return Ok(());
        };
        let told = |error| self.told(py, error);
        let mut ours = false;
        while !held.is_full() {
            let count = py
                .detach(|| streamed.fill().map(<[u8]>::len))
                .map_err(told)?;
            if streamed.foreign().offers() {
                let Some(Pause::Buffer { length, read_only }) =
                    ours.then(|| streamed.arrive()).flatten()
                else {
                    return Ok(());
                };
                held.push_buffer(self.streamed_buffer(py, streamed, length, read_only)?);
            } else if count == 0 {
                if ours {
                    py.detach(|| streamed.finish()).map_err(told)?;
                    held.check_end().map_err(told)?;
                }
                return Ok(());
            } else {
                held.push(streamed.fill().map_err(told)?);
                streamed.consume(count).map_err(told)?;
            }
            if !ours && held.rest().len() >= HEAD_LEN {
                ours = head_of(held.rest()).map_err(told)?.is_some();
                if !ours {
                    return Ok(());
                }
            }
            py.check_signals()?;
        }
        Ok(())
    }

    /// The buffer or the trailer that comes next in a stream.
    fn streamed_buffer<'py>(
        &self,
        py: Python<'py>,
        streamed: &mut Streamed<Input>,
        length: u64,
        read_only: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !streamed.is_ours() {
            return Err(self.failed(py, head_is_damaged()));
        }
        if streamed.at_trailer() {
            let record = py
                .detach(|| streamed.read_trailer(length))
                .map_err(|error| self.failed(py, error))?;
            return Ok(PyBytes::new(py, &record).into_any());
        }
        let (object, into) = self.allocated(py, length, !read_only, self.is_bounded)?;
        py.detach(|| streamed.read_buffer(read_only, into))
            .map_err(|error| self.failed(py, error))?;
        py.check_signals()?;
        Ok(object)
    }

    fn fill<'a>(&self, py: Python<'_>, body: &'a mut Body) -> PyResult<&'a [u8]> {
        py.check_signals()?;
        match body {
            Body::Stored {
                stored, skeleton, ..
            } => skeleton.fill(stored).map_err(Error::from),
            Body::Streamed { held, .. } if !held.rest().is_empty() => Ok(held.rest()),
            Body::Streamed { streamed, .. } => {
                py.detach(|| streamed.fill().map(|_| ()))
                    .map_err(|error| self.failed(py, error))?;
                streamed.fill()
            }
            Body::Planned { planned, block, .. } => Ok(planned.fill(block.get().bytes())),
        }
        .map_err(|error| self.failed(py, error))
    }

    fn consume(&self, py: Python<'_>, body: &mut Body, count: usize) -> PyResult<()> {
        match body {
            Body::Stored { skeleton, .. } => skeleton.consume(count),
            Body::Streamed { held, .. } if !held.rest().is_empty() => held.consume(count),
            Body::Streamed { streamed, .. } => streamed
                .consume(count)
                .map_err(|error| self.failed(py, error))?,
            Body::Planned { planned, .. } => planned.consume(count),
        }
        Ok(())
    }

    /// A new bytearray or bytes object, and its memory, to be filled before anyone else sees it.
    fn allocated<'py>(
        &self,
        py: Python<'py>,
        len: u64,
        writable: bool,
        is_bounded: bool,
    ) -> PyResult<(Bound<'py, PyAny>, &'py mut [u8])> {
        let make = if writable { new_bytearray } else { new_bytes };
        let allocation = isize::try_from(len).ok().map(|len| make(py, len));
        match allocation {
            Some(Err(error)) if !error.is_instance_of::<PyMemoryError>(py) => Err(error),
            Some(Ok((object, bytes))) => {
                huge_pages(bytes);
                Ok((object, bytes))
            }
            _ => {
                let text = format!("an array of {len} bytes, more than there is memory for");
                let error = if is_bounded {
                    io::Error::new(io::ErrorKind::OutOfMemory, text).into()
                } else {
                    Error::Corrupt(text)
                };
                Err(self.failed(py, error))
            }
        }
    }
}

/// A part of a file that lies in memory, which it keeps.
fn part<'py>(block: &Bound<'py, Block>, buffer: Buffer) -> PyResult<Bound<'py, PyAny>> {
    let py = block.py();
    let whole = PyMemoryView::from(block.as_any())?;
    // Not `PySlice::new`, which never gives its numbers up.
    let slice = py
        .get_type::<PySlice>()
        .call1((buffer.offset, buffer.offset + buffer.len))?;
    let part = whole.get_item(slice)?;
    if buffer.writable {
        Ok(part)
    } else {
        part.call_method0("toreadonly")
    }
}
