//! First in, first out.

use super::{List, Node, Nodes, Policy, Slot};

/// Evicts the entry that arrived first, whatever was asked for since.
#[derive(Debug, Default)]
pub struct Fifo {
    queue: List,
}

impl Policy for Fifo {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.queue.push(nodes, slot);
    }
    #[inline]
    fn hit(&mut self, _: &mut impl Nodes<Node>, _: Slot) {}
    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.queue.unlink(nodes, slot);
    }
    fn victim(&mut self, _: &mut impl Nodes<Node>) -> Option<Slot> {
        self.queue.oldest()
    }
    fn clear(&mut self) {
        self.queue = List::default();
    }
}
