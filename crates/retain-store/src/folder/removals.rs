//! A count of what was removed by hand, that every process sees at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// A file with a byte for each removal. Whoever looks at it asks for its length only, and learns as well whether it, and
/// with it the folder, is gone.
pub(crate) struct Removals {
    path: PathBuf,
    file: RwLock<Option<File>>,
    /// How many files of that name were seen: each may begin at the length that the one before it had.
    epoch: AtomicU64,
}

impl Removals {
    /// Those of the store in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("removed"),
            file: RwLock::new(None),
            epoch: AtomicU64::new(0),
        }
    }

    /// Opens the file, and makes it if need be.
    pub(crate) fn open(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    File::open(&self.path)
                }
                _ => Err(error),
            })?;
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = Some(file);
        self.epoch.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Opens the file if there is another by now; whether there is one.
    pub(crate) fn find(&self) -> bool {
        let is_there = self.count().is_some() || self.path.exists() && self.open().is_ok();
        is_there && self.count().is_some()
    }

    /// Moves whenever it is another file, and so another folder or index.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// A number that moves with each removal; `None` if the file is gone.
    pub(crate) fn count(&self) -> Option<u64> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let len = len_of(file.as_ref()?)?;
        // Few folders are begun anew, and few bytes are added.
        Some((self.epoch.load(Ordering::Relaxed) << 40) | (len & ((1 << 40) - 1)))
    }

    /// Notes a removal.
    pub(crate) fn add(&self) -> io::Result<()> {
        match &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => (&mut &*file).write_all(b"."),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Has every process open the folder anew.
    pub(crate) fn begin_anew(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.open(),
        }
    }
}

/// The length of a file that still has a name.
#[cfg(unix)]
fn len_of(file: &File) -> Option<u64> {
    let state = rustix::fs::fstat(file).ok()?;
    (state.st_nlink > 0).then(|| u64::try_from(state.st_size).unwrap_or(0))
}

#[cfg(not(unix))]
fn len_of(file: &File) -> Option<u64> {
    file.metadata().ok().map(|state| state.len())
}
