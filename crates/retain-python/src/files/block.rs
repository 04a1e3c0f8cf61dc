//! A whole file in memory: what was verified is what is loaded.

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::OnceLock;

use memmap2::{MmapMut, MmapOptions};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use retain_format::sign::{PublicKey, claimed_signer, verify_file};
use retain_format::verify::Plan;
use retain_format::{Codec, Error, Head, ReadAt};

use super::faults::raised;
use super::input::{Interruptible, Source, read_into};
use super::memory::huge_pages;
use super::open::other;
use crate::buffer::fill;
use crate::ending::Stay;

/// Buffers lie as aligned here as they do in files.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Where the bytes of a file lie.
enum Memory {
    Lines(Vec<Line>),
    /// The file itself, mapped: what is written to it is copied first.
    Map(MmapMut),
}

/// The uncompressed bytes of a file, in memory that nothing else can change; or, of a file that nobody writes to, mapped.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Block {
    memory: Memory,
    len: usize,
    pub(super) codec: Option<Codec>,
    pub(super) filename: Option<String>,
    /// Bytes of the file itself.
    pub(super) size: u64,
    pub(super) signed: bool,
    /// What the verifier saw of it.
    plan: OnceLock<Plan>,
}

#[pymethods]
impl Block {
    /// Reads the file `path`; `limit` is how many bytes it may be uncompressed, `key` who signed it. What is no pickle is
    /// not read: its first bytes are returned instead.
    #[staticmethod]
    #[pyo3(signature = (path, limit, key=None))]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn of_file<'py>(
        py: Python<'py>,
        path: PathBuf,
        limit: u64,
        key: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _stay = Stay::begin();
        let filename = path.as_os_str().into_pyobject(py)?.into_any();
        let read = py.detach(|| -> Result<_, Error> {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            let mut start = vec![0; 64];
            let have = read_into(&mut &file, &mut start)?;
            start.truncate(have);
            if start.is_empty() {
                return Err(Error::Truncated("the file is empty".into()));
            }
            let key = key.map(str::parse::<PublicKey>).transpose()?;
            if key.is_none() && other(&start) {
                return Ok(Err(start));
            }
            let codec = Codec::detect(&start);
            let mut block = if file.metadata()?.is_file() {
                Self::whole(&file, size, limit)?
            } else {
                Self::growing(io::Cursor::new(start).chain(file), limit)?
            };
            block.signed = claimed_signer(block.bytes())?.is_some();
            if let Some(key) = key {
                verify_file(block.bytes(), &key)?;
                if other(block.bytes()) {
                    return Err(Error::Unsupported(
                        "only files that retain wrote can be signed".into(),
                    ));
                }
            }
            if let Some(codec) = codec {
                let unpacked =
                    Self::growing(Interruptible::new(codec.decoder(block.bytes())?), limit)?;
                block = Self {
                    signed: block.signed,
                    ..unpacked
                };
            }
            block.codec = codec;
            block.size = size;
            block.filename = Some(path.to_string_lossy().into_owned());
            Ok(Ok(block))
        });
        match read.map_err(|error| raised(py, error, Some(&filename)))? {
            Ok(block) => Ok(Bound::new(py, block)?.into_any()),
            Err(start) => Ok(PyBytes::new(py, &start).into_any()),
        }
    }

    /// Reads the file `path`, which nobody writes to. If it `stays`, as those of this machine's file systems do though their
    /// name goes, a large one is mapped, and its memory copied where it is written to.
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "arguments of Python")]
    fn of_immutable(py: Python<'_>, path: PathBuf, stays: bool) -> PyResult<Self> {
        /// Below, reading takes no longer than mapping.
        const LARGE: u64 = 1 << 20;

        let _stay = Stay::begin();
        let filename = path.as_os_str().into_pyobject(py)?.into_any();
        let read = py.detach(|| -> Result<_, Error> {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            let mut start = [0; 64];
            let have = read_into(&mut &file, &mut start)?;
            let start = &start[..have];
            let maps = stays && cfg!(unix) && size >= LARGE;
            let mut block = if maps && matches!(Head::parse(start), Ok(Some(_))) {
                Self::mapped(&file)?
            } else {
                Self::whole(&file, size, u64::MAX)?
            };
            block.codec = Codec::detect(start);
            if let Some(codec) = block.codec {
                let unpacked =
                    Self::growing(Interruptible::new(codec.decoder(block.bytes())?), u64::MAX)?;
                block = Self {
                    codec: block.codec,
                    ..unpacked
                };
            }
            block.size = size;
            block.filename = Some(path.to_string_lossy().into_owned());
            Ok(block)
        });
        read.map_err(|error| raised(py, error, Some(&filename)))
    }

    /// Reads from the object `file` to its end.
    #[staticmethod]
    fn of<'py>(
        py: Python<'py>,
        file: &Bound<'py, PyAny>,
        limit: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _stay = Stay::begin();
        let object = Source::new(file.clone().unbind());
        let read = py.detach(|| -> Result<_, Error> {
            let mut block = Self::growing(object, limit)?;
            let start = block.bytes().get(..64).unwrap_or(block.bytes()).to_vec();
            if start.is_empty() {
                return Err(Error::Truncated("there is nothing to read".into()));
            }
            block.size = block.len as u64;
            if let Some(codec) = Codec::detect(&start) {
                let unpacked =
                    Self::growing(Interruptible::new(codec.decoder(block.bytes())?), limit)?;
                block = Self {
                    codec: Some(codec),
                    size: block.size,
                    ..unpacked
                };
            }
            Ok(block)
        });
        Ok(Bound::new(py, read.map_err(|error| raised(py, error, None))?)?.into_any())
    }

    #[getter]
    fn codec(&self) -> Option<&'static str> {
        self.codec.map(Codec::name)
    }

    fn __len__(&self) -> usize {
        self.len
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the receiver that pyo3 asks for"
    )]
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let memory: *const [u8] = slf.bytes();
        // SAFETY: the view keeps this object, and so the memory. Arrays may write to it, and by then nothing here reads
        // it.
        unsafe { fill(&slf, view, flags, memory, true) }
    }
}

