//! The rows of the database.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::connection::Failure;
use crate::{Entry, Key, Record};

/// What a row takes besides its value and what is noted about it, in a database that has grown by itself.
const ROW: u64 = 160;

/// How many bytes of the value there are, without reading it.
macro_rules! size {
    () => {
        "iif(typeof(value) = 'blob', length(value), value)"
    };
}
pub(super) use size;

/// The id of a row: the first bytes of both digests. The row holds the rest.
pub(super) fn id_of(key: &Key) -> i64 {
    i64::from_be_bytes(mixed(key))
}

fn mixed(key: &Key) -> [u8; 8] {
    std::array::from_fn(|index| key.version[index] ^ key.arguments[index])
}

/// Where the file of an entry is.
pub(super) fn blob_of(folder: &Path, key: &Key) -> PathBuf {
    let mut name = String::with_capacity(56);
    for index in 0..24 {
        let byte = key.version[index] ^ key.arguments[index];
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    let mut path = folder.join("blobs");
    path.push(&name[..2]);
    name.push_str(".pkl");
    path.push(name);
    path
}

/// The key of a row.
pub(super) fn key_of(id: i64, mark: &[u8], version: &[u8; 32]) -> Option<Key> {
    let rest = mark.first_chunk::<24>()?;
    let mut arguments = [0; 32];
    for (index, byte) in id.to_be_bytes().into_iter().enumerate() {
        arguments[index] = byte ^ version[index];
    }
    arguments[8..].copy_from_slice(rest);
    Some(Key {
        version: *version,
        arguments,
    })
}

pub(super) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |before| -before)
        }
    }
}

/// When something began that took so long until now.
pub(super) fn begun(now: SystemTime, cost: Duration) -> i64 {
    now.checked_sub(cost).map_or(i64::MIN, millis)
}

pub(super) fn time(millis: i64) -> SystemTime {
    let span = Duration::from_millis(millis.unsigned_abs());
    let time = if millis < 0 {
        UNIX_EPOCH.checked_sub(span)
    } else {
        UNIX_EPOCH.checked_add(span)
    };
    time.unwrap_or(UNIX_EPOCH)
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// What an entry counts for.
pub(super) fn charge(size: u64, about: u64) -> i64 {
    i64::try_from(size.saturating_add(about).saturating_add(ROW)).unwrap_or(i64::MAX)
}

/// What is known of a row without its value.
#[derive(Clone)]
pub(super) struct Slim {
    pub(super) id: i64,
    pub(super) version: i64,
    pub(super) created: i64,
    pub(super) used: i64,
    pub(super) expires: Option<i64>,
    pub(super) is_file: bool,
    pub(super) size: u64,
    pub(super) about: u64,
}

/// The columns of a [`Slim`].
macro_rules! slim {
    () => {
        concat!(
            "id, version, created, used, expires, typeof(value) <> 'blob', ",
            $crate::indexed::rows::size!(),
            ", ifnull(length(about), 0)"
        )
    };
}
pub(super) use slim;

impl Slim {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            version: row.get(1)?,
            created: row.get(2)?,
            used: row.get(3)?,
            expires: row.get(4)?,
            is_file: row.get(5)?,
            size: count(row, 6)?,
            about: count(row, 7)?,
        })
    }

    pub(super) fn of(db: &Connection, id: i64) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(concat!("SELECT ", slim!(), " FROM entries WHERE id = ?"))?
            .query_row([id], Self::read)
            .optional()
    }

    pub(super) fn charge(&self) -> i64 {
        charge(self.size, self.about)
    }

    /// Whether it has ended, or is older than it may be.
    pub(super) fn is_over(&self, now: i64, max_age: Option<i64>) -> bool {
        is_over(self.created, self.expires, now, max_age)
    }
}

/// Whether what was put at `created` is no longer to be used.
pub(super) fn is_over(created: i64, expires: Option<i64>, now: i64, max_age: Option<i64>) -> bool {
    let skew = i64::try_from(crate::shelf::SKEW.as_millis()).unwrap_or(0);
    let is_bounded = expires.is_some() || max_age.is_some();
    expires.is_some_and(|expires| expires <= now)
        || max_age.is_some_and(|max_age| now.saturating_sub(created) >= max_age)
        || is_bounded && created > now.saturating_add(skew)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// A row as it is listed.
pub(super) struct Listed {
    pub(super) slim: Slim,
    pub(super) mark: Vec<u8>,
    pub(super) cost: i64,
    pub(super) about: Vec<u8>,
}

impl Listed {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            slim: Slim::read(row)?,
            mark: row.get(8)?,
            cost: row.get(9)?,
            about: bytes(row, 10)?.to_vec(),
        })
    }

    pub(super) fn entry(self, version: &(String, [u8; 32])) -> Option<Entry> {
        Some(Entry {
            key: key_of(self.slim.id, &self.mark, &version.1)?,
            function: version.0.clone(),
            record: Record {
                created: time(self.slim.created),
                used: time(self.slim.used),
                expires: self.slim.expires.map(time),
                cost: span(self.cost),
                size: self.slim.size,
                about: self.about,
            },
        })
    }
}

