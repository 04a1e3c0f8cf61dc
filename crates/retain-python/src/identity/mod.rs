//! Who a value is: the walk over Python objects that writes them to `retain-key`.

mod array;
mod exported;
mod failure;
mod leaf;
mod met;
mod parts;
mod reduce;
mod route;
mod verbs;
mod walk;

pub(crate) use failure::Failure;
pub(crate) use verbs::{At, Raw, digest, forget_handlers, hash};
pub(crate) use walk::{Given, Options, digest_of, digest_of_call, digest_of_leaves};
