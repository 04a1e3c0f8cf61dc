//! Results that outlive the process: who a call is, and where results are kept.

mod address;

pub(crate) use address::Address;
