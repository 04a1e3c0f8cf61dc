//! A folder of entries: what programs use.

mod keeper;
mod marker;
mod notes;
mod place;
mod removals;
#[cfg(test)]
mod tests;
mod trust;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::gate;

use crate::indexed::Indexed;
use crate::lead::Flights;
use crate::plain::Plain;
use crate::shelf::{Clock, Progress, SKEW, Shelf};
use crate::{Body, Entry, Error, Found, Key, Lead, New, Owner, Record};

use keeper::{Keeper, Kept};
use notes::Notes;

pub(crate) use marker::{MARKER, furnish};
pub(crate) use removals::Removals;

/// Uses that are written with one put.
const USES: usize = 32;

/// How a folder keeps its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// As it is kept already; else [`Self::Plain`] on a network file system, and [`Self::Indexed`] on others.
    #[default]
    Auto,
    /// A database with small values in it, and files for the others: fast, for the file systems of this machine.
    Indexed,
    /// Files only: for network file systems, which many machines write to.
    Plain,
}

impl Layout {
    /// Its name in the marker of a folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Indexed => "indexed",
            Self::Plain => "plain",
        }
    }
}

/// How a folder is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How it keeps its entries.
    pub layout: Layout,
    /// The secret with which every entry is authenticated.
    pub key: Option<[u8; 32]>,
    /// How many bytes may be kept.
    pub max_bytes: Option<u64>,
    /// How many entries may be kept.
    pub max_items: Option<u64>,
    /// How old a value may be.
    pub max_age: Option<Duration>,
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// How many bytes.
    pub max_bytes: Option<u64>,
    /// How many entries.
    pub max_items: Option<u64>,
    /// How old a value may be.
    pub max_age: Option<Duration>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// How many entries.
    pub items: u64,
    /// How many bytes they took.
    pub bytes: u64,
}

/// What the calls of a function came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls that were served from the store.
    pub hits: u64,
    /// Calls that were computed.
    pub misses: u64,
    /// The time that hits spared.
    pub saved: Duration,
    /// The time that misses took.
    pub spent: Duration,
}

/// What is kept of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Its readable name.
    pub function: String,
    /// How many entries it has, those that have ended included.
    pub entries: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// What its calls came to.
    pub tally: Tally,
    /// How many versions of it are known.
    pub versions: u64,
    /// When an entry of it was last asked for or put.
    pub used: SystemTime,
}

/// A version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// [`Key::version`].
    pub digest: [u8; 32],
    /// What it consists of, as [`Folder::describe`] was told; empty if it was not.
    pub text: String,
    /// When an entry of it was last asked for or put.
    pub used: SystemTime,
}

/// What a check of all entries came to.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// How many entries were checked.
    pub checked: u64,
    /// Those that were damaged, and are removed.
    pub damaged: Vec<Entry>,
}

/// A folder of entries, for many threads and processes at once. Clones are the same folder.
#[derive(Clone)]
pub struct Folder {
    inner: Arc<Inner>,
    _keeper: Arc<Stop>,
}

struct Inner {
    path: PathBuf,
    layout: Layout,
    bounds: Bounds,
    clock: Clock,
    shelf: Box<dyn Shelf>,
    flights: Flights,
    removals: Arc<Removals>,
    notes: Mutex<Notes>,
    keeper: Keeper,
}

