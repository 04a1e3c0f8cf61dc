//! Results that outlive the process: who a call is, and where results are kept.

mod address;
mod errors;
mod lead;
mod store;

pub(crate) use address::Address;
pub(crate) use lead::{Lead, Owner};
pub(crate) use store::Store;
