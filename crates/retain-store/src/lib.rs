//! Results that outlive the process.
//!
//! A [`Store`] keeps what calls came to, each under a [`Key`]: the version of the function, and its arguments. A value
//! is bytes, or a file that can be mapped. A store may lose an entry at any time; what it finds is whole and is what
//! was put.

mod entry;
mod error;
mod key;
mod store;

pub use entry::{Body, Entry, Found, New, Record, Value};
pub use error::Error;
pub use key::Key;
pub use store::Store;
