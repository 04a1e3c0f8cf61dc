//! Who wrote a file: Ed25519 signatures over its raw bytes.
//!
//! A signature lies at the very end of a file and covers every byte before it, compressed as they are, so that it is
//! verified before anything is parsed. In a plain file it is a short byte string that the pickle pushes and pops again
//! right before it stops; in a zstd file it is a frame that readers skip. Without retain both are read as before.

mod keys;
mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use crate::codec::Codec;
use crate::error::Error;
use crate::read_at::ReadAt;

pub use keys::{PublicKey, SecretKey};
use record::{Container, encode, find};
pub(crate) use record::{PLAIN_LENGTH, follows, unsigned_len};

/// Keeps these hashes apart from all other uses of BLAKE3.
const HASH_CONTEXT: &str = "retain 2026-11 a file and its signature, raw bytes";
/// Keeps these messages apart from all other uses of the key.
const MESSAGE_PREFIX: &[u8] = b"retain file signature 1\0";
/// Read at a time.
const CHUNK: usize = 256 << 10;

/// What is signed: a hash of the first `length` bytes, behind a prefix of its own.
fn message(source: &(impl ReadAt + ?Sized), length: u64) -> Result<Vec<u8>, Error> {
    let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let size = usize::try_from(length - at).map_or(CHUNK, |left| left.min(CHUNK));
        let part = chunk.split_at_mut(size).0;
        source.read_exact_at(part, at)?;
        hasher.update(part);
        at += size as u64;
    }
    let mut message = MESSAGE_PREFIX.to_vec();
    message.extend(hasher.finalize().as_bytes());
    Ok(message)
}

fn container(source: &(impl ReadAt + ?Sized)) -> Result<Option<Container>, Error> {
    let mut prefix = [0; 4];
    if source.len() < prefix.len() as u64 {
        return Ok(None);
    }
    source.read_exact_at(&mut prefix, 0)?;
    Ok(match prefix {
        [0x80, ..] => Some(Container::Plain),
        prefix if Codec::detect(&prefix) == Some(Codec::Zstd) => Some(Container::Zstd),
        _ => None,
    })
}

/// Signs a file that is complete and open for reading and writing. An earlier signature is replaced.
///
/// # Errors
///
/// [`Error::Unsupported`] for a file that is neither a plain pickle of protocol 2 or later nor a zstd file;
/// what reading and writing report.
pub fn sign_file(mut file: &File, key: &SecretKey) -> Result<(), Error> {
    let container = container(file)?
        .ok_or_else(|| Error::Unsupported("only plain and zstd files can be signed".into()))?;
    let mut covered = find(file, container)?.map_or(ReadAt::len(file), |found| found.covered);
    if container == Container::Plain && covered == ReadAt::len(file) {
        // The record takes the place of STOP, and another STOP follows it.
        covered = covered.saturating_sub(1);
        let mut stop = [0];
        file.read_exact_at(&mut stop, covered)?;
        if stop != *b"." {
            return Err(Error::Unsupported(
                "a plain file that does not end in STOP cannot be signed".into(),
            ));
        }
    }
    let signature = key.sign(&message(file, covered)?);
    let tail = encode(container, &key.public(), &signature);
    file.seek(SeekFrom::Start(covered))?;
    file.write_all(&tail)?;
    file.flush()?;
    Ok(())
}

/// Whose signature the bytes carry, without a check that it is theirs. `None` where there is none.
///
/// # Errors
///
/// What reading reports.
pub fn claimed_signer(source: &(impl ReadAt + ?Sized)) -> Result<Option<PublicKey>, Error> {
    let Some(container) = container(source)? else {
        return Ok(None);
    };
    Ok(find(source, container)?.map(|found| found.key))
}

/// Checks that every byte is as the owner of `key` signed it.
///
/// The bytes are read from `source` once, here: what is loaded afterwards must come from the same source, which nobody
/// else can change meanwhile.
///
/// # Errors
///
/// [`Error::Signature`] where there is no signature, where it is another key's, or where the bytes were changed;
/// what reading reports.
pub fn verify_file(source: &(impl ReadAt + ?Sized), key: &PublicKey) -> Result<(), Error> {
    let found = match container(source)? {
        Some(container) => find(source, container)?,
        None => None,
    };
    let Some(found) = found else {
        return Err(Error::Signature("the file is not signed".into()));
    };
    if found.key != *key {
        return Err(Error::Signature(format!(
            "the file is signed by another key, {}",
            found.key
        )));
    }
    if key.verifies(&message(source, found.covered)?, &found.signature) {
        Ok(())
    } else {
        Err(Error::Signature(
            "the signature does not match: the file was changed after it was signed".into(),
        ))
    }
}
