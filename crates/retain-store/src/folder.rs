//! A folder of entries: what programs use.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::indexed::Indexed;
use crate::lead::Flights;
use crate::plain::Plain;
use crate::shelf::{Clock, Progress, Shelf};
use crate::{Body, Entry, Error, Found, Key, Lead, New, Owner, Record};

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
}

struct Inner {
    path: PathBuf,
    layout: Layout,
    bounds: Bounds,
    clock: Clock,
    shelf: Box<dyn Shelf>,
    flights: Flights,
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
        std::fs::create_dir_all(path).map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_path_buf(),
                layout: match layout {
                    Layout::Auto => Layout::Indexed,
                    layout => layout,
                },
                bounds: Bounds {
                    max_bytes,
                    max_items,
                    max_age,
                },
                shelf: match layout {
                    Layout::Plain => Box::new(Plain::new(path, key, clock.clone())),
                    _ => Box::new(Indexed::new(path, clock.clone())),
                },
                clock,
                flights: Flights::new(path),
            }),
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
        self.inner.shelf.get(key)
    }

    /// What is known of the entry that [`Self::get`] would find. This is no use of it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn contains(&self, key: &Key) -> Result<Option<Record>, Error> {
        self.inner.shelf.record(key)
    }

    /// Keeps an entry, in place of what its key had, and makes room for it if the folder is full. When this returns,
    /// the entry outlives the process.
    ///
    /// # Errors
    /// If the folder cannot be written to. It is as it was then, or lacks the entry.
    pub fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error> {
        self.inner.shelf.keep(new, body, &self.inner.bounds)
    }

    /// Where the file is begun that is then put as a [`Body::File`].
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn blob(&self, key: &Key) -> Result<PathBuf, Error> {
        self.inner.shelf.blob(key)
    }

    /// Removes an entry; whether there was one.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn remove(&self, key: &Key) -> Result<bool, Error> {
        self.inner.shelf.remove(key)
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
        self.inner.shelf.clear(function)
    }

    /// Removes what has ended and what is more than `to`, besides the folder's own bounds.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn reduce(&self, to: Bounds) -> Result<Freed, Error> {
        self.inner.shelf.reduce(&to)
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
        Some(0)
    }

    /// Keeps what a version of a function consists of, unless that is known.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error> {
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
        let _ = self.inner.shelf.count(&[(function.to_owned(), tally)]);
    }

    /// What is kept of every function, by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn functions(&self) -> Result<Vec<Statistics>, Error> {
        self.inner.shelf.functions()
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
        self.inner.shelf.verify(progress)
    }

    /// Writes what is only noted so far: uses and tallies.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn flush(&self) -> Result<(), Error> {
        let _ = self.inner.clock.now();
        Ok(())
    }
}

/// To be called in the child of a fork, before anything else: what the parent had open is not used there.
pub fn after_fork_in_child() {
    crate::lead::after_fork_in_child();
}
