//! Memory that several processes share.

/// One process's segments; clones are the same arena.
#[derive(Clone, Debug, Default)]
pub struct Arena;

/// Buffers in a segment, as tasks refer to them.
#[derive(Clone, Debug)]
pub struct Shared;

/// A mapped region.
#[derive(Clone, Debug)]
pub struct Mapped;

impl Mapped {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &[]
    }
}
