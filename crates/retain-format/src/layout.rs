//! The layout of a retain file: what stands around the opcodes of the value.
//!
//! ```text
//! head      80 05                        PROTO 5
//!           43 20 <record> 30            SHORT_BINBYTES, POP
//! body      the opcodes of the value without FRAME and STOP; before the data of each buffer
//!           43 n <marker, zeros> 30      padding: SHORT_BINBYTES, POP
//!           8e len8 | 96 len8            BINBYTES8 (read-only) or BYTEARRAY8 (writable), whose data starts
//!                                        on a boundary of 64 bytes
//! trailer   43 n <marker, zeros> 30      padding, as before a buffer, with a marker of its own
//!           8e len8 <record> 30 2e       BINBYTES8, POP, STOP
//! ```
//!
//! All of it is a pickle of protocol 5 that ends with STOP, so any reader of pickles reads it, also one of several in one
//! stream. Numbers are little-endian.

use crate::checksum;
use crate::opcode::{BINBYTES8, BYTEARRAY8, POP, PROTO, SHORT_BINBYTES, STOP};
use crate::{Error, ReadAt};

/// Data of buffers starts on multiples of this.
pub const ALIGNMENT: u64 = 64;
/// The length of the head.
pub const HEAD_LEN: usize = 37;
/// What the padding before a buffer begins with: no pickler writes a POP behind bytes.
pub const MARKER: [u8; 8] = *b"retain\xb5\x00";
/// What the padding before the trailer begins with.
pub(crate) const TRAILER_MARKER: [u8; 8] = *b"retain\xb5\x01";

const HEAD_MAGIC: [u8; 8] = *b"retain\x00\x01";
const TRAILER_MAGIC: [u8; 8] = *b"retain\xff\x01";
const HEAD_RECORD: u8 = 32;
const ENTRY: usize = 24;
/// Checksum, length and magic at the record's end.
const FOOTER: usize = 24;

/// The head of a file: whose it is, and where its trailer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Where the trailer's record lies, from the head's first byte; 0 if it was not known when the head was written.
    pub trailer: u64,
    /// How many buffers there are; 0 if that was not known.
    pub buffers: u64,
}

impl Head {
    /// The head of a file of which nothing is known yet.
    pub const UNKNOWN: Self = Self {
        trailer: 0,
        buffers: 0,
    };

    /// The head's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEAD_LEN] {
        let mut head = [0; HEAD_LEN];
        head[..4].copy_from_slice(&[PROTO, 5, SHORT_BINBYTES, HEAD_RECORD]);
        head[4..12].copy_from_slice(&HEAD_MAGIC);
        head[12..20].copy_from_slice(&self.trailer.to_le_bytes());
        head[20..28].copy_from_slice(&self.buffers.to_le_bytes());
        let sum = checksum::of_piece(&head[4..28]);
        head[28..36].copy_from_slice(&sum.to_le_bytes());
        head[36] = POP;
        head
    }

    /// The head that `bytes` begin with; `None` if they are no retain file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the head is damaged, [`Error::Unsupported`] if a later retain wrote it.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let Some(head) = bytes.first_chunk::<HEAD_LEN>() else {
            return Ok(None);
        };
        if head[..2] != [PROTO, 5] || head[2..4] != [SHORT_BINBYTES, HEAD_RECORD] {
            return Ok(None);
        }
        if head[4..10] != HEAD_MAGIC[..6] || head[36] != POP {
            return Ok(None);
        }
        if checksum::of_piece(&head[4..28]) != number(head, 28) {
            return Err(Error::Corrupt("the head of the file is damaged".into()));
        }
        if head[10..12] != HEAD_MAGIC[6..] {
            return Err(Error::Unsupported(format!(
                "version {} of the file format is not known to this version of retain",
                head[11]
            )));
        }
        Ok(Some(Self {
            trailer: number(head, 12),
            buffers: number(head, 20),
        }))
    }
}

