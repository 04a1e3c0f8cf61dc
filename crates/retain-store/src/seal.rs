//! The digest that an entry is checked against.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::Key;

/// What tells accidents, and with a secret forgeries too.
#[derive(Clone, Copy)]
pub(crate) struct Seal {
    key: Option<[u8; 32]>,
}

/// What an entry is checked against.
pub(crate) type Check = [u8; 16];

/// What a check covers besides the value. When an entry was last used is no part of it.
pub(crate) struct Facts<'a> {
    pub(crate) key: &'a Key,
    /// Milliseconds since 1970.
    pub(crate) created: i64,
    /// Milliseconds since 1970.
    pub(crate) expires: Option<i64>,
    /// Microseconds.
    pub(crate) cost: i64,
    /// Bytes of the value.
    pub(crate) size: u64,
    /// Whether the value is a file.
    pub(crate) is_file: bool,
    pub(crate) about: &'a [u8],
}

impl Seal {
    pub(crate) fn new(key: Option<[u8; 32]>) -> Self {
        Self { key }
    }

    /// Whether it tells forgeries.
    pub(crate) fn is_keyed(self) -> bool {
        self.key.is_some()
    }

    /// The check of an entry whose value is `value`. That of a file without a secret leaves out the value, as the file
    /// has checksums of its own.
    pub(crate) fn of(self, facts: &Facts<'_>, value: &[u8]) -> Check {
        let mut hasher = self.begin(facts);
        hasher.update(value);
        finish(&hasher)
    }

    /// The check of an entry whose value is the content of `file`.
    pub(crate) fn of_file(self, facts: &Facts<'_>, file: &File) -> io::Result<Check> {
        let mut hasher = self.begin(facts);
        if self.is_keyed() {
            let mut file = file;
            file.seek(SeekFrom::Start(0))?;
            let mut piece = vec![0; 256 << 10];
            loop {
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => hasher.update(&piece[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
            }
        }
        Ok(finish(&hasher))
    }

    fn begin(self, facts: &Facts<'_>) -> blake3::Hasher {
        let mut hasher = match &self.key {
            Some(key) => blake3::Hasher::new_keyed(key),
            None => blake3::Hasher::new(),
        };
        let mut head = [0; 64 + 4 * 8 + 1 + 8];
        head[..64].copy_from_slice(&facts.key.to_bytes());
        head[64..72].copy_from_slice(&facts.created.to_le_bytes());
        head[72..80].copy_from_slice(&facts.expires.unwrap_or(i64::MIN).to_le_bytes());
        head[80..88].copy_from_slice(&facts.cost.to_le_bytes());
        head[88..96].copy_from_slice(&facts.size.to_le_bytes());
        head[96] = u8::from(facts.is_file);
        head[97..].copy_from_slice(&(facts.about.len() as u64).to_le_bytes());
        hasher.update(&head);
        hasher.update(facts.about);
        hasher
    }
}

fn finish(hasher: &blake3::Hasher) -> Check {
    let mut check = [0; 16];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    check
}

/// Whether they are the same, in a time that does not tell where they differ.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |differ, (one, other)| differ | (one ^ other))
            == 0
}
