//! A folder of entries, for Python.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use retain_store::{
    Body, Bounds, Entry, Error, Folder, Found, Key, Layout, New, Options, Record, Tally, Value,
};

use super::errors::raised;
use super::lead::{Lead, Owner};
use crate::ending::Stay;
use crate::files::{Block, Sink};

/// A folder of entries. All that touches the disk runs without Python's lock.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Store {
    folder: Folder,
}

/// When an entry was made, what it cost, when it ends.
type Terms = (f64, f64, Option<f64>);

#[pymethods]
impl Store {
    /// Opens a folder, which is made if need be.
    #[staticmethod]
    #[pyo3(signature = (path, layout="auto", key=None, max_bytes=None, max_items=None, max_age=None))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        layout: &str,
        key: Option<&[u8]>,
        max_bytes: Option<u64>,
        max_items: Option<u64>,
        max_age: Option<f64>,
    ) -> PyResult<Self> {
        let layout = match layout {
            "auto" => Layout::Auto,
            "indexed" => Layout::Indexed,
            "plain" => Layout::Plain,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "layout is {layout:?}, but it must be one of 'auto', 'indexed', 'plain'"
                )));
            }
        };
        let key = key.map(|key| of_length("key", key)).transpose()?.copied();
        let options = Options {
            layout,
            key,
            max_bytes,
            max_items,
            max_age: duration("max_age", max_age)?,
        };
        let folder = detached(py, || Folder::open(&path, &options))?;
        Ok(Self { folder })
    }

    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(self.folder.path().as_os_str().into_pyobject(py)?)
    }

    /// `"indexed"` or `"plain"`.
    #[getter]
    fn layout(&self) -> &'static str {
        self.folder.layout().name()
    }

    /// The value of a call, when it was made, what it cost and when it ends; None if it is not there. A value is a pickle,
    /// a file that is in memory, or the path of one that may be gone by the time it is opened.
    fn get<'py>(&self, py: Python<'py>, call: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let key = key_of(call)?;
        let found = detached(py, || self.folder.get(&key))?;
        found.map(|found| found_in_python(py, found)).transpose()
    }

    /// What was written about an entry when it was put; None if it is not there.
    fn about<'py>(&self, py: Python<'py>, call: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let record = self.record(py, call)?;
        Ok(record.map(|record| PyBytes::new(py, &record.about)))
    }

    /// When the entry of a call was made, what it cost and when it ends; None if it is not there.
    fn contains(&self, py: Python<'_>, call: &[u8]) -> PyResult<Option<Terms>> {
        let record = self.record(py, call)?;
        Ok(record.as_ref().map(terms))
    }

    /// Keeps a pickle as what a call came to.
    #[expect(clippy::too_many_arguments, reason = "a class of the package's own")]
    fn put(
        &self,
        py: Python<'_>,
        call: &[u8],
        function: &str,
        payload: &[u8],
        cost: f64,
        lives: Option<f64>,
        about: &[u8],
    ) -> PyResult<()> {
        let new = new(call, function, cost, lives, about)?;
        detached(py, || self.folder.put(&new, Body::Bytes(payload)))
    }

    /// A sink for a file that is to be kept by `put_file`, once it is finished.
    #[pyo3(signature = (call, codec=None, level=None))]
    fn begin(
        &self,
        py: Python<'_>,
        call: &[u8],
        codec: Option<&str>,
        level: Option<i32>,
    ) -> PyResult<Sink> {
        let key = key_of(call)?;
        let path = detached(py, || self.folder.blob(&key))?;
        Sink::of_store(py, &path, codec, level)
    }

    /// Keeps the file of a sink as what a call came to.
    #[expect(clippy::too_many_arguments, reason = "a class of the package's own")]
    fn put_file(
        &self,
        py: Python<'_>,
        call: &[u8],
        function: &str,
        sink: &Bound<'_, Sink>,
        cost: f64,
        lives: Option<f64>,
        about: &[u8],
    ) -> PyResult<()> {
        let new = new(call, function, cost, lives, about)?;
        let file = sink.get().take_whole()?;
        detached(py, || self.folder.put(&new, Body::File(file)))
    }

    /// Removes an entry; whether there was one.
    fn remove(&self, py: Python<'_>, call: &[u8]) -> PyResult<bool> {
        let key = key_of(call)?;
        detached(py, || self.folder.remove(&key))
    }

    /// Removes the entries of a function, or all; how many there were.
    #[pyo3(signature = (function=None))]
    fn clear(&self, py: Python<'_>, function: Option<&str>) -> PyResult<u64> {
        detached(py, || self.folder.clear(function))
    }

    /// Removes what is more than this; how many entries and bytes that was.
    #[pyo3(signature = (max_bytes=None, max_items=None, max_age=None))]
    fn reduce(
        &self,
        py: Python<'_>,
        max_bytes: Option<u64>,
        max_items: Option<u64>,
        max_age: Option<f64>,
    ) -> PyResult<(u64, u64)> {
        let to = Bounds {
            max_bytes,
            max_items,
            max_age: duration("max_age", max_age)?,
        };
        let freed = detached(py, || self.folder.reduce(to))?;
        Ok((freed.items, freed.bytes))
    }

    /// All entries, or those of a function, as tuples.
    #[pyo3(signature = (function=None))]
    fn entries<'py>(
        &self,
        py: Python<'py>,
        function: Option<&str>,
    ) -> PyResult<Bound<'py, PyList>> {
        let entries = detached(py, || {
            let mut entries = Vec::new();
            self.folder.list(&mut |entry| {
                if function.is_none_or(|function| entry.function == function) {
                    entries.push(entry);
                }
                std::ops::ControlFlow::Continue(())
            })?;
            Ok(entries)
        })?;
        listed(py, &entries)
    }

    /// What is kept of every function, as tuples.
    fn functions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for function in detached(py, || self.folder.functions())? {
            let tally = function.tally;
            list.append((
                function.function,
                function.entries,
                function.bytes,
                tally.hits,
                tally.misses,
                tally.saved.as_secs_f64(),
                tally.spent.as_secs_f64(),
                function.versions,
                unix(function.used),
            ))?;
        }
        Ok(list)
    }

    /// Keeps what a version of a function consists of.
    fn describe(&self, py: Python<'_>, function: &str, version: &[u8], text: &str) -> PyResult<()> {
        let version = of_length("version", version)?;
        detached(py, || self.folder.describe(function, version, text))
    }

    /// The versions of a function, the one used last first: digest, what it consists of, when it was used.
    fn versions<'py>(&self, py: Python<'py>, function: &str) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for version in detached(py, || self.folder.versions(function))? {
            let digest = PyBytes::new(py, &version.digest);
            list.append((digest, version.text, unix(version.used)))?;
        }
        Ok(list)
    }

    /// Adds to the tally of a function.
    fn count(
        &self,
        py: Python<'_>,
        function: &str,
        hits: u64,
        misses: u64,
        saved: f64,
        spent: f64,
    ) -> PyResult<()> {
        let tally = Tally {
            hits,
            misses,
            saved: duration("saved", Some(saved))?.unwrap_or_default(),
            spent: duration("spent", Some(spent))?.unwrap_or_default(),
        };
        let _stay = Stay::begin();
        py.detach(|| self.folder.count(function, tally));
        Ok(())
    }

    /// Checks all entries and removes the damaged ones: how many were checked, and those that are removed. `progress` is
    /// told how many are done and how many there are.
    #[pyo3(signature = (progress=None))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(u64, Bound<'py, PyList>)> {
        let progress = progress.map(|progress| progress.clone().unbind());
        let mut broken_off = None;
        let verified = detached(py, || {
            self.folder.verify(&mut |done, of| {
                let told = Python::attach(|py| {
                    py.check_signals()?;
                    match &progress {
                        Some(progress) => progress.bind(py).call1((done, of)).map(drop),
                        None => Ok(()),
                    }
                });
                match told {
                    Ok(()) => std::ops::ControlFlow::Continue(()),
                    Err(error) => {
                        broken_off = Some(error);
                        std::ops::ControlFlow::Break(())
                    }
                }
            })
        });
        if let Some(error) = broken_off {
            return Err(error);
        }
        let verified = verified?;
        Ok((verified.checked, listed(py, &verified.damaged)?))
    }

    /// A number that moves when anybody removed something by hand; None if the folder is gone.
    fn removals(&self) -> Option<u64> {
        // One look at an open file: less than it takes to give up Python's lock.
        self.folder.removals()
    }

    /// Leads the computation of a call, once nobody else does.
    #[pyo3(signature = (call, owner=None))]
    fn lead(
        &self,
        py: Python<'_>,
        call: &[u8],
        owner: Option<&Bound<'_, Owner>>,
    ) -> PyResult<Lead> {
        let key = key_of(call)?;
        Lead::take(py, &self.folder, &key, owner.map(Bound::get))
    }

    /// Leads the computation of a call; None if somebody else does.
    #[pyo3(signature = (call, owner=None))]
    fn try_lead(
        &self,
        py: Python<'_>,
        call: &[u8],
        owner: Option<&Bound<'_, Owner>>,
    ) -> PyResult<Option<Lead>> {
        let key = key_of(call)?;
        Lead::try_take(py, &self.folder, &key, owner.map(Bound::get))
    }

    /// Writes what is only noted so far: uses and tallies.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.folder.flush())
    }

    fn __repr__(&self) -> String {
        format!(
            "<Store {} ({})>",
            self.folder.path().display(),
            self.folder.layout().name()
        )
    }
}

