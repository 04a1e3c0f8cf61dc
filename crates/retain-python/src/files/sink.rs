//! What a pickler writes to.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use retain_format::sign::{SecretKey, sign_file};
use retain_format::{Checksum, Codec, Error, Fed, Finished, Publication, Splicer, checksum_of};

use super::faults::{raised, system};
use super::output::{Output, Writer};
use super::reduce::Strided;
use super::view::View;
use crate::ending::Stay;
use crate::object::Obj;

/// Bytes between looks at Ctrl-C and reports of progress, where they are not compressed.
const TURN: usize = 32 << 20;
/// Buffers below this size are sealed as they come, once code of users has run.
const SMALL: usize = 1 << 20;

/// How many bytes are compressed between looks at Ctrl-C: what takes a fraction of a second.
fn turn(codec: Option<Codec>, level: Option<i32>) -> usize {
    match codec {
        None | Some(Codec::Lz4) => TURN,
        Some(Codec::Zstd) if level.is_none_or(|level| level <= 9) => 16 << 20,
        Some(Codec::Zstd) => 2 << 20,
        Some(_) => 256 << 10,
    }
}

/// The file of a dump: a pickler writes its opcodes and hands its buffers to it.
///
/// With protocol 5 and up the file is in retain's layout; below, it holds what the pickler writes.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Sink {
    state: Mutex<State>,
    filename: Option<Obj>,
    progress: Option<Obj>,
    /// Bytes between looks at Ctrl-C.
    turn: usize,
    /// How many of the buffers that wait have no seal.
    unsealed: AtomicUsize,
    /// Whether code of users has run, for all that is known.
    is_watched: AtomicBool,
    /// Whether a buffer was found to have changed while it waited.
    is_changed: AtomicBool,
    /// Whether the file gets its name when it ends, and not from a store.
    publishes: bool,
}

/// A buffer that waits until the opcodes ask for it.
struct Waiting {
    buffer: Obj,
    /// Its checksum from when it came, or from before code ran that may have changed it.
    seal: Option<u64>,
}

struct State {
    body: Body,
    queue: VecDeque<Waiting>,
    written: u64,
    key: Option<SecretKey>,
}

enum Body {
    Spliced(Splicer<Output>),
    Raw(Output),
    /// Written, and without its name: a store gives it one.
    Whole(Publication),
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
        let codec = codec_called(codec)?;
        let output = match (&path, file) {
            (Some(path), _) => Publication::begin(path)
                .and_then(|publication| into_file(publication, codec, level))
                .map_err(failed)?,
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
        Ok(Self {
            progress: progress.map(Obj::from),
            ..Self::of(body, key, filename, turn(codec, level))
        })
    }

