//! Files only, for network file systems that many machines write to.
//!
//! An entry is a file of its own that says all about itself, and beside it, if the value is a file, that file:
//!
//! ```text
//! entries/ab/abcdef...-0123456789abcdef         its key, its record and its value
//! entries/ab/abcdef...-0123456789abcdef.pkl     the value, if that is a file: a plain pickle
//! functions/package.module.name/0123456789abcdef   a version of a function: its name and what it consists of
//! cleared/package.module.name                   when the function was last cleared
//! tallies/...                                   what the calls of one process came to
//! ```
//!
//! Files appear whole, under names that are other files' never, and are not written to again. Nothing is locked. A file
//! that is gone, or whose server says so, is a miss.

mod blob;
mod bounds;
mod header;
mod sizes;
mod tallies;
#[cfg(test)]
mod tests;
mod versions;
mod walk;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use retain_format::Publication;

use crate::folder::{Bounds, Freed, Statistics, Tally, Verified, Version};
use crate::shelf::{Clock, Progress, SKEW, Shelf};
use crate::{Body, Entry, Error, Found, Key, New, Record, Store, Value};
use header::{Content, Header, Seal, Unfit};
use sizes::Sizes;

/// A folder of files.
pub(crate) struct Plain {
    root: PathBuf,
    seal: Seal,
    clock: Clock,
    sizes: Sizes,
}

impl Plain {
    pub(crate) fn new(path: &Path, key: Option<[u8; 32]>, clock: Clock) -> Self {
        Self {
            root: path.to_path_buf(),
            seal: Seal::new(key),
            clock,
            sizes: Sizes::new(),
        }
    }

    /// Where the entry of a call is.
    fn path(&self, key: &Key) -> PathBuf {
        let name = walk::name_of(key);
        self.root.join("entries").join(&name[..2]).join(name)
    }

    /// Begins a file; folders below the root are made, the root is not.
    fn begin(&self, path: &Path) -> Result<Publication, Error> {
        // Somebody may remove the folder in between.
        for _ in 0..8 {
            match Publication::begin(path) {
                Err(error) if is_gone(&error) => self.make_folder_of(path)?,
                begun => return begun.map_err(at(path)),
            }
        }
        Err(at(path)(io::ErrorKind::NotFound.into()))
    }

    fn make_folder_of(&self, path: &Path) -> Result<(), Error> {
        let Some(folder) = path.parent() else {
            return Ok(());
        };
        if folder == self.root {
            // Whoever opened it makes it.
            return fs::metadata(folder).map(drop).map_err(at(folder));
        }
        self.make_folder_of(folder)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(folder)(error)),
            _ => Ok(()),
        }
    }

    /// Makes `path` a file of these bytes, whole or not at all.
    fn publish(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let publication = self.begin(path)?;
        let mut file = publication.file();
        file.write_all(bytes)
            // The server's clock may be another one.
            .and_then(|()| file.set_modified(self.clock.now()))
            .map_err(at(path))?;
        publication.publish().map_err(at(path))
    }

    /// The header of the entry of a call, the bytes of its value if they are in the same file, and when it was used.
    fn read(&self, key: &Key) -> Result<Option<(Header, Vec<u8>, SystemTime)>, Error> {
        let path = self.path(key);
        let Some((mut bytes, used)) = read(&path)? else {
            return Ok(None);
        };
        let Ok((header, payload)) = Header::parse(&bytes, &self.seal, true) else {
            return Ok(None);
        };
        if header.key != *key || header.has_ended(self.clock.now()) {
            return Ok(None);
        }
        Ok(Some((header, bytes.split_off(payload), used)))
    }
}

impl Store for Plain {
    fn get(&self, key: &Key) -> Result<Option<Found>, Error> {
        let Some((header, payload, used)) = self.read(key)? else {
            return Ok(None);
        };
        let value = match header.content {
            Content::Bytes(_) => Some(Value::Bytes(payload)),
            Content::File(digest) => {
                blob::find(&blob_of(&self.path(key)), header.size, &digest, &self.seal)?
            }
        };
        Ok(value.map(|value| Found {
            record: header.record(used),
            value,
        }))
    }