impl Store {
    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    fn record(&self, py: Python<'_>, call: &[u8]) -> PyResult<Option<Record>> {
        let key = key_of(call)?;
        detached(py, || self.folder.contains(&key))
    }
}

/// What was found, as `Store.get` tells it.
pub(super) fn found_in_python(py: Python<'_>, found: Found) -> PyResult<Bound<'_, PyTuple>> {
    let (created, cost, expires) = terms(&found.record);
    let value = match found.value {
        Value::Bytes(bytes) if Block::is_file(&bytes) => {
            let block = Block::of_bytes(py, &bytes)?;
            Bound::new(py, block)?.into_any()
        }
        Value::Bytes(bytes) => PyBytes::new(py, &bytes).into_any(),
        Value::File(path) => path.as_os_str().into_pyobject(py)?.into_any(),
    };
    (value, created, cost, expires).into_pyobject(py)
}

/// Runs what touches the disk, without Python's lock.
fn detached<R: Send>(py: Python<'_>, run: impl FnOnce() -> Result<R, Error> + Send) -> PyResult<R> {
    let _stay = Stay::begin();
    py.detach(run).map_err(|error| raised(py, error))
}

pub(super) fn new<'a>(
    call: &[u8],
    function: &'a str,
    cost: f64,
    lives: Option<f64>,
    about: &'a [u8],
) -> PyResult<New<'a>> {
    Ok(New {
        key: key_of(call)?,
        function,
        cost: duration("cost", Some(cost))?.unwrap_or_default(),
        lives: duration("lives", lives)?,
        about,
    })
}

