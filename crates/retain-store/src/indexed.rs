//! A database of entries, with files for the large ones.
//!
//! A row is one entry: a get reads that, and nothing else. What it holds is checked as a whole, key and all, so that no
//! damage to the database makes a wrong value of it.

mod connection;
mod evict;
mod log;
mod owed;
mod put;
mod rows;
mod survey;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, params};

use crate::folder::{Bounds, Freed, Removals, Statistics, Tally, Verified, Version};
use crate::seal::{self, Check, Facts, Seal};
use crate::shelf::{Clock, Progress, Shelf};
use crate::{Body, Entry, Error, Found, Key, New, Record, Store, Value};
use connection::{Pool, lock};
use evict::Evictor;
use owed::Owed;
use rows::{Slim, millis};

/// Entries that may leave with one put.
const STEPS: usize = 16;
/// Bytes of a page in the log.
const PAGE: u64 = 4096 + 24;
/// Bytes of the log from which on it is worth to be moved into the database.
const LOG: u64 = 8 << 20;
/// Bytes of a log that takes whoever opens the folder next no time to speak of.
const SHORT_LOG: u64 = 256 << 10;
/// The layout [`Layout::Indexed`](crate::Layout::Indexed).
pub(crate) struct Indexed {
    folder: PathBuf,
    pool: Arc<Pool>,
    seal: Seal,
    clock: Clock,
    evictor: Mutex<Evictor>,
    /// The ids of versions, with the function that each is of.
    known: Mutex<HashMap<[u8; 32], (String, i64)>>,
    owed: Mutex<Owed>,
    puts: AtomicU64,
    /// Bytes written since the log was last moved.
    log: AtomicU64,
    is_over: AtomicBool,
    /// Who moves the log: 0, or one more than the [`gate::generation`].
    mover: AtomicU64,
}

impl Indexed {
    pub(crate) fn new(
        folder: &Path,
        key: Option<[u8; 32]>,
        removals: Arc<Removals>,
        clock: Clock,
    ) -> Self {
        Self {
            folder: folder.to_path_buf(),
            pool: Pool::new(folder, removals),
            seal: Seal::new(key),
            clock,
            evictor: Mutex::new(Evictor::new()),
            known: Mutex::default(),
            owed: Mutex::default(),
            puts: AtomicU64::new(0),
            log: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            mover: AtomicU64::new(0),
        }
    }

    fn now(&self) -> i64 {
        millis(self.clock.now())
    }

    fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// The entry of a key, and when it was last used.
    fn load(&self, key: &Key) -> Result<Option<Found>, Error> {
        let now = self.now();
        let found = self.pool.read(|db| {
            db.prepare_cached(
                "SELECT created, used, expires, cost, mark, about, value FROM entries WHERE id = ?",
            )?
            .query_row([rows::id_of(key)], |row| {
                // A row that is damaged is none.
                Ok(self.read(key, now, row).unwrap_or(None))
            })
            .optional()
        })?;
        let Some((mut found, check)) = found.flatten().flatten() else {
            return Ok(None);
        };
        if let Value::File(path) = &found.value
            && self.seal.is_keyed()
        {
            let Ok(bytes) = std::fs::read(path) else {
                return Ok(None);
            };
            if !seal::is_same(&self.check(key, &found.record, true, &bytes), &check) {
                return Ok(None);
            }
            found.value = Value::Bytes(bytes);
        }
        Ok(Some(found))
    }

    fn read(
        &self,
        key: &Key,
        now: i64,
        row: &rusqlite::Row<'_>,
    ) -> rusqlite::Result<Option<(Found, Check)>> {
        let expires: Option<i64> = row.get(2)?;
        let created = row.get(0)?;
        if rows::is_over(created, expires, now, None) {
            return Ok(None);
        }
        let mark = rows::bytes(row, 4)?;
        let (Some(rest), Some(check)) = (mark.first_chunk::<24>(), mark.last_chunk::<16>()) else {
            return Ok(None);
        };
        if rest[..] != key.arguments[8..] || mark.len() != 40 {
            return Ok(None);
        }
        let mut record = Record {
            created: rows::time(created),
            used: rows::time(row.get(1)?),
            expires: expires.map(rows::time),
            cost: rows::span(row.get(3)?),
            size: 0,
            about: rows::bytes(row, 5)?.to_vec(),
        };
        let value = row.get_ref(6)?;
        let value = if let Ok(bytes) = value.as_blob() {
            record.size = bytes.len() as u64;
            if !seal::is_same(&self.check(key, &record, false, bytes), check) {
                return Ok(None);
            }
            Value::Bytes(bytes.to_vec())
        } else {
            record.size = u64::try_from(value.as_i64()?).unwrap_or(0);
            // With a secret, the check covers the file too.
            if !self.seal.is_keyed() && !seal::is_same(&self.check(key, &record, true, &[]), check)
            {
                return Ok(None);
            }
            Value::File(rows::blob_of(&self.folder, key))
        };
        Ok(Some((Found { record, value }, *check)))
    }