/// One buffer of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Where its data begins, from the head's first byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Whether it can be written to: a bytearray then, bytes otherwise.
    pub writable: bool,
    /// The checksum of its data.
    pub checksum: u64,
}

/// The trailer of a file: an index of its buffers, and checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The buffers in the order of the stream.
    pub buffers: Vec<Buffer>,
    /// The checksum of all bytes between the head and the trailer's record that are no buffer's data.
    pub skeleton: u64,
    /// What wrote the file, for people.
    pub writer: String,
}

/// A trailer's text and sums have at most so many bytes.
const MOST_TEXT: u64 = 64 << 10;

impl Trailer {
    /// The length of the record.
    pub(crate) fn record_len(&self) -> u64 {
        (8 + 8 + 8 + self.writer.len() + 8 + self.buffers.len() * ENTRY + FOOTER) as u64
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let len = self.record_len();
        let mut bytes = Vec::new();
        bytes.extend(TRAILER_MAGIC);
        bytes.extend(self.skeleton.to_le_bytes());
        bytes.extend((self.writer.len() as u64).to_le_bytes());
        bytes.extend(self.writer.as_bytes());
        bytes.extend((self.buffers.len() as u64).to_le_bytes());
        for buffer in &self.buffers {
            bytes.extend(buffer.offset.to_le_bytes());
            bytes.extend((buffer.len << 1 | u64::from(buffer.writable)).to_le_bytes());
            bytes.extend(buffer.checksum.to_le_bytes());
        }
        let sum = checksum::of(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(TRAILER_MAGIC);
        bytes
    }

    /// The trailer in its record, which lies at `offset` from the head's first byte. Its buffers are in order, apart from
    /// one another and between head and trailer.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged.
    pub fn parse(record: &[u8], offset: u64) -> Result<Self, Error> {
        let damaged = || Error::Corrupt("the trailer of the file is damaged".into());
        let (body, footer) = record
            .len()
            .checked_sub(FOOTER)
            .map(|at| record.split_at(at))
            .ok_or_else(damaged)?;
        if footer[16..] != TRAILER_MAGIC
            || number(footer, 8) != record.len() as u64
            || number(footer, 0) != checksum::of(body)
        {
            return Err(damaged());
        }
        Self::fields(body, offset).ok_or_else(damaged)
    }

    fn fields(body: &[u8], offset: u64) -> Option<Self> {
        let body = body.strip_prefix(&TRAILER_MAGIC)?;
        let (skeleton, body) = take_number(body)?;
        let (text, body) = take_number(body)?;
        let (text, body) = body.split_at_checked(usize::try_from(text).ok()?)?;
        let (count, body) = take_number(body)?;
        if count.checked_mul(ENTRY as u64)? != body.len() as u64 {
            return None;
        }
        let mut end = HEAD_LEN as u64;
        let mut buffers = Vec::with_capacity(body.len() / ENTRY);
        for entry in body.chunks_exact(ENTRY) {
            let buffer = Buffer {
                offset: number(entry, 0),
                len: number(entry, 8) >> 1,
                writable: number(entry, 8) & 1 == 1,
                checksum: number(entry, 16),
            };
            // Each is preceded by its opcode and length.
            if buffer.offset < end.checked_add(BUFFER_START as u64)? {
                return None;
            }
            end = buffer.offset.checked_add(buffer.len)?;
            buffers.push(buffer);
        }
        (end.checked_add(BUFFER_START as u64)? <= offset).then_some(Self {
            buffers,
            skeleton,
            writer: String::from_utf8(text.to_vec()).ok()?,
        })
    }

    /// The trailer of the file `source`, and where its record lies.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the file ends before its trailer, [`Error::Corrupt`] if the trailer is damaged.
    pub fn read<S: ReadAt + ?Sized>(source: &S, head: Head) -> Result<(Self, u64), Error> {
        let len = source.len();
        let damaged = || Error::Corrupt("the trailer of the file is damaged".into());
        let offset = if head.trailer == 0 {
            find(source, len)?
        } else {
            head.trailer
        };
        let start = offset
            .checked_sub(BUFFER_START as u64)
            .ok_or_else(damaged)?;
        let mut opening = [0; BUFFER_START];
        if offset > len {
            return Err(truncated(len, head));
        }
        source.read_exact_at(&mut opening, start)?;
        if opening[0] != BINBYTES8 {
            return Err(damaged());
        }
        let size = number(&opening, 1);
        // POP and STOP follow it at least.
        if offset
            .checked_add(size)
            .and_then(|end| end.checked_add(2))
            .is_none_or(|end| end > len)
        {
            return Err(truncated(len, head));
        }
        let size = usize::try_from(size).map_err(|_| damaged())?;
        // The index has as many entries as the head says, if it does: a length that is a lie reserves nothing.
        let most = head
            .buffers
            .saturating_mul(ENTRY as u64)
            .saturating_add(MOST_TEXT);
        let lies = head != Head::UNKNOWN && size as u64 > most;
        let mut bytes = Vec::new();
        if lies || bytes.try_reserve_exact(size.saturating_add(2)).is_err() {
            return Err(damaged());
        }
        bytes.resize(size + 2, 0);
        source.read_exact_at(&mut bytes, offset)?;
        let (record, after) = bytes.split_at(size);
        let signed = || crate::sign::follows(source, offset + size as u64 + 1);
        if opening[0] != BINBYTES8 || after[0] != POP || !(after[1] == STOP || signed()?) {
            return Err(damaged());
        }
        let trailer = Self::parse(record, offset)?;
        if head.trailer != 0 && head.buffers != trailer.buffers.len() as u64 {
            return Err(damaged());
        }
        Ok((trailer, offset))
    }
}

/// Opcode and length before a buffer's data.
pub(crate) const BUFFER_START: usize = 9;

/// The bytes between the opcodes before a buffer and its data, which starts aligned if the first of these bytes lies at
/// `position`.
pub(crate) fn buffer_start(
    position: u64,
    len: u64,
    writable: bool,
    marker: [u8; 8],
) -> ([u8; 84], usize) {
    const LEAST: u8 = 3 + 8;
    let unpadded = position + u64::from(LEAST) + BUFFER_START as u64;
    #[expect(clippy::cast_possible_truncation, reason = "less than the alignment")]
    let more = (unpadded.next_multiple_of(ALIGNMENT) - unpadded) as u8;
    let padding = usize::from(LEAST + more);
    let mut bytes = [0; 84];
    bytes[0] = SHORT_BINBYTES;
    bytes[1] = LEAST + more - 3;
    bytes[2..10].copy_from_slice(&marker);
    bytes[padding - 1] = POP;
    bytes[padding] = if writable { BYTEARRAY8 } else { BINBYTES8 };
    bytes[padding + 1..padding + BUFFER_START].copy_from_slice(&len.to_le_bytes());
    (bytes, padding + BUFFER_START)
}

/// Where the trailer's record lies in a file whose head does not tell, from the file's end.
fn find<S: ReadAt + ?Sized>(source: &S, len: u64) -> Result<u64, Error> {
    let gone = || truncated(len, Head::UNKNOWN);
    let end = len.checked_sub(2).ok_or_else(gone)?;
    let start = end.checked_sub(FOOTER as u64).ok_or_else(gone)?;
    let mut footer = [0; FOOTER];
    source.read_exact_at(&mut footer, start)?;
    if footer[16..] != TRAILER_MAGIC {
        return Err(gone());
    }
    end.checked_sub(number(&footer, 8)).ok_or_else(gone)
}

fn truncated(len: u64, head: Head) -> Error {
    Error::Truncated(if head == Head::UNKNOWN {
        format!(
            "there is no trailer at the file's end, after {len} bytes: it is cut short, or other bytes follow it"
        )
    } else {
        format!(
            "the file is cut short: its trailer should be at byte {}, but it has {len} bytes",
            head.trailer
        )
    })
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
