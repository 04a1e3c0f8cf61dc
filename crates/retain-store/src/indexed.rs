//! A database of entries, with files for the large ones.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::folder::{Bounds, Freed, Statistics, Tally, Verified, Version};
use crate::shelf::{Clock, Progress, Shelf};
use crate::{Body, Entry, Error, Found, Key, New, Record, Store, Value};

type Kept = (String, Record, Option<Vec<u8>>);

/// The layout [`Layout::Indexed`](crate::Layout::Indexed).
pub(crate) struct Indexed {
    path: PathBuf,
    clock: Clock,
    entries: Mutex<HashMap<Key, Kept>>,
    tallies: Mutex<HashMap<String, Tally>>,
    versions: Mutex<Vec<(String, Version)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Indexed {
    pub(crate) fn new(path: &Path, clock: Clock) -> Self {
        Self {
            path: path.to_path_buf(),
            clock,
            entries: Mutex::default(),
            tallies: Mutex::default(),
            versions: Mutex::default(),
        }
    }

    fn io(&self, source: std::io::Error) -> Error {
        Error::Io {
            path: self.path.clone(),
            source,
        }
    }
}

impl Store for Indexed {
    fn get(&self, key: &Key) -> Result<Option<Found>, Error> {
        let now = self.clock.now();
        let entries = lock(&self.entries);
        let Some((_, record, value)) = entries.get(key) else {
            return Ok(None);
        };
        if record.expires.is_some_and(|expires| expires <= now) {
            return Ok(None);
        }
        Ok(Some(Found {
            record: record.clone(),
            value: match value {
                Some(bytes) => Value::Bytes(bytes.clone()),
                None => Value::File(self.blob(key)?),
            },
        }))
    }

    fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error> {
        let (value, size) = match body {
            Body::Bytes(bytes) => (Some(bytes.to_vec()), bytes.len() as u64),
            Body::File(file) => {
                let size = file
                    .file()
                    .metadata()
                    .map_err(|error| self.io(error))?
                    .len();
                file.publish().map_err(|error| self.io(error))?;
                (None, size)
            }
        };
        let now = self.clock.now();
        let record = Record {
            created: now,
            used: now,
            expires: new.lives.map(|lives| now + lives),
            cost: new.cost,
            size,
            about: new.about.to_vec(),
        };
        lock(&self.entries).insert(new.key, (new.function.to_owned(), record, value));
        Ok(())
    }

    fn blob(&self, key: &Key) -> Result<PathBuf, Error> {
        let folder = self.path.join("blobs");
        std::fs::create_dir_all(&folder).map_err(|error| self.io(error))?;
        Ok(folder.join(format!("{key:?}.pkl")))
    }

    fn remove(&self, key: &Key) -> Result<bool, Error> {
        Ok(lock(&self.entries).remove(key).is_some())
    }

    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), Error> {
        for (key, (function, record, _)) in lock(&self.entries).iter() {
            let entry = Entry {
                key: *key,
                function: function.clone(),
                record: record.clone(),
            };
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn touch(&self, used: &[(Key, SystemTime)]) -> Result<(), Error> {
        let mut entries = lock(&self.entries);
        for (key, used) in used {
            if let Some((_, record, _)) = entries.get_mut(key) {
                record.used = *used;
            }
        }
        Ok(())
    }
}

impl Shelf for Indexed {
    fn keep(&self, new: &New<'_>, body: Body<'_>, _bounds: &Bounds) -> Result<(), Error> {
        self.put(new, body)
    }

    fn record(&self, key: &Key) -> Result<Option<Record>, Error> {
        Ok(self.get(key)?.map(|found| found.record))
    }

    fn clear(&self, function: Option<&str>) -> Result<u64, Error> {
        let mut entries = lock(&self.entries);
        let before = entries.len();
        entries.retain(|_, (name, _, _)| function.is_some_and(|function| name != function));
        Ok((before - entries.len()) as u64)
    }

    fn reduce(&self, _to: &Bounds) -> Result<Freed, Error> {
        Ok(Freed::default())
    }

    fn verify(&self, progress: &mut Progress<'_>) -> Result<Verified, Error> {
        let checked = lock(&self.entries).len() as u64;
        let _ = progress(checked, checked);
        Ok(Verified {
            checked,
            damaged: Vec::new(),
        })
    }

    fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error> {
        lock(&self.versions).push((
            function.to_owned(),
            Version {
                digest: *version,
                text: text.to_owned(),
                used: self.clock.now(),
            },
        ));
        Ok(())
    }

    fn versions(&self, function: &str) -> Result<Vec<Version>, Error> {
        Ok(lock(&self.versions)
            .iter()
            .filter(|(name, _)| name == function)
            .map(|(_, version)| version.clone())
            .collect())
    }

    fn count(&self, tallies: &[(String, Tally)]) -> Result<(), Error> {
        let mut kept = lock(&self.tallies);
        for (function, tally) in tallies {
            let kept = kept.entry(function.clone()).or_default();
            kept.hits += tally.hits;
            kept.misses += tally.misses;
            kept.saved += tally.saved;
            kept.spent += tally.spent;
        }
        Ok(())
    }

    fn functions(&self) -> Result<Vec<Statistics>, Error> {
        let mut functions = HashMap::new();
        for (name, record, _) in lock(&self.entries).values() {
            let kept = functions.entry(name.clone()).or_insert_with(|| Statistics {
                function: name.clone(),
                entries: 0,
                bytes: 0,
                tally: Tally::default(),
                versions: 1,
                used: SystemTime::UNIX_EPOCH + Duration::ZERO,
            });
            kept.entries += 1;
            kept.bytes += record.size;
            kept.used = kept.used.max(record.used);
        }
        for (name, tally) in lock(&self.tallies).iter() {
            if let Some(kept) = functions.get_mut(name) {
                kept.tally = *tally;
            }
        }
        Ok(functions.into_values().collect())
    }
}
