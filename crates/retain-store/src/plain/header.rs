//! The file of an entry.
//!
//! All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic |
//! | 8 | which secret seals it; 0: none |
//! | 16 | digest of the header from here to the end of `about` |
//! | 64 | key |
//! | 8, 8 | created and expires: nanoseconds since 1970; expires: all ones: never |
//! | 8 | cost in nanoseconds |
//! | 8 | size of the value |
//! | 1 | 0: the value follows; 1: it is the file beside this one |
//! | 16 | digest of the value; of a file: of all of it under a secret, else of its end |
//! | 4, 4 | lengths of the function's name and of `about`, which follow, and then the value |

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Entry, Key, Record};

const MAGIC: &[u8; 8] = b"retainE1";
/// Magic, secret and digest.
const PRELUDE: usize = 32;
/// All up to the name.
const FIXED: usize = PRELUDE + 64 + 8 + 8 + 8 + 8 + 1 + 16 + 4 + 4;
const NEVER: u64 = u64::MAX;

/// What digests are made with.
pub(super) struct Seal {
    key: Option<[u8; 32]>,
    id: [u8; 8],
}

impl Seal {
    pub(super) fn new(key: Option<[u8; 32]>) -> Self {
        let id = key.map_or([0; 8], |key| {
            let digest = blake3::derive_key("retain 2026-11 which secret seals an entry", &key);
            *digest.first_chunk().unwrap_or(&[0; 8])
        });
        Self { key, id }
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Whether entries are authenticated.
    pub(super) fn is_secret(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn hasher(&self) -> blake3::Hasher {
        match &self.key {
            Some(key) => blake3::Hasher::new_keyed(key),
            None => blake3::Hasher::new(),
        }
    }

    pub(super) fn digest(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = self.hasher();
        for part in parts {
            hasher.update(part);
        }
        cut(&hasher)
    }
}

pub(super) fn cut(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    digest
}

/// Where the value is, and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Bytes([u8; 16]),
    File([u8; 16]),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key: Key,
    pub(super) created: SystemTime,
    pub(super) expires: Option<SystemTime>,
    pub(super) cost: Duration,
    pub(super) size: u64,
    pub(super) content: Content,
    pub(super) function: String,
    pub(super) about: Vec<u8>,
}

/// Why a file is no entry here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is sealed by another secret, or by none.
    Foreign,
    /// It is not what was written.
    Damaged,
}

impl Header {
    pub(super) fn record(&self, used: SystemTime) -> Record {
        Record {
            created: self.created,
            used,
            expires: self.expires,
            cost: self.cost,
            size: self.size,
            about: self.about.clone(),
        }
    }

    pub(super) fn entry(self, used: SystemTime) -> Entry {
        Entry {
            key: self.key,
            record: self.record(used),
            function: self.function,
        }
    }

    pub(super) fn has_ended(&self, now: SystemTime) -> bool {
        super::has_ended(self.created, self.expires, now)
    }

    /// The bytes of the file.
    pub(super) fn encode(&self, seal: &Seal, payload: &[u8]) -> Vec<u8> {
        let (kind, digest) = match self.content {
            Content::Bytes(digest) => (0, digest),
            Content::File(digest) => (1, digest),
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (function, about) = (self.function.as_bytes(), self.about.as_slice());
        let mut bytes = Vec::with_capacity(FIXED + function.len() + about.len() + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&seal.id);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&self.key.to_bytes());
        bytes.extend_from_slice(&nanoseconds(self.created).to_le_bytes());
        bytes.extend_from_slice(&self.expires.map_or(NEVER, nanoseconds).to_le_bytes());
        let cost = u64::try_from(self.cost.as_nanos()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&cost.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&digest);
        bytes.extend_from_slice(&length(function).to_le_bytes());
        bytes.extend_from_slice(&length(about).to_le_bytes());
        bytes.extend_from_slice(function);
        bytes.extend_from_slice(about);
        let digest = seal.digest(&[&bytes[PRELUDE..]]);
        bytes[16..PRELUDE].copy_from_slice(&digest);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Reads a header, and where the value begins. The value is checked too if it is `whole`; else it need not be there.
    pub(super) fn parse(bytes: &[u8], seal: &Seal, whole: bool) -> Result<(Self, usize), Unfit> {
        let mut rest = Rest(bytes);
        if rest.take::<8>()? != *MAGIC {
            return Err(Unfit::Damaged);
        }
        let id = rest.take::<8>()?;
        if id != seal.id {
            return Err(Unfit::Foreign);
        }
        let digest = rest.take::<16>()?;
        let key = Key::from_bytes(&rest.take()?);
        let created = UNIX_EPOCH + Duration::from_nanos(rest.number()?);
        let expires = match rest.number()? {
            NEVER => None,
            expires => Some(UNIX_EPOCH + Duration::from_nanos(expires)),
        };
        let cost = Duration::from_nanos(rest.number()?);
        let size = rest.number()?;
        let [kind] = rest.take()?;
        let of_value = rest.take()?;
        let lengths = [
            u32::from_le_bytes(rest.take()?),
            u32::from_le_bytes(rest.take()?),
        ];
        let function = rest.cut(lengths[0])?;
        let about = rest.cut(lengths[1])?.to_vec();
        let payload = bytes.len() - rest.0.len();
        if seal.digest(&[&bytes[PRELUDE..payload]]) != digest {
            return Err(Unfit::Damaged);
        }
        let content = match kind {
            0 => Content::Bytes(of_value),
            1 => Content::File(of_value),
            _ => return Err(Unfit::Damaged),
        };
        if whole && kind == 0 && (rest.0.len() as u64 != size || seal.digest(&[rest.0]) != of_value)
        {
            return Err(Unfit::Damaged);
        }
        let header = Self {
            key,
            created,
            expires,
            cost,
            size,
            content,
            function: String::from_utf8(function.to_vec()).map_err(|_| Unfit::Damaged)?,
            about,
        };
        Ok((header, payload))
    }
}

/// The bytes of a file that hold its header.
pub(super) fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(4096).read_to_end(&mut bytes)?;
    if let Some(lengths) = bytes.get(FIXED - 8..FIXED) {
        let (lengths, _) = lengths.as_chunks::<4>();
        let more: u64 = lengths
            .iter()
            .map(|length| u64::from(u32::from_le_bytes(*length)))
            .sum();
        let missing = (FIXED as u64 + more).saturating_sub(bytes.len() as u64);
        file.take(missing).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // In the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(NEVER - 1)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unfit> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unfit::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, Unfit> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn cut(&mut self, length: u32) -> Result<&'a [u8], Unfit> {
        let length = usize::try_from(length).map_err(|_| Unfit::Damaged)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unfit::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }
}