impl Folder {
    /// Opens a folder, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it holds a store of another layout, or of a newer version of retain;
    /// [`Error::Untrusted`] if others could write to it and there is no key; [`Error::Io`] if it cannot be made.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        Self::open_at(path, options, Clock::System)
    }

    fn open_at(path: &Path, options: &Options, clock: Clock) -> Result<Self, Error> {
        let Options {
            layout,
            key,
            max_bytes,
            max_items,
            max_age,
        } = *options;
        let path = std::path::absolute(path).map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })?;
        let layout = marker::layout_of(&path, layout)?;
        if key.is_none() {
            trust::check(&path)?;
        }
        let removals = Arc::new(Removals::new(&path));
        removals.open().map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        let shelf: Box<dyn Shelf> = match layout {
            Layout::Plain => Box::new(Plain::new(&path, key, clock.clone())),
            _ => Box::new(Indexed::new(&path, key, removals.clone(), clock.clone())),
        };
        let inner = Arc::new(Inner {
            flights: Flights::new(&path),
            path,
            layout,
            bounds: Bounds {
                max_bytes,
                max_items,
                max_age,
            },
            shelf,
            clock,
            removals,
            notes: Mutex::default(),
            keeper: Keeper::default(),
        });
        Ok(Self {
            _keeper: Arc::new(Stop(inner.clone())),
            inner,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How it keeps its entries: never [`Layout::Auto`].
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.inner.layout
    }

    /// The entry of a call, unless it has ended or is too old. Its use is noted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn get(&self, key: &Key) -> Result<Option<Found>, Error> {
        let Some(found) = self.inner.shelf.get(key)? else {
            return Ok(None);
        };
        let now = self.inner.clock.now();
        if self.inner.is_over(&found.record, now) {
            return Ok(None);
        }
        if notes::is_due(&found.record, now) {
            self.inner.note(|notes| notes.used(key, now));
            Inner::awake(&self.inner, false);
        }
        Ok(Some(found))
    }

    /// What is known of the entry that [`Self::get`] would find. This is no use of it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn contains(&self, key: &Key) -> Result<Option<Record>, Error> {
        let now = self.inner.clock.now();
        let record = self.inner.shelf.record(key)?;
        Ok(record.filter(|record| !self.inner.is_over(record, now)))
    }

    /// Keeps an entry, in place of what its key had, and makes room for it if the folder is full. When this returns,
    /// the entry outlives the process.
    ///
    /// # Errors
    /// If the folder cannot be written to. It is as it was then, or lacks the entry.
    pub fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error> {
        let bounds = &self.inner.bounds;
        // What leaves depends upon what was used, up to now.
        let uses = if bounds.max_bytes.is_some() || bounds.max_items.is_some() {
            self.inner.note(|notes| notes.some_uses(USES))
        } else {
            Vec::new()
        };
        self.inner.revive()?;
        self.inner.shelf.keep(new, body, bounds, &uses)?;
        Inner::awake(&self.inner, self.inner.shelf.is_behind());
        Ok(())
    }

    /// Where the file is begun that is then put as a [`Body::File`].
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn blob(&self, key: &Key) -> Result<PathBuf, Error> {
        self.inner.revive()?;
        self.inner.shelf.blob(key)
    }

    /// Removes an entry; whether there was one.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn remove(&self, key: &Key) -> Result<bool, Error> {
        let removed = self.inner.shelf.remove(key)?;
        if removed {
            self.inner.removed();
        }
        Ok(removed)
    }

    /// Shows every entry, in no order, those that have ended included, until `visit` breaks.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), Error> {
        self.inner.shelf.list(visit)
    }

    /// Removes the entries of a function, or all of them; how many there were.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn clear(&self, function: Option<&str>) -> Result<u64, Error> {
        let removed = self.inner.shelf.clear(function);
        // Some are removed even if not all could be.
        self.inner.removed();
        removed
    }

    /// Removes what has ended and what is more than `to`, besides the folder's own bounds.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn reduce(&self, to: Bounds) -> Result<Freed, Error> {
        self.inner.write_notes()?;
        let bounds = &self.inner.bounds;
        let freed = self.inner.shelf.reduce(&Bounds {
            max_bytes: least(to.max_bytes, bounds.max_bytes),
            max_items: least(to.max_items, bounds.max_items),
            max_age: least(to.max_age, bounds.max_age),
        })?;
        if freed.items > 0 {
            self.inner.removed();
        }
        Ok(freed)
    }

    /// Leads the computation of a call on behalf of `owner`: waits while another thread or process does. If its owner
    /// dies, whoever waits is next.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if a signal arrives while it waits; nothing else.
    pub fn lead(&self, key: &Key, owner: Owner) -> Result<Lead, Error> {
        self.inner.flights.lead(key, owner)
    }

    /// Leads the computation of a call, unless another thread or process does.
    ///
    /// # Errors
    /// As [`Self::lead`].
    pub fn try_lead(&self, key: &Key, owner: Owner) -> Result<Option<Lead>, Error> {
        self.inner.flights.try_lead(key, owner)
    }

    /// A number that moves whenever anybody, in any process, removed something by hand: [`Self::remove`],
    /// [`Self::clear`], [`Self::verify`]. `None` if the folder is gone.
    #[must_use]
    pub fn removals(&self) -> Option<u64> {
        self.inner.removals.count()
    }

    /// Keeps what a version of a function consists of, unless that is known.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error> {
        self.inner.revive()?;
        self.inner.shelf.describe(function, version, text)
    }

    /// The versions of a function, the one used last first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn versions(&self, function: &str) -> Result<Vec<Version>, Error> {
        self.inner.shelf.versions(function)
    }

    /// Adds to the tally of a function. It is written later: with a put, after a few seconds, or by [`Self::flush`].
    pub fn count(&self, function: &str, tally: Tally) {
        self.inner.note(|notes| notes.counted(function, tally));
        Inner::awake(&self.inner, false);
    }

    /// What is kept of every function, by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn functions(&self) -> Result<Vec<Statistics>, Error> {
        let mut functions = self.inner.shelf.functions()?;
        // What is noted and not written yet counts too.
        self.inner.note(|notes| notes.add_to(&mut functions));
        Ok(functions)
    }

    /// Reads and checks every entry, and removes those that are damaged. `progress` is told how many are done and how
    /// many there are, and breaks off if it breaks.
    ///
    /// # Errors
    /// If the folder cannot be read or written to.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Verified, Error> {
        let progress: &mut Progress<'_> = progress;
        let verified = self.inner.shelf.verify(progress)?;
        if !verified.damaged.is_empty() {
            self.inner.removed();
        }
        Ok(verified)
    }

    /// Writes what is only noted so far, uses and tallies, and leaves little to do to who opens the folder next: for
    /// the end of a program.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.finish()
    }
}