    fn put(&self, new: &New<'_>, body: Body<'_>) -> Result<(), Error> {
        let path = self.path(&new.key);
        let created = self.clock.now();
        if versions::was_cleared(
            self,
            new.function,
            created - new.cost.min(Duration::from_secs(1 << 32)),
        )? {
            // It may have come of what the removal was about.
            return Ok(());
        }
        let mut header = Header {
            key: new.key,
            created,
            expires: new.lives.and_then(|lives| created.checked_add(lives)),
            cost: new.cost,
            size: 0,
            content: Content::Bytes([0; 16]),
            function: new.function.to_owned(),
            about: new.about.to_vec(),
        };
        versions::note(self, new.function, &new.key.version)?;
        let (payload, publication) = match body {
            Body::Bytes(bytes) => {
                header.size = bytes.len() as u64;
                header.content = Content::Bytes(self.seal.digest(&[bytes]));
                (bytes, None)
            }
            Body::File(publication) => {
                let (size, digest) =
                    blob::digest_of(publication.file(), &self.seal).map_err(at(&path))?;
                header.size = size;
                header.content = Content::File(digest);
                (&[][..], Some(publication))
            }
        };
        // Whatever is killed in between: there is never a file without an entry, nor an entry with another's file.
        remove_file(&blob_of(&path))?;
        self.publish(&path, &header.encode(&self.seal, payload))?;
        if let Some(publication) = publication {
            publication.publish().map_err(at(&path))?;
        }
        Ok(())
    }

    fn blob(&self, key: &Key) -> Result<PathBuf, Error> {
        let path = blob_of(&self.path(key));
        if !path.parent().is_some_and(Path::exists) {
            self.make_folder_of(&path)?;
        }
        Ok(path)
    }

    fn remove(&self, key: &Key) -> Result<bool, Error> {
        let path = self.path(key);
        remove_file(&blob_of(&path))?;
        remove_file(&path)
    }

