//! What is kept of a call.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use retain_format::Publication;

use crate::Key;

/// What is known of an entry besides its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the value was put.
    pub created: SystemTime,
    /// When it was last asked for, to the minute or so.
    pub used: SystemTime,
    /// When it ends, if it does.
    pub expires: Option<SystemTime>,
    /// How long the function took.
    pub cost: Duration,
    /// Bytes of the value as it is kept.
    pub size: u64,
    /// What whoever put it wrote about it, such as its arguments in a readable form. No part of the value.
    pub about: Vec<u8>,
}

/// A value that was found.
#[derive(Debug)]
pub enum Value {
    /// All of it, checked against its digest.
    Bytes(Vec<u8>),
    /// A file that is never written to again, but may be gone by the time it is opened. It holds checksums of its
    /// own, and is not checked yet.
    File(PathBuf),
}

/// An entry that was found.
#[derive(Debug)]
pub struct Found {
    /// What is known of it.
    pub record: Record,
    /// What the call came to.
    pub value: Value,
}

/// An entry that is to be put.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Who the call is.
    pub key: Key,
    /// The readable name of the function, such as `package.module.function`.
    pub function: &'a str,
    /// How long it took.
    pub cost: Duration,
    /// How long the value lives.
    pub lives: Option<Duration>,
    /// What to keep as [`Record::about`].
    pub about: &'a [u8],
}

/// The value of an entry that is to be put.
pub enum Body<'a> {
    /// Bytes, which are copied.
    Bytes(&'a [u8]),
    /// A file that is written but has no name yet: begun at [`Store::blob`](crate::Store::blob).
    File(Publication),
}

/// An entry as it is listed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Who the call is.
    pub key: Key,
    /// The readable name of the function.
    pub function: String,
    /// What is known of it.
    pub record: Record,
}
