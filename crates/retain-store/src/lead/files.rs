//! Locks of files, one for each byte, where single bytes cannot be locked.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Whether an open file can be used for another byte once it is unlocked.
pub(super) const REUSABLE: bool = false;

/// The open file of a byte, in the folder `path`.
pub(super) fn open(path: &Path, byte: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.open(file_of(path, byte)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Its parent is not made: where that is gone, there is nobody to wait for.
            fs::create_dir(path)?;
            options.open(file_of(path, byte))
        }
        opened => opened,
    }
}

/// Locks the file, unless another open file has.
pub(super) fn attempt(file: &File, _byte: u64) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Locks the file as soon as no other open file has.
pub(super) fn wait(file: &File, _byte: u64) -> io::Result<()> {
    Ok(flock(file, FlockOperation::LockExclusive)?)
}

/// Removes and unlocks the file of a byte: whoever waits for it finds it deleted, and makes another one.
pub(super) fn unlock(file: &File, path: &Path, byte: u64) -> io::Result<()> {
    let removed = fs::remove_file(file_of(path, byte));
    flock(file, FlockOperation::Unlock)?;
    removed
}

/// Whether the file has lost its name, so that others lock another one.
pub(super) fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

fn file_of(path: &Path, byte: u64) -> PathBuf {
    path.join(format!("{byte:016x}"))
}
