//! Where a sink's bytes go.

use std::io::{self, IoSlice, Write};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes};
use retain_format::{Encoder, Publication};

/// Where the bytes of a dump go.
pub(super) enum Output {
    /// To a file that appears when it is whole.
    File(Publication),
    /// To a file, compressed.
    Compressed(Box<dyn Encoder>, Publication),
    /// To an object with a method `write`.
    Object(Writer),
    /// To an object with a method `write`, compressed.
    CompressedObject(Box<dyn Encoder>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(publication) => publication.file().write(bytes),
            Self::Compressed(encoder, _) | Self::CompressedObject(encoder) => encoder.write(bytes),
            Self::Object(writer) => writer.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::File(publication) => publication.file().write_vectored(slices),
            _ => slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(Ok(0), |slice| self.write(slice)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object with a method `write`, as files have it.
pub(super) struct Writer(pub(super) Py<PyAny>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// Bytes are handed over in copies of at most this size.
        const MOST: usize = 1 << 20;
        let part = &bytes[..bytes.len().min(MOST)];
        Python::attach(|py| {
            let _stay = crate::ending::Stay::begin();
            let written = self
                .0
                .bind(py)
                .call_method1(intern!(py, "write"), (PyBytes::new(py, part),))
                .map_err(io::Error::other)?;
            // A raw file may take less, and nothing at all where it would have to wait. Other objects that tell nothing
            // took all.
            if written.is_none() && is_raw(self.0.bind(py)).map_err(io::Error::other)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match written.extract::<usize>() {
                Ok(count) if count <= part.len() && !written.is_instance_of::<PyBool>() => {
                    Ok(count)
                }
                _ => Ok(part.len()),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a file object is one that tells by None that it would have to wait.
fn is_raw(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let base = py
        .import(intern!(py, "io"))?
        .getattr(intern!(py, "RawIOBase"))?;
    object.is_instance(&base)
}
