//! Bytes that can be read at any offset, by several threads at once.

use std::fs::File;
use std::io;

/// A source of bytes with a known length and no position of its own.
///
/// The length is that of the moment: a file that shrinks while it is read gives
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), never stale or invented bytes.
pub trait ReadAt: Send + Sync {
    /// The length in bytes. A source that cannot tell has none.
    fn len(&self) -> u64;

    /// Fills `into` with the bytes that start at `offset`.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the source ends first; what the system reports otherwise.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes themselves, where they lie in memory anyway: saves a copy.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
}

fn ends_first() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the data ends before the bytes that were asked for",
    )
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..into.len()))
            .ok_or_else(ends_first)?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        (**self).bytes()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for std::sync::Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        (**self).bytes()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(into, offset)
    }

    fn bytes(&self) -> Option<&[u8]> {
        (**self).bytes()
    }
}

impl ReadAt for File {
    fn len(&self) -> u64 {
        self.metadata().map_or(0, |found| found.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, into, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                ends_first()
            } else {
                error
            }
        })
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, into, offset) {
                Ok(0) => return Err(ends_first()),
                Ok(read) => {
                    into = into.get_mut(read..).unwrap_or_default();
                    offset = offset.checked_add(read as u64).ok_or_else(ends_first)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ReadAt;
    use std::io::{ErrorKind, Write};

    fn behaves(source: &dyn ReadAt) {
        assert_eq!(source.len(), 10);
        assert!(!source.is_empty());
        let mut into = [0; 4];
        source.read_exact_at(&mut into, 3).unwrap();
        assert_eq!(into, [3, 4, 5, 6]);
        source.read_exact_at(&mut into, 6).unwrap();
        assert_eq!(into, [6, 7, 8, 9]);
        source.read_exact_at(&mut [], 10).unwrap();
        for offset in [7, 10, 11, u64::MAX] {
            let error = source.read_exact_at(&mut into, offset).unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidInput
            ));
        }
    }

    #[test]
    fn memory_and_files_read_alike() {
        let bytes: Vec<u8> = (0..10).collect();
        behaves(&bytes);
        behaves(&bytes.as_slice());
        behaves(&std::sync::Arc::new(bytes.clone()));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        behaves(&file);
    }
}
