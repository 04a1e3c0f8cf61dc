//! Values that are files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::header::{Seal, cut};
use super::{at, is_gone};
use crate::{Error, Value, sound};

/// So much of the end of a file tells which one it is: it holds the checksums of all the rest.
const END: u64 = 4096;

/// The size and the digest of a file: of all of it under a secret, else of its end.
pub(super) fn digest_of(mut file: &File, seal: &Seal) -> io::Result<(u64, [u8; 16])> {
    let size = file.metadata()?.len();
    let from = if seal.is_secret() {
        0
    } else {
        size.saturating_sub(END)
    };
    file.seek(SeekFrom::Start(from))?;
    let mut hasher = seal.hasher();
    hasher.update_reader(file)?;
    Ok((size, cut(&hasher)))
}

/// The value in a file, if it is the one that was put.
pub(super) fn find(
    path: &Path,
    size: u64,
    digest: &[u8; 16],
    seal: &Seal,
) -> Result<Option<Value>, Error> {
    let find = || -> io::Result<Option<Value>> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != size {
            return Ok(None);
        }
        if seal.is_secret() {
            // What is checked is what is used: others may write to the file.
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            return Ok((seal.digest(&[&bytes]) == *digest).then_some(Value::Bytes(bytes)));
        }
        let (_, found) = digest_of(&file, seal)?;
        Ok((found == *digest).then(|| Value::File(path.to_path_buf())))
    };
    match find() {
        Err(error) if is_gone(&error) => Ok(None),
        found => found.map_err(at(path)),
    }
}

/// Whether all of a file is what was put. One that is not there yet, or no longer, is.
pub(super) fn is_whole(
    path: &Path,
    size: u64,
    digest: &[u8; 16],
    seal: &Seal,
) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(true);
    }
    if find(path, size, digest, seal)?.is_none() {
        return Ok(false);
    }
    if seal.is_secret() {
        return Ok(true);
    }
    let file = File::open(path).map_err(at(path))?;
    sound::is_sound(file).map_err(at(path))
}
