//! What a file is, and how it is read.

use std::fs::File;
use std::io::{self, Read};

use retain_format::foreign::{Foreign, Pause};
use retain_format::machine::Limits;
use retain_format::{Codec, Error, Head, Seekable, Stored};

use super::held::head_of;
use super::input::{Input, Interruptible, Positioned, Source, read_into};
use super::reader::{Body, Place};

/// As much as tells what a file is.
pub(super) const START: usize = 64;

/// The file of a descriptor of Python's (of a handle, on Windows), which stays open.
pub(super) fn shared(handle: isize) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::BorrowedFd;

        let fd = i32::try_from(handle)
            .ok()
            .filter(|&fd| fd >= 0)
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the caller's file object keeps it open during the call.
        unsafe { BorrowedFd::borrow_raw(fd) }
            .try_clone_to_owned()
            .map(File::from)
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::BorrowedHandle;

        // SAFETY: the caller's file object keeps it open during the call.
        unsafe { BorrowedHandle::borrow_raw(handle as *mut _) }
            .try_clone_to_owned()
            .map(File::from)
    }
}

/// A file that was opened.
pub(super) enum Opened {
    /// A pickle, and its codec.
    Pickle(Box<Body>, Option<Codec>),
    /// Something else that begins so.
    Other(Vec<u8>),
}

/// Opens a file of any kind.
pub(super) fn open(file: File) -> Result<Opened, Error> {
    let len = file.metadata()?.len();
    let mut start = vec![0; START];
    let is_file = file.metadata()?.is_file();
    if is_file {
        // Wherever the descriptor was left that it may share.
        io::Seek::rewind(&mut &file)?;
    }
    let have = read_into(&mut &file, &mut start)?;
    start.truncate(have);
    if start.is_empty() {
        return Err(Error::Truncated("the file is empty".into()));
    }
    if other(&start) {
        return Ok(Opened::Other(start));
    }
    let codec = Codec::detect(&start);
    // A pipe or a device.
    if !is_file {
        let rest = io::Cursor::new(start).chain(file);
        let input: Box<dyn Read + Send> = match codec {
            Some(codec) => codec.decoder(rest)?,
            None => Box::new(rest),
        };
        return Ok(Opened::Pickle(
            Box::new(Body::streamed(Foreign::new(Input::Decoder(
                Interruptible::new(input),
            )))),
            codec,
        ));
    }
    match codec {
        Some(codec) => {
            if codec == Codec::Zstd
                && let Some(seekable) = Seekable::open(file.try_clone()?)?
                && let Ok(mut stored) =
                    Stored::open(Box::new(Interruptible::new(seekable)) as Place)?
            {
                stored.check_skeleton()?;
                return Ok(Opened::Pickle(Box::new(Body::stored(stored)), Some(codec)));
            }
            let mut file = file;
            io::Seek::rewind(&mut file)?;
            let foreign = Foreign::new(Input::Decoder(Interruptible::new(codec.decoder(file)?)));
            Ok(Opened::Pickle(
                Box::new(Body::streamed(foreign)),
                Some(codec),
            ))
        }
        None => open_plain(file, &start, len),
    }
}

fn open_plain(file: File, start: &[u8], len: u64) -> Result<Opened, Error> {
    if let Some(head) = head_of(start)? {
        let opened = Stored::open(Box::new(Interruptible::new(file.try_clone()?)) as Place)
            .and_then(|stored| match stored {
                Ok(mut stored) => stored.check_skeleton().map(|()| Some(stored)),
                Err(_) => Ok(None),
            });
        match opened {
            Ok(Some(stored)) => return Ok(Opened::Pickle(Box::new(Body::stored(stored)), None)),
            // Where the head tells nothing, other values may follow in the file.
            Err(error) if head != Head::UNKNOWN => {
                return Err(cut_short(file, len, head).unwrap_or(error));
            }
            _ => {}
        }
    }
    let limits = Limits {
        end: len,
        ..Limits::default()
    };
    let foreign = Foreign::seekable(Input::File(Positioned::new(file))).limited(limits);
    Ok(Opened::Pickle(Box::new(Body::streamed(foreign)), None))
}

/// Where a retain file ends that is cut short.
fn cut_short(file: File, len: u64, head: Head) -> Option<Error> {
    if head.trailer < len {
        return None;
    }
    let mut foreign = Foreign::seekable(Input::File(Positioned::new(file)));
    while let Ok(filled) = foreign.fill().map(<[u8]>::len) {
        if foreign.offers() {
            let Some(Pause::Buffer { length, .. }) = foreign.arrive() else {
                break;
            };
            let there = len.saturating_sub(foreign.position());
            if there < length
                || foreign
                    .skip_raw(length)
                    .and_then(|()| foreign.resume())
                    .is_err()
            {
                return Some(Error::Truncated(format!(
                    "the file ends in the middle of array {} of {}",
                    foreign.items(),
                    head.buffers
                )));
            }
        } else if filled == 0 {
            break;
        } else {
            foreign.consume(filled);
        }
    }
    let behind = foreign.items();
    Some(Error::Truncated(if head.buffers == 0 {
        format!(
            "the file ends in the middle of its objects: it has {len} bytes, its trailer should be at byte {}",
            head.trailer
        )
    } else {
        format!(
            "the file ends in the middle of its objects, behind array {behind} of {}",
            head.buffers
        )
    }))
}

/// What the codecs begin with that two bytes do not tell for certain.
pub(super) const COMPRESSED: [&[u8; 2]; 5] = [b"BZ", b"\xfd7", b"]\x00", b"\x04\"", b"\x28\xb5"];

/// Reads until there are `wanted` bytes, or no more.
pub(super) fn read_start(
    source: &mut Source,
    start: &mut Vec<u8>,
    wanted: usize,
) -> io::Result<()> {
    let have = start.len();
    start.resize(wanted, 0);
    let count = read_into(source, &mut start[have..])?;
    start.truncate(have + count);
    Ok(())
}

/// Whether a file that begins so can be one of safetensors: a length and a brace. Such can be made that are pickles as well.
fn is_safetensors(start: &[u8]) -> bool {
    const LONGEST_HEADER: u64 = 100_000_000;
    match start.split_first_chunk() {
        Some((length, header)) => {
            u64::from_le_bytes(*length) <= LONGEST_HEADER && header.starts_with(b"{")
        }
        None => false,
    }
}

/// Whether a file that begins so is none of ours: numpy's, or one of joblib's before 0.10.
pub(super) fn other(start: &[u8]) -> bool {
    [&b"\x93NUMPY"[..], b"PK\x03\x04", b"PK\x05\x06", b"ZF"]
        .iter()
        .any(|magic| start.starts_with(magic))
        || is_safetensors(start)
}