    fn list(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), Error> {
        for bucket in 0..walk::BUCKETS {
            for item in walk::items(self, bucket)? {
                let Ok(Some(header)) = self.head(&item.path) else {
                    continue;
                };
                if visit(header.entry(item.used)).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn touch(&self, used: &[(Key, SystemTime)]) -> Result<(), Error> {
        for (key, used) in used {
            let path = self.path(key);
            // Reading is what matters: a folder that is read-only notes nothing.
            let Ok(file) = OpenOptions::new().write(true).open(&path) else {
                continue;
            };
            let noted = file.metadata().and_then(|metadata| metadata.modified());
            if noted.is_ok_and(|noted| noted + Duration::from_secs(1) < *used) {
                let _ = file.set_modified(*used);
            }
        }
        Ok(())
    }
}

impl Shelf for Plain {
    fn keep(
        &self,
        new: &New<'_>,
        body: Body<'_>,
        bounds: &Bounds,
        uses: &[(Key, SystemTime)],
    ) -> Result<(), Error> {
        self.touch(uses)?;
        bounds::keep(self, new, body, bounds)
    }

    fn record(&self, key: &Key) -> Result<Option<Record>, Error> {
        let path = self.path(key);
        let Some(header) = self.head(&path)? else {
            return Ok(None);
        };
        if header.key != *key || header.has_ended(self.clock.now()) {
            return Ok(None);
        }
        if matches!(header.content, Content::File(_)) {
            let blob = blob_of(&path);
            match fs::metadata(&blob) {
                Ok(metadata) if metadata.len() == header.size => {}
                Ok(_) => return Ok(None),
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(at(&blob)(error)),
            }
        }
        let used = fs::metadata(&path).and_then(|metadata| metadata.modified());
        Ok(Some(header.record(used.unwrap_or(header.created))))
    }

    fn clear(&self, function: Option<&str>) -> Result<u64, Error> {
        versions::stamp(self, function)?;
        let names = versions::names(self)?;
        let mut removed = 0;
        for bucket in 0..walk::BUCKETS {
            for item in walk::items(self, bucket)? {
                if function.is_none_or(|function| self.is_of(&item, function, &names)) {
                    removed += u64::from(item.remove()?);
                }
            }
        }
        self.sizes.forget();
        versions::clear(self, function)?;
        Ok(removed)
    }

    fn reduce(&self, to: &Bounds) -> Result<Freed, Error> {
        bounds::reduce(self, to)
    }

    fn verify(&self, progress: &mut Progress<'_>) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let mut all = Vec::new();
        for bucket in 0..walk::BUCKETS {
            all.extend(walk::items(self, bucket)?);
        }
        let of = all.len() as u64;
        for item in all {
            verified.checked += 1;
            match self.check(&item) {
                Ok(true) => {}
                Ok(false) => {
                    // What it says may be wrong, but tells more than nothing.
                    verified.damaged.push(self.suspect(&item));
                    item.remove()?;
                }
                // It is gone, or cannot be read now, which is no damage.
                Err(_) => verified.checked -= 1,
            }
            if progress(verified.checked, of).is_break() {
                break;
            }
        }
        self.sizes.forget();
        Ok(verified)
    }

    fn describe(&self, function: &str, version: &[u8; 32], text: &str) -> Result<(), Error> {
        versions::describe(self, function, version, text)
    }

    fn versions(&self, function: &str) -> Result<Vec<Version>, Error> {
        versions::of(self, function)
    }

    fn count(&self, tallies: &[(String, Tally)]) -> Result<(), Error> {
        tallies::add(self, tallies)
    }

    fn functions(&self) -> Result<Vec<Statistics>, Error> {
        let names = versions::names(self)?;
        let mut found: BTreeMap<String, Statistics> = BTreeMap::new();
        let mut of = |function: &str, change: &dyn Fn(&mut Statistics)| {
            if !found.contains_key(function) {
                found.insert(function.to_owned(), nothing(function));
            }
            if let Some(statistics) = found.get_mut(function) {
                change(statistics);
            }
        };
        for bucket in 0..walk::BUCKETS {
            for item in walk::items(self, bucket)? {
                let count = |statistics: &mut Statistics| {
                    statistics.entries += 1;
                    statistics.bytes += item.bytes;
                    statistics.used = statistics.used.max(item.used);
                };
                match names.get(&item.version).map(Vec::as_slice) {
                    Some([(function, _)]) => of(function, &count),
                    _ => {
                        if let Ok(Some(header)) = self.head(&item.path) {
                            of(&header.function, &count);
                        }
                    }
                }
            }
        }
        for (function, used) in names.values().flatten() {
            of(function, &|statistics| {
                statistics.versions += 1;
                statistics.used = statistics.used.max(*used);
            });
        }
        for (function, tally) in tallies::all(self)? {
            of(&function, &|statistics| statistics.tally = tally);
        }
        Ok(found.into_values().collect())
    }
}

impl Plain {
    /// The header of an entry, checked, without its value.
    fn head(&self, path: &Path) -> Result<Option<Header>, Error> {
        let bytes = match header::read_head(path) {
            Ok(bytes) => bytes,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(at(path)(error)),
        };
        Ok(Header::parse(&bytes, &self.seal, false)
            .ok()
            .map(|(header, _)| header))
    }

    /// Whether an entry is of a function, by the name of its file if that tells.
    fn is_of(&self, item: &walk::Item, function: &str, names: &versions::Names) -> bool {
        match names.get(&item.version).map(Vec::as_slice) {
            Some([(name, _)]) => name == function,
            _ => matches!(self.head(&item.path), Ok(Some(header)) if header.function == function),
        }
    }

    /// Whether an entry is whole. One of another secret is not looked into.
    fn check(&self, item: &walk::Item) -> Result<bool, Error> {
        let Some((bytes, _)) = read(&item.path)? else {
            return Err(at(&item.path)(io::ErrorKind::NotFound.into()));
        };
        match Header::parse(&bytes, &self.seal, true) {
            Ok((header, _)) => {
                let blob = blob_of(&item.path);
                Ok(walk::name_of(&header.key) == item.name
                    && match header.content {
                        Content::Bytes(_) => true,
                        Content::File(digest) => {
                            blob::is_whole(&blob, header.size, &digest, &self.seal)?
                        }
                    })
            }
            Err(Unfit::Foreign) => Ok(true),
            Err(Unfit::Damaged) => Ok(false),
        }
    }

    /// What a damaged entry seems to be.
    fn suspect(&self, item: &walk::Item) -> Entry {
        if let Ok(Some(header)) = self.head(&item.path) {
            return header.entry(item.used);
        }
        Entry {
            key: item.key(),
            function: String::new(),
            record: Record {
                created: item.used,
                used: item.used,
                expires: None,
                cost: Duration::ZERO,
                size: item.bytes,
                about: Vec::new(),
            },
        }
    }
}

fn nothing(function: &str) -> Statistics {
    Statistics {
        function: function.to_owned(),
        entries: 0,
        bytes: 0,
        tally: Tally::default(),
        versions: 0,
        used: SystemTime::UNIX_EPOCH,
    }
}

/// The file beside an entry.
fn blob_of(path: &Path) -> PathBuf {
    path.with_extension("pkl")
}

/// The bytes of a file, and when it was modified; `None` if it is gone.
fn read(path: &Path) -> Result<Option<(Vec<u8>, SystemTime)>, Error> {
    let read = || {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok((bytes, metadata.modified()?))
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Removes a file; whether it was there.
fn remove_file(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

/// Whether a file is not there, or another machine removed it while it was looked at.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::StaleNetworkFileHandle
    )
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |source| Error::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Whether something created then, which lives until `expires`, has ended. What is from the future was written under
/// another clock, which cannot tell when.
fn has_ended(created: SystemTime, expires: Option<SystemTime>, now: SystemTime) -> bool {
    expires.is_some_and(|expires| expires <= now || created > now + SKEW)
}
