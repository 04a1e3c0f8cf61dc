//! No eviction at all.

use super::{Nodes, Policy, Slot};

/// Keeps everything.
#[derive(Debug, Default)]
pub struct Unbounded;

impl Policy for Unbounded {
    type Node = ();

    fn insert(&mut self, _: &mut impl Nodes<()>, _: Slot) {}
    fn hit(&mut self, _: &mut impl Nodes<()>, _: Slot) {}
    fn remove(&mut self, _: &mut impl Nodes<()>, _: Slot) {}
    fn victim(&mut self, _: &mut impl Nodes<()>) -> Option<Slot> {
        None
    }
    fn clear(&mut self) {}
}
