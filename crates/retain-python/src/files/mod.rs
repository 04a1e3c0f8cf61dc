//! Files: what `dump` writes through and `load` reads through.

mod faults;
mod input;
mod output;
mod reader;
mod reduce;
mod sink;
mod view;

pub(crate) use reader::Reader;
pub(crate) use reduce::{Reducer, Strided};
pub(crate) use sink::Sink;
