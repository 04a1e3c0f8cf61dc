//! The bytes of a signature at the end of a file.

use std::io;

use super::PublicKey;
use crate::opcode;
use crate::read_at::ReadAt;

const MAGIC: [u8; 8] = *b"retain\x00\xed";
const RECORD: usize = 8 + 32 + 64;
const RECORD_LEN: u8 = 104;
const _: () = assert!(RECORD == RECORD_LEN as usize);
/// `SHORT_BINBYTES` and its length; POP and STOP.
const PLAIN_HEAD: [u8; 2] = [opcode::SHORT_BINBYTES, RECORD_LEN];
const PLAIN_TAIL: [u8; 2] = [opcode::POP, opcode::STOP];
/// How many bytes a signature adds to a plain file.
pub(crate) const PLAIN_LENGTH: u64 = 2 + RECORD as u64 + 1;
/// A skippable frame, and its length.
const ZSTD_HEAD: [u8; 8] = [0x5a, 0x2a, 0x4d, 0x18, RECORD_LEN, 0, 0, 0];

/// How a file holds its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Plain,
    Zstd,
}

impl Container {
    fn around(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Plain => (&PLAIN_HEAD, &PLAIN_TAIL),
            Self::Zstd => (&ZSTD_HEAD, &[]),
        }
    }
}

/// A signature that was found.
pub(super) struct Found {
    pub(super) key: PublicKey,
    pub(super) signature: [u8; 64],
    /// How many bytes lie before it.
    pub(super) covered: u64,
}

pub(super) fn encode(container: Container, key: &PublicKey, signature: &[u8; 64]) -> Vec<u8> {
    let (head, tail) = container.around();
    [head, &MAGIC, key.as_bytes(), signature, tail].concat()
}

pub(super) fn find(
    source: &(impl ReadAt + ?Sized),
    container: Container,
) -> io::Result<Option<Found>> {
    let (head, tail) = container.around();
    let mut bytes = vec![0; head.len() + RECORD + tail.len()];
    let Some(covered) = source.len().checked_sub(bytes.len() as u64) else {
        return Ok(None);
    };
    source.read_exact_at(&mut bytes, covered)?;
    let parts = bytes
        .strip_prefix(head)
        .and_then(|rest| rest.strip_suffix(tail))
        .and_then(|record| record.strip_prefix(&MAGIC))
        .and_then(|record| record.split_first_chunk::<32>());
    let Some((key, signature)) = parts else {
        return Ok(None);
    };
    let Ok(signature) = signature.try_into() else {
        return Ok(None);
    };
    Ok(Some(Found {
        key: PublicKey::from_bytes(*key),
        signature,
        covered,
    }))
}

/// The length of a zstd file without the signature at its end, if there is one.
/// Whether at `offset` there is what a plain file has for a signature, up to its STOP.
pub(crate) fn follows(source: &(impl ReadAt + ?Sized), offset: u64) -> io::Result<bool> {
    let mut bytes = [0; PLAIN_HEAD.len() + RECORD + PLAIN_TAIL.len()];
    if offset.saturating_add(bytes.len() as u64) > source.len() {
        return Ok(false);
    }
    source.read_exact_at(&mut bytes, offset)?;
    Ok(bytes
        .strip_prefix(&PLAIN_HEAD)
        .and_then(|rest| rest.strip_prefix(&MAGIC))
        .is_some_and(|rest| rest.ends_with(&PLAIN_TAIL)))
}

pub(crate) fn unsigned_len(source: &(impl ReadAt + ?Sized)) -> io::Result<u64> {
    Ok(find(source, Container::Zstd)?.map_or(source.len(), |found| found.covered))
}
