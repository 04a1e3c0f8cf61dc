//! One at a time: whoever is about to compute what a call comes to, leads; the others wait for it.
//!
//! A lead is a lock of the operating system, so that it ends with its process, however that ends. It is held by an open
//! file of its own, so that threads exclude one another as processes do. Waiting is the kernel's, nothing polls.
//!
//! Twice is better than never: where there are no locks, and where everybody would wait for everybody, a lead holds
//! nothing and whoever asked computes.

#[cfg_attr(not(target_os = "linux"), path = "lead/line.rs")]
mod circle;
#[cfg_attr(target_os = "linux", path = "lead/ranges.rs")]
#[cfg_attr(not(target_os = "linux"), path = "lead/files.rs")]
mod lock;
mod places;
mod slots;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Key};
use places::Place;
use slots::Held;

/// The leads of one folder.
#[derive(Debug)]
pub(crate) struct Flights {
    place: &'static Place,
}

impl Flights {
    /// The leads of the store in `folder`, which need not be there yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            place: places::of(&folder.join("flights")),
        }
    }

    /// Leads the computation of a call: waits while another thread or process does.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a signal arrives while it waits; nothing else.
    pub(crate) fn lead(&self, key: &Key, owner: Owner) -> Result<Lead, Error> {
        // Waiting ends with a lead.
        Ok(self.take(key, owner, true)?.unwrap_or(Lead::nothing(true)))
    }

    /// Leads the computation of a call, unless another thread or process does.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a signal arrives; nothing else.
    pub(crate) fn try_lead(&self, key: &Key, owner: Owner) -> Result<Option<Lead>, Error> {
        self.take(key, owner, false)
    }

    fn take(&self, key: &Key, owner: Owner, wait: bool) -> Result<Option<Lead>, Error> {
        let byte = byte_of(key);
        let mut waited = false;
        // A file that is found deleted is given up; a few times only, should somebody keep deleting it.
        for _ in 0..8 {
            let Ok(mut held) = slots::take(self.place, byte) else {
                break;
            };
            let locked = match lock::attempt(held.file(), byte) {
                Ok(false) if wait => {
                    waited = true;
                    let Some(_recorded) = circle::enter(self.place, byte, owner) else {
                        break;
                    };
                    lock::wait(held.file(), byte).map(|()| true)
                }
                attempted => attempted,
            };
            match locked {
                Ok(true) => {
                    held.locked(owner);
                    if lock::is_deleted(held.file()) {
                        held.discard();
                        continue;
                    }
                    return Ok(Some(Lead {
                        held: Some(held),
                        waited,
                    }));
                }
                Ok(false) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err(Error::Interrupted);
                }
                Err(_) => break,
            }
        }
        Ok(Some(Lead::nothing(waited)))
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        places::leave(self.place);
    }
}

/// The right to compute what a call comes to, until it is dropped or the process ends.
pub struct Lead {
    held: Option<Held>,
    waited: bool,
}

impl Lead {
    fn nothing(waited: bool) -> Self {
        Self { held: None, waited }
    }

    /// Whether somebody else led when this was asked for: the value may be there by now.
    #[must_use]
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Whether others wait for this one. False where there are no locks, and where waiting would never have ended.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl fmt::Debug for Lead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lead")
            .field("held", &self.is_held())
            .field("waited", &self.waited)
            .finish()
    }
}

/// On whose behalf a call is led. The leads of one owner are nested in one another: it goes on when all of them may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// One that nobody else is.
    #[must_use]
    pub fn new() -> Self {
        static OWNERS: AtomicU64 = AtomicU64::new(1);
        Self(OWNERS.fetch_add(1, Ordering::Relaxed))
    }

    /// That of the calling thread.
    #[must_use]
    pub fn thread() -> Self {
        thread_local!(static OWNER: Cell<Option<Owner>> = const { Cell::new(None) });
        OWNER.with(|owner| {
            let this = owner.get().unwrap_or_else(Self::new);
            owner.set(Some(this));
            this
        })
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets go of what the parent leads. To be called in each child of a fork before a lead is asked for there: a child
/// would keep its parent's leads alive when that has died.
pub(crate) fn after_fork_in_child() {
    slots::forget();
}

/// The byte whose lock is the lead of a call: one of the first 2^62.
fn byte_of(key: &Key) -> u64 {
    let head = |digest: &[u8; 32]| u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]));
    (head(&key.version) ^ head(&key.arguments)) >> 2
}
