//! What the totals do not tell yet.
//!
//! The totals are a page of the database of their own, and to write it with each put is a third of what a put costs. So
//! what small entries add is summed up here, and written once in a while: after [`MOST`] of them, when somebody asks for
//! the totals in this process, or after the keeper's pause. Whoever is killed in between leaves totals that tell of so
//! many entries less, until all are counted by a check. Who has bounds to keep owes nothing.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::connection::lock;
use super::{Indexed, rows};
use crate::{Error, gate};

/// Entries that may be owed.
const MOST: u64 = 32;
/// Bytes of an entry that may be.
pub(super) const SMALL: usize = 4096;

/// What an entry adds to its version.
#[derive(Clone, Copy, Default)]
pub(super) struct Growth {
    pub(super) version: i64,
    pub(super) entries: i64,
    pub(super) bytes: i64,
    /// When the version was last used.
    pub(super) used: i64,
}

/// What was added to versions, by id.
#[derive(Default)]
pub(super) struct Owed {
    growths: HashMap<i64, Growth>,
    entries: u64,
    /// To which database, in which process.
    to: (u64, u64),
}

impl Owed {
    fn add(&mut self, to: (u64, u64), growth: Growth) {
        if self.to != to {
            // That database is gone, or it is the parent who owes.
            *self = Self {
                to,
                ..Self::default()
            };
        }
        let sum = self.growths.entry(growth.version).or_insert(Growth {
            version: growth.version,
            used: i64::MIN,
            ..Growth::default()
        });
        sum.entries += growth.entries;
        sum.bytes += growth.bytes;
        sum.used = sum.used.max(growth.used);
        self.entries += growth.entries.unsigned_abs();
    }

    fn take(&mut self, to: (u64, u64)) -> Vec<Growth> {
        let owed = std::mem::take(self);
        if owed.to != to {
            return Vec::new();
        }
        owed.growths.into_values().collect()
    }
}

impl Indexed {
    fn creditor(&self) -> (u64, u64) {
        (self.pool.epoch(), gate::generation())
    }

    /// Owes it, or settles if that is too much.
    pub(super) fn owe(&self, growth: Growth) -> Result<(), Error> {
        let is_much = {
            let _inside = gate::enter();
            let mut owed = lock(&self.owed);
            owed.add(self.creditor(), growth);
            owed.entries >= MOST
        };
        if is_much { self.settle_owed() } else { Ok(()) }
    }

    /// Owes nothing any more, as all is counted anew.
    pub(super) fn forgive(&self) {
        *lock(&self.owed) = Owed::default();
    }

    /// Writes what is owed.
    pub(super) fn settle_owed(&self) -> Result<(), Error> {
        let to = self.creditor();
        let growths = {
            let _inside = gate::enter();
            lock(&self.owed).take(to)
        };
        if growths.is_empty() {
            return Ok(());
        }
        let settled = self.pool.amend(|db| Ok(write(db, &growths)?));
        if settled.is_err() {
            let _inside = gate::enter();
            let mut owed = lock(&self.owed);
            for growth in growths {
                owed.add(to, growth);
            }
        }
        settled.map(drop)
    }
}

fn write(db: &Connection, growths: &[Growth]) -> rusqlite::Result<()> {
    for growth in growths {
        let done = db
            .prepare_cached(
                "UPDATE versions SET used = max(used, ?), entries = entries + ?, bytes = bytes + ? WHERE id = ?",
            )?
            .execute(params![
                growth.used,
                growth.entries,
                growth.bytes,
                growth.version
            ])?;
        if done == 1 {
            rows::add(db, 0, growth.entries, growth.bytes)?;
        }
    }
    Ok(())
}
