//! What any store can do.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::{Body, Entry, Error, Found, Key, New};

/// A place where entries are kept, for many threads and processes at once.
///
/// Bounds, statistics and waiting for one another are not its business: it keeps what it is given until it is told to
/// remove it, or loses it. What it finds is whole, and is what was put under that key.
pub trait Store: Send + Sync {
    /// The entry of a call. What has ended, was damaged or is of no kind that is known is not found.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, key: &Key) -> Result<Option<Found>, Error>;

    /// Keeps an entry, in place of what its key had. When this returns, it outlives the process; until then, whatever
    /// dies, it is not there at all.
    ///
    /// # Errors
    /// If the store cannot be written to. It is as it was then, or lacks the entry.
    fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error>;

    /// Where the file is begun that is then put as a [`Body::File`].
    ///
    /// # Errors
    /// If its folder cannot be made.
    fn blob(&self, key: &Key) -> Result<PathBuf, Error>;

    /// Removes an entry; whether there was one.
    ///
    /// # Errors
    /// If the store cannot be written to.
    fn remove(&self, key: &Key) -> Result<bool, Error>;

    /// Shows every entry, in no order, those that have ended included, until `visit` breaks. Entries that come or go
    /// meanwhile may be shown or not.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), Error>;

    /// Notes when entries were last asked for; those that are gone by now are passed over.
    ///
    /// # Errors
    /// If the store cannot be written to.
    fn touch(&self, used: &[(Key, SystemTime)]) -> Result<(), Error>;
}
