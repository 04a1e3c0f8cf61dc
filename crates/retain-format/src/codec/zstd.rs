//! Zstandard (RFC 8878), read from its start.
//!
//! Writing, and reading from anywhere, is the matter of [`crate::seekable`].

use std::io;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::stream::{Decompress, Step, damaged, may_start_with};

/// Frames whose window is larger are refused: 128 MiB, as the zstd tool does.
const WINDOW_LOG: u32 = 27;

/// What a frame with content starts with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether bytes start a frame that holds data or one to be skipped.
pub(super) fn is_magic(prefix: &[u8]) -> bool {
    match prefix {
        [a, b, c, d, ..] if [*a, *b, *c, *d] == MAGIC => true,
        [kind, 0x2a, 0x4d, 0x18, ..] => kind & 0xf0 == 0x50,
        _ => false,
    }
}

/// Reads zstd frames, and passes over those that are to be skipped.
pub(super) struct FromZstd(DCtx<'static>);

impl FromZstd {
    pub(super) fn new() -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .map_err(|code| io::Error::other(get_error_name(code)))?;
        Ok(Self(context))
    }
}

impl Decompress for FromZstd {
    const NAME: &'static str = "zstd";

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        let mut from = InBuffer::around(input);
        let mut into = OutBuffer::around(output);
        let hint = self
            .0
            .decompress_stream(&mut into, &mut from)
            .map_err(|code| damaged(Self::NAME, get_error_name(code)))?;
        Ok(Step {
            consumed: from.pos(),
            produced: into.pos(),
            // Before the first byte there is no frame that could have ended.
            ended: hint == 0 && !(input.is_empty() && into.pos() == 0),
        })
    }

    fn next_member(&mut self, prefix: &[u8]) -> io::Result<bool> {
        Ok(is_magic(prefix)
            || prefix.len() < 4
                && (may_start_with(prefix, &MAGIC)
                    || prefix.first().is_some_and(|kind| {
                        may_start_with(prefix, &[kind & 0x0f | 0x50, 0x2a, 0x4d, 0x18])
                    })))
    }
}