/// What `Address` told.
fn key_of(call: &[u8]) -> PyResult<Key> {
    of_length("call", call).map(Key::from_bytes)
}

fn of_length<'a, const N: usize>(name: &str, bytes: &'a [u8]) -> PyResult<&'a [u8; N]> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err(format!("{name} has {} bytes, not {N}", bytes.len())))
}

/// A time in seconds. What is longer than a clock can tell has no end.
fn duration(name: &str, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    match seconds {
        Some(seconds) if seconds < 0.0 || seconds.is_nan() => Err(PyValueError::new_err(format!(
            "{name} is {seconds}, but it is a number of seconds"
        ))),
        seconds => Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())),
    }
}

/// Seconds since 1970.
pub(super) fn unix(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    }
}

fn terms(record: &Record) -> Terms {
    (
        unix(record.created),
        record.cost.as_secs_f64(),
        record.expires.map(unix),
    )
}

fn listed<'py>(py: Python<'py>, entries: &[Entry]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    // Entries of one function follow one another mostly.
    let mut before: Option<(&str, Bound<'py, PyString>)> = None;
    for entry in entries {
        let function = match &before {
            Some((name, function)) if *name == entry.function => function.clone(),
            _ => PyString::new(py, &entry.function),
        };
        before = Some((&entry.function, function.clone()));
        let record = &entry.record;
        let (created, cost, expires) = terms(record);
        list.append((
            PyBytes::new(py, &entry.key.to_bytes()),
            function,
            created,
            unix(record.used),
            expires,
            cost,
            record.size,
            PyBytes::new(py, &record.about),
        ))?;
    }
    Ok(list)
}
