//! Where a stream's bytes come from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use retain_format::ReadAt;

use super::block::Block;

/// Where the bytes of a stream come from.
pub(super) enum Input {
    /// A file that is not compressed.
    File(Positioned),
    /// A decompressor.
    Decoder(Interruptible<Box<dyn Read + Send>>),
    /// An object with a method `read`.
    Object(Source),
    /// A file in memory, and how much of it was read.
    Block(Py<Block>, usize),
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Decoder(decoder) => decoder.read(into),
            Self::Object(source) => source.read(into),
            Self::Block(block, at) => {
                let count = block
                    .get()
                    .bytes()
                    .get(*at..)
                    .unwrap_or_default()
                    .read(into)?;
                *at += count;
                Ok(count)
            }
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A file and a place in it, which is its own: the descriptor may be that of others, who move theirs.
pub(super) struct Positioned {
    file: File,
    at: u64,
}

impl Positioned {
    pub(super) fn new(file: File) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(&self.file, into, self.at)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(&self.file, into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (from, by) = match position {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.file.metadata()?.len(), by),
        };
        self.at = from
            .checked_add_signed(by)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A source that takes its time, in which the thread that made it looks for Ctrl-C.
pub(super) struct Interruptible<T> {
    inner: T,
    owner: ThreadId,
    looked: Mutex<Instant>,
}

impl<T> Interruptible<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            owner: thread::current().id(),
            looked: Mutex::new(Instant::now()),
        }
    }

    fn look(&self) -> io::Result<()> {
        /// Between two looks.
        const WHILE: Duration = Duration::from_millis(100);
        {
            if thread::current().id() != self.owner {
                return Ok(());
            }
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.elapsed() < WHILE {
                return Ok(());
            }
            *looked = Instant::now();
        }
        Python::attach(|py| {
            let _stay = crate::ending::Stay::begin();
            py.check_signals().map_err(io::Error::other)
        })
    }
}

impl<T: Read> Read for Interruptible<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        /// At most so much at once.
        const MOST: usize = 1 << 20;
        self.look()?;
        let most = into.len().min(MOST);
        self.inner.read(&mut into[..most])
    }
}

impl<T: ReadAt> ReadAt for Interruptible<T> {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.look()?;
        self.inner.read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.inner.bytes()
    }
}

/// An object with a method `read`, as files have it.
pub(super) struct Source {
    object: Py<PyAny>,
    /// What was read from it to see what it is.
    start: io::Cursor<Vec<u8>>,
}

impl Source {
    pub(super) fn new(object: Py<PyAny>) -> Self {
        Self {
            object,
            start: io::Cursor::new(Vec::new()),
        }
    }

    /// The bytes that were read are to be read again.
    pub(super) fn give_back(&mut self, start: Vec<u8>) {
        self.start = io::Cursor::new(start);
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.start.read(into)?;
        if count > 0 || into.is_empty() {
            return Ok(count);
        }
        read_from(&self.object, into)
    }
}

/// Reads from an object with a method `read`.
pub(super) fn read_from(object: &Py<PyAny>, into: &mut [u8]) -> io::Result<usize> {
    /// An object that ignores how much it is asked for is asked for this much at most.
    const MOST: usize = 4 << 20;
    Python::attach(|py| {
        let _stay = crate::ending::Stay::begin();
        let wanted = into.len().min(MOST);
        let read = object
            .bind(py)
            .call_method1(intern!(py, "read"), (wanted,))
            .map_err(io::Error::other)?;
        if read.is_none() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = PyBuffer::<u8>::get(&read).map_err(io::Error::other)?;
        let count = bytes.len_bytes();
        let Some(into) = into.get_mut(..count) else {
            return Err(io::Error::other(format!(
                "read({wanted}) returned {count} bytes"
            )));
        };
        bytes.copy_to_slice(py, into).map_err(io::Error::other)?;
        Ok(count)
    })
}

/// Fills `into` as far as there are bytes; how many there were.
pub(super) fn read_into(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match input.read(&mut into[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}