impl Block {
    /// Whether bytes are those of a file that this reads: one that `dump` wrote, or a compressed one.
    pub(crate) fn is_file(bytes: &[u8]) -> bool {
        !matches!(Head::parse(bytes), Ok(None)) || Codec::detect(bytes).is_some()
    }

    /// The bytes of a file.
    pub(crate) fn of_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let codec = Codec::detect(bytes);
        let unpacked = py.detach(|| match codec {
            Some(codec) => Self::growing(Interruptible::new(codec.decoder(bytes)?), u64::MAX),
            None => Self::copied(bytes),
        });
        Ok(Self {
            codec,
            size: bytes.len() as u64,
            ..unpacked.map_err(|error| raised(py, error, None))?
        })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.memory {
            // SAFETY: the lines are bytes, one after the other, and `len` of them are within.
            Memory::Lines(lines) => unsafe {
                std::slice::from_raw_parts(lines.as_ptr().cast(), self.len)
            },
            Memory::Map(map) => map,
        }
    }

    /// What the verifier saw of it, if it has.
    pub(super) fn plan(&self) -> Option<Plan> {
        self.plan.get().cloned()
    }

    pub(super) fn verified(&self, plan: Plan) {
        // What is verified again is the same.
        let _ = self.plan.set(plan);
    }

    fn new(lines: Vec<Line>, len: usize) -> Self {
        Self::of_memory(Memory::Lines(lines), len)
    }

    fn mapped(file: &File) -> Result<Self, Error> {
        // SAFETY: the files that come here are never written to once they have their name; one that is cut short all the
        // same ends the process, as it does with any map.
        let map = unsafe { MmapOptions::new().map_copy(file) }?;
        let len = map.len();
        Ok(Self::of_memory(Memory::Map(map), len))
    }

    fn of_memory(memory: Memory, len: usize) -> Self {
        Self {
            memory,
            len,
            codec: None,
            filename: None,
            size: 0,
            signed: false,
            plan: OnceLock::new(),
        }
    }

    /// A file whose length is known.
    fn whole(file: &File, len: u64, limit: u64) -> Result<Self, Error> {
        within(len, limit)?;
        let len = usize::try_from(len)
            .map_err(|_| Error::Budget(format!("{len} bytes do not fit into memory")))?;
        Self::filled(len, |into| Ok(retain_format::read_shared(file, 0, into)?))
    }

    fn copied(bytes: &[u8]) -> Result<Self, Error> {
        Self::filled(bytes.len(), |into| {
            into.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn filled(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut lines: Vec<Line> = Vec::new();
        lines
            .try_reserve_exact(len.div_ceil(64))
            .map_err(|_| no_memory(len))?;
        let room = bytes_of(lines.spare_capacity_mut());
        let into = &mut room[..len];
        huge_pages(into);
        fill(into)?;
        // SAFETY: so many lines have room; the bytes of the last that were not read are of the allocator's.
        unsafe { lines.set_len(len.div_ceil(64)) };
        Ok(Self::new(lines, len))
    }

    /// A stream whose length is not known: memory is taken as bytes arrive.
    fn growing(mut input: impl Read, limit: u64) -> Result<Self, Error> {
        const LEAST: usize = 1 << 20;
        let mut lines: Vec<Line> = Vec::new();
        let mut len = 0;
        loop {
            if lines.len() * 64 == len {
                let more = (lines.len() / 2).max(LEAST / 64);
                lines
                    .try_reserve_exact(more)
                    .map_err(|_| no_memory(len + more * 64))?;
                lines.resize(lines.len() + more, Line([0; 64]));
            }
            // SAFETY: the lines are bytes, one after the other.
            let all = unsafe {
                std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<u8>(), lines.len() * 64)
            };
            match read_into(&mut input, &mut all[len..])? {
                0 => break,
                count => len += count,
            }
            within(len as u64, limit)?;
        }
        Ok(Self::new(lines, len))
    }
}

/// Memory for lines as bytes: whatever it holds, they are bytes.
fn bytes_of(lines: &mut [std::mem::MaybeUninit<Line>]) -> &mut [u8] {
    // SAFETY: the memory is the allocator's, and holds some bytes.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 64) }
}

/// Not the file's fault.
fn no_memory(len: usize) -> Error {
    let text = format!("there is no memory for {len} bytes");
    io::Error::new(io::ErrorKind::OutOfMemory, text).into()
}

fn within(len: u64, limit: u64) -> Result<(), Error> {
    if len > limit {
        return Err(Error::Budget(format!(
            "more than {limit} bytes, uncompressed"
        )));
    }
    Ok(())
}

/// A block as something to read from.
pub(super) struct InMemory(pub(super) Py<Block>);

impl ReadAt for InMemory {
    fn len(&self) -> u64 {
        self.0.get().len as u64
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.get().bytes().read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self.0.get().bytes())
    }
}
