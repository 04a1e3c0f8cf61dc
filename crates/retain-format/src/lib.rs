//! The bytes of a value.
//!
//! A file that retain writes is a plain pickle of protocol 5, readable by every Python, whose large buffers lie
//! uncompressed on 64-byte boundaries and whose last value is a small trailer: an index of the buffers and the checksums of
//! all there is. Nothing follows STOP. This crate writes and reads that layout, reads joblib's, compresses both, and
//! verifies streams of strangers without running them. It knows no Python.

#![warn(missing_docs)]

pub mod archive;
mod blocks;
mod checksum;
pub mod codec;
pub mod domain;
mod error;
pub mod foreign;
mod layout;
pub mod machine;
mod memo;
pub mod npy;
pub mod opcode;
mod publish;
mod read_at;
pub mod seekable;
pub mod sign;
mod splice;
mod stored;
mod streamed;
pub mod verify;
pub mod wrappers;

pub use archive::Archive;
pub use checksum::Checksum;
pub use codec::{Codec, Encoder};
pub use error::Error;
pub use layout::{ALIGNMENT, Buffer, HEAD_LEN, Head, MARKER, Trailer};
pub use publish::Publication;
pub use read_at::ReadAt;
pub use seekable::Seekable;
pub use splice::{Fed, Finished, Splicer};
pub use stored::{Skeleton, Stored, Window, checksum_of, read_shared};
pub use streamed::Streamed;
