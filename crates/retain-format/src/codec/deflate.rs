//! zlib (RFC 1950) and gzip (RFC 1952).

use std::io;

use flate2::{Compression, FlushCompress, FlushDecompress, Status};

use super::stream::{Compress, Decompress, Step, damaged, may_start_with};

/// The largest window of deflate: 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// What flate2 counts in 64 bits is bounded by the slices it was given.
fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

fn step<D: Decompress>(
    inner: &mut flate2::Decompress,
    input: &[u8],
    output: &mut [u8],
) -> io::Result<Step> {
    let (read, written) = (inner.total_in(), inner.total_out());
    let status = inner
        .decompress(input, output, FlushDecompress::None)
        .map_err(|error| {
            if error.needs_dictionary().is_some() {
                damaged(D::NAME, "it needs a dictionary")
            } else {
                damaged(D::NAME, error.message().unwrap_or("not a valid stream"))
            }
        })?;
    Ok(Step {
        consumed: difference(inner.total_in(), read),
        produced: difference(inner.total_out(), written),
        ended: status == Status::StreamEnd,
    })
}

/// Reads one zlib stream.
pub(super) struct FromZlib(flate2::Decompress);

impl FromZlib {
    pub(super) fn new() -> Self {
        Self(flate2::Decompress::new(true))
    }
}

impl Decompress for FromZlib {
    const NAME: &'static str = "zlib";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        step::<Self>(&mut self.0, input, output)
    }

    fn next_member(&mut self, _prefix: &[u8]) -> io::Result<bool> {
        Ok(false)
    }
}

/// Reads gzip members.
pub(super) struct FromGzip(flate2::Decompress);

impl FromGzip {
    pub(super) fn new() -> Self {
        Self(flate2::Decompress::new_gzip(WINDOW_BITS))
    }
}

impl Decompress for FromGzip {
    const NAME: &'static str = "gzip";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        step::<Self>(&mut self.0, input, output)
    }

    fn next_member(&mut self, prefix: &[u8]) -> io::Result<bool> {
        let follows = may_start_with(prefix, &[0x1f, 0x8b]);
        if follows {
            self.0 = flate2::Decompress::new_gzip(WINDOW_BITS);
        }
        Ok(follows)
    }
}

/// Writes one zlib stream or one gzip member (no name, no time: equal values give equal files).
pub(super) struct ToDeflate(flate2::Compress);

impl ToDeflate {
    pub(super) fn zlib(level: u32) -> Self {
        Self(flate2::Compress::new(Compression::new(level), true))
    }

    pub(super) fn gzip(level: u32) -> Self {
        Self(flate2::Compress::new_gzip(
            Compression::new(level),
            WINDOW_BITS,
        ))
    }
}

impl Compress for ToDeflate {
    fn step(&mut self, input: &[u8], output: &mut [u8], finish: bool) -> io::Result<Step> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let flush = if finish {
            FlushCompress::Finish
        } else {
            FlushCompress::None
        };
        let status = self
            .0
            .compress(input, output, flush)
            .map_err(io::Error::other)?;
        Ok(Step {
            consumed: difference(self.0.total_in(), read),
            produced: difference(self.0.total_out(), written),
            ended: status == Status::StreamEnd,
        })
    }
}
