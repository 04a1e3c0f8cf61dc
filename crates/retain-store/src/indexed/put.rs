//! Putting an entry.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use retain_format::Publication;
use rusqlite::{Connection, OptionalExtension, params};

use super::connection::{Failure, lock};
use super::owed::{self, Growth};
use super::rows::{self, Slim};
use super::{Indexed, PAGE, STEPS, stamp};
use crate::folder::Bounds;
use crate::seal::Facts;
use crate::{Body, Error, Key, New};

/// What is put.
struct Row<'a> {
    id: i64,
    created: i64,
    expires: Option<i64>,
    cost: i64,
    mark: [u8; 40],
    /// The bytes, or the length of the file.
    value: Result<&'a [u8], u64>,
    new: &'a New<'a>,
}

impl Row<'_> {
    /// Whether the totals may tell of it later. Where there are bounds, or entries are large, they are always right.
    fn may_owe(&self, bounds: &Bounds) -> bool {
        bounds.max_bytes.is_none()
            && bounds.max_items.is_none()
            && self.value.is_ok_and(|bytes| bytes.len() <= owed::SMALL)
    }

    fn size(&self) -> u64 {
        self.value
            .map_or_else(|len| len, |bytes| bytes.len() as u64)
    }
}

impl Indexed {
    /// Puts an entry and evicts, in one transaction.
    pub(super) fn keep_within(
        &self,
        new: &New<'_>,
        body: Body<'_>,
        bounds: &Bounds,
        uses: &[(Key, SystemTime)],
    ) -> Result<(), Error> {
        let now = self.now();
        let expires = new
            .lives
            .map(|lives| now.saturating_add(i64::try_from(lives.as_millis()).unwrap_or(i64::MAX)));
        let cost = rows::micros(new.cost);
        let (bytes, mut file) = match body {
            Body::Bytes(bytes) => (Some(bytes), None),
            Body::File(file) => (None, Some(file)),
        };
        let blob = rows::blob_of(&self.folder, &new.key);
        let size = match (&bytes, &file) {
            (Some(bytes), _) => bytes.len() as u64,
            (None, Some(file)) => {
                let state = file.file().metadata();
                state.map_err(|error| Self::io(&blob, error))?.len()
            }
            (None, None) => 0,
        };
        let facts = Facts {
            key: &new.key,
            created: now,
            expires,
            cost,
            size,
            is_file: file.is_some(),
            about: new.about,
        };
        let check = match (&bytes, &file) {
            (None, Some(file)) => self
                .seal
                .of_file(&facts, file.file())
                .map_err(|error| Self::io(&blob, error))?,
            _ => self.seal.of(&facts, bytes.unwrap_or_default()),
        };
        let mut mark = [0; 40];
        mark[..24].copy_from_slice(&new.key.arguments[8..]);
        mark[24..].copy_from_slice(&check);
        let row = Row {
            id: rows::id_of(&new.key),
            created: now,
            expires,
            cost,
            mark,
            value: bytes.ok_or(size),
            new,
        };
        let too_much = bounds
            .max_bytes
            .is_some_and(|most| rows::charge(size, new.about.len() as u64).unsigned_abs() > most)
            || bounds.max_items == Some(0);
        if too_much {
            self.drop_entry(&new.key, None)?;
            return Ok(());
        }
        let begun = rows::begun(self.clock.now(), new.cost);
        let puts = self.puts.fetch_add(1, Ordering::Relaxed);
        let mut growth = None;
        let is_over = self.pool.write(|db| {
            growth = None;
            if rows::was_removed(db, row.id, begun, now)? {
                file = None;
                return Ok(false);
            }
            if row.may_owe(bounds) {
                growth = self.insert_new(db, &row, now)?;
            }
            let old = if growth.is_some() {
                None
            } else {
                self.insert(db, &row, now)?
            };
            if old.is_some_and(|old| old.is_file) {
                // The new file takes the place of the old one at once: killed in between, there is one of them.
                match file.take() {
                    Some(file) => publish(file, &blob)?,
                    None => drop(std::fs::remove_file(&blob)),
                }
            }
            stamp(db, uses)?;
            let mut evictor = lock(&self.evictor);
            if puts % 16 == 15 {
                evictor.sweep(db, &self.folder, bounds, now)?;
            }
            evictor.evict(db, &self.folder, bounds, now, Some(row.id), STEPS)
        })?;
        let pages = if growth.is_some() { 1 } else { 3 };
        if let Some(growth) = growth {
            // The entry is kept, whatever becomes of the totals.
            let _ = self.owe(growth);
        }
        self.log.fetch_add(
            pages * PAGE + bytes.map_or(0, <[u8]>::len) as u64,
            Ordering::Relaxed,
        );
        if is_over {
            self.is_over.store(true, Ordering::Relaxed);
        }
        match file {
            Some(file) => self.publish_late(&row, file, &blob, now),
            None => Ok(()),
        }
    }

