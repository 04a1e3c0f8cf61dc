//! The versions of functions, each a small file under the function's readable name.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Plain, is_gone, read, remove_file, walk};
use crate::Error;
use crate::folder::Version;

/// The names of versions by their first digits, and when they were last put or asked for. Two scripts may have given the
/// same function two names.
pub(super) type Names = HashMap<String, Vec<(String, SystemTime)>>;

const FIRST_LINE: &str = "retain version 1";
/// Longer folder names are cut; with the digest they stay below what any file system allows.
const LONGEST: usize = 120;

/// A file of a version.
struct Known {
    path: PathBuf,
    function: String,
    version: Version,
}

/// Notes that an entry of a version is put.
pub(super) fn note(plain: &Plain, function: &str, version: &[u8; 32]) -> Result<(), Error> {
    let path = path(plain, function, version);
    let stamped = OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_modified(plain.clock.now()));
    match stamped {
        // One that cannot be stamped is known all the same.
        Ok(()) => Ok(()),
        Err(error) if !is_gone(&error) => Ok(()),
        Err(_) => write(plain, &path, function, version, ""),
    }
}

/// Keeps what a version consists of, unless that is known.
pub(super) fn describe(
    plain: &Plain,
    function: &str,
    version: &[u8; 32],
    text: &str,
) -> Result<(), Error> {
    let path = path(plain, function, version);
    match load(plain, &path)? {
        Some(known) if !known.version.text.is_empty() => Ok(()),
        _ => write(plain, &path, function, version, text),
    }
}

/// The versions of a function, the one used last first.
pub(super) fn of(plain: &Plain, function: &str) -> Result<Vec<Version>, Error> {
    let mut versions: Vec<Version> = all(plain, Some(function))?
        .into_iter()
        .map(|known| known.version)
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.used));
    Ok(versions)
}

pub(super) fn names(plain: &Plain) -> Result<Names, Error> {
    let mut names = Names::new();
    for known in all(plain, None)? {
        let digits = walk::version_of(&known.version.digest);
        let entry = (known.function, known.version.used);
        names.entry(digits).or_default().push(entry);
    }
    Ok(names)
}

/// The first digits of versions of which a function has a newer one.
pub(super) fn superseded(plain: &Plain) -> Result<HashSet<String>, Error> {
    let mut newest: HashMap<String, (SystemTime, String)> = HashMap::new();
    let mut superseded = HashSet::new();
    for known in all(plain, None)? {
        let digits = walk::version_of(&known.version.digest);
        let this = (known.version.used, digits.clone());
        let older = match newest.get_mut(&known.function) {
            Some(newest) if newest.0 < this.0 => std::mem::replace(newest, this).1,
            Some(_) => digits,
            None => {
                newest.insert(known.function, this);
                continue;
            }
        };
        superseded.insert(older);
    }
    // Under another name it may be the newest.
    for (_, newest) in newest.values() {
        superseded.remove(newest);
    }
    Ok(superseded)
}

/// Notes that a function is cleared, or all are: what is being computed now is not to be kept.
pub(super) fn stamp(plain: &Plain, function: Option<&str>) -> Result<(), Error> {
    plain.publish(&stamp_of(plain, function), b"")
}

/// Whether a function was cleared since then.
pub(super) fn was_cleared(plain: &Plain, function: &str, since: SystemTime) -> Result<bool, Error> {
    for path in [stamp_of(plain, Some(function)), stamp_of(plain, None)] {
        if read(&path)?.is_some_and(|(_, cleared)| cleared > since) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn stamp_of(plain: &Plain, function: Option<&str>) -> PathBuf {
    // No function has a name of that letter alone.
    let name = function.map_or_else(|| "~".to_owned(), folder_name);
    plain.root.join("cleared").join(name)
}

/// Forgets the versions of a function, or all.
pub(super) fn clear(plain: &Plain, function: Option<&str>) -> Result<(), Error> {
    for known in all(plain, function)? {
        remove_file(&known.path)?;
        if let Some(folder) = known.path.parent() {
            // It is not empty if somebody puts meanwhile.
            let _ = std::fs::remove_dir(folder);
        }
    }
    Ok(())
}

fn all(plain: &Plain, function: Option<&str>) -> Result<Vec<Known>, Error> {
    let root = plain.root.join("functions");
    let folders = match function {
        Some(function) => vec![root.join(folder_name(function))],
        None => walk::files(&root)?
            .iter()
            .map(std::fs::DirEntry::path)
            .collect(),
    };
    let mut found = Vec::new();
    for folder in folders {
        for file in walk::files(&folder)? {
            let known = load(plain, &file.path())?;
            found.extend(known.filter(|known| function.is_none_or(|name| name == known.function)));
        }
    }
    Ok(found)
}

fn path(plain: &Plain, function: &str, version: &[u8; 32]) -> PathBuf {
    let folder = plain.root.join("functions").join(folder_name(function));
    folder.join(walk::version_of(version))
}

/// A name that every file system takes: as it is where that is so, else changed and with a digest of the true one.
fn folder_name(function: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let mut name: String = function
        .chars()
        .map(|letter| if fits(letter) { letter } else { '_' })
        .collect();
    // Names that begin with a point are hidden, or `..`; some systems drop one at the end.
    if name == function && name.len() <= LONGEST && !name.starts_with('.') && !name.ends_with('.') {
        return name;
    }
    name.truncate(LONGEST);
    let digest = blake3::hash(function.as_bytes());
    format!("{}~{}", name.trim_matches('.'), &digest.to_hex()[..16])
}

fn write(
    plain: &Plain,
    path: &Path,
    function: &str,
    version: &[u8; 32],
    text: &str,
) -> Result<(), Error> {
    let function = function.replace('\\', "\\\\").replace('\n', "\\n");
    let body = format!("{}\n{function}\n{text}", hex(version));
    let digest = hex(&plain.seal.digest(&[body.as_bytes()]));
    plain.publish(path, format!("{FIRST_LINE}\n{digest}\n{body}").as_bytes())
}

/// What is known of a version; nothing if its file is gone, damaged or of another secret.
fn load(plain: &Plain, path: &Path) -> Result<Option<Known>, Error> {
    let (bytes, used) = match read(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        // A folder, or what somebody else left there.
        Err(_) if path.is_dir() => return Ok(None),
        Err(error) => return Err(error),
    };
    let parse = || {
        let text = std::str::from_utf8(&bytes).ok()?;
        let (digest, body) = text
            .strip_prefix(FIRST_LINE)?
            .strip_prefix('\n')?
            .split_once('\n')?;
        if hex(&plain.seal.digest(&[body.as_bytes()])) != digest {
            return None;
        }
        let (version, rest) = body.split_once('\n')?;
        let (function, text) = rest.split_once('\n')?;
        Some(Known {
            path: path.to_path_buf(),
            function: unescape(function),
            version: Version {
                digest: unhex(version)?,
                text: text.to_owned(),
                used,
            },
        })
    };
    Ok(parse())
}

pub(super) fn unescape(function: &str) -> String {
    let mut letters = function.chars();
    let mut name = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => name.push(if letters.next() == Some('n') {
                '\n'
            } else {
                '\\'
            }),
            _ => name.push(letter),
        }
    }
    name
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