    fn check(&self, key: &Key, record: &Record, is_file: bool, value: &[u8]) -> Check {
        self.seal.of(&facts(key, record, is_file), value)
    }
}

fn facts<'a>(key: &'a Key, record: &'a Record, is_file: bool) -> Facts<'a> {
    Facts {
        key,
        created: millis(record.created),
        expires: record.expires.map(millis),
        cost: rows::micros(record.cost),
        size: record.size,
        is_file,
        about: &record.about,
    }
}

/// Writes when entries were last asked for.
fn stamp(db: &Connection, uses: &[(Key, SystemTime)]) -> rusqlite::Result<()> {
    let mut versions: HashMap<i64, i64> = HashMap::new();
    for (key, used) in uses {
        let at = millis(*used);
        let version = db
            .prepare_cached("UPDATE entries SET used = ? WHERE id = ? RETURNING version")?
            .query_row([at, rows::id_of(key)], |row| row.get(0))
            .optional()?;
        if let Some(version) = version {
            let latest = versions.entry(version).or_insert(at);
            *latest = at.max(*latest);
        }
    }
    for (version, latest) in versions {
        db.prepare_cached("UPDATE versions SET used = max(used, ?) WHERE id = ?")?
            .execute([latest, version])?;
    }
    Ok(())
}

impl Store for Indexed {
    fn get(&self, key: &Key) -> Result<Option<Found>, Error> {
        self.load(key)
    }

    fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error> {
        self.keep_within(new, body, &Bounds::default(), &[])
    }

