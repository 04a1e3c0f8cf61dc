//! LZ4's frame format, over the block format of `lz4_flex`.
//!
//! Frames are written with independent blocks of 1 MiB, so that several threads compress them, and a checksum of
//! the content (those of blocks would leave the lengths between them unguarded).

use std::io::{self, BufReader, Read, Write};

use lz4_flex::block::{
    compress_into, decompress_into, decompress_into_with_dict, get_maximum_output_size,
};
use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::Encoder;
use super::stream::{damaged, trailing, truncated};
use crate::blocks::{BLOCK, BlockCoder, Blocks};

const NAME: &str = "lz4";
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// The highest bit of a block's length: the block is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a linked block refers.
const WINDOW: usize = 64 << 10;

const VERSION: u8 = 0b0100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const BLOCK_CHECKSUM: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
const RESERVED: u8 = 0b0000_0010;
const DICTIONARY: u8 = 0b0000_0001;
/// Blocks of up to 1 MiB.
const ONE_MEBIBYTE: u8 = 6 << 4;

/// The check of a frame's descriptor: the second byte of its hash.
pub(super) fn descriptor_check(descriptor: &[u8]) -> u8 {
    xxh32(descriptor, 0).to_le_bytes()[1]
}

/// What a frame's descriptor says.
#[derive(Clone, Copy)]
struct Descriptor {
    flags: u8,
    /// The most content of a block.
    most: usize,
    content: Option<u64>,
}

impl Descriptor {
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A reader of lz4 frames.
pub(super) struct Frames<R> {
    input: BufReader<R>,
    frame: Option<Descriptor>,
    /// Whether a frame was read; a file needs one.
    any: bool,
    packed: Vec<u8>,
    /// Room for the content of a block. It is never made shorter, as tiny blocks would then have it cleared each time.
    plain: Vec<u8>,
    /// How much of `plain` is content, and how much of that was handed out.
    held: usize,
    given: usize,
    /// The content before that in `plain`, for linked blocks.
    before: Vec<u8>,
    hash: Xxh32,
    total: u64,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(64 << 10, input),
            frame: None,
            any: false,
            packed: Vec::new(),
            plain: Vec::new(),
            held: 0,
            given: 0,
            before: Vec::new(),
            hash: Xxh32::new(0),
            total: 0,
        }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        read_exact(&mut self.input, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads up to the next frame's descriptor; `false` at the end of the input.
    fn open_frame(&mut self) -> io::Result<bool> {
        loop {
            let mut magic = [0; 4];
            let found = read_up_to(&mut self.input, &mut magic)?;
            if found == 0 && self.any {
                return Ok(false);
            }
            let [kind, a, b, c] = magic;
            if magic == MAGIC {
                break;
            }
            if found == 4 && kind & 0xf0 == 0x50 && [a, b, c] == [0x2a, 0x4d, 0x18] {
                let length = u64::from(u32::from_le_bytes(self.take()?));
                let skipped = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(truncated(NAME));
                }
                self.any = true;
                continue;
            }
            return Err(if self.any {
                trailing(NAME)
            } else if found < 4 {
                truncated(NAME)
            } else {
                damaged(NAME, "it does not start with a frame")
            });
        }
        let mut descriptor = Vec::with_capacity(14);
        let [flags, sizes] = self.take()?;
        descriptor.extend([flags, sizes]);
        if flags & 0b1100_0000 != VERSION || flags & RESERVED != 0 || sizes & 0b1000_1111 != 0 {
            return Err(damaged(NAME, "an unknown version of the frame format"));
        }
        if flags & DICTIONARY != 0 {
            return Err(damaged(NAME, "it needs a dictionary"));
        }
        let most = match sizes >> 4 {
            power @ 4..=7 => 1 << (8 + 2 * power),
            _ => return Err(damaged(NAME, "an unknown size of blocks")),
        };
        let content = if flags & CONTENT_SIZE == 0 {
            None
        } else {
            let size: [u8; 8] = self.take()?;
            descriptor.extend(size);
            Some(u64::from_le_bytes(size))
        };
        let [check] = self.take()?;
        if check != descriptor_check(&descriptor) {
            return Err(damaged(
                NAME,
                "the frame's header does not match its checksum",
            ));
        }
        self.frame = Some(Descriptor {
            flags,
            most,
            content,
        });
        self.any = true;
        self.held = 0;
        self.given = 0;
        self.before.clear();
        self.hash.reset(0);
        self.total = 0;
        Ok(true)
    }

