//! What the folder asks of a layout, besides what any store can do.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::folder::{Bounds, Freed, Statistics, Tally, Verified, Version};
use crate::{Body, Error, Key, New, Record, Store};

/// A layout of a folder.
pub(crate) trait Shelf: Store {
    /// Puts an entry, and then makes a few steps towards the bounds: what has ended and what belongs to versions of a
    /// function that were superseded goes first, then what was not asked for longest.
    /// Notes some uses on the way, as [`Store::touch`] does.
    fn keep(
        &self,
        new: &New<'_>,
        body: Body<'_>,
        bounds: &Bounds,
        uses: &[(Key, SystemTime)],
    ) -> Result<(), Error>;

    /// What is known of an entry that [`Store::get`] would find, without its value.
    fn record(&self, key: &Key) -> Result<Option<Record>, Error>;

    /// Removes the entries of a function, or all; how many there were.
    fn clear(&self, function: Option<&str>) -> Result<u64, Error>;

    /// Removes what has ended, and what is too much.
    fn reduce(&self, to: &Bounds) -> Result<Freed, Error>;

    /// Checks every entry and removes the damaged ones.
    fn verify(&self, progress: &mut Progress<'_>) -> Result<Verified, Error>;

    /// Keeps what a version of a function consists of, unless it is known.
    fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error>;

    /// The versions of a function, the one used last first.
    fn versions(&self, function: &str) -> Result<Vec<Version>, Error>;

    /// Adds to the tallies of functions.
    fn count(&self, tallies: &[(String, Tally)]) -> Result<(), Error>;

    /// What is kept of every function, by name.
    fn functions(&self) -> Result<Vec<Statistics>, Error>;

    /// Writes what is only counted so far.
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether there is work that should not wait until nobody puts anything.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether the next to open the folder would have to work through what is left now.
    fn is_untidy(&self) -> bool {
        false
    }

    /// Does what puts have left to do, in the background. `is_idle`: there were none for a while.
    fn tend(&self, _bounds: &Bounds, _is_idle: bool) -> Result<(), Error> {
        Ok(())
    }
}

/// Told how much is done and how much there is; breaks off if it breaks.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// What tells the time of day.
#[derive(Clone)]
pub(crate) enum Clock {
    /// That of the system.
    System,
    /// One that a test turns.
    #[allow(dead_code, reason = "for tests")]
    Other(Arc<dyn Fn() -> SystemTime + Send + Sync>),
}

impl Clock {
    /// The time of day.
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Other(now) => now(),
        }
    }
}

/// How far a clock may be behind another before an entry counts as one from the future.
pub(crate) const SKEW: Duration = Duration::from_secs(60);