    /// Takes the pickler's opcodes.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let _stay = Stay::begin();
        let view = View::of(data)?;
        let len = view.bytes().len();
        let state = &mut *self.state()?;
        for mut opcodes in view.bytes().chunks(self.turn) {
            loop {
                let fed = py
                    .detach(|| match &mut state.body {
                        Body::Spliced(splicer) => splicer.feed(&mut opcodes),
                        Body::Raw(output) => output
                            .write_all(opcodes)
                            .map(|()| Fed::All)
                            .map_err(Error::from),
                        Body::Whole(_) | Body::Ended => {
                            Err(Error::malformed(0, "the dump has ended"))
                        }
                    })
                    .map_err(|error| self.failed(py, error))?;
                if fed == Fed::All {
                    break;
                }
                self.next_buffer(py, state)?;
            }
            if len > self.turn {
                self.turn(py, state)?;
            }
        }
        state.written += len as u64;
        if state.written >= self.turn as u64 {
            state.written = 0;
            self.turn(py, state)?;
        }
        Ok(len)
    }

    /// Takes an out-of-band buffer; its bytes are written when the opcodes ask for it.
    fn buffer(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        let mut waiting = Waiting {
            buffer: buffer.into(),
            seal: None,
        };
        if self.is_watched.load(Relaxed) && View::of(buffer)?.bytes().len() < SMALL {
            // What made it may be an iterator of a user's, which goes on before anything else is heard of.
            Self::seal(buffer.py(), &mut waiting)?;
        }
        if waiting.seal.is_none() {
            self.unsealed.fetch_add(1, Relaxed);
        }
        self.state()?.queue.push_back(waiting);
        Ok(false)
    }

    /// Whether a buffer was changed between when it came and when it was written.
    #[getter]
    fn is_changed(&self) -> bool {
        self.is_changed.load(Relaxed)
    }

    /// Code of users is about to run: it may change buffers that wait, which is to be noticed.
    pub(super) fn watch(&self, py: Python<'_>) -> PyResult<()> {
        self.is_watched.store(true, Relaxed);
        if self.unsealed.load(Relaxed) == 0 {
            return Ok(());
        }
        let _stay = Stay::begin();
        let mut state = self.state()?;
        for waiting in &mut state.queue {
            if waiting.seal.is_none() {
                Self::seal(py, waiting)?;
            }
        }
        self.unsealed.store(0, Relaxed);
        Ok(())
    }

    /// Ends the file: it has its name now. `writer` is what the trailer tells of who wrote it.
    fn finish(&self, py: Python<'_>, writer: &str) -> PyResult<()> {
        let _stay = Stay::begin();
        let state = &mut *self.state()?;
        let body = mem::replace(&mut state.body, Body::Ended);
        let key = state.key.take();
        let failed = |error| self.failed(py, error);
        let (output, finished) = py.detach(|| end(body, writer)).map_err(failed)?;
        // As long as the file can still be given up: what is raised here is raised before anything is replaced.
        if let Some(finished) = finished {
            self.report(py, Some(finished.len))?;
        }
        self.report(py, None)?;
        let whole = py
            .detach(|| complete(output, finished, key.as_ref()))
            .map_err(failed)?;
        let Some(publication) = whole else {
            return Ok(());
        };
        if self.publishes {
            return py
                .detach(|| publication.publish())
                .map_err(|error| failed(error.into()));
        }
        state.body = Body::Whole(publication);
        Ok(())
    }

    /// Ends the dump without a file.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let state = &mut *self.state()?;
        state.queue.clear();
        self.unsealed.store(0, Relaxed);
        let body = mem::replace(&mut state.body, Body::Ended);
        py.detach(|| drop(body));
        Ok(())
    }
}

impl Sink {
    fn of(
        body: Body,
        key: Option<SecretKey>,
        filename: Option<Bound<'_, PyAny>>,
        turn: usize,
    ) -> Self {
        let state = State {
            body,
            queue: VecDeque::new(),
            written: 0,
            key,
        };
        Self {
            state: Mutex::new(state),
            filename: filename.map(Obj::from),
            progress: None,
            turn,
            unsealed: AtomicUsize::new(0),
            is_watched: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
            publishes: true,
        }
    }

    /// A sink whose file gets its name from a store, which [takes](Self::take_whole) it.
    pub(crate) fn of_store(
        py: Python<'_>,
        path: &Path,
        codec: Option<&str>,
        level: Option<i32>,
    ) -> PyResult<Self> {
        let filename = path.as_os_str().into_pyobject(py)?.into_any();
        let codec = codec_called(codec)?;
        let begun = py.detach(|| {
            let publication = Publication::begin(path)?;
            Splicer::new(into_file(publication, codec, level)?, 0)
        });
        let splicer = begun.map_err(|error| system(py, error, Some(&filename)))?;
        let body = Body::Spliced(splicer);
        Ok(Self {
            publishes: false,
            ..Self::of(body, None, Some(filename), turn(codec, level))
        })
    }

    /// The file of a sink of a store, once it has ended; only once.
    pub(crate) fn take_whole(&self) -> PyResult<Publication> {
        let state = &mut *self.state()?;
        match mem::replace(&mut state.body, Body::Ended) {
            Body::Whole(publication) => Ok(publication),
            body => {
                state.body = body;
                Err(PyRuntimeError::new_err(
                    "this sink has no file to be kept: begin it at a store, and finish it first",
                ))
            }
        }
    }

