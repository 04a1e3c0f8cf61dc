//! What a file is, without running it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use retain_format::foreign::Foreign;
use retain_format::sign::claimed_signer;
use retain_format::verify::{
    Budgets, Format, NameVerdict, Plan, Policy, Refusal, Report, Seeking, Slice, Stream, Verdict,
    verify,
};
use retain_format::{Codec, Error, HEAD_LEN, Head, ReadAt, Seekable, Stored};

use super::block::Block;
use super::faults::raised;
use super::input::read_into;
use super::open::other;
use crate::ending::Stay;

/// Tells what the file `path` is, reading as little of it as that takes; its first bytes if it is no pickle.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
pub(crate) fn scan_file(
    py: Python<'_>,
    path: PathBuf,
    trusted: Vec<String>,
    limit: u64,
) -> PyResult<Bound<'_, PyAny>> {
    let _stay = Stay::begin();
    let filename = path.as_os_str().into_pyobject(py)?.into_any();
    let scanned = py.detach(|| -> Result<_, Error> {
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        let mut start = vec![0; 64];
        let have = read_into(&mut &file, &mut start)?;
        start.truncate(have);
        if start.is_empty() {
            return Err(Error::Truncated("the file is empty".into()));
        }
        if other(&start) {
            return Ok(Err(start));
        }
        let codec = Codec::detect(&start);
        let policy = policy(trusted, limit);
        std::io::Seek::rewind(&mut &file)?;
        let signed = claimed_signer(&file)?.is_some();
        let mut report = match codec {
            Some(codec) => verify(Stream::new(codec.decoder(file.try_clone()?)?), &policy)?,
            None => verify(Seeking::new(file.try_clone()?, size), &policy)?,
        };
        check_file(&mut report, file, codec);
        Ok(Ok((report, codec, size, signed)))
    });
    match scanned.map_err(|error| raised(py, error, Some(&filename)))? {
        Ok((report, codec, size, signed)) => Ok(plain(py, report, codec, size, signed)?.into_any()),
        Err(start) => Ok(pyo3::types::PyBytes::new(py, &start).into_any()),
    }
}

/// Tells what the file in `block` is; with `as_loaded`, whether `load` would read it as it was verified, too.
#[pyfunction]
pub(crate) fn scan_block<'py>(
    py: Python<'py>,
    block: &Bound<'py, Block>,
    trusted: Vec<String>,
    limit: u64,
    as_loaded: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let _stay = Stay::begin();
    let held = block.get();
    let mut report = py
        .detach(|| -> Result<_, Error> {
            let mut report = verify(Slice::new(held.bytes()), &policy(trusted, limit))?;
            if as_loaded {
                check_bytes(&mut report, held.bytes());
            }
            Ok(report)
        })
        .map_err(|error| raised(py, error, None))?;
    held.verified(std::mem::take(&mut report.plan));
    plain(py, report, held.codec, held.size, held.signed)
}

/// Lets the verdict be that the file is unsafe if `load` would read it otherwise than it was verified.
fn check_bytes(report: &mut Report, bytes: &[u8]) {
    check(report, |plan, ours| {
        plan.check(Foreign::new(bytes))?;
        check_index(plan, ours, bytes)
    });
}

/// The same, of a file.
fn check_file(report: &mut Report, file: File, codec: Option<Codec>) {
    check(report, |plan, ours| {
        io::Seek::rewind(&mut &file)?;
        let input = file.try_clone()?;
        match codec {
            None => {
                plan.check(Foreign::seekable(input))?;
                check_index(plan, ours, file)
            }
            Some(codec) => {
                plan.check(Foreign::new(codec.decoder(input)?))?;
                match codec {
                    Codec::Zstd => match Seekable::open(file)? {
                        Some(seekable) => check_index(plan, ours, seekable),
                        None => Ok(()),
                    },
                    // Read from front to back, as it was verified.
                    _ => Ok(()),
                }
            }
        }
    });
}

fn check(report: &mut Report, as_loaded: impl FnOnce(&Plan, bool) -> Result<(), Error>) {
    if !matches!(report.verdict, Verdict::Safe | Verdict::NeedsTrust) {
        return;
    }
    if let Err(error) = as_loaded(&report.plan, report.format == Format::Retain) {
        report.verdict = Verdict::Unsafe;
        report.refusals.push(Refusal {
            offset: 0,
            reason: error.to_string(),
        });
    }
}

/// `load` believes the index of a file that retain wrote, if there is one.
fn check_index<S: ReadAt>(plan: &Plan, ours: bool, source: S) -> Result<(), Error> {
    if !ours {
        return Ok(());
    }
    let mut head = [0; HEAD_LEN];
    source.read_exact_at(&mut head, 0)?;
    let head = Head::parse(&head)?;
    match Stored::open(source) {
        Ok(Ok(stored)) => stored.check_plan(plan),
        Err(error) if head != Some(Head::UNKNOWN) => Err(error),
        // It is read from front to back then.
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

fn policy(trusted: Vec<String>, limit: u64) -> Policy {
    Policy {
        trusted,
        budgets: Budgets {
            bytes: limit,
            ..Budgets::default()
        },
        trailing: false,
    }
}

/// A report as plain data.
fn plain(
    py: Python<'_>,
    report: Report,
    codec: Option<Codec>,
    size: u64,
    signed: bool,
) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    let format = match report.format {
        Format::Retain => "retain",
        Format::Joblib => "joblib",
        Format::Pickle => "pickle",
    };
    let verdict = match report.verdict {
        Verdict::Safe => "safe",
        Verdict::NeedsTrust => "needs trust",
        Verdict::Unsafe => "unsafe",
        Verdict::Damaged => "damaged",
    };
    found.set_item("format", format)?;
    found.set_item("codec", codec.map(Codec::name))?;
    found.set_item("protocol", report.protocol)?;
    found.set_item("size", size)?;
    found.set_item("bytes", report.bytes)?;
    found.set_item("opcodes", report.opcodes)?;
    found.set_item("allocation", report.allocation)?;
    found.set_item("verdict", verdict)?;
    found.set_item("signed", signed)?;
    found.set_item("damage", report.damage)?;
    found.set_item("more_refusals", report.more_refusals)?;
    let arrays = PyList::empty(py);
    for array in report.arrays {
        let item = PyDict::new(py);
        item.set_item("path", array.path)?;
        item.set_item("dtype", array.dtype)?;
        item.set_item("shape", array.shape)?;
        item.set_item("order", array.order)?;
        item.set_item("offset", array.offset)?;
        item.set_item("nbytes", array.nbytes)?;
        item.set_item("object", array.object)?;
        arrays.append(item)?;
    }
    found.set_item("arrays", arrays)?;
    let globals = PyList::empty(py);
    for name in report.globals {
        let item = PyDict::new(py);
        item.set_item("module", name.module)?;
        item.set_item("name", name.name)?;
        item.set_item("written", name.written)?;
        item.set_item("count", name.count)?;
        item.set_item(
            "verdict",
            match name.verdict {
                NameVerdict::Allowed => "allowed",
                NameVerdict::Trusted => "trusted",
                NameVerdict::NeedsTrust => "needs trust",
                NameVerdict::Refused => "refused",
            },
        )?;
        item.set_item("reason", name.reason)?;
        globals.append(item)?;
    }
    found.set_item("globals", globals)?;
    let refusals = PyList::empty(py);
    for refusal in report.refusals {
        let item = PyDict::new(py);
        item.set_item("offset", refusal.offset)?;
        item.set_item("reason", refusal.reason)?;
        refusals.append(item)?;
    }
    found.set_item("refusals", refusals)?;
    Ok(found)
}
