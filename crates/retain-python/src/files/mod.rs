//! Files: what `dump` writes through and `load` reads through.

mod block;
mod faults;
mod held;
mod input;
mod keys;
mod memory;
mod open;
mod output;
mod reader;
mod reduce;
mod scan;
mod sink;
mod view;

pub(crate) use block::Block;
pub(crate) use faults::system;
pub(crate) use keys::generate_key;
pub(crate) use reader::Reader;
pub(crate) use reduce::{Reducer, Strided};
pub(crate) use scan::{scan_block, scan_file};
pub(crate) use sink::Sink;
