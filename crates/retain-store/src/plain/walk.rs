//! The entries that there are, by what their files' names and sizes tell.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Plain, at, blob_of, is_gone, remove_file};
use crate::{Error, Key};

/// Folders that entries are in, by the first two digits.
pub(super) const BUCKETS: usize = 256;

/// What was left by somebody who was killed, and not by somebody who is still writing.
const ABANDONED: Duration = Duration::from_secs(3600);

/// An entry, unread.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Of all its files.
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
    /// The first digits of the version.
    pub(super) version: String,
}

impl Item {
    /// Removes it; whether it was there.
    pub(super) fn remove(&self) -> Result<bool, Error> {
        remove_file(&blob_of(&self.path))?;
        remove_file(&self.path)
    }

    /// As much of its key as its name tells.
    pub(super) fn key(&self) -> Key {
        let digits = |from: usize, digest: &mut [u8]| {
            for (index, byte) in digest.iter_mut().enumerate() {
                let two = self.name.get(from + 2 * index..from + 2 * index + 2);
                *byte = two
                    .and_then(|two| u8::from_str_radix(two, 16).ok())
                    .unwrap_or(0);
            }
        };
        let mut key = Key {
            version: [0; 32],
            arguments: [0; 32],
        };
        digits(33, &mut key.version[..8]);
        digits(0, &mut key.arguments[..16]);
        for (arguments, version) in key.arguments.iter_mut().zip(&key.version) {
            *arguments ^= version;
        }
        key
    }
}

/// The name of the file of a call: 16 bytes of both digests, so that those of one version are spread, and 8 of the version.
pub(super) fn name_of(key: &Key) -> String {
    let mixed = key.version.iter().zip(&key.arguments).map(|(a, b)| a ^ b);
    let mut name = String::with_capacity(49);
    for byte in mixed.take(16) {
        let _ = write!(name, "{byte:02x}");
    }
    name.push('-');
    name.push_str(&version_of(&key.version));
    name
}

/// The first digits of a version.
pub(super) fn version_of(version: &[u8; 32]) -> String {
    let first = version.first_chunk().unwrap_or(&[0; 8]);
    format!("{:016x}", u64::from_be_bytes(*first))
}

/// Where the entries of a bucket are.
fn folder(plain: &Plain, bucket: usize) -> PathBuf {
    plain.root.join("entries").join(format!("{bucket:02x}"))
}

/// The bucket of a call.
pub(super) fn bucket_of(key: &Key) -> usize {
    usize::from(key.version[0] ^ key.arguments[0])
}

/// The entries of a bucket. What the dead have left there is removed.
pub(super) fn items(plain: &Plain, bucket: usize) -> Result<Vec<Item>, Error> {
    let folder = folder(plain, bucket);
    let mut items: HashMap<String, Item> = HashMap::new();
    let mut blobs = Vec::new();
    for file in files(&folder)? {
        let Some(name) = file.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let Ok(metadata) = file.metadata() else {
            // Gone meanwhile.
            continue;
        };
        let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(entry) = name.strip_suffix(".pkl") {
            blobs.push((entry.to_owned(), metadata.len(), used));
        } else if let Some(version) = version_in(&name) {
            items.insert(
                name.clone(),
                Item {
                    version: version.to_owned(),
                    path: folder.join(&name),
                    name,
                    bytes: metadata.len(),
                    used,
                },
            );
        } else if name.starts_with(".retain-") && is_abandoned(used) {
            remove_file(&file.path())?;
        }
    }
    for (name, length, used) in blobs {
        match items.get_mut(&name) {
            Some(item) => item.bytes += length,
            None if is_abandoned(used) => {
                remove_file(&blob_of(&folder.join(name)))?;
            }
            None => {}
        }
    }
    Ok(items.into_values().collect())
}

/// What is in a folder; nothing if it is gone.
pub(super) fn files(folder: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    match fs::read_dir(folder).and_then(Iterator::collect) {
        Ok(files) => Ok(files),
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(at(folder)(error)),
    }
}

fn is_abandoned(modified: SystemTime) -> bool {
    SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age > ABANDONED)
}

fn version_in(name: &str) -> Option<&str> {
    let (call, version) = name.split_once('-')?;
    (call.len() == 32 && version.len() == 16).then_some(version)
}
