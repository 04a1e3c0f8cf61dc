//! What a pickler writes to.

use std::collections::VecDeque;
use std::io::Write;
use std::mem;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use retain_format::sign::{SecretKey, sign_file};
use retain_format::{Codec, Error, Fed, Publication, Splicer};

use super::faults::{raised, system};
use super::output::{Output, Writer};
use super::reduce::Strided;
use super::view::View;
use crate::ending::Stay;
use crate::object::Obj;

/// Bytes between looks at Ctrl-C and reports of progress.
const TURN: usize = 32 << 20;

/// The file of a dump: a pickler writes its opcodes and hands its buffers to it.
///
/// With protocol 5 and up the file is in retain's layout; below, it holds what the pickler writes.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Sink {
    state: Mutex<State>,
    filename: Option<Obj>,
    progress: Option<Obj>,
}

struct State {
    body: Body,
    queue: VecDeque<Obj>,
    written: u64,
    key: Option<SecretKey>,
}

enum Body {
    Spliced(Splicer<Output>),
    Raw(Output),
    Ended,
}

#[pymethods]
impl Sink {
    /// A sink that writes the file `path`, or to the object `file`.
    #[new]
    #[pyo3(signature = (path, file, spliced, codec=None, level=None, base=0, progress=None, sign=None))]
    #[expect(clippy::too_many_arguments, reason = "a class of the package's own")]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        file: Option<&Bound<'_, PyAny>>,
        spliced: bool,
        codec: Option<&str>,
        level: Option<i32>,
        base: u64,
        progress: Option<&Bound<'_, PyAny>>,
        sign: Option<&str>,
    ) -> PyResult<Self> {
        let key = sign
            .map(str::parse::<SecretKey>)
            .transpose()
            .map_err(|error| raised(py, error, None))?;
        let filename = path
            .as_ref()
            .map(|path| path.as_os_str().into_pyobject(py))
            .transpose()?
            .map(Bound::into_any);
        let failed = |error| system(py, error, filename.as_ref());
        let codec = codec
            .map(|name| {
                Codec::from_name(name)
                    .ok_or_else(|| PyValueError::new_err(format!("no codec is called {name:?}")))
            })
            .transpose()?;
        let output = match (&path, file) {
            (Some(path), _) => {
                let publication = Publication::begin(path).map_err(failed)?;
                match codec {
                    None => Output::File(publication),
                    Some(codec) => {
                        let encoder = publication
                            .file()
                            .try_clone()
                            .and_then(|file| codec.encoder(file, level))
                            .map_err(failed)?;
                        Output::Compressed(encoder, publication)
                    }
                }
            }
            (None, Some(file)) => {
                let writer = Writer(file.clone().unbind());
                match codec {
                    None => Output::Object(writer),
                    Some(codec) => {
                        Output::CompressedObject(codec.encoder(writer, level).map_err(failed)?)
                    }
                }
            }
            (None, None) => return Err(PyValueError::new_err("neither a path nor a file object")),
        };
        let body = if spliced {
            Body::Spliced(Splicer::new(output, base).map_err(failed)?)
        } else {
            Body::Raw(output)
        };
        let state = State {
            body,
            queue: VecDeque::new(),
            written: 0,
            key,
        };
        Ok(Self {
            state: Mutex::new(state),
            filename: filename.map(Obj::from),
            progress: progress.map(Obj::from),
        })
    }

    /// Takes the pickler's opcodes.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let _stay = Stay::begin();
        let view = View::of(data)?;
        let mut opcodes = view.bytes();
        let len = opcodes.len();
        let state = &mut *self.state()?;
        loop {
            let fed = py
                .detach(|| match &mut state.body {
                    Body::Spliced(splicer) => splicer.feed(&mut opcodes),
                    Body::Raw(output) => output
                        .write_all(opcodes)
                        .map(|()| Fed::All)
                        .map_err(Error::from),
                    Body::Ended => Err(Error::malformed(0, "the dump has ended")),
                })
                .map_err(|error| self.failed(py, error))?;
            if fed == Fed::All {
                break;
            }
            self.next_buffer(py, state)?;
        }
        state.written += len as u64;
        if state.written >= TURN as u64 {
            state.written = 0;
            self.turn(py, state)?;
        }
        Ok(len)
    }

    /// Takes an out-of-band buffer; its bytes are written when the opcodes ask for it.
    fn buffer(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.state()?.queue.push_back(buffer.into());
        Ok(false)
    }

    /// Ends the file: it has its name now. `writer` is what the trailer tells of who wrote it.
    fn finish(&self, py: Python<'_>, writer: &str) -> PyResult<()> {
        let _stay = Stay::begin();
        let state = &mut *self.state()?;
        let body = mem::replace(&mut state.body, Body::Ended);
        let key = state.key.take();
        let ended = py.detach(|| finish(body, writer, key.as_ref()));
        let len = ended.map_err(|error| self.failed(py, error))?;
        if len.is_some() {
            self.report(py, len)?;
        }
        self.report(py, None)
    }

    /// Ends the dump without a file.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let state = &mut *self.state()?;
        state.queue.clear();
        let body = mem::replace(&mut state.body, Body::Ended);
        py.detach(|| drop(body));
        Ok(())
    }
}

