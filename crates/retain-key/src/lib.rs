//! Who a value is: canonical digests of values, equal in every process and on every machine.
//!
//! A value is written, part by part, to an [`Encoder`], which turns it into bytes that are unlike those of any other
//! value, and the bytes into a [`Digest`] with [BLAKE3](https://github.com/BLAKE3-team/BLAKE3). The encoding does not
//! depend on addresses, on the order in which a hash table holds its members, on what is shared inside, or on the width
//! of an integer's type. It does tell types apart: an integer, a truth value and a floating-point number of the same
//! value are three values.
//!
//! [`Key`] is implemented for Rust's own types and collections, and with the feature `ndarray` for arrays. [`digest`] is
//! all that most programs need.
//!
//! ```
//! use std::collections::HashMap;
//! use retain_key::digest;
//!
//! let ages = HashMap::from([("Ada", 36), ("Alan", 41)]);
//! let same = HashMap::from([("Alan", 41), ("Ada", 36)]);
//! assert_eq!(digest(&ages), digest(&same));
//! ```
//!
//! # The encoding, version 1
//!
//! The *raw form* of a value starts with a tag and delimits itself, so that one value's form is never the beginning of
//! another's. The *code* of a value is its raw form if that is at most 256 bytes long, and else the byte `01` followed
//! by the 32 bytes of the BLAKE3 of the raw form. What a container holds are its parts' codes: so a part that occurs
//! many times need be looked at once only, and large parts stream.
//!
//! ```text
//! digest(value) = BLAKE3("retain-key 1\n" code(value))
//! ```
//!
//! | tag  | value | what follows |
//! |------|-------|--------------|
//! | `00` | (the end of a sequence) | |
//! | `01` | (a digest in place of a raw form) | the BLAKE3 |
//! | `02` | nothing: `()`, `None` | |
//! | `03` | false | |
//! | `04` | true | |
//! | `05` | an integer | a length; two's complement, little endian, as few bytes as possible (0 has none) |
//! | `06` | a number of 64 bits | its bits, little endian |
//! | `07` | a number of 32 bits | its bits, little endian |
//! | `08` | a complex number | the bits of two numbers of 64 bits |
//! | `09` | a text | a length; UTF-8, in which a lone surrogate takes three bytes |
//! | `0a` | bytes | a length; the bytes |
//! | `0b` | a character | four bytes, little endian |
//! | `0c` | a tuple | the items' codes; `00` |
//! | `0d` | a list | the items' codes; `00` |
//! | `0e` | a set | the items, sorted; `00` |
//! | `0f` | a map | the items, sorted; `00` |
//! | `10` | an object | the code of its type's name, a text; the parts' codes; `00` |
//! | `11` | a value that leads to a cycle | its name: 32 bytes |
//! | `12` | a set that does not change | the items, sorted; `00` |
//! | `13` | (a digest in place of a map's item) | the BLAKE3 |
//!
//! A length is an unsigned LEB128. The item of a set is the code of a member. That of a map is the code of a key
//! followed by the code of its value, or, where the two are longer than 256 bytes, `13` and their BLAKE3. Items are
//! sorted by their bytes.
//!
//! How values that lead to a cycle are named is told at [`Graph`]. Golden vectors are in `tests/golden.rs`: a change that
//! alters one of them must raise [`VERSION`].
//!
//! Objects of this crate: `Some`, `Ok`, `Err`, `Duration`, `SystemTime`, `Path`, `IpAddr`, `SocketAddr`, `array`
//! (type, shape, order, bytes) and `numpy.dtype`.
#![forbid(unsafe_code)]

#[cfg(feature = "ndarray")]
mod array;
mod cycle;
mod digest;
mod encoder;
mod graph;
mod hasher;
mod key;
mod large;
mod tag;
mod write;

/// The version of the encoding: digests of different versions differ.
pub const VERSION: u32 = 1;

#[cfg(feature = "ndarray")]
pub use array::Element;
pub use digest::Digest;
pub use encoder::{Code, Encoder, Shape};
pub use graph::{Graph, Met};
pub use hasher::{Again, KeyHasher};
pub use key::{Key, digest};
pub use large::Large;
