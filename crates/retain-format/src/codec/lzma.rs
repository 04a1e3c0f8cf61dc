//! xz, and the `.lzma` format that came before it.

use std::io;

use liblzma::stream::{Action, Check, Error, LzmaOptions, Status, Stream};

use super::stream::{Compress, Decompress, Step, damaged, may_start_with};

/// What a decoder may allocate. The highest preset of the xz tool needs 65 MiB; a header of a stranger may ask for 4 GiB.
const MEMORY: u64 = 300 << 20;

/// What an xz stream starts with.
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

fn explain(name: &str, error: Error) -> io::Error {
    match error {
        Error::Mem => io::Error::new(io::ErrorKind::OutOfMemory, format!("{name}: no memory")),
        Error::MemLimit => damaged(name, "it asks for more memory than any xz preset does"),
        other => damaged(name, other),
    }
}

fn process(
    stream: &mut Stream,
    input: &[u8],
    output: &mut [u8],
    action: Action,
) -> Result<Step, Error> {
    let (read, written) = (stream.total_in(), stream.total_out());
    let status = stream.process(input, output, action)?;
    Ok(Step {
        consumed: difference(stream.total_in(), read),
        produced: difference(stream.total_out(), written),
        ended: status == Status::StreamEnd,
    })
}

/// Reads xz streams.
pub(super) struct FromXz(Stream);

impl FromXz {
    pub(super) fn new() -> io::Result<Self> {
        Stream::new_stream_decoder(MEMORY, 0)
            .map(Self)
            .map_err(|error| explain("xz", error))
    }
}

impl Decompress for FromXz {
    const NAME: &'static str = "xz";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        process(&mut self.0, input, output, Action::Run).map_err(|error| explain(Self::NAME, error))
    }

    fn next_member(&mut self, prefix: &[u8]) -> io::Result<bool> {
        let follows = may_start_with(prefix, &XZ_MAGIC);
        if follows {
            *self = Self::new()?;
        }
        Ok(follows)
    }
}

/// Reads one `.lzma` stream.
pub(super) struct FromLzma(Stream);

impl FromLzma {
    pub(super) fn new() -> io::Result<Self> {
        Stream::new_lzma_decoder(MEMORY)
            .map(Self)
            .map_err(|error| explain("lzma", error))
    }
}

impl Decompress for FromLzma {
    const NAME: &'static str = "lzma";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        process(&mut self.0, input, output, Action::Run).map_err(|error| explain(Self::NAME, error))
    }

    fn next_member(&mut self, _prefix: &[u8]) -> io::Result<bool> {
        Ok(false)
    }
}

/// Writes one xz or `.lzma` stream.
pub(super) struct ToXz(Stream);

impl ToXz {
    pub(super) fn xz(level: u32) -> io::Result<Self> {
        // The check that Python's lzma and the xz tool choose.
        Stream::new_easy_encoder(level, Check::Crc64)
            .map(Self)
            .map_err(io::Error::other)
    }

    pub(super) fn lzma(level: u32) -> io::Result<Self> {
        LzmaOptions::new_preset(level)
            .and_then(|options| Stream::new_lzma_encoder(&options))
            .map(Self)
            .map_err(io::Error::other)
    }
}

impl Compress for ToXz {
    fn step(&mut self, input: &[u8], output: &mut [u8], finish: bool) -> io::Result<Step> {
        let action = if finish { Action::Finish } else { Action::Run };
        process(&mut self.0, input, output, action).map_err(io::Error::other)
    }
}
