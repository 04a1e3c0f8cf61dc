//! What the tests put and look for.
#![allow(dead_code, reason = "each test uses some of it")]

use std::path::Path;
use std::time::Duration;

use retain_store::{Folder, Found, Key, Layout, New, Options, Value};

/// The options of a folder with an index, whatever the file system.
pub(crate) fn options() -> Options {
    Options {
        layout: Layout::Indexed,
        ..Options::default()
    }
}

pub(crate) fn open(path: &Path) -> Folder {
    Folder::open(path, &options()).unwrap()
}

/// A key of its own for each number.
pub(crate) fn key(number: u64) -> Key {
    let digest = |number: u64| *blake3::hash(&number.to_le_bytes()).as_bytes();
    Key {
        version: digest(u64::MAX - number % 3),
        arguments: digest(number),
    }
}

pub(crate) fn new(number: u64, function: &str) -> New<'_> {
    New {
        key: key(number),
        function,
        cost: Duration::ZERO,
        lives: None,
        about: b"about",
    }
}

/// The value of a number: about 100 bytes, which tell it.
pub(crate) fn value(number: u64) -> Vec<u8> {
    let mut value = vec![(number % 251) as u8; 100 + (number % 7) as usize];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

pub(crate) fn bytes(found: Found) -> Vec<u8> {
    match found.value {
        Value::Bytes(bytes) => bytes,
        Value::File(path) => std::fs::read(path).unwrap(),
    }
}