    /// Decompresses the next block into `output` where it is large enough, else into `plain`. The number of bytes in
    /// `output`; `None` at the end of the frame.
    fn next_block(&mut self, frame: Descriptor, output: &mut [u8]) -> io::Result<Option<usize>> {
        let word = u32::from_le_bytes(self.take()?);
        if word == 0 {
            self.close_frame(frame)?;
            return Ok(None);
        }
        let length = usize::try_from(word & !STORED).unwrap_or(usize::MAX);
        if length > frame.most {
            return Err(damaged(NAME, "a block is larger than its frame allows"));
        }
        self.packed.resize(length, 0);
        read_exact(&mut self.input, &mut self.packed)?;
        if frame.has(BLOCK_CHECKSUM) {
            let check = u32::from_le_bytes(self.take()?);
            if check != xxh32(&self.packed, 0) {
                return Err(damaged(NAME, "a block does not match its checksum"));
            }
        }
        let independent = frame.has(INDEPENDENT);
        if !independent {
            self.slide_window(frame.most);
        }
        let directly = independent && output.len() >= frame.most;
        let into = if directly {
            output
        } else {
            if self.plain.len() < frame.most {
                self.plain = vec![0; frame.most];
            }
            self.plain.split_at_mut(frame.most).0
        };
        let length = if word & STORED == 0 {
            let done = if self.before.is_empty() {
                decompress_into(&self.packed, into)
            } else {
                decompress_into_with_dict(&self.packed, into, window(&self.before))
            };
            done.map_err(|error| damaged(NAME, error))?
        } else {
            into.get_mut(..length)
                .ok_or_else(|| damaged(NAME, "a block is too large"))?
                .copy_from_slice(&self.packed);
            length
        };
        let content = into.get(..length).unwrap_or_default();
        if frame.has(CONTENT_CHECKSUM) {
            self.hash.update(content);
        }
        self.total = self.total.saturating_add(length as u64);
        if directly {
            return Ok(Some(length));
        }
        self.held = length;
        self.given = 0;
        Ok(Some(0))
    }

    /// Keeps the end of the content so far in `before`, at a cost that the content bears.
    fn slide_window(&mut self, most: usize) {
        let content = self.plain.split_at(self.held).0;
        if self.held >= WINDOW && self.held >= most / 2 {
            std::mem::swap(&mut self.plain, &mut self.before);
            self.before.truncate(self.held);
        } else if self.held >= WINDOW {
            self.before.clear();
            self.before.extend_from_slice(window(content));
        } else {
            self.before.extend_from_slice(content);
            if self.before.len() > 4 * WINDOW {
                let excess = self.before.len() - WINDOW;
                self.before.drain(..excess);
            }
        }
        self.held = 0;
        self.given = 0;
    }

    fn close_frame(&mut self, frame: Descriptor) -> io::Result<()> {
        self.frame = None;
        if frame.has(CONTENT_CHECKSUM) {
            let check = u32::from_le_bytes(self.take()?);
            if check != self.hash.digest() {
                return Err(damaged(NAME, "the content does not match its checksum"));
            }
        }
        if frame.content.is_some_and(|content| content != self.total) {
            return Err(damaged(
                NAME,
                "the content is not as long as the header says",
            ));
        }
        Ok(())
    }
}

fn window(before: &[u8]) -> &[u8] {
    before.split_at(before.len().saturating_sub(WINDOW)).1
}

fn read_exact(input: &mut impl Read, into: &mut [u8]) -> io::Result<()> {
    if read_up_to(input, into)? == into.len() {
        Ok(())
    } else {
        Err(truncated(NAME))
    }
}

fn read_up_to(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            let ready = self.plain.get(self.given..self.held).unwrap_or_default();
            if !ready.is_empty() {
                let fits = ready.len().min(output.len());
                let (ready, output) = (ready.split_at(fits).0, output.split_at_mut(fits).0);
                output.copy_from_slice(ready);
                self.given += fits;
                return Ok(fits);
            }
            let Some(frame) = self.frame else {
                if self.open_frame()? {
                    continue;
                }
                return Ok(0);
            };
            if let Some(given @ 1..) = self.next_block(frame, output)? {
                return Ok(given);
            }
        }
    }
}

/// Compresses one block, with its length before it.
struct ToBlock;

impl BlockCoder for ToBlock {
    fn encode(&mut self, block: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        let most = get_maximum_output_size(block.len());
        into.resize(4 + most, 0);
        let (length, packed) = into.split_at_mut(4);
        let size = compress_into(block, packed).map_err(io::Error::other)?;
        if size < block.len() {
            length.copy_from_slice(&u32::try_from(size).map_err(io::Error::other)?.to_le_bytes());
            into.truncate(4 + size);
        } else {
            let word = u32::try_from(block.len()).map_err(io::Error::other)? | STORED;
            into.clear();
            into.extend(word.to_le_bytes());
            into.extend_from_slice(block);
        }
        Ok(())
    }
}

/// A writer of one lz4 frame.
pub(super) struct FrameWriter<W> {
    blocks: Blocks<W, ToBlock>,
    opened: bool,
}

impl<W: Write + Send> FrameWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            blocks: Blocks::new(output, || Ok(ToBlock)).with_hash(),
            opened: false,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        let descriptor = [VERSION | INDEPENDENT | CONTENT_CHECKSUM, ONE_MEBIBYTE];
        const { assert!(BLOCK == 1 << 20) };
        let [flags, sizes] = descriptor;
        let [a, b, c, d] = MAGIC;
        let header = [a, b, c, d, flags, sizes, descriptor_check(&descriptor)];
        self.blocks
            .guarded(|blocks| blocks.sink.output.write_all(&header))
    }
}

impl<W: Write + Send> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?;
        self.blocks.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blocks.flush()
    }
}

impl<W: Write + Send> Encoder for FrameWriter<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.open()?;
        self.blocks.finish()?;
        self.blocks.guarded(|blocks| {
            let hash = blocks.sink.hash.as_ref().map_or(0, Xxh32::digest);
            blocks.sink.output.write_all(&[0; 4])?;
            blocks.sink.output.write_all(&hash.to_le_bytes())
        })?;
        self.blocks.flush()
    }
}
