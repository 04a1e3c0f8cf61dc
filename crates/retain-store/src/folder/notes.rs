//! What is noted in memory, and written later.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::{Statistics, Tally};
use crate::{Key, Record};

/// Uses that are remembered at most: those after them are lost.
const MOST: usize = 1 << 16;

/// Uses of entries and tallies of functions. Those of a process that is killed are lost, which harms nobody.
#[derive(Default)]
pub(super) struct Notes {
    uses: HashMap<Key, SystemTime>,
    tallies: HashMap<String, Tally>,
}

/// Whether a use is worth a note: once a minute is often enough, but for a new entry much sooner. What is used all the
/// time is noted a few dozen times, then each minute.
pub(super) fn is_due(record: &Record, now: SystemTime) -> bool {
    let Ok(since) = now.duration_since(record.used) else {
        // A clock was wrong.
        return true;
    };
    let age = now.duration_since(record.created).unwrap_or_default();
    since > Duration::ZERO && since >= (age / 16).min(Duration::from_secs(60))
}

impl Notes {
    pub(super) fn used(&mut self, key: &Key, now: SystemTime) {
        if self.uses.len() < MOST || self.uses.contains_key(key) {
            self.uses.insert(*key, now);
        }
    }

    pub(super) fn counted(&mut self, function: &str, tally: Tally) {
        match self.tallies.get_mut(function) {
            Some(kept) => add(kept, tally),
            None => {
                self.tallies.insert(function.to_owned(), tally);
            }
        }
    }

    /// Takes up to so many uses out.
    pub(super) fn some_uses(&mut self, most: usize) -> Vec<(Key, SystemTime)> {
        let keys: Vec<Key> = self.uses.keys().take(most).copied().collect();
        keys.into_iter()
            .filter_map(|key| self.uses.remove_entry(&key))
            .collect()
    }

    /// Takes all tallies out.
    pub(super) fn tallies(&mut self) -> Vec<(String, Tally)> {
        self.tallies.drain().collect()
    }

    /// Adds what is noted to what is kept.
    pub(super) fn add_to(&self, functions: &mut Vec<Statistics>) {
        for (function, tally) in &self.tallies {
            match functions.binary_search_by(|kept| kept.function.cmp(function)) {
                Ok(at) => add(&mut functions[at].tally, *tally),
                Err(at) => functions.insert(
                    at,
                    Statistics {
                        function: function.clone(),
                        entries: 0,
                        bytes: 0,
                        tally: *tally,
                        versions: 0,
                        used: SystemTime::UNIX_EPOCH,
                    },
                ),
            }
        }
    }
}

fn add(kept: &mut Tally, tally: Tally) {
    kept.hits += tally.hits;
    kept.misses += tally.misses;
    kept.saved += tally.saved;
    kept.spent += tally.spent;
}