/// A blob, or nothing.
pub(super) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes,
        _ => &[],
    })
}

/// The function and the digest of a version.
pub(super) fn version_of(db: &Connection, id: i64) -> rusqlite::Result<Option<(String, [u8; 32])>> {
    db.prepare_cached(
        "SELECT functions.name, versions.digest FROM versions
         JOIN functions ON functions.id = versions.function WHERE versions.id = ?",
    )?
    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

/// The id of a function, which is made known if need be.
pub(super) fn function_id(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    let known = db
        .prepare_cached("SELECT id FROM functions WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    db.prepare_cached("INSERT INTO functions(name) VALUES(?)")?
        .insert([name])
}

/// The id of a version, which is made known if need be; whether it was new.
pub(super) fn version_id(
    db: &Connection,
    function: &str,
    digest: &[u8; 32],
    now: i64,
) -> rusqlite::Result<(i64, bool)> {
    let function = function_id(db, function)?;
    let known = db
        .prepare_cached("SELECT id FROM versions WHERE digest = ? AND function = ?")?
        .query_row(params![digest, function], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok((id, false));
    }
    let id = db
        .prepare_cached("INSERT INTO versions(function, digest, created, used) VALUES(?, ?, ?, ?)")?
        .insert(params![function, digest, now, now])?;
    Ok((id, true))
}

/// Adds to what a version, and all of them together, count for.
pub(super) fn adjust(
    db: &Connection,
    version: i64,
    entries: i64,
    bytes: i64,
) -> rusqlite::Result<()> {
    if version != 0 {
        add(db, version, entries, bytes)?;
    }
    add(db, 0, entries, bytes)
}

/// Adds to what a version counts for; 0 is all of them together.
pub(super) fn add(db: &Connection, version: i64, entries: i64, bytes: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE versions SET entries = entries + ?, bytes = bytes + ? WHERE id = ?")?
        .execute([entries, bytes, version])
        .map(|_| ())
}

/// How many entries there are, and what they count for.
pub(super) fn totals(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    db.prepare_cached("SELECT entries, bytes FROM versions WHERE id = 0")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Remembers for a day that an entry was removed by hand: what is being computed meanwhile is not to be kept.
pub(super) fn note_removal(db: &Connection, id: i64, now: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE versions SET created = ? WHERE id = 0")?
        .execute([now])?;
    db.prepare_cached("REPLACE INTO removed(id, at) VALUES(?, ?)")?
        .execute([id, now])?;
    if id.trailing_zeros() >= 6 {
        db.prepare_cached("DELETE FROM removed WHERE at < ?")?
            .execute([now.saturating_sub(86_400_000)])?;
    }
    Ok(())
}

/// Remembers that a function was cleared. Which one does not matter: few are, and what is computed is computed again.
pub(super) fn note_clearing(db: &Connection, now: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE versions SET used = ? WHERE id = 0")?
        .execute([now])
        .map(|_| ())
}

/// Whether an entry was removed by hand since `begun`.
pub(super) fn was_removed(
    db: &Connection,
    id: i64,
    begun: i64,
    now: i64,
) -> rusqlite::Result<bool> {
    // What a wrong clock noted is passed over.
    let since = |at: i64| at > begun && at <= now.saturating_add(60_000);
    let (removed, cleared) = db
        .prepare_cached("SELECT created, used FROM versions WHERE id = 0")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if since(cleared) || !since(removed) {
        return Ok(since(cleared));
    }
    let removed = db
        .prepare_cached("SELECT at FROM removed WHERE id = ?")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(removed.is_some_and(since))
}

/// Where the file of a row is, if its value is one.
pub(super) fn file_of(
    db: &Connection,
    folder: &Path,
    row: &Slim,
) -> rusqlite::Result<Option<PathBuf>> {
    if !row.is_file {
        return Ok(None);
    }
    let version = version_of(db, row.version)?;
    let mark = db
        .prepare_cached("SELECT mark FROM entries WHERE id = ?")?
        .query_row([row.id], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    let key = version
        .zip(mark)
        .and_then(|((_, digest), mark)| key_of(row.id, &mark, &digest));
    Ok(key.map(|key| blob_of(folder, &key)))
}

/// Removes a row, and its file before it.
pub(super) fn remove(db: &Connection, folder: &Path, row: &Slim) -> Result<(), Failure> {
    if let Some(path) = file_of(db, folder, row)? {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Other(crate::Error::Io { path, source }));
            }
            _ => {}
        }
    }
    db.prepare_cached("DELETE FROM entries WHERE id = ?")?
        .execute([row.id])?;
    adjust(db, row.version, -1, -row.charge())?;
    Ok(())
}
