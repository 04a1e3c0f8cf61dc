//! Least recently used, strictly.

use super::{List, Node, Nodes, Policy, Slot};

/// Evicts the entry that was not asked for the longest.
#[derive(Debug, Default)]
pub struct Lru {
    queue: List,
}

impl Policy for Lru {
    type Node = Node;

    #[inline]
    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.queue.push(nodes, slot);
    }
    #[inline]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.queue.move_to_front(nodes, slot);
    }
    #[inline]
    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.queue.unlink(nodes, slot);
    }
    #[inline]
    fn victim(&mut self, _: &mut impl Nodes<Node>) -> Option<Slot> {
        self.queue.oldest()
    }
    fn clear(&mut self) {
        self.queue = List::default();
    }
}
