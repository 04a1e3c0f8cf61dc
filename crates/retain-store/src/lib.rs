//! Results that outlive the process.
//!
//! A [`Folder`] keeps what calls came to, each under a [`Key`]: the version of the function, and its arguments. A value
//! is bytes, or a file that can be mapped. A store may lose an entry at any time; what it finds is whole and is what
//! was put. What any [`Store`] can do is a trait, which other places can have as well.

mod entry;
mod error;
mod folder;
mod gate;
mod indexed;
mod key;
#[cfg_attr(not(unix), path = "lead/none.rs")]
mod lead;
mod plain;
mod seal;
mod shelf;
mod sound;
mod store;

pub use entry::{Body, Entry, Found, New, Record, Value};
pub use error::Error;
pub use folder::{
    Bounds, Folder, Freed, Layout, Options, Statistics, Tally, Verified, Version,
    after_fork_in_child,
};
pub use key::Key;
pub use lead::{Lead, Owner};
pub use store::Store;
