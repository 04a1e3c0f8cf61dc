//! What looks at every entry.

use std::collections::{HashMap, hash_map};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::Failure;
use super::evict::{is_over, max_age};
use super::rows::{self, Listed, Slim, slim};
use super::{Indexed, facts};
use crate::folder::{Bounds, Freed, Verified};
use crate::shelf::Progress;
use crate::{Entry, Error, seal, sound};

/// Rows that are read at once.
const PAGE: i64 = 256;
/// Rows that are removed in one transaction, which others wait for.
const BATCH: usize = 128;
/// The same, where the log has little room.
const FEW: usize = 8;

type Versions = HashMap<i64, Option<(String, [u8; 32])>>;

impl Indexed {
    pub(super) fn survey(
        &self,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut versions = Versions::new();
        let mut next = Some(i64::MIN);
        while let Some(start) = next {
            let Some(page) = self.pool.read(|db| page(db, start, &mut versions))? else {
                break;
            };
            next = page.last().and_then(|row| row.slim.id.checked_add(1));
            // No connection is held meanwhile: whoever visits may use the folder, and may fork.
            for row in page {
                let version = versions.get(&row.slim.version).and_then(Option::as_ref);
                let Some(entry) = version.and_then(|version| row.entry(version)) else {
                    continue;
                };
                if visit(entry).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// All rows, without what is noted about them.
    fn slims(&self) -> Result<Vec<Slim>, Error> {
        let mut all = Vec::new();
        let mut next = Some(i64::MIN);
        while let Some(start) = next {
            let page = self.pool.read(|db| {
                db.prepare_cached(concat!(
                    "SELECT ",
                    slim!(),
                    " FROM entries WHERE id >= ? ORDER BY id LIMIT 4096"
                ))?
                .query_map([start], Slim::read)?
                .collect::<rusqlite::Result<Vec<_>>>()
            })?;
            let page = page.unwrap_or_default();
            next = page.last().and_then(|row| row.id.checked_add(1));
            all.extend(page);
        }
        Ok(all)
    }

    /// Removes rows, unless they changed since they were seen.
    fn drop_rows(&self, rows: &[Slim], batch: usize) -> Result<Freed, Error> {
        let mut freed = Freed::default();
        for batch in rows.chunks(batch) {
            let part = self.pool.write(|db| {
                let mut part = Freed::default();
                for row in batch {
                    if let Some(now) = Slim::of(db, row.id)?
                        && now.created == row.created
                    {
                        rows::remove(db, &self.folder, &now)?;
                        part.items += 1;
                        part.bytes += now.charge().unsigned_abs();
                    }
                }
                Ok(part)
            })?;
            freed.items += part.items;
            freed.bytes += part.bytes;
        }
        Ok(freed)
    }

    /// What is removed is logged first, for which a full disk may have no room. So room is made with the files that are to
    /// go anyway, and with the log. If that is not enough, all is thrown away: entries that others asked to be rid of must
    /// not be found again, and those of other functions are computed again.
    pub(super) fn clear_of(&self, function: Option<&str>) -> Result<u64, Error> {
        let mut cleared = self.clear_rows(function, BATCH);
        if function.is_some() && cleared.as_ref().is_err_and(is_full) {
            let room = self
                .clear_files(function)
                .and_then(|()| self.checkpoint(true));
            if room.is_ok() {
                cleared = self.clear_rows(function, FEW);
            }
        }
        match cleared {
            Err(error) if is_full(&error) => self.discard(),
            cleared => cleared,
        }
    }

    /// Removes the files of entries that are about to go. Rows without one are no entries.
    fn clear_files(&self, function: Option<&str>) -> Result<(), Error> {
        for row in self.rows_of(function)?.iter().filter(|row| row.is_file) {
            let file = self.pool.read(|db| rows::file_of(db, &self.folder, row))?;
            if let Some(path) = file.flatten() {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Throws away the index and all files.
    fn discard(&self) -> Result<u64, Error> {
        let now = self.now();
        let (entries, _) = self.pool.read(rows::totals)?.unwrap_or_default();
        self.pool.discard()?;
        let blobs = self.folder.join("blobs");
        for folder in fs::read_dir(&blobs).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(folder.path());
        }
        // What is being computed meanwhile is not to be kept.
        let _ = self.pool.write(|db| Ok(rows::note_clearing(db, now)?));
        Ok(u64::try_from(entries).unwrap_or(0))
    }

    fn clear_rows(&self, function: Option<&str>, batch: usize) -> Result<u64, Error> {
        let now = self.now();
        self.pool.write(|db| Ok(rows::note_clearing(db, now)?))?;
        let rows = self.rows_of(function)?;
        let removed = self.drop_rows(&rows, batch)?.items;
        self.tidy()?;
        Ok(removed)
    }

    /// The rows of a function, or all.
    fn rows_of(&self, function: Option<&str>) -> Result<Vec<Slim>, Error> {
        let versions = self.versions_of(function)?;
        let mut rows = self.slims()?;
        rows.retain(|row| {
            versions
                .as_ref()
                .is_none_or(|versions| versions.contains(&row.version))
        });
        Ok(rows)
    }

    /// The ids of a function's versions; `None` for those of all.
    fn versions_of(&self, function: Option<&str>) -> Result<Option<Vec<i64>>, Error> {
        let Some(function) = function else {
            return Ok(None);
        };
        let found = self.pool.read(|db| {
            db.prepare_cached(
                "SELECT versions.id FROM versions JOIN functions ON functions.id = versions.function
                 WHERE functions.name = ?",
            )?
            .query_map([function], |row| row.get(0))?
            .collect()
        })?;
        Ok(Some(found.unwrap_or_default()))
    }

    pub(super) fn reduce_to(&self, to: &Bounds) -> Result<Freed, Error> {
        let now = self.now();
        let max_age = max_age(to);
        let mut rows = self.slims()?;
        let superseded = self
            .pool
            .read(|db| super::lock(&self.evictor).superseded(db))?
            .unwrap_or_default();
        // What goes first, first.
        rows.sort_unstable_by_key(|row| {
            let over = row.is_over(now, max_age);
            (!over, !superseded.contains(&row.version), row.used)
        });
        let count = |rows: &[Slim]| i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let mut bytes: i64 = rows.iter().map(Slim::charge).sum();
        let mut going = 0;
        while let Some(row) = rows.get(going) {
            if !row.is_over(now, max_age) && !is_over(to, count(&rows[going..]), bytes) {
                break;
            }
            bytes -= row.charge();
            going += 1;
        }
        let freed = self.drop_rows(&rows[..going], BATCH)?;
        self.tidy()?;
        Ok(freed)
    }

    /// Gives back the room of what was removed, and removes files that belong to no entry: those of a writer that was
    /// killed at the wrong moment.
    fn tidy(&self) -> Result<(), Error> {
        loop {
            let left = self.pool.read(|db| {
                db.prepare_cached("PRAGMA freelist_count")?
                    .query_row([], |row| row.get::<_, i64>(0))
            })?;
            if left.unwrap_or(0) == 0 {
                break;
            }
            self.pool.write(|db| {
                let mut statement = db.prepare("PRAGMA incremental_vacuum(512)")?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            })?;
        }
        self.remove_strays()?;
        self.checkpoint(true)
    }

    fn remove_strays(&self) -> Result<(), Error> {
        let old = |path: &std::path::Path| {
            let modified = fs::metadata(path).and_then(|state| state.modified());
            modified.is_ok_and(|modified| {
                modified
                    .elapsed()
                    .is_ok_and(|age| age > Duration::from_secs(600))
            })
        };
        let folders = fs::read_dir(self.folder.join("blobs"))
            .into_iter()
            .flatten();
        for file in folders
            .flatten()
            .flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten())
        {
            let path = file.path();
            if !old(&path) {
                continue;
            }
            let name = file.file_name();
            let id = name
                .to_str()
                .filter(|name| name.len() == 52)
                .and_then(|name| name.get(..16))
                .and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let is_known = match id {
                None => false,
                Some(id) => self
                    .pool
                    .read(|db| Ok(Slim::of(db, id.cast_signed())?.is_some_and(|row| row.is_file)))?
                    .unwrap_or(true),
            };
            if !is_known {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    pub(super) fn verify_all(&self, progress: &mut Progress<'_>) -> Result<Verified, Error> {
        let (of, _) = self.pool.read(rows::totals)?.unwrap_or_default();
        let of = u64::try_from(of).unwrap_or(0);
        let mut verified = Verified::default();
        let mut versions = Versions::new();
        let mut next = Some(i64::MIN);
        while let Some(start) = next {
            let Some(page) = self.pool.read(|db| page(db, start, &mut versions))? else {
                break;
            };
            next = page.last().and_then(|row| row.slim.id.checked_add(1));
            for row in page {
                let slim = row.slim.clone();
                let version = versions.get(&slim.version).and_then(Option::as_ref);
                let entry = version.and_then(|version| row.entry(version));
                verified.checked += 1;
                let whole = match &entry {
                    Some(entry) => self.is_whole(entry, slim.is_file)?,
                    None => false,
                };
                if !whole && self.drop_rows(&[slim], BATCH)?.items > 0 {
                    verified.damaged.extend(entry);
                }
                if verified.checked % 64 == 0
                    && progress(verified.checked, of.max(verified.checked)).is_break()
                {
                    return Ok(verified);
                }
            }
        }
        let _ = progress(verified.checked, verified.checked);
        match self.recount() {
            // The entries are whole all the same.
            Err(error) if is_full(&error) => {}
            counted => counted?,
        }
        self.remove_strays()?;
        Ok(verified)
    }

    /// Whether the value of a row is what was put.
    fn is_whole(&self, entry: &Entry, is_file: bool) -> Result<bool, Error> {
        let id = rows::id_of(&entry.key);
        let found = self.pool.read(|db| {
            db.prepare_cached("SELECT mark, value FROM entries WHERE id = ?")?
                .query_row([id], |row| {
                    let mark = rows::bytes(row, 0)?.to_vec();
                    let value = if is_file {
                        Vec::new()
                    } else {
                        rows::bytes(row, 1)?.to_vec()
                    };
                    Ok((mark, value))
                })
                .optional()
        })?;
        let Some((mark, mut value)) = found.flatten() else {
            return Ok(false);
        };
        if is_file {
            let path = rows::blob_of(&self.folder, &entry.key);
            let mut file = match File::open(&path) {
                Ok(file) => file,
                // Its writer was killed before it had its name: nothing is found under that key.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
                Err(_) => return Ok(false),
            };
            if self.seal.is_keyed() {
                if file.read_to_end(&mut value).is_err() {
                    return Ok(false);
                }
            } else {
                let sound = file.metadata().and_then(|state| {
                    Ok(state.len() == entry.record.size && sound::is_sound(file)?)
                });
                if !sound.map_err(|error| Self::io(&path, error))? {
                    return Ok(false);
                }
            }
        }
        let check = self
            .seal
            .of(&facts(&entry.key, &entry.record, is_file), &value);
        Ok(mark
            .last_chunk::<16>()
            .is_some_and(|known| seal::is_same(known, &check)))
    }

    /// Counts all entries anew: the totals are what the bounds go by.
    fn recount(&self) -> Result<(), Error> {
        let rows = self.slims()?;
        let mut versions: HashMap<i64, (i64, i64)> = HashMap::new();
        for row in rows {
            for id in [0, row.version] {
                let (entries, bytes) = versions.entry(id).or_default();
                *entries += 1;
                *bytes += row.charge();
            }
        }
        self.pool.write(|db| {
            // They are among those that were counted.
            self.forgive();
            let totals = rows::totals(db)?;
            if versions.get(&0).copied().unwrap_or_default() == totals {
                return Ok(());
            }
            db.execute("UPDATE versions SET entries = 0, bytes = 0", [])?;
            for (id, (entries, bytes)) in &versions {
                db.prepare_cached("UPDATE versions SET entries = ?, bytes = ? WHERE id = ?")?
                    .execute(params![entries, bytes, id])?;
            }
            Ok::<_, Failure>(())
        })
    }
}

fn is_full(error: &Error) -> bool {
    let Error::Io { source, .. } = error else {
        return false;
    };
    matches!(
        source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

fn page(db: &Connection, start: i64, versions: &mut Versions) -> rusqlite::Result<Vec<Listed>> {
    let page = db
        .prepare_cached(concat!(
            "SELECT ",
            slim!(),
            ", mark, cost, about FROM entries WHERE id >= ? ORDER BY id LIMIT ?"
        ))?
        .query_map([start, PAGE], Listed::read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for row in &page {
        if let hash_map::Entry::Vacant(version) = versions.entry(row.slim.version) {
            version.insert(rows::version_of(db, row.slim.version)?);
        }
    }
    Ok(page)
}
