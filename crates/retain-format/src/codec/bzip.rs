//! bzip2.

use std::io;

use bzip2::{Action, Compression, Status};

use super::stream::{Compress, Decompress, Step, damaged, may_start_with};

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

/// Reads bzip2 streams.
pub(super) struct FromBz2(bzip2::Decompress);

impl FromBz2 {
    pub(super) fn new() -> Self {
        Self(bzip2::Decompress::new(false))
    }
}

impl Decompress for FromBz2 {
    const NAME: &'static str = "bz2";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        let status = self
            .0
            .decompress(input, output)
            .map_err(|error| damaged(Self::NAME, error))?;
        Ok(Step {
            consumed: difference(self.0.total_in(), read),
            produced: difference(self.0.total_out(), written),
            ended: status == Status::StreamEnd,
        })
    }

    fn next_member(&mut self, prefix: &[u8]) -> io::Result<bool> {
        let follows = may_start_with(prefix, b"BZh");
        if follows {
            self.0 = bzip2::Decompress::new(false);
        }
        Ok(follows)
    }
}

/// Writes one bzip2 stream.
pub(super) struct ToBz2(bzip2::Compress);

impl ToBz2 {
    pub(super) fn new(level: u32) -> Self {
        // bzip2 has no level 0.
        Self(bzip2::Compress::new(Compression::new(level.max(1)), 0))
    }
}

impl Compress for ToBz2 {
    fn step(&mut self, input: &[u8], output: &mut [u8], finish: bool) -> io::Result<Step> {
        let (read, written) = (self.0.total_in(), self.0.total_out());
        if input.is_empty() && !finish {
            return Ok(Step {
                consumed: 0,
                produced: 0,
                ended: false,
            });
        }
        let action = if finish { Action::Finish } else { Action::Run };
        let status = self
            .0
            .compress(input, output, action)
            .map_err(io::Error::other)?;
        Ok(Step {
            consumed: difference(self.0.total_in(), read),
            produced: difference(self.0.total_out(), written),
            ended: status == Status::StreamEnd,
        })
    }
}
