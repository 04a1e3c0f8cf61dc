//! Moving the log into the database.
//!
//! What is put goes to the end of a log, and from there into the database in the background. Once all of it is moved, the
//! next writer begins the log anew. While writers never pause, all of it is only ever moved while they wait, and what they
//! must not wait for is the disk. So before the last pages are moved they are moved as far as possible, and the disk is
//! waited for after them. Until then a power cut would leave pages of the database that belong together, some as they
//! were and some as they are, and no log to complete them: hence a file that says so, with the name of this run of the
//! operating system. Whoever opens the database in another run checks all of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode};

use super::Indexed;
use crate::{Error, gate};

/// Frames of the log from which on a writer waits until it is moved.
const LONG: i32 = 16_000;
/// Frames that are moved in a moment.
const FEW: i32 = 256;
/// The file that tells of what the disk is not waited for.
const UNSAFE: &str = "moving";

const NAME: Option<&str> = Some("main");

fn passive(db: &Connection) -> rusqlite::Result<(i32, i32)> {
    db.wal_checkpoint_v2(NAME, CheckpointMode::PASSIVE)
}

impl Indexed {
    /// Moves the log into the database, once no other thread does.
    pub(super) fn checkpoint(&self, is_idle: bool) -> Result<(), Error> {
        let me = gate::generation() + 1;
        for _ in 0..2000 {
            match self
                .mover
                .compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst)
            {
                Err(other) if other == me => std::thread::sleep(Duration::from_millis(1)),
                // Nobody did, or a thread of the process that this one was forked from.
                _ => break,
            }
        }
        self.mover.store(me, Ordering::SeqCst);
        let moved = self.move_log(is_idle);
        self.mover.store(0, Ordering::SeqCst);
        moved
    }

    fn move_log(&self, is_idle: bool) -> Result<(), Error> {
        let left = self.pool.maintain(|db| {
            let mut done = passive(db);
            if is_idle && matches!(done, Ok((frames, _)) if frames > 0) {
                done = db.wal_checkpoint_v2(NAME, CheckpointMode::TRUNCATE);
            }
            match done {
                // Somebody else is at it.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(0),
                // Writers never paused for long enough that all of it was moved, so that it would grow for ever.
                Ok((frames, _)) if frames > LONG => Ok(frames),
                done => done.map(|_| 0),
            }
        })?;
        match left {
            Some(frames) if frames > 0 => self.move_all(frames),
            _ => Ok(()),
        }
    }

    /// Moves all of a long log while writers write.
    fn move_all(&self, frames: i32) -> Result<(), Error> {
        self.pool.sync();
        match Unsafe::begin(&self.folder.join("index")) {
            Ok(Some(state)) => {
                let moved = self.pool.maintain(|db| {
                    db.execute_batch("PRAGMA synchronous = OFF")?;
                    hurry(db);
                    let moved = {
                        let _halt = self.pool.halt();
                        // The first to write begins the log anew, and waits for the disk where that is not off.
                        full(db).and_then(|()| db.execute_batch("PRAGMA user_version = 1"))
                    };
                    db.execute_batch("PRAGMA synchronous = NORMAL")?;
                    moved
                });
                if self.pool.sync() {
                    let _ = state.end();
                }
                moved.map(drop)
            }
            // Another process is at it.
            Ok(None) if frames < 4 * LONG => Ok(()),
            _ => self.pool.maintain(full).map(drop),
        }
    }
}

/// Moves what there is until little is left.
fn hurry(db: &Connection) {
    let mut before = 0;
    for _ in 0..8 {
        match passive(db) {
            // What came meanwhile is as much as could be written in the time that this took.
            Ok((_, moved)) if moved - before > FEW => before = moved,
            _ => break,
        }
    }
}

fn full(db: &Connection) -> rusqlite::Result<()> {
    match db.wal_checkpoint_v2(NAME, CheckpointMode::FULL) {
        // Somebody else is at it.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        done => done.map(drop),
    }
}

/// The file that says that the database may be half written down. It is locked while that is so.
struct Unsafe(File);

impl Unsafe {
    /// Says so. `None` if another process does.
    fn begin(index: &Path) -> io::Result<Option<Self>> {
        let run = run()?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(index.join(UNSAFE))?;
        if !is_locked_now(&file)? {
            return Ok(None);
        }
        let state = Self(file.try_clone()?);
        // Never empty in between: whoever was killed before may have left it so.
        file.write_all(run.as_bytes())?;
        file.set_len(run.len() as u64)?;
        file.sync_all()?;
        File::open(index)?.sync_all()?;
        Ok(Some(state))
    }

    /// The database is written down.
    fn end(self) -> io::Result<()> {
        self.0.set_len(0)
    }
}

/// A child of a fork has the file open too: its lock is not left to closing.
#[cfg(unix)]
impl Drop for Unsafe {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

#[cfg(unix)]
fn is_locked_now(file: &File) -> io::Result<bool> {
    use rustix::fs::FlockOperation;
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn is_locked_now(_file: &File) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The name of this run of the operating system: another one after a power cut.
fn run() -> io::Result<String> {
    if cfg!(target_os = "linux") {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether a power cut may have left half a database. It is not asked again once the database is checked.
pub(super) fn is_in_doubt(index: &Path) -> bool {
    let Ok(mut file) = File::open(index.join(UNSAFE)) else {
        return false;
    };
    let mut text = String::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_string(&mut text));
    read.is_err() || !text.is_empty() && run().map_or(true, |run| run != text)
}

/// Notes that the database was found whole.
pub(super) fn is_checked(index: &Path) {
    let _ = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(index.join(UNSAFE));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_in_doubt_in_another_run_of_the_system_until_it_is_checked() {
        let index = tempfile::tempdir().unwrap();
        let index = index.path();
        assert!(!is_in_doubt(index));
        let state = Unsafe::begin(index).unwrap().unwrap();
        assert!(
            !is_in_doubt(index),
            "the system runs, and has all that was written"
        );
        assert!(
            Unsafe::begin(index).unwrap().is_none(),
            "one at a time says so"
        );
        fs::write(index.join(UNSAFE), "another run\n").unwrap();
        assert!(is_in_doubt(index));
        is_checked(index);
        assert!(!is_in_doubt(index));
        state.end().unwrap();
        let state = Unsafe::begin(index).unwrap().unwrap();
        drop(state);
        assert!(!is_in_doubt(index));
        fs::write(index.join(UNSAFE), [0xff, 0xfe]).unwrap();
        assert!(
            is_in_doubt(index),
            "what cannot be read tells of nothing good"
        );
    }
}
