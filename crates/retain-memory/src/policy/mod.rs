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

use std::num::NonZeroU32;

/// An entry's place in the table.
pub type Slot = u32;

/// No slot.
pub(crate) const NIL: Slot = Slot::MAX;

/// What a policy keeps in each entry: its neighbours in a list, and a mark of the policy's own.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    pub(crate) newer: Slot,
    pub(crate) older: Slot,
    /// The mark, with [`LIVE`] set: a number that is never 0 lets an empty slot be told without a byte more.
    live_mark: NonZeroU32,
}

const LIVE: NonZeroU32 = NonZeroU32::new(1 << 31).unwrap();

impl Node {
    /// The greatest mark.
    pub(crate) const MAX_MARK: u32 = !LIVE.get();

    #[inline]
    pub(crate) fn mark(&self) -> u32 {
        self.live_mark.get() & Self::MAX_MARK
    }

    #[inline]
    pub(crate) fn set_mark(&mut self, mark: u32) {
        self.live_mark = LIVE | mark;
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            newer: NIL,
            older: NIL,
            live_mark: LIVE,
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
    /// The entry at `slot` weighed `old` until now.
    fn reweigh(&mut self, _nodes: &mut impl Nodes<Self::Node>, _slot: Slot, _old: u64) {}
    /// All entries left.
    fn clear(&mut self);
}
