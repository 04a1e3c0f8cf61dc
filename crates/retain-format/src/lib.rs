//! The bytes of a value.
//!
//! A file that retain writes is a plain pickle of protocol 5, readable by every Python, whose large buffers lie
//! uncompressed on 64-byte boundaries and whose last value is a small trailer: an index of the buffers and the checksums of
//! all there is. Nothing follows STOP. This crate writes and reads that layout, reads joblib's, compresses both, and
//! verifies streams of strangers without running them. It knows no Python.

#![warn(missing_docs)]

pub mod domain;
mod error;
pub mod machine;
mod memo;
pub mod opcode;
pub mod verify;
pub mod wrappers;

pub use error::Error;
