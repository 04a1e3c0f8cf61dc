//! A doubly linked list through the entries' nodes.

use super::{NIL, Node, Nodes, Slot};

/// A list of entries from the newest to the oldest.
#[derive(Debug, Clone, Copy)]
pub struct List {
    pub(super) newest: Slot,
    pub(super) oldest: Slot,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NIL,
            oldest: NIL,
        }
    }
}

impl List {
    pub(super) fn is_empty(self) -> bool {
        self.oldest == NIL
    }

    /// The oldest entry.
    pub(super) fn oldest(self) -> Option<Slot> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    #[inline]
    pub(super) fn push(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let second = self.newest;
        let node = nodes.node(slot);
        node.newer = NIL;
        node.older = second;
        if second == NIL {
            self.oldest = slot;
        } else {
            nodes.node(second).newer = slot;
        }
        self.newest = slot;
    }

    #[inline]
    pub(super) fn unlink(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let Node { newer, older, .. } = *nodes.node(slot);
        if newer == NIL {
            self.newest = older;
        } else {
            nodes.node(newer).older = older;
        }
        if older == NIL {
            self.oldest = newer;
        } else {
            nodes.node(older).newer = newer;
        }
    }

    #[inline]
    pub(super) fn move_to_front(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        if self.newest != slot {
            self.unlink(nodes, slot);
            self.push(nodes, slot);
        }
    }
}
