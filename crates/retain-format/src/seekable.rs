//! Zstandard in independent frames, with a table that tells where each lies.
//!
//! Every zstd reader decompresses such a file from its start. With the table (the *seekable format* that the zstd project
//! describes: a skippable frame at the end) any range is decompressed alone, and by several threads.

mod frame;
mod reader;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::Seekable;
pub use writer::Framed;

/// The content of a frame that this crate writes, the last excepted.
pub const FRAME: usize = crate::blocks::BLOCK;