impl Inner {
    /// Whether an entry is too old, or says that it is from the future while its age matters.
    fn is_over(&self, record: &Record, now: SystemTime) -> bool {
        let age = now.duration_since(record.created);
        let max_age = self.bounds.max_age;
        match age {
            Ok(age) => max_age.is_some_and(|max_age| age >= max_age),
            Err(ahead) => {
                ahead.duration() > SKEW && (max_age.is_some() || record.expires.is_some())
            }
        }
    }

    /// Makes the folder again if it was deleted, all of it or what was old.
    fn revive(&self) -> Result<(), Error> {
        let _inside = gate::enter();
        if self.removals.count().is_some() && self.path.join(MARKER).exists() {
            return Ok(());
        }
        furnish(&self.path, self.layout)
            .and_then(|()| self.removals.open())
            .map_err(|source| Error::Io {
                path: self.path.clone(),
                source,
            })
    }

    /// Does something with what is noted, while nobody forks.
    fn note<T>(&self, what: impl FnOnce(&mut Notes) -> T) -> T {
        let _inside = gate::enter();
        what(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_notes(&self) -> Result<(), Error> {
        self.shelf.settle()?;
        let uses = self.note(|notes| notes.some_uses(usize::MAX));
        if !uses.is_empty() {
            self.shelf.touch(&uses)?;
        }
        let tallies = self.note(Notes::tallies);
        if !tallies.is_empty() {
            self.shelf.count(&tallies)?;
        }
        Ok(())
    }

    /// Leaves nothing to be done to who opens the folder next.
    fn finish(&self) -> Result<(), Error> {
        self.write_notes()?;
        if self.shelf.is_untidy() {
            self.shelf.tend(&self.bounds, true)?;
        }
        Ok(())
    }

    /// Tells other processes that something was removed. If they cannot be told, it is removed all the same.
    fn removed(&self) {
        let _inside = gate::enter();
        let _ = self.removals.add();
    }

    /// Has the background look after what is to be done; at once if `now`.
    fn awake(inner: &Arc<Self>, now: bool) {
        inner.keeper.awake(inner, now);
    }
}

impl Kept for Inner {
    fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    fn tend(&self, is_idle: bool) {
        // Whoever puts next finds out what is wrong here.
        let _ = self.write_notes();
        let _ = self.shelf.tend(&self.bounds, is_idle);
    }
}

/// Ends what is done in the background with the last clone of a folder.
struct Stop(Arc<Inner>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.keeper.stop();
        let _ = self.0.finish();
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// To be called in the child of a fork, before anything else: what the parent had open is not used there.
pub fn after_fork_in_child() {
    crate::lead::after_fork_in_child();
}
