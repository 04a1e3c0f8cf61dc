//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Head;

/// A file that is being written and does not have its name yet: dropped or killed before [`Self::publish`], it leaves
/// what had that name as it was, and nothing else.
///
/// On Linux it has no name at all until it is whole; elsewhere, and where the file system cannot do that, it has a
/// temporary one beside its own.
pub struct Publication {
    file: File,
    target: PathBuf,
    /// The temporary name.
    named: Option<PathBuf>,
}

impl Publication {
    /// Begins the file that is to be `path`. Symbolic links are followed; a file that is there already lends its
    /// permissions.
    ///
    /// # Errors
    /// Those of the operating system; [`io::ErrorKind::InvalidInput`] if `path` is something that cannot be replaced, such as
    /// a device: write to it in place.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let target = resolve(path)?;
        if target != path && !is_same(path, &target) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let old = match fs::metadata(&target) {
            Ok(old) if old.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(old) if !old.is_file() => return Err(io::ErrorKind::InvalidInput.into()),
            Ok(old) => {
                // Replacing a file takes a writable folder only; that the file is protected counts all the same.
                OpenOptions::new().write(true).open(&target)?;
                Some(old.permissions())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (file, named) = if let Some(file) = unnamed(folder(&target)) {
            (file?, None)
        } else {
            let (file, path) = temporary(folder(&target))?;
            (file, Some(path))
        };
        let publication = Self {
            file,
            target,
            named,
        };
        if let Some(permissions) = old {
            publication.permit(permissions)?;
        }
        Ok(publication)
    }

    /// Copies a file that cannot be given a name to one that has a temporary one.
    fn copy(&mut self) -> io::Result<()> {
        let (mut copy, path) = temporary(folder(&self.target))?;
        self.named = Some(path);
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.file, &mut copy)?;
        copy.set_permissions(self.file.metadata()?.permissions())?;
        self.file = copy;
        Ok(())
    }

    fn permit(&self, permissions: Permissions) -> io::Result<()> {
        self.file.set_permissions(permissions)
    }

    /// The file to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes the head over that which the file began with.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write_head(&self, head: Head) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head.encode())
    }

    /// Gives the file its name, in place of what had it.
    ///
    /// # Errors
    /// Those of the operating system; nothing is left then.
    pub fn publish(mut self) -> io::Result<()> {
        if self.named.is_none() {
            let linked = link(&self.file, &self.target).and_then(|linked| {
                if linked {
                    return Ok(None);
                }
                named(folder(&self.target), |path| {
                    if link(&self.file, path)? {
                        Ok(())
                    } else {
                        Err(io::ErrorKind::AlreadyExists.into())
                    }
                })
                .map(Some)
            });
            match linked {
                Ok(None) => return Ok(()),
                Ok(Some(path)) => self.named = Some(path),
                // Sandboxes and some file systems make such files, and do not let them be named.
                Err(_) => self.copy()?,
            }
        }
        if let Some(path) = &self.named {
            fs::rename(path, &self.target)?;
            self.named = None;
        }
        Ok(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = fs::remove_file(path);
        }
    }
}

/// What `path` leads to, whether that exists or not.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..40 {
        match fs::read_link(&target) {
            Ok(next) => target = folder(&target).join(next),
            // No link, or nothing there: what is wrong shows when it is opened.
            Err(_) => return Ok(target),
        }
    }
    // The operating system says it best.
    Err(fs::metadata(path).err().unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many levels of symbolic links",
        )
    }))
}

/// Whether `path` leads to the file of the name that it resolves to. The links of open files that have no name, or no
/// longer, lead to the file itself, and resolve to what only looks like a name.
#[cfg(unix)]
fn is_same(path: &Path, target: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let Ok(here) = fs::metadata(path) else {
        // Nothing is there yet.
        return true;
    };
    fs::metadata(target).is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()))
}

#[cfg(not(unix))]
fn is_same(_path: &Path, _target: &Path) -> bool {
    true
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Calls `make` with names in `folder` until one is free.
fn named(folder: &Path, mut make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".retain-{}-{count}.tmp", std::process::id()));
        match make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    let mut made = None;
    let path = named(folder, |path| {
        made = Some(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?,
        );
        Ok(())
    })?;
    made.map(|file| (file, path))
        .ok_or_else(|| io::Error::other("no temporary file was made"))
}

/// A file in `folder` without a name; `None` where there is no such thing.
#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;

    // It is given its name through there.
    if !Path::new("/proc/self/fd").exists() {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => Some(Ok(File::from(file))),
        // The file system has none, or the kernel does not know them.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => None,
        Err(error) => Some(Err(error.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_folder: &Path) -> Option<io::Result<File>> {
    None
}

/// Gives a file without a name the name `path`; false if something has that name.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD};
    use rustix::io::Errno;
    use std::os::fd::AsRawFd;

    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, itself, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn link(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(false)
}
