//! SIEVE: a FIFO queue whose hand passes over what was asked for.
//!
//! Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024.

use super::{List, NIL, Node, Nodes, Policy, Slot};

/// Evicts, from the oldest on, the first entry that was not asked for since the hand last passed.
#[derive(Debug)]
pub struct Sieve {
    queue: List,
    hand: Slot,
}

impl Default for Sieve {
    fn default() -> Self {
        Self {
            queue: List::default(),
            hand: NIL,
        }
    }
}

impl Policy for Sieve {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        nodes.node(slot).set_mark(0);
        self.queue.push(nodes, slot);
    }

    #[inline]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        nodes.node(slot).set_mark(1);
    }

    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        if self.hand == slot {
            self.hand = nodes.node(slot).newer;
        }
        self.queue.unlink(nodes, slot);
    }

    fn victim(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        let oldest = self.queue.oldest()?;
        let mut slot = if self.hand == NIL { oldest } else { self.hand };
        loop {
            let node = nodes.node(slot);
            if node.mark() == 0 {
                self.hand = slot;
                return Some(slot);
            }
            node.set_mark(0);
            slot = if node.newer == NIL {
                oldest
            } else {
                node.newer
            };
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
