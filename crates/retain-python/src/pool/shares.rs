//! The same memory is put into a segment once, however many tasks refer to it.

use std::collections::HashMap;
use std::io;

use pyo3::Python;
use retain_pool::watch::Watch;
use retain_pool::{Arena, Shared};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::collector::Held;

/// Memory that several tasks used stays shared until the run ends, so many of them.
const KEPT: usize = 16;
/// From this size on, the kernel is asked whether memory was changed in place between two tasks, instead of reading it
/// again for each.
const WATCHED: usize = 16 << 20;

struct Entry {
    shared: Shared,
    content: Content,
    /// Keeps the memory from being used for something else.
    _held: Held,
    /// How many tasks referred to it, and how many of them have not ended.
    uses: usize,
    open: usize,
    last: u64,
}

/// Where memory is, by its address and length.
type Place = (usize, usize);

/// What of the user's memory is in segments.
#[derive(Default)]
pub(super) struct Shares {
    entries: HashMap<Place, Entry>,
    clock: u64,
    bytes: u64,
}

impl Shares {
    /// How many bytes were copied into segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Lets go of the user's memory.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
    }

    /// A segment with what lies there now.
    pub(super) fn share(
        &mut self,
        py: Python<'_>,
        arena: &Arena,
        held: Held,
    ) -> io::Result<(Place, Shared)> {
        self.clock += 1;
        let bytes = held.bytes();
        let place = (bytes.as_ptr() as usize, bytes.len());
        let before = self.entries.get_mut(&place);
        let changes = before.is_some();
        if let Some(entry) = before
            && py.detach(|| entry.content.is_still(bytes))
        {
            entry.uses += 1;
            entry.open += 1;
            entry.last = self.clock;
            return Ok((place, entry.shared.clone()));
        }
        let constant = held.is_constant(py);
        let (content, shared) = py.detach(|| {
            // Before it is copied: what is written meanwhile is seen later.
            let content = if constant {
                Content::Constant
            } else {
                Content::of(bytes, changes)
            };
            arena.share(&[bytes]).map(|shared| (content, shared))
        })?;
        self.bytes += place.1 as u64;
        let entry = Entry {
            shared: shared.clone(),
            content,
            _held: held,
            uses: 1,
            // Tasks of the memory as it was before, if there are any, end here as well.
            open: 1 + self.entries.get(&place).map_or(0, |before| before.open),
            last: self.clock,
        };
        self.entries.insert(place, entry);
        Ok((place, shared))
    }

    /// A task that referred to it has ended.
    pub(super) fn release(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(&place) else {
            return;
        };
        entry.open -= 1;
        if entry.open > 0 {
            return;
        }
        if entry.uses == 1 {
            self.entries.remove(&place);
        } else if self.entries.len() > KEPT {
            let unused = self.entries.iter().filter(|(_, entry)| entry.open == 0);
            let oldest = unused.min_by_key(|(_, entry)| entry.last);
            if let Some(place) = oldest.map(|(place, _)| *place) {
                self.entries.remove(&place);
            }
        }
    }
}

/// By what it is known whether memory is as it was.
enum Content {
    /// Nobody changes it.
    Constant,
    /// The kernel tells of writes to whole pages, and this is the sum of the rest.
    Watched(Watch, u64),
    Sum(u64),
}

impl Content {
    /// Of memory that `changes`, to which writes cost more if they are watched, or does not as far as is known.
    fn of(bytes: &[u8], changes: bool) -> Self {
        let watch = (bytes.len() >= WATCHED && !changes).then(|| Watch::begin(bytes));
        match watch.flatten() {
            Some(watch) => {
                let rest = rest(bytes, &watch);
                Self::Watched(watch, rest)
            }
            None => Self::Sum(xxh3_64(bytes)),
        }
    }

    fn is_still(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Constant => true,
            Self::Watched(watch, before) => watch.is_untouched() && *before == rest(bytes, watch),
            Self::Sum(before) => *before == xxh3_64(bytes),
        }
    }
}

/// The sum of what lies on pages that belong to others as well.
fn rest(bytes: &[u8], watch: &Watch) -> u64 {
    let watched = watch.watched();
    let mut hasher = Xxh3Default::new();
    hasher.update(bytes.get(..watched.start).unwrap_or_default());
    hasher.update(bytes.get(watched.end..).unwrap_or_default());
    hasher.digest()
}
