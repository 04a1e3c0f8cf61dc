//! Connections to the database.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::log;
use crate::Error;
use crate::folder::Removals;
use crate::gate::{self, Forkable};

/// The tables. A row of `entries` begins with what is read without its value. Row 0 of `versions` has the totals, when
/// an entry was last removed by hand (`created`), and when a function was last cleared (`used`).
const SCHEMA: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS functions(
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, hits INTEGER NOT NULL DEFAULT 0,
        misses INTEGER NOT NULL DEFAULT 0, saved INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS versions(
        id INTEGER PRIMARY KEY, function INTEGER NOT NULL, digest BLOB NOT NULL, created INTEGER NOT NULL,
        used INTEGER NOT NULL, entries INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
        UNIQUE(digest, function));
    CREATE TABLE IF NOT EXISTS texts(version INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS removed(id INTEGER PRIMARY KEY, at INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS entries(
        id INTEGER PRIMARY KEY, version INTEGER NOT NULL, mark BLOB NOT NULL, created INTEGER NOT NULL,
        used INTEGER NOT NULL, expires INTEGER, cost INTEGER NOT NULL, about BLOB, value NOT NULL);
    INSERT OR IGNORE INTO versions(id, function, digest, created, used) VALUES(0, 0, x'', 0, 0);
    PRAGMA user_version = 1;
    COMMIT;";

/// Statements that one connection keeps.
const STATEMENTS: usize = 48;

/// The connections of a folder, each used by one thread at a time.
pub(super) struct Pool {
    folder: PathBuf,
    removals: Arc<Removals>,
    idle: Mutex<Vec<Link>>,
    /// The one that the log is moved by. Those of callers keep the pages that they have read: only what others write makes
    /// them read anew.
    moving: Mutex<Option<Link>>,
    /// Writers of this process queue here, and not at the database, where waiting means polling.
    writing: Mutex<()>,
    /// How often the database was found damaged.
    epoch: AtomicU64,
}

/// A connection.
pub(super) struct Link {
    pub(super) db: Connection,
    epoch: u64,
    /// The file that it is connected to.
    inode: Option<u64>,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Read,
    /// To write to a database that is there.
    Amend,
    Write,
}

impl Forkable for Pool {
    fn close(&self) {
        lock(&self.idle).clear();
        lock(&self.moving).take();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(folder: &Path, removals: Arc<Removals>) -> Arc<Self> {
        let pool = Arc::new(Self {
            folder: folder.to_path_buf(),
            removals,
            idle: Mutex::default(),
            moving: Mutex::default(),
            writing: Mutex::default(),
            epoch: AtomicU64::new(0),
        });
        gate::watch(&pool);
        pool
    }

    /// Does `what` with a connection, to read. `None` if the folder is gone. A damaged database is begun anew, and
    /// holds nothing then.
    pub(super) fn read<T>(
        &self,
        what: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let _inside = gate::enter();
        if self.removals.count().is_none() && !self.removals.find() {
            lock(&self.idle).clear();
            return Ok(None);
        }
        let link = match self.take(Need::Read) {
            Ok(Some(link)) => link,
            Ok(None) => return Ok(None),
            Err(error) if self.mend(&error, None) => return Ok(None),
            Err(error) => return Err(self.told(error)),
        };
        let done = what(&link.db);
        self.finish(link, done)
            .map(Some)
            .or_else(|error| match error {
                Error::Corrupt(_) => Ok(None),
                error => Err(error),
            })
    }

    /// Does `what` with a connection of its own, outside of a transaction, if there is a database.
    pub(super) fn maintain<T>(
        &self,
        what: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let _inside = gate::enter();
        let Ok(state) = fs::metadata(self.database()) else {
            return Ok(None);
        };
        let epoch = self.epoch();
        let known = lock(&self.moving)
            .take()
            .filter(|link| link.epoch == epoch && link.inode == inode_of(&state));
        let link = match known.map_or_else(|| self.connect(epoch), Ok) {
            Ok(link) => link,
            Err(error) if self.mend(&error, None) => return Ok(None),
            Err(error) => return Err(self.told(error)),
        };
        match what(&link.db) {
            Ok(done) => {
                *lock(&self.moving) = Some(link);
                Ok(Some(done))
            }
            Err(error) if self.mend(&error, Some(&link)) => Ok(None),
            Err(error) => Err(self.told(error)),
        }
    }

    /// Does `what` with a connection inside a transaction, which is undone if it fails. A database that is gone or
    /// damaged is made again.
    pub(super) fn write<T>(
        &self,
        what: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let done = self.change(Need::Write, what)?;
        done.ok_or_else(|| self.told(sql(io::ErrorKind::NotFound.into())))
    }

    /// As [`Self::write`], if there is a database: what is not worth that one is made, perhaps while somebody removes
    /// the folder.
    pub(super) fn amend<T>(
        &self,
        what: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<Option<T>, Error> {
        self.change(Need::Amend, what)
    }

    fn change<T>(
        &self,
        need: Need,
        mut what: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<Option<T>, Error> {
        let _inside = gate::enter();
        let _writing = lock(&self.writing);
        let mut again = true;
        loop {
            let link = match self.take(need) {
                Ok(Some(link)) => link,
                Ok(None) => return Ok(None),
                Err(error) if again && self.mend(&error, None) => {
                    again = false;
                    continue;
                }
                Err(error) => return Err(self.told(error)),
            };
            let done = transact(&link.db, &mut what);
            let error = match done {
                Ok(done) => {
                    self.give(link);
                    return Ok(Some(done));
                }
                Err(Failure::Other(error)) => {
                    self.give(link);
                    return Err(error);
                }
                Err(Failure::Sql(error)) => error,
            };
            if again && self.mend(&error, Some(&link)) {
                again = false;
                continue;
            }
            return self.finish(link, Err(error));
        }
    }

    /// Has the operating system write the database and its log down; whether it did.
    pub(super) fn sync(&self) -> bool {
        let _inside = gate::enter();
        let written = |path: &Path| File::open(path).is_ok_and(|file| file.sync_data().is_ok());
        let database = self.database();
        written(&database.with_extension("sqlite-wal")) && written(&database)
    }

    /// Has the writers of this process wait. To be asked for inside [`Self::maintain`].
    pub(super) fn halt(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// A connection to the database that is there. `None` if there is none, and none is to be made.
    fn take(&self, need: Need) -> rusqlite::Result<Option<Link>> {
        let epoch = self.epoch();
        if need == Need::Read {
            while let Some(link) = lock(&self.idle).pop() {
                if link.epoch == epoch {
                    return Ok(Some(link));
                }
            }
        }
        // It may have been removed, or exchanged for another.
        let state = fs::metadata(self.database()).ok();
        if state.is_none() && need != Need::Write {
            lock(&self.idle).clear();
            return Ok(None);
        }
        let inode = state.as_ref().and_then(inode_of);
        while let Some(link) = lock(&self.idle).pop() {
            if link.epoch == epoch && state.is_some() && link.inode == inode {
                return Ok(Some(link));
            }
        }
        self.connect(epoch).map(Some)
    }

    fn give(&self, link: Link) {
        if link.epoch == self.epoch() {
            lock(&self.idle).push(link);
        }
    }

    fn finish<T>(&self, link: Link, done: rusqlite::Result<T>) -> Result<T, Error> {
        match done {
            Ok(done) => {
                self.give(link);
                Ok(done)
            }
            Err(error) => {
                self.mend(&error, Some(&link));
                Err(self.told(error))
            }
        }
    }

    /// Moves whenever the database is another.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst) + self.removals.epoch()
    }

    fn begin_anew(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        lock(&self.idle).clear();
        lock(&self.moving).take();
    }

    /// How long the log is.
    pub(super) fn log_len(&self) -> u64 {
        let log = self.database().with_extension("sqlite-wal");
        fs::metadata(log).map_or(0, |state| state.len())
    }

    fn database(&self) -> PathBuf {
        self.folder.join("index").join("entries.sqlite")
    }

    /// Moves a damaged database out of the way; whether it was one. `found` is what was found damaged: if there
    /// is another by now, somebody did so already.
    fn mend(&self, error: &rusqlite::Error, found: Option<&Link>) -> bool {
        if !is_damage(error) {
            return false;
        }
        self.begin_anew();
        self.move_away(found).is_ok()
    }

    /// Moves the database out of the way, if it is still the one of `found`.
    fn move_away(&self, found: Option<&Link>) -> io::Result<()> {
        let marker = Guard::new(&self.folder)?;
        let now = fs::metadata(self.database())
            .ok()
            .and_then(|state| inode_of(&state));
        if now.is_none() || found.is_none_or(|link| link.inode == now) {
            let away = self
                .folder
                .join(format!(".index-{}.tmp", std::process::id()));
            let _ = fs::remove_dir_all(&away);
            if fs::rename(self.folder.join("index"), &away).is_ok() {
                let _ = fs::remove_dir_all(&away);
            }
            let _ = self.removals.begin_anew();
        }
        drop(marker);
        Ok(())
    }

    /// Throws the database away, which takes no room.
    pub(super) fn discard(&self) -> Result<(), Error> {
        let _inside = gate::enter();
        let _writing = lock(&self.writing);
        self.begin_anew();
        self.move_away(None).map_err(|source| Error::Io {
            path: self.database(),
            source,
        })
    }

    fn connect(&self, epoch: u64) -> rusqlite::Result<Link> {
        // One at a time: so nobody connects to half a database, or while a damaged one is moved away.
        let guard = Guard::new(&self.folder);
        let path = self.database();
        let db = match guard {
            Ok(_) => open_writable(&path, &self.folder),
            Err(error) => Err(sql(error)),
        };
        let db = match db {
            Ok(db) => db,
            Err(error) if is_damage(&error) => return Err(error),
            Err(error) => open_read_only(&path).map_err(|_| error)?,
        };
        Ok(Link {
            inode: fs::metadata(&path).ok().and_then(|state| inode_of(&state)),
            db,
            epoch,
        })
    }

    /// An error in the terms of this crate.
    pub(super) fn told(&self, error: rusqlite::Error) -> Error {
        let path = self.database();
        if is_damage(&error) {
            return Error::Corrupt(format!("{} is damaged ({error})", path.display()));
        }
        let source = match error {
            rusqlite::Error::SqliteFailure(failure, text) => {
                let text = text.unwrap_or_else(|| failure.to_string());
                match failure.code {
                    ErrorCode::DiskFull => io::ErrorKind::StorageFull.into(),
                    ErrorCode::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
                    ErrorCode::PermissionDenied => io::ErrorKind::PermissionDenied.into(),
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                        io::Error::new(io::ErrorKind::TimedOut, text)
                    }
                    ErrorCode::OutOfMemory => io::ErrorKind::OutOfMemory.into(),
                    _ => io::Error::other(text),
                }
            }
            rusqlite::Error::ToSqlConversionFailure(error) => match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
            error => io::Error::other(error),
        };
        Error::Io { path, source }
    }
}

/// Why a transaction failed.
pub(super) enum Failure {
    Sql(rusqlite::Error),
    Other(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn transact<T>(
    db: &Connection,
    what: &mut impl FnMut(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = what(db).and_then(|done| {
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(done)
    });
    if done.is_err() && !db.is_autocommit() {
        let _ = db.execute_batch("ROLLBACK");
    }
    done
}

/// An exclusive lock on the marker of a folder.
struct Guard(#[expect(dead_code, reason = "the lock ends with it")] File);

impl Guard {
    fn new(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(crate::folder::MARKER))?;
        #[cfg(unix)]
        while let Err(error) = rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        Ok(Self(file))
    }
}

fn open_writable(path: &Path, folder: &Path) -> rusqlite::Result<Connection> {
    match fs::create_dir(folder.join("index")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(sql(error)),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    configure(&mut db)?;
    if db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? != 1 {
        // Before there are tables: it is decided then.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.execute_batch(SCHEMA)?;
    }
    let index = folder.join("index");
    if log::is_in_doubt(&index) {
        let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(found),
            ));
        }
        log::is_checked(&index);
    }
    Ok(db)
}

/// For a folder that may only be read. Where not even the memory that readers share can be made, nobody writes.
fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let usual = Connection::open_with_flags(path, flags).and_then(|mut db| {
        configure(&mut db)?;
        db.query_row("SELECT count(*) FROM versions", [], |_| Ok(()))?;
        Ok(db)
    });
    usual.or_else(|_| {
        let text = path.to_string_lossy();
        let escaped = text
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        let mut db = Connection::open_with_flags(
            format!("file:{escaped}?immutable=1"),
            flags | OpenFlags::SQLITE_OPEN_URI,
        )?;
        configure(&mut db)?;
        Ok(db)
    })
}

fn configure(db: &mut Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // Short naps: writers hold the database for microseconds.
    db.busy_handler(Some(|tries| {
        let nap = match tries {
            0..20 => 50,
            20..100 => 200,
            _ => 1000,
        };
        std::thread::sleep(Duration::from_micros(nap));
        tries < 4000
    }))?;
    // The log outlives the last connection, so that one is closed at no cost before a fork.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Else a statement with a limit is prepared anew for each value of it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8000;
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = -1; PRAGMA cell_size_check = ON;",
    )
}

/// An error of the operating system on its way through those of the database.
pub(super) fn sql(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Whether it says that the database is damaged, or is none of ours.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    // Tables that are missing, or are others.
                    | ErrorCode::Unknown
                    | ErrorCode::SchemaChanged
                    | ErrorCode::TypeMismatch
            ) || failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ
        }
        // Our own statements are right: the schema is another.
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::InvalidColumnIndex(_) => true,
        _ => false,
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "there are none on other systems")]
fn inode_of(state: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(state))
}

#[cfg(not(unix))]
fn inode_of(_state: &fs::Metadata) -> Option<u64> {
    None
}
