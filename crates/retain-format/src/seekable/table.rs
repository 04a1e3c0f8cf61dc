//! The seek table: written, and read from a stranger.

use std::io;

use crate::blocks::Lengths;
use crate::read_at::ReadAt;
use crate::sign;

/// The magic number of the skippable frame that holds the table.
const FRAME_MAGIC: u32 = 0x184d_2a5e;
/// The last four bytes of the table.
const TABLE_MAGIC: u32 = 0x8f92_eab1;
/// The magic number and the length of a skippable frame.
const HEADER: u64 = 8;
/// The number of frames, a descriptor and the magic number.
const FOOTER: u64 = 9;
/// In the descriptor: each entry ends in a checksum of the frame's content.
const WITH_CHECKSUMS: u8 = 0b1000_0000;
/// In the descriptor: bits that must be zero in this version of the format.
const RESERVED: u8 = 0b0111_1100;
/// Content of a frame beyond this would be much memory for a few bytes read. Such files are read from their start.
const LARGEST_FRAME: u32 = 64 << 20;
/// The format's own bound.
const MOST_FRAMES: u32 = 0x0800_0000;

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its offset and length in the file.
    pub(super) at: u64,
    pub(super) packed: u32,
    /// The same of its content.
    pub(super) start: u64,
    pub(super) plain: u32,
}

/// The frames of a file, in order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) frames: Vec<Frame>,
    pub(super) content: u64,
}

/// The skippable frame that tells of `frames`.
pub(super) fn encode(frames: &[Lengths]) -> io::Result<Vec<u8>> {
    let count = u32::try_from(frames.len())
        .ok()
        .filter(|&count| count <= MOST_FRAMES)
        .ok_or_else(|| io::Error::other("more frames than a seek table can hold"))?;
    let mut table = Vec::with_capacity(frames.len() * 8 + 17);
    table.extend(FRAME_MAGIC.to_le_bytes());
    table.extend((count * 8 + 9).to_le_bytes());
    for frame in frames {
        table.extend(frame.packed.to_le_bytes());
        table.extend(frame.plain.to_le_bytes());
    }
    table.extend(count.to_le_bytes());
    table.push(0);
    table.extend(TABLE_MAGIC.to_le_bytes());
    Ok(table)
}

fn inconsistent(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged zstd data: the seek table {what}"),
    )
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// Finds and checks the table; `None` where the file has none, or one whose frames are too large to be read alone.
pub(super) fn find(source: &(impl ReadAt + ?Sized)) -> io::Result<Option<Table>> {
    let end = sign::unsigned_len(source)?;
    let Some(footer_at) = end.checked_sub(FOOTER) else {
        return Ok(None);
    };
    let mut footer = [0; 9];
    source.read_exact_at(&mut footer, footer_at)?;
    let [a, b, c, d, descriptor, magic @ ..] = footer;
    let count = u32::from_le_bytes([a, b, c, d]);
    if u32::from_le_bytes(magic) != TABLE_MAGIC || descriptor & RESERVED != 0 || count > MOST_FRAMES
    {
        return Ok(None);
    }
    let entry = if descriptor & WITH_CHECKSUMS == 0 {
        8
    } else {
        12
    };
    let entries = u64::from(count) * entry;
    let Some(table_at) = footer_at.checked_sub(entries + HEADER) else {
        return Ok(None);
    };
    let mut header = [0; 8];
    source.read_exact_at(&mut header, table_at)?;
    let [a, b, c, d, length @ ..] = header;
    if u32::from_le_bytes([a, b, c, d]) != FRAME_MAGIC
        || u64::from(u32::from_le_bytes(length)) != entries + FOOTER
    {
        return Ok(None);
    }

    // The table is no longer than the file, which is the bound of this allocation.
    let mut bytes = vec![0; usize::try_from(entries).map_err(io::Error::other)?];
    source.read_exact_at(&mut bytes, table_at + HEADER)?;
    let mut frames = Vec::with_capacity(usize::try_from(count).map_err(io::Error::other)?);
    let (mut at, mut start) = (0_u64, 0_u64);
    let size = usize::try_from(entry).map_err(io::Error::other)?;
    for lengths in bytes.chunks_exact(size) {
        let packed = u32::from_le_bytes(word(lengths, 0).unwrap_or_default());
        let plain = u32::from_le_bytes(word(lengths, 4).unwrap_or_default());
        if plain > LARGEST_FRAME {
            return Ok(None);
        }
        frames.push(Frame {
            at,
            packed,
            start,
            plain,
        });
        // Two 32-bit lengths for each of at most 2^27 frames: far from 64 bits.
        at += u64::from(packed);
        start += u64::from(plain);
    }
    if at != table_at {
        return Err(inconsistent("does not cover the frames before it"));
    }
    Ok(Some(Table {
        frames,
        content: start,
    }))
}
