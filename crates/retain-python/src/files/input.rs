//! Where a stream's bytes come from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;

use super::block::Block;

/// Where the bytes of a stream come from.
pub(super) enum Input {
    /// A file that is not compressed.
    File(File),
    /// A decompressor.
    Decoder(Box<dyn Read + Send>),
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
