//! Least frequently used.

use std::collections::BTreeMap;

use super::{List, Node, Nodes, Policy, Slot};

/// Evicts the entry that was asked for the fewest times; among those, the one not asked for the longest.
#[derive(Debug, Default)]
pub struct Lfu {
    by_frequency: BTreeMap<u32, List>,
}

impl Lfu {
    fn link(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let frequency = nodes.node(slot).mark();
        self.by_frequency
            .entry(frequency)
            .or_default()
            .push(nodes, slot);
    }

    fn unlink(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let frequency = nodes.node(slot).mark();
        if let Some(list) = self.by_frequency.get_mut(&frequency) {
            list.unlink(nodes, slot);
            if list.is_empty() {
                self.by_frequency.remove(&frequency);
            }
        }
    }
}

impl Policy for Lfu {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        nodes.node(slot).set_mark(0);
        self.link(nodes, slot);
    }

    // Kept out of the way of the policies whose hit is a few instructions.
    #[inline(never)]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.unlink(nodes, slot);
        let node = nodes.node(slot);
        node.set_mark((node.mark() + 1).min(Node::MAX_MARK));
        self.link(nodes, slot);
    }

    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.unlink(nodes, slot);
    }

    fn victim(&mut self, _: &mut impl Nodes<Node>) -> Option<Slot> {
        let (_, rarest) = self.by_frequency.first_key_value()?;
        rarest.oldest()
    }

    fn clear(&mut self) {
        self.by_frequency.clear();
    }
}
