//! Files without a name: memory that is shared by passing a descriptor, and is gone with the last
//! process that holds it, whatever dies.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ftruncate, open, unlink};

/// A file of `len` zeroes. Where the system has no nameless memory, or none is left, the file lies
/// in the folder for temporary files, unlinked.
pub(crate) fn file(name: &CStr, len: u64) -> io::Result<OwnedFd> {
    if i64::try_from(len).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            "a segment of more than 2^63 bytes",
        ));
    }
    sized(memory(name), len).or_else(|_| sized(unlinked(), len))
}

fn sized(file: io::Result<OwnedFd>, len: u64) -> io::Result<OwnedFd> {
    let file = file?;
    ftruncate(&file, len)?;
    Ok(file)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn memory(name: &CStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(
        name,
        rustix::fs::MemfdFlags::CLOEXEC,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn memory(_: &CStr) -> io::Result<OwnedFd> {
    let name = unique("/retain");
    let flags = rustix::shm::OFlags::RDWR | rustix::shm::OFlags::CREATE | rustix::shm::OFlags::EXCL;
    let file = rustix::shm::open(&*name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::shm::unlink(&*name)?;
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
    Ok(file)
}

/// A file of the folder for temporary files that no name leads to.
fn unlinked() -> io::Result<OwnedFd> {
    let path = std::env::temp_dir().join(unique("retain"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    unlink(&path)?;
    Ok(file)
}

/// A name that no other process or call uses; it exists for a moment only.
fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |time| time.subsec_nanos());
    format!(
        "{prefix}-{:x}-{:x}-{nanos:x}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_leaves_no_name_behind() {
        let file = unlinked().unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_nlink, 0);
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_size, 1 << 20);
    }

    #[test]
    fn a_length_that_no_file_has_is_an_error() {
        assert!(file(c"retain-test", u64::MAX).is_err());
    }

    #[test]
    fn a_file_beyond_four_gibibytes_is_sparse_and_cheap() {
        let file = file(c"retain-test", 5 << 30).unwrap();
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_size, 5 << 30);
    }
}
