//! Results that outlive the process: who a call is, and where results are kept.

mod address;
mod errors;
mod lead;
mod recall;
mod store;
mod tier;
mod told;

pub(crate) use address::Address;
pub(crate) use lead::{Lead, Owner};
pub(crate) use recall::{Missed, Recall, Recalling};
pub(crate) use store::Store;
pub(crate) use tier::{Held, Tier, is_immutable};
