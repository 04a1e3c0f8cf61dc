//! The outcome.

use std::fmt;

/// Who a value is: 32 bytes that are equal for equal values, and for others differ as surely as BLAKE3 is sound.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What is hashed before a code, so that another version of the encoding gives other digests.
    const PREFIX: &'static [u8] = b"retain-key 1\n";

    pub(crate) fn of_code(code: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(Self::PREFIX).update(code);
        Self(hasher.finalize().into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl From<Digest> for [u8; 32] {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}