    /// Gives the file of a row its name. The row was first: killed in between, there is a row too many, which is no more
    /// than a miss.
    fn publish_late(
        &self,
        row: &Row<'_>,
        file: Publication,
        blob: &Path,
        now: i64,
    ) -> Result<(), Error> {
        let mut file = Some(file);
        self.pool.write(|db| {
            let there = db
                .prepare_cached("SELECT mark FROM entries WHERE id = ?")?
                .query_row([row.id], |row| row.get::<_, Vec<u8>>(0))
                .optional()?;
            match there {
                // It was removed by now.
                None => return Ok(Ok(())),
                Some(mark) if mark == row.mark => {}
                // Somebody else computed the same.
                Some(_) => {
                    self.insert(db, row, now)?;
                }
            }
            let Some(Err(error)) = file.take().map(Publication::publish) else {
                return Ok(Ok(()));
            };
            if let Some(slim) = Slim::of(db, row.id)? {
                rows::remove(db, &self.folder, &slim)?;
            }
            Ok(Err(Self::io(blob, error)))
        })?
    }

    /// Writes a row where there is none of its id, of a version that is known: what the totals do not tell yet.
    fn insert_new(
        &self,
        db: &Connection,
        row: &Row<'_>,
        now: i64,
    ) -> rusqlite::Result<Option<Growth>> {
        let Ok(bytes) = row.value else {
            return Ok(None);
        };
        let digest = &row.new.key.version;
        let known = lock(&self.known)
            .get(digest)
            .filter(|(function, _)| function == row.new.function)
            .map(|(_, id)| *id);
        let Some(version) = known else {
            return Ok(None);
        };
        let about = (!row.new.about.is_empty()).then_some(row.new.about);
        let inserted = db
            .prepare_cached(
                "INSERT INTO entries(id, version, mark, created, used, expires, cost, about, value)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE (SELECT digest FROM versions WHERE id = ?2) = ?10
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                row.id,
                version,
                row.mark,
                row.created,
                now,
                row.expires,
                row.cost,
                about,
                bytes,
                digest
            ])?;
        Ok((inserted == 1).then(|| Growth {
            version,
            entries: 1,
            bytes: rows::charge(row.size(), row.new.about.len() as u64),
            used: now,
        }))
    }

    /// Writes a row, in place of what has its id; what that was.
    fn insert(&self, db: &Connection, row: &Row<'_>, now: i64) -> Result<Option<Slim>, Failure> {
        let old = Slim::of(db, row.id)?;
        let charge = rows::charge(row.size(), row.new.about.len() as u64);
        let digest = &row.new.key.version;
        let known = lock(&self.known)
            .get(digest)
            .filter(|(function, _)| function == row.new.function)
            .map(|(_, id)| *id);
        let same = |id| old.as_ref().filter(|old| old.version == id);
        let grow = |id: i64| -> rusqlite::Result<bool> {
            let (entries, bytes) = same(id).map_or((1, charge), |old| (0, charge - old.charge()));
            let done = db
                .prepare_cached(
                    "UPDATE versions SET used = max(used, ?1), entries = entries + ?2, bytes = bytes + ?3
                     WHERE id = ?4 AND digest = ?5",
                )?
                .execute(params![now, entries, bytes, id, digest])?;
            if done == 0 {
                // It is another database by now.
                return Ok(false);
            }
            rows::add(db, 0, entries, bytes)?;
            Ok(true)
        };
        let version = match known {
            Some(id) if grow(id)? => id,
            _ => {
                let (id, is_new) = rows::version_id(db, row.new.function, digest, now)?;
                if is_new {
                    lock(&self.evictor).look_again();
                }
                grow(id)?;
                lock(&self.known).insert(*digest, (row.new.function.to_owned(), id));
                id
            }
        };
        if let Some(old) = &old
            && old.version != version
        {
            rows::adjust(db, old.version, -1, -old.charge())?;
        }
        let about = (!row.new.about.is_empty()).then_some(row.new.about);
        let mut statement = db.prepare_cached(
            "REPLACE INTO entries(id, version, mark, created, used, expires, cost, about, value)
             VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        match row.value {
            Ok(bytes) => statement.execute(params![
                row.id,
                version,
                row.mark,
                row.created,
                now,
                row.expires,
                row.cost,
                about,
                bytes
            ])?,
            Err(len) => statement.execute(params![
                row.id,
                version,
                row.mark,
                row.created,
                now,
                row.expires,
                row.cost,
                about,
                i64::try_from(len).unwrap_or(i64::MAX)
            ])?,
        };
        Ok(old)
    }
}

fn publish(file: Publication, blob: &Path) -> Result<(), Failure> {
    file.publish()
        .map_err(|error| Failure::Other(Indexed::io(blob, error)))
}