    fn blob(&self, key: &Key) -> Result<PathBuf, Error> {
        let path = rows::blob_of(&self.folder, key);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Self::io(folder, error))?;
        }
        Ok(path)
    }

    fn remove(&self, key: &Key) -> Result<bool, Error> {
        self.drop_entry(key, Some(self.now()))
    }

    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), Error> {
        self.survey(visit)
    }

    fn touch(&self, used: &[(Key, SystemTime)]) -> Result<(), Error> {
        // In pieces: puts go between them.
        for used in used.chunks(64) {
            self.pool.amend(|db| Ok(stamp(db, used)?))?;
            self.log
                .fetch_add(PAGE * used.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Shelf for Indexed {
    fn keep(
        &self,
        new: &New<'_>,
        body: Body<'_>,
        bounds: &Bounds,
        uses: &[(Key, SystemTime)],
    ) -> Result<(), Error> {
        self.keep_within(new, body, bounds, uses)
    }

    fn record(&self, key: &Key) -> Result<Option<Record>, Error> {
        let Some(found) = self.load(key)? else {
            return Ok(None);
        };
        Ok(match found.value {
            Value::File(path) if !path.exists() => None,
            _ => Some(found.record),
        })
    }

    fn clear(&self, function: Option<&str>) -> Result<u64, Error> {
        // That the totals cannot be written harms nobody who removes something.
        let _ = self.settle();
        self.clear_of(function)
    }

    fn reduce(&self, to: &Bounds) -> Result<Freed, Error> {
        self.reduce_to(to)
    }

    fn verify(&self, progress: &mut Progress<'_>) -> Result<Verified, Error> {
        let _ = self.settle();
        match self.verify_all(progress) {
            // The index went meanwhile, and with it all that could be damaged.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Verified::default())
            }
            verified => verified,
        }
    }

    fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error> {
        let now = self.now();
        self.pool.write(|db| {
            let (id, is_new) = rows::version_id(db, function, version, now)?;
            if is_new {
                lock(&self.evictor).look_again();
            }
            db.prepare_cached("INSERT OR IGNORE INTO texts(version, text) VALUES(?, ?)")?
                .execute(params![id, text])?;
            Ok(())
        })
    }

    fn versions(&self, function: &str) -> Result<Vec<Version>, Error> {
        self.settle()?;
        let versions = self.pool.read(|db| {
            db.prepare_cached(
                "SELECT versions.digest, ifnull(texts.text, ''), versions.used FROM versions
                 JOIN functions ON functions.id = versions.function
                 LEFT JOIN texts ON texts.version = versions.id
                 WHERE functions.name = ? ORDER BY versions.used DESC, versions.id DESC",
            )?
            .query_map([function], |row| {
                Ok(Version {
                    digest: row.get(0)?,
                    text: row.get(1)?,
                    used: rows::time(row.get(2)?),
                })
            })?
            .collect()
        })?;
        Ok(versions.unwrap_or_default())
    }

    fn count(&self, tallies: &[(String, Tally)]) -> Result<(), Error> {
        self.pool
            .amend(|db| {
                for (function, tally) in tallies {
                    let id = rows::function_id(db, function)?;
                    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                    db.prepare_cached(
                    "UPDATE functions SET hits = hits + ?, misses = misses + ?, saved = saved + ?,
                     spent = spent + ? WHERE id = ?",
                )?
                .execute([
                    count(tally.hits),
                    count(tally.misses),
                    rows::micros(tally.saved),
                    rows::micros(tally.spent),
                    id,
                ])?;
                }
                Ok(())
            })
            .map(|_| ())
    }

    fn functions(&self) -> Result<Vec<Statistics>, Error> {
        self.settle()?;
        let functions = self.pool.read(|db| {
            let count = |row: &rusqlite::Row<'_>, column| -> rusqlite::Result<u64> {
                Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
            };
            db.prepare_cached(
                "SELECT name, ifnull(sum(entries), 0), ifnull(sum(bytes), 0), hits, misses, saved, spent,
                 count(versions.id), ifnull(max(used), 0)
                 FROM functions LEFT JOIN versions ON versions.function = functions.id
                 GROUP BY functions.id ORDER BY name",
            )?
            .query_map([], |row| {
                Ok(Statistics {
                    function: row.get(0)?,
                    entries: count(row, 1)?,
                    bytes: count(row, 2)?,
                    tally: Tally {
                        hits: count(row, 3)?,
                        misses: count(row, 4)?,
                        saved: rows::span(row.get(5)?),
                        spent: rows::span(row.get(6)?),
                    },
                    versions: count(row, 7)?,
                    used: rows::time(row.get(8)?),
                })
            })?
            .collect()
        })?;
        Ok(functions.unwrap_or_default())
    }

    fn settle(&self) -> Result<(), Error> {
        self.settle_owed()
    }

    fn is_behind(&self) -> bool {
        self.log.load(Ordering::Relaxed) > LOG || self.is_over.load(Ordering::Relaxed)
    }

    fn tend(&self, bounds: &Bounds, is_idle: bool) -> Result<(), Error> {
        while self.is_over.load(Ordering::Relaxed) {
            let now = self.now();
            let is_over = self.pool.amend(|db| {
                lock(&self.evictor).evict(db, &self.folder, bounds, now, None, 2 * STEPS)
            })?;
            self.log.fetch_add(1 << 18, Ordering::Relaxed);
            self.is_over
                .store(is_over.unwrap_or(false), Ordering::Relaxed);
        }
        let log = self.log.load(Ordering::Relaxed);
        if log > LOG || is_idle && (log > 0 || self.is_untidy()) {
            self.log.store(0, Ordering::Relaxed);
            self.checkpoint(is_idle)?;
        }
        Ok(())
    }

    fn is_untidy(&self) -> bool {
        self.pool.log_len() > SHORT_LOG
    }
}

impl Indexed {
    /// Removes an entry; whether there was one. By hand, if there is a time.
    fn drop_entry(&self, key: &Key, by_hand: Option<i64>) -> Result<bool, Error> {
        let id = rows::id_of(key);
        self.pool.write(|db| {
            if let Some(now) = by_hand {
                rows::note_removal(db, id, now)?;
            }
            let Some(row) = Slim::of(db, id)? else {
                return Ok(false);
            };
            rows::remove(db, &self.folder, &row)?;
            Ok(true)
        })
    }
}
