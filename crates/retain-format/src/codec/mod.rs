//! Compressed streams: zlib, gzip, bzip2, xz, lzma, lz4 and zstd, written and read.
//!
//! The names, extensions and default levels are those that users of `compress=` know. What is read may come from a
//! stranger: memory is bounded, and every stream either ends well or gives an error of the kind that says why.

mod bzip;
mod deflate;
mod lz4;
mod lzma;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod zstd;

use std::io::{self, Read, Write};
use std::ops::RangeInclusive;

use crate::seekable::Framed;
use stream::{Decoding, Encoding};

/// A format of compressed streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// zlib (RFC 1950).
    Zlib,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bz2,
    /// xz: LZMA2 with a check of its content.
    Xz,
    /// The `.lzma` format: LZMA without any check.
    Lzma,
    /// LZ4's frame format.
    Lz4,
    /// Zstandard (RFC 8878), written in independent frames with a seek table: see [`crate::seekable`].
    Zstd,
}

/// A writer whose stream has to be ended.
///
/// Dropping it instead leaves what was written so far: an unfinished stream, which no reader takes for a whole one.
pub trait Encoder: Write + Send {
    /// Ends the stream and flushes the output.
    ///
    /// # Errors
    ///
    /// What the output or an earlier, failed write reports.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Codec {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Zlib,
        Self::Gzip,
        Self::Bz2,
        Self::Xz,
        Self::Lzma,
        Self::Lz4,
        Self::Zstd,
    ];

    /// The name by which users choose it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Gzip => "gzip",
            Self::Bz2 => "bz2",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of a [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The extension of file names, with its dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zlib => ".z",
            Self::Gzip => ".gz",
            Self::Bz2 => ".bz2",
            Self::Xz => ".xz",
            Self::Lzma => ".lzma",
            Self::Lz4 => ".lz4",
            Self::Zstd => ".zst",
        }
    }

    /// The codec that a file's first bytes tell of; eight are enough.
    #[must_use]
    pub fn detect(prefix: &[u8]) -> Option<Self> {
        match prefix {
            [0x78, ..] => Some(Self::Zlib),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [b'B', b'Z', ..] => Some(Self::Bz2),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Some(Self::Xz),
            [0x5d, 0x00, ..] => Some(Self::Lzma),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ if zstd::is_magic(prefix) => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The levels that [`encoder`](Self::encoder) takes. lz4 has one way to compress and takes all levels for it.
    #[must_use]
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Zstd => zstd_safe::min_c_level()..=zstd_safe::max_c_level(),
            _ => 0..=9,
        }
    }

    /// The level where none is given.
    #[must_use]
    pub fn default_level(self) -> i32 {
        match self {
            Self::Zlib | Self::Gzip | Self::Zstd => 3,
            Self::Bz2 => 9,
            Self::Xz | Self::Lzma => 6,
            Self::Lz4 => 0,
        }
    }

    /// A reader of what `input`'s bytes hold. The codec's checksums are complete only once it has returned `Ok(0)`.
    ///
    /// Concatenated members (not of zlib and lzma, which have no such thing) are read as one. Of `input`, more than
    /// the stream's own bytes may be taken.
    ///
    /// # Errors
    ///
    /// No memory. While reading: [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the stream is incomplete,
    /// [`InvalidData`](io::ErrorKind::InvalidData) where it is damaged, asks for more memory than any ordinary one,
    /// or is followed by other bytes; the errors of `input` as they are.
    pub fn decoder<'r>(
        self,
        input: impl Read + Send + 'r,
    ) -> io::Result<Box<dyn Read + Send + 'r>> {
        Ok(match self {
            Self::Zlib => Box::new(Decoding::new(input, deflate::FromZlib::new())),
            Self::Gzip => Box::new(Decoding::new(input, deflate::FromGzip::new())),
            Self::Bz2 => Box::new(Decoding::new(input, bzip::FromBz2::new())),
            Self::Xz => Box::new(Decoding::new(input, lzma::FromXz::new()?)),
            Self::Lzma => Box::new(Decoding::new(input, lzma::FromLzma::new()?)),
            Self::Lz4 => Box::new(lz4::Frames::new(input)),
            Self::Zstd => Box::new(Decoding::new(input, zstd::FromZstd::new()?)),
        })
    }

    /// A writer of one stream to `output`; `None` is the [`default_level`](Self::default_level).
    ///
    /// zstd and lz4 compress on several threads once there is more than a block of content.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a level that is not one of [`levels`](Self::levels).
    pub fn encoder<'w>(
        self,
        output: impl Write + Send + 'w,
        level: Option<i32>,
    ) -> io::Result<Box<dyn Encoder + 'w>> {
        let level = level.unwrap_or(self.default_level());
        let levels = self.levels();
        if !levels.contains(&level) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} has levels from {} to {}, not {level}",
                    self.name(),
                    levels.start(),
                    levels.end(),
                ),
            ));
        }
        let positive = level.unsigned_abs();
        Ok(match self {
            Self::Zlib => Box::new(Encoding::new(output, deflate::ToDeflate::zlib(positive))),
            Self::Gzip => Box::new(Encoding::new(output, deflate::ToDeflate::gzip(positive))),
            Self::Bz2 => Box::new(Encoding::new(output, bzip::ToBz2::new(positive))),
            Self::Xz => Box::new(Encoding::new(output, lzma::ToXz::xz(positive)?)),
            Self::Lzma => Box::new(Encoding::new(output, lzma::ToXz::lzma(positive)?)),
            Self::Lz4 => Box::new(lz4::FrameWriter::new(output)),
            Self::Zstd => Box::new(Framed::new(output, level)),
        })
    }
}
