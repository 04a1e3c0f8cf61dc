//! Where a frame ends, by what stands in it: its header and those of its blocks.

use std::io;

use super::table::Frame;
use crate::read_at::ReadAt;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// The longest header of a frame: magic number, descriptor, window, dictionary and size of the content.
const LONGEST: usize = 18;
const RLE: u32 = 1;
const RESERVED: u32 = 3;

/// Whether there is one frame where `frame` is said to be, of that length, and no skippable one. Then a reader from the
/// file's start sees the same content as one that goes by the table.
pub(super) fn is_one(source: &(impl ReadAt + ?Sized), frame: Frame) -> io::Result<bool> {
    let end = frame.at + u64::from(frame.packed);
    let mut header = [0; LONGEST];
    let there = usize::try_from(frame.packed).map_or(LONGEST, |there| there.min(LONGEST));
    let Some(part) = header.get_mut(..there) else {
        return Ok(false);
    };
    source.read_exact_at(part, frame.at)?;
    let Some(&descriptor) = header
        .strip_prefix(&MAGIC)
        .and_then(|behind| behind.first())
    else {
        return Ok(false);
    };
    let single = descriptor & 0b10_0000 != 0;
    let checksum = u64::from(descriptor & 0b100 != 0) * 4;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let content = match descriptor >> 6 {
        0 => u64::from(single),
        size => 1 << size,
    };
    let mut at = frame.at + 5 + u64::from(!single) + dictionary + content;
    loop {
        if at + 3 > end {
            return Ok(false);
        }
        let mut block = [0; 4];
        source.read_exact_at(&mut block[..3], at)?;
        let block = u32::from_le_bytes(block);
        let size = match (block >> 1) & 0b11 {
            RESERVED => return Ok(false),
            RLE => 1,
            _ => block >> 3,
        };
        at += 3 + u64::from(size);
        if block & 1 == 1 {
            return Ok(at + checksum == end);
        }
    }
}
