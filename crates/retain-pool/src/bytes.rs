//! Bytes that came from another process: the few of a small result are kept without an allocation.

use std::fmt;
use std::ops::Deref;

const INLINE: usize = 38;

/// Bytes that came from another process.
pub struct Bytes(Kept);

enum Kept {
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

impl Bytes {
    /// Copies `bytes`.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self(Kept::Inline(length, inline))
            }
            _ => Self(Kept::Heap(bytes.into())),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Kept::Heap(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
