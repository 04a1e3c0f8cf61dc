//! Locks of single bytes of one file, which need not exist, each held by an open file of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// Whether an open file can be used for another byte once it is unlocked.
pub(super) const REUSABLE: bool = true;

/// The byte whose lock guards the content of the file.
const CONTENT: u64 = 1 << 62;

/// An open file that can lock any byte.
pub(super) fn open(path: &Path, _byte: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.create(true).open(path),
        opened => opened,
    }
}

/// Locks a byte, unless another open file has.
pub(super) fn attempt(file: &File, byte: u64) -> io::Result<bool> {
    match control(file, libc::F_OFD_SETLK, &mut range(libc::F_WRLCK, byte)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Locks a byte as soon as no other open file has.
pub(super) fn wait(file: &File, byte: u64) -> io::Result<()> {
    control(file, libc::F_OFD_SETLKW, &mut range(libc::F_WRLCK, byte))
}

/// Unlocks a byte. That is said, and not left to closing, as a child may have the file open still.
pub(super) fn unlock(file: &File, _path: &Path, byte: u64) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, &mut range(libc::F_UNLCK, byte))
}

/// Whether the file has lost its name, so that others lock another one.
pub(super) fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

/// Whether another open file has locked a byte.
pub(super) fn is_locked(file: &File, byte: u64) -> io::Result<bool> {
    let mut range = range(libc::F_WRLCK, byte);
    control(file, libc::F_OFD_GETLK, &mut range)?;
    Ok(libc::c_int::from(range.l_type) != libc::F_UNLCK)
}

/// Runs `change` while no other open file has the content.
pub(super) fn with_content<R>(
    file: &File,
    change: impl FnOnce() -> io::Result<R>,
) -> io::Result<R> {
    // Those who have it write a few bytes. Whoever is stopped in between must not stop everybody.
    let end = Instant::now() + Duration::from_secs(1);
    while !attempt(file, CONTENT)? {
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let changed = change();
    unlock(file, Path::new(""), CONTENT)?;
    changed
}

fn range(kind: libc::c_int, byte: u64) -> libc::flock64 {
    // SAFETY: it consists of integers only.
    let mut range: libc::flock64 = unsafe { std::mem::zeroed() };
    // These constants are small.
    #[allow(clippy::cast_possible_truncation)]
    {
        range.l_type = kind as libc::c_short;
        range.l_whence = libc::SEEK_SET as libc::c_short;
    }
    range.l_start = byte.cast_signed();
    range.l_len = 1;
    range
}

fn control(file: &File, command: libc::c_int, range: &mut libc::flock64) -> io::Result<()> {
    // SAFETY: the descriptor is open, and these commands read and write one such structure, which outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, ptr::from_mut(range)) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