impl Sink {
    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        // Held while bytes are written: who else comes meanwhile is a writer's own doing.
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(std::sync::TryLockError::Poisoned(state)) => Ok(PoisonError::into_inner(state)),
            Err(std::sync::TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "this dump is being written to already",
            )),
        }
    }

    fn failed(&self, py: Python<'_>, error: Error) -> PyErr {
        raised(py, error, self.filename.as_ref().map(|name| name.bind(py)))
    }

    fn next_buffer(&self, py: Python<'_>, state: &mut State) -> PyResult<()> {
        let Some(buffer) = state.queue.pop_front() else {
            return Err(PyRuntimeError::new_err(
                "the pickler asked for a buffer that it did not hand over",
            ));
        };
        let view = View::of(buffer.bind(py))?;
        let strided = view
            .exporter(py)
            .and_then(|exporter| exporter.cast_into::<Strided>().ok());
        let Body::Spliced(splicer) = &mut state.body else {
            return Err(PyRuntimeError::new_err("the dump has ended"));
        };
        let failed = |error| self.failed(py, error);
        let Some(strided) = strided else {
            splicer
                .begin_buffer(view.is_writable(), view.bytes().len() as u64)
                .map_err(failed)?;
            for part in view.bytes().chunks(TURN) {
                py.detach(|| splicer.buffer_bytes(part)).map_err(failed)?;
                if part.len() == TURN {
                    self.report(py, Some(splicer.position()))?;
                    py.check_signals()?;
                }
            }
            return splicer.end_buffer().map_err(failed);
        };
        splicer
            .begin_buffer(true, strided.get().len())
            .map_err(failed)?;
        for piece in strided.get().pieces(py)?.try_iter()? {
            let view = View::of(&piece?)?;
            py.detach(|| splicer.buffer_bytes(view.bytes()))
                .map_err(failed)?;
            self.report(py, Some(splicer.position()))?;
            py.check_signals()?;
        }
        splicer.end_buffer().map_err(failed)
    }

    fn turn(&self, py: Python<'_>, state: &State) -> PyResult<()> {
        py.check_signals()?;
        match &state.body {
            Body::Spliced(splicer) => self.report(py, Some(splicer.position())),
            _ => Ok(()),
        }
    }

    /// Tells how many bytes are written; None at the end.
    fn report(&self, py: Python<'_>, position: Option<u64>) -> PyResult<()> {
        if let Some(progress) = &self.progress {
            progress.bind(py).call1((position,))?;
        }
        Ok(())
    }
}

/// Ends a file. How many bytes it has, uncompressed, where that is known.
fn finish(body: Body, writer: &str, key: Option<&SecretKey>) -> Result<Option<u64>, Error> {
    let mut len = None;
    let (output, head) = match body {
        Body::Spliced(splicer) => {
            let (output, finished) = splicer.finish(writer)?;
            len = Some(finished.len);
            (output, Some(finished.head))
        }
        Body::Raw(output) => (output, None),
        Body::Ended => return Err(Error::malformed(0, "the dump has ended")),
    };
    match output {
        Output::File(publication) => {
            if let Some(head) = head {
                publication.write_head(head)?;
            }
            sign(&publication, key)?;
            publication.publish()?;
        }
        Output::Compressed(encoder, publication) => {
            encoder.finish()?;
            sign(&publication, key)?;
            publication.publish()?;
        }
        Output::CompressedObject(encoder) => encoder.finish()?,
        Output::Object(_) => {}
    }
    Ok(len)
}

fn sign(publication: &Publication, key: Option<&SecretKey>) -> Result<(), Error> {
    key.map_or(Ok(()), |key| sign_file(publication.file(), key))
}
