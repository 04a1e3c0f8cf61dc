//! Which entries go.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connection::Failure;
use super::rows::{self, Slim, slim};
use crate::folder::Bounds;

/// A folder of so few entries is looked at whole.
const FEW: i64 = 64;
/// Rows that are looked at in one place.
const RUN: i64 = 8;
/// Candidates that are remembered.
const KEPT: usize = 32;

/// Who goes next: the worst of those that were looked at. Looking at a few random ones at each step, and remembering
/// the worst, comes close to the order of all.
pub(super) struct Evictor {
    candidates: Vec<Candidate>,
    superseded: HashSet<i64>,
    looked: Option<Instant>,
    random: u64,
}

#[derive(Clone, Copy)]
struct Candidate {
    id: i64,
    used: i64,
    rank: Rank,
}

/// The first goes first.
type Rank = (u8, i64);

impl Evictor {
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        // Any seed will do.
        let _ = getrandom::fill(&mut seed);
        Self {
            candidates: Vec::new(),
            superseded: HashSet::new(),
            looked: None,
            random: u64::from_le_bytes(seed) | 1,
        }
    }

    /// Forgets which versions were superseded.
    pub(super) fn look_again(&mut self) {
        self.looked = None;
        self.candidates.clear();
    }

    /// Removes up to `steps` entries that are too much, but not `but`; whether there are more.
    pub(super) fn evict(
        &mut self,
        db: &Connection,
        folder: &Path,
        bounds: &Bounds,
        now: i64,
        but: Option<i64>,
        steps: usize,
    ) -> Result<bool, Failure> {
        if bounds.max_bytes.is_none() && bounds.max_items.is_none() {
            return Ok(false);
        }
        for _ in 0..steps {
            let (entries, bytes) = rows::totals(db)?;
            if !is_over(bounds, entries, bytes) {
                return Ok(false);
            }
            let Some(row) = self.pick(db, bounds, now, but, entries)? else {
                return Ok(false);
            };
            rows::remove(db, folder, &row)?;
        }
        let (entries, bytes) = rows::totals(db)?;
        Ok(is_over(bounds, entries, bytes))
    }

    /// Removes what has ended of a few random entries.
    pub(super) fn sweep(
        &mut self,
        db: &Connection,
        folder: &Path,
        bounds: &Bounds,
        now: i64,
    ) -> Result<(), Failure> {
        let max_age = max_age(bounds);
        let mut found = Vec::new();
        self.look_at(db, 2 * RUN, &mut found)?;
        for row in found {
            if row.is_over(now, max_age) {
                rows::remove(db, folder, &row)?;
            }
        }
        Ok(())
    }

    fn pick(
        &mut self,
        db: &Connection,
        bounds: &Bounds,
        now: i64,
        but: Option<i64>,
        entries: i64,
    ) -> rusqlite::Result<Option<Slim>> {
        self.judge(db)?;
        let max_age = max_age(bounds);
        for _ in 0..8 {
            let mut found = Vec::new();
            if entries <= FEW {
                self.candidates.clear();
                let mut statement =
                    db.prepare_cached(concat!("SELECT ", slim!(), " FROM entries LIMIT 128"))?;
                let rows = statement.query_map([], Slim::read)?;
                for row in rows {
                    found.push(row?);
                }
            } else {
                self.look_at(db, RUN, &mut found)?;
            }
            for row in found {
                if Some(row.id) != but {
                    let candidate = Candidate {
                        id: row.id,
                        used: row.used,
                        rank: self.rank(&row, now, max_age),
                    };
                    self.candidates.retain(|other| other.id != row.id);
                    self.candidates.push(candidate);
                }
            }
            // The worst last.
            self.candidates
                .sort_unstable_by_key(|candidate| std::cmp::Reverse(candidate.rank));
            let surplus = self.candidates.len().saturating_sub(KEPT);
            if entries > FEW {
                self.candidates.drain(..surplus);
            }
            while let Some(candidate) = self.candidates.pop() {
                if Some(candidate.id) == but {
                    continue;
                }
                // It may have been used, replaced or removed since.
                if let Some(row) = Slim::of(db, candidate.id)?
                    && row.used == candidate.used
                {
                    return Ok(Some(row));
                }
            }
        }
        Ok(None)
    }

    fn rank(&self, row: &Slim, now: i64, max_age: Option<i64>) -> Rank {
        let group = if row.is_over(now, max_age) {
            0
        } else if self.superseded.contains(&row.version) {
            1
        } else {
            2
        };
        // What was used in the future was stamped by a clock that was wrong.
        let used = if row.used > now.saturating_add(60_000) {
            i64::MIN
        } else {
            row.used
        };
        (group, used)
    }

    /// Some rows from a random one on.
    fn look_at(
        &mut self,
        db: &Connection,
        count: i64,
        found: &mut Vec<Slim>,
    ) -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached(concat!(
            "SELECT ",
            slim!(),
            " FROM entries WHERE id >= ? ORDER BY id LIMIT ?"
        ))?;
        let start = self.next();
        let before = found.len();
        for row in statement.query_map([start, count], Slim::read)? {
            found.push(row?);
        }
        let missing = count - i64::try_from(found.len() - before).unwrap_or(count);
        if missing > 0 {
            for row in statement.query_map([i64::MIN, missing], Slim::read)? {
                found.push(row?);
            }
        }
        Ok(())
    }

    fn next(&mut self) -> i64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.cast_signed()
    }

    /// Learns which versions were superseded: not used since a newer one of the function was first seen.
    fn judge(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self
            .looked
            .is_some_and(|looked| looked.elapsed() < Duration::from_secs(1))
        {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        self.superseded.clear();
        let mut newest: HashMap<i64, i64> = HashMap::new();
        let mut all = Vec::new();
        let mut statement =
            db.prepare_cached("SELECT id, function, created, used FROM versions WHERE id > 0")?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
            ))
        })?;
        for row in rows {
            let (id, function, created, used) = row?;
            let newest = newest.entry(function).or_insert(created);
            *newest = created.max(*newest);
            all.push((id, function, used));
        }
        for (id, function, used) in all {
            if newest.get(&function).is_some_and(|newest| used < *newest) {
                self.superseded.insert(id);
            }
        }
        Ok(())
    }

    /// Whether a version was superseded, as far as [`Self::judge`] saw.
    pub(super) fn superseded(&mut self, db: &Connection) -> rusqlite::Result<HashSet<i64>> {
        self.looked = None;
        self.judge(db)?;
        Ok(self.superseded.clone())
    }
}

/// The oldest that entries may be, in milliseconds.
pub(super) fn max_age(bounds: &Bounds) -> Option<i64> {
    bounds
        .max_age
        .map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Whether that is too much.
pub(super) fn is_over(bounds: &Bounds, entries: i64, bytes: i64) -> bool {
    let is_more = |count: i64, most: Option<u64>| {
        most.is_some_and(|most| u64::try_from(count).unwrap_or(0) > most)
    };
    is_more(entries, bounds.max_items) || is_more(bytes, bounds.max_bytes)
}
