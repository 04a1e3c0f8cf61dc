//! Who a call is.

use std::fmt;

/// Who a call is: two digests, equal for equal calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who the function is, with all that it depends on: another version of it has other results.
    pub version: [u8; 32],
    /// What it was called with.
    pub arguments: [u8; 32],
}

impl Key {
    /// The length of [`Self::to_bytes`].
    pub const LEN: usize = 64;

    /// The version, then the arguments.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(&self.version);
        bytes[32..].copy_from_slice(&self.arguments);
        bytes
    }

    /// The key that [`Self::to_bytes`] told.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut key = Self {
            version: [0; 32],
            arguments: [0; 32],
        };
        key.version.copy_from_slice(&bytes[..32]);
        key.arguments.copy_from_slice(&bytes[32..]);
        key
    }
}

/// The first digits of both digests.
impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits =
            |digest: &[u8; 32]| u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]));
        write!(
            formatter,
            "Key({:016x}, {:016x})",
            digits(&self.version),
            digits(&self.arguments)
        )
    }
}
