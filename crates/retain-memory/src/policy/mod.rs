//! Eviction policies: who leaves when there is no room.
//!
//! A policy keeps no entries. It keeps a [`Node`] inside each of them, sees them by [`Slot`] number, and is told of
//! arrivals, hits and departures.

mod any;
mod fifo;
mod lfu;
mod list;
mod lru;
mod s3fifo;
mod sieve;
mod unbounded;

pub use any::{AnyPolicy, Eviction};
pub use fifo::Fifo;
pub use lfu::Lfu;
pub use list::List;
pub use lru::Lru;
pub use s3fifo::S3Fifo;
pub use sieve::Sieve;
pub use unbounded::Unbounded;

/// An entry's place in the table.
pub type Slot = u32;

/// No slot.
pub(crate) const NIL: Slot = Slot::MAX;

/// What a policy keeps in each entry: its neighbours in a list, and a mark of the policy's own.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub(crate) newer: Slot,
    pub(crate) older: Slot,
    pub(crate) mark: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            newer: NIL,
            older: NIL,
            mark: 0,
        }
    }
}

/// The entries, as a policy sees them. Slots it was told of stay valid until it is told that they leave.
pub trait Nodes<N> {
    /// The policy's node in the entry at `slot`.
    fn node(&mut self, slot: Slot) -> &mut N;
    /// The hash of the entry's key.
    fn hash(&self, slot: Slot) -> u64;
    /// The entry's weight.
    fn weight(&self, slot: Slot) -> u64;
}

/// Decides which entry leaves when there is no room.
pub trait Policy {
    /// What the policy keeps in each entry.
    type Node: Default;

    /// The entry at `slot` arrived.
    fn insert(&mut self, nodes: &mut impl Nodes<Self::Node>, slot: Slot);
    /// The entry at `slot` was asked for.
    fn hit(&mut self, nodes: &mut impl Nodes<Self::Node>, slot: Slot);
    /// The entry at `slot` is about to leave.
    fn remove(&mut self, nodes: &mut impl Nodes<Self::Node>, slot: Slot);
    /// Chooses who leaves next; the caller removes it.
    fn victim(&mut self, nodes: &mut impl Nodes<Self::Node>) -> Option<Slot>;
    /// The cache holds at most this weight from now on (entries, where nothing is weighed).
    fn set_capacity(&mut self, capacity: u64);
    /// All entries left.
    fn clear(&mut self);
}
