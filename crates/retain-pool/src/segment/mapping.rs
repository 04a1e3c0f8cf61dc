//! The receiver's view of segments.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{SEEN_BY_FORK, lock};

/// Counts the forks of this process, see [`note_fork`].
static FORKS: AtomicU64 = AtomicU64::new(0);

/// To be called before and after each fork of this process (in the parent). A child sees what is
/// mapped at that moment for as long as it lives, so these segments are never written again.
pub fn note_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

/// A mapped segment.
struct View {
    address: NonNull<u8>,
    len: usize,
    /// Kept where private views are made of it later.
    file: Option<OwnedFd>,
}

// SAFETY: plain memory that stays mapped until the value is dropped.
unsafe impl Send for View {}
// SAFETY: as above; only reads go through shared references.
unsafe impl Sync for View {}

impl View {
    fn map(file: BorrowedFd<'_>, size: u64, private: bool) -> io::Result<Self> {
        let has = rustix::fs::fstat(file)?.st_size;
        if !u64::try_from(has).is_ok_and(|has| has >= size) {
            // Touching what is not there would be a SIGBUS.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a segment that is too short",
            ));
        }
        let len = usize::try_from(size)
            .map_err(|_| io::ErrorKind::OutOfMemory)?
            .max(1);
        let (protection, flags) = if private {
            (ProtFlags::READ | ProtFlags::WRITE, private_flags())
        } else {
            (ProtFlags::READ, MapFlags::SHARED)
        };
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let address = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, file, 0)? };
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            address,
            len,
            file: None,
        })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nothing refers to after `self`.
        let _ = unsafe { munmap(self.address.as_ptr().cast::<c_void>(), self.len) };
    }
}

/// Pages are copied when they are written, so nothing need be set aside for all of them.
fn private_flags() -> MapFlags {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return MapFlags::PRIVATE | MapFlags::NORESERVE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    MapFlags::PRIVATE
}

type OnReturn = Arc<dyn Fn() + Send + Sync>;

struct Inner {
    private: bool,
    views: Mutex<HashMap<u64, Arc<View>>>,
    returned: Mutex<Vec<u64>>,
    on_return: OnReturn,
}

/// What one peer's segments are mapped to; clones are the same.
#[derive(Clone)]
pub struct Mappings(Arc<Inner>);

impl Mappings {
    /// No segments yet. `private`: what is mapped can be written to, on pages of one's own; a
    /// region is then to be lent once at a time. `on_return` is called when
    /// [`Mappings::take_returned`] has something to say.
    #[must_use]
    pub fn new(private: bool, on_return: OnReturn) -> Self {
        Self(Arc::new(Inner {
            private,
            views: Mutex::default(),
            returned: Mutex::default(),
            on_return,
        }))
    }

    /// Maps a segment that the peer sent.
    ///
    /// # Errors
    /// If it is shorter than was said, or cannot be mapped.
    pub fn attach(&self, segment: u64, size: u64, file: OwnedFd) -> io::Result<()> {
        let mut view = View::map(file.as_fd(), size, self.0.private)?;
        if !self.0.private {
            view.file = Some(file);
        }
        let before = lock(&self.0.views).insert(segment, Arc::new(view));
        drop(before);
        Ok(())
    }

    /// A buffer that the peer lent; dropping it returns `region`.
    ///
    /// # Errors
    /// If there is no such segment, or the buffer does not lie within it.
    pub fn map(&self, segment: u64, offset: u64, len: u64, region: u64) -> io::Result<Mapped> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let view = lock(&self.0.views).get(&segment).map(Arc::clone);
        let view = view.ok_or_else(|| invalid("a buffer in a segment that was not sent"))?;
        let bounds = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let (start, len) = bounds
            .filter(|(start, len)| start.checked_add(*len).is_some_and(|end| end <= view.len))
            .ok_or_else(|| invalid("a buffer that does not lie within its segment"))?;
        Ok(Mapped {
            start,
            len,
            loan: Arc::new(Loan {
                region,
                forks: FORKS.load(Ordering::SeqCst),
                view,
                peer: Arc::clone(&self.0),
            }),
            own: None,
        })
    }

    /// The peer will not use this segment again: it is unmapped when its last buffer is dropped.
    pub fn drop_segment(&self, segment: u64) {
        let view = lock(&self.0.views).remove(&segment);
        drop(view);
    }

    /// The regions that were dropped since the last call, for the peer.
    #[must_use]
    pub fn take_returned(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.0.returned))
    }
}

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mappings")
            .field("private", &self.0.private)
            .finish_non_exhaustive()
    }
}

/// Returns its region when the last buffer that refers to it is dropped.
struct Loan {
    region: u64,
    forks: u64,
    view: Arc<View>,
    peer: Arc<Inner>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        let (address, len) = (self.view.address.as_ptr(), self.view.len);
        let mut region = self.region;
        if self.peer.private {
            // The next buffer here must not see the pages that were written. If that fails, the
            // peer is told not to use them again.
            #[cfg(target_os = "linux")]
            // SAFETY: a private mapping of a file in which nothing refers to any more.
            let clean = unsafe { madvise(address.cast(), len, Advice::LinuxDontNeed) }.is_ok();
            #[cfg(not(target_os = "linux"))]
            let clean = false;
            if !clean {
                region |= SEEN_BY_FORK;
            }
        }
        if self.forks != FORKS.load(Ordering::SeqCst) {
            region |= SEEN_BY_FORK;
        }
        lock(&self.peer.returned).push(region);
        (self.peer.on_return)();
    }
}

/// A buffer of a mapped segment. Clones are the same buffer.
#[derive(Clone)]
pub struct Mapped {
    start: usize,
    len: usize,
    loan: Arc<Loan>,
    /// A view of one's own, see [`Mapped::private`].
    own: Option<Arc<View>>,
}

impl Mapped {
    /// The same buffer, to be written to: other views of it do not see what is written.
    ///
    /// # Errors
    /// If it cannot be mapped once more.
    pub fn private(&self) -> io::Result<Self> {
        let view = &self.loan.view;
        // Without a file the view is private already.
        let own = match &view.file {
            Some(file) => Some(Arc::new(View::map(file.as_fd(), view.len as u64, true)?)),
            None => None,
        };
        Ok(Self {
            own,
            ..self.clone()
        })
    }

    /// Where it lies; to be written to only if it is private.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        let view = self.own.as_ref().unwrap_or(&self.loan.view);
        // SAFETY: `map` saw that it lies within the mapping.
        unsafe { view.address.as_ptr().add(self.start) }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for as long as `self`, and its sender does not write to it before it is
        // returned.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len) }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped")
            .field("region", &self.loan.region)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