    /// Whether [`Self::watch`] has anything to do.
    pub(super) fn would_watch(&self) -> bool {
        !self.is_watched.load(Relaxed) || self.unsealed.load(Relaxed) > 0
    }

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
        let Waiting { buffer, seal } = buffer;
        if seal.is_none() {
            self.unsealed.fetch_sub(1, Relaxed);
        }
        let view = View::of(buffer.bind(py))?;
        let strided = strided_of(py, &view);
        let Body::Spliced(splicer) = &mut state.body else {
            return Err(PyRuntimeError::new_err("the dump has ended"));
        };
        let failed = |error| self.failed(py, error);
        let Some(strided) = strided else {
            splicer
                .begin_buffer(view.is_writable(), view.bytes().len() as u64)
                .map_err(failed)?;
            for part in view.bytes().chunks(self.turn) {
                py.detach(|| splicer.buffer_bytes(part)).map_err(failed)?;
                if part.len() == self.turn {
                    self.report(py, Some(splicer.position()))?;
                    py.check_signals()?;
                }
            }
            let found = splicer.end_buffer().map_err(failed)?;
            return self.compare(seal, found);
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
        let found = splicer.end_buffer().map_err(failed)?;
        self.compare(seal, found)
    }

    /// Takes the checksum of a buffer that waits.
    fn seal(py: Python<'_>, waiting: &mut Waiting) -> PyResult<()> {
        let view = View::of(waiting.buffer.bind(py))?;
        let seal = if let Some(strided) = strided_of(py, &view) {
            let mut sum = Checksum::new();
            for piece in strided.get().pieces(py)?.try_iter()? {
                let view = View::of(&piece?)?;
                py.detach(|| sum.update(view.bytes()));
            }
            sum.finish()
        } else if view.bytes().len() < SMALL {
            checksum_of(view.bytes())
        } else {
            py.detach(|| checksum_of(view.bytes()))
        };
        waiting.seal = Some(seal);
        Ok(())
    }

    fn compare(&self, seal: Option<u64>, found: u64) -> PyResult<()> {
        if seal.is_none_or(|seal| seal == found) {
            return Ok(());
        }
        self.is_changed.store(true, Relaxed);
        Err(PyRuntimeError::new_err(
            "an array or buffer was changed while it was pickled, by an object that uses its memory again: dump to a \
             path or with protocol=4, which copy it at once",
        ))
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

fn strided_of<'py>(py: Python<'py>, view: &View) -> Option<Bound<'py, Strided>> {
    view.exporter(py)
        .and_then(|exporter| exporter.cast_into::<Strided>().ok())
}

fn codec_called(name: Option<&str>) -> PyResult<Option<Codec>> {
    name.map(|name| {
        Codec::from_name(name)
            .ok_or_else(|| PyValueError::new_err(format!("no codec is called {name:?}")))
    })
    .transpose()
}

fn into_file(
    publication: Publication,
    codec: Option<Codec>,
    level: Option<i32>,
) -> io::Result<Output> {
    Ok(match codec {
        None => Output::File(publication),
        Some(codec) => {
            let file = publication.file().try_clone()?;
            Output::Compressed(codec.encoder(file, level)?, publication)
        }
    })
}

/// Ends what is written, if it is a retain file.
fn end(body: Body, writer: &str) -> Result<(Output, Option<Finished>), Error> {
    match body {
        Body::Spliced(splicer) => {
            let (output, finished) = splicer.finish(writer)?;
            Ok((output, Some(finished)))
        }
        Body::Raw(output) => Ok((output, None)),
        Body::Whole(_) | Body::Ended => Err(Error::malformed(0, "the dump has ended")),
    }
}

/// Ends the file below; it has all but its name then.
fn complete(
    output: Output,
    finished: Option<Finished>,
    key: Option<&SecretKey>,
) -> Result<Option<Publication>, Error> {
    match output {
        Output::File(publication) => {
            if let Some(finished) = finished {
                publication.write_head(finished.head)?;
            }
            sign(&publication, key)?;
            Ok(Some(publication))
        }
        Output::Compressed(encoder, publication) => {
            encoder.finish()?;
            sign(&publication, key)?;
            Ok(Some(publication))
        }
        Output::CompressedObject(encoder) => {
            encoder.finish()?;
            Ok(None)
        }
        Output::Object(_) => Ok(None),
    }
}

fn sign(publication: &Publication, key: Option<&SecretKey>) -> Result<(), Error> {
    key.map_or(Ok(()), |key| sign_file(publication.file(), key))
}
