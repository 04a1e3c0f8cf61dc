//! S3-FIFO: a small queue that sifts newcomers, a main queue, and a memory of those who left too early.
//!
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO Queues are All You Need for Cache Eviction", SOSP 2023.

use super::{List, Node, Nodes, Policy, Slot};

/// How often an entry was asked for is counted up to here.
const MAX_FREQUENCY: u32 = 3;
/// An entry that leaves the small queue with fewer hits than this leaves the cache.
const PROMOTION: u32 = 2;
/// The bit of a node's mark that says "in the main queue"; the bits below it count hits.
const IN_MAIN: u32 = 1 << 8;

/// Newcomers pass through a small queue (a tenth of the room); those asked for again meanwhile, or soon after they
/// left, move to the main queue, where each hit buys another round. Scans and loops pass by without doing harm.
#[derive(Debug, Default)]
pub struct S3Fifo {
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

/// A list that knows how much it holds.
#[derive(Debug, Default)]
struct Queue {
    list: List,
    len: usize,
    weight: u128,
}

impl Queue {
    fn push(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.list.push(nodes, slot);
        self.len += 1;
        self.weight += u128::from(nodes.weight(slot));
    }

    fn unlink(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        self.list.unlink(nodes, slot);
        self.len -= 1;
        self.weight -= u128::from(nodes.weight(slot));
    }
}

impl S3Fifo {
    fn queue_of(&mut self, mark: u32) -> &mut Queue {
        if mark & IN_MAIN == 0 {
            &mut self.small
        } else {
            &mut self.main
        }
    }

    /// Whether the small queue holds its tenth. It is a tenth of what there is, not of the bound: an entry leaves
    /// when some bound is reached, and which of them that is does not matter here.
    fn small_is_full(&self) -> bool {
        self.small.weight * 10 >= self.small.weight + self.main.weight
    }

    /// Promotes from the old end of the small queue until one is met that is not worth it.
    fn sift(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        while let Some(slot) = self.small.list.oldest() {
            if nodes.node(slot).mark() < PROMOTION {
                self.ghosts.remember(nodes.hash(slot));
                return Some(slot);
            }
            self.small.unlink(nodes, slot);
            nodes.node(slot).set_mark(IN_MAIN);
            self.main.push(nodes, slot);
        }
        None
    }

    /// Gives those at the old end of the main queue another round for each hit, until one has none left.
    fn rotate(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        loop {
            let slot = self.main.list.oldest()?;
            let node = nodes.node(slot);
            if node.mark() == IN_MAIN {
                return Some(slot);
            }
            node.set_mark(node.mark() - 1);
            self.main.list.move_to_front(nodes, slot);
        }
    }
}

impl Policy for S3Fifo {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let mark = if self.ghosts.recall(nodes.hash(slot)) {
            IN_MAIN
        } else {
            0
        };
        nodes.node(slot).set_mark(mark);
        self.queue_of(mark).push(nodes, slot);
    }

    #[inline]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let node = nodes.node(slot);
        if node.mark() & !IN_MAIN < MAX_FREQUENCY {
            node.set_mark(node.mark() + 1);
        }
    }

    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let mark = nodes.node(slot).mark();
        self.queue_of(mark).unlink(nodes, slot);
    }

    fn victim(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        self.ghosts.fit(self.small.len + self.main.len);
        if self.small_is_full() {
            self.sift(nodes).or_else(|| self.rotate(nodes))
        } else {
            self.rotate(nodes).or_else(|| self.sift(nodes))
        }
    }

    fn reweigh(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot, old: u64) {
        let mark = nodes.node(slot).mark();
        let queue = self.queue_of(mark);
        queue.weight = queue.weight - u128::from(old) + u128::from(nodes.weight(slot));
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Ghosts per bucket.
const WAYS: usize = 16;

/// The hashes of those who left the small queue lately: as many as the cache has entries.
///
/// Buckets of sixteen 16-bit fingerprints, oldest last, in one allocation: remembering and recalling each touch one
/// cache line, where an exact queue with its index would touch four, and a ghost takes two bytes. So many share a
/// bucket that each stays about as long as it would in a queue. A fingerprint in common (one recall in four thousand)
/// spares an entry its time in the small queue, no more.
#[derive(Debug, Default)]
struct Ghosts {
    buckets: Vec<[u16; WAYS]>,
}

impl Ghosts {
    fn place(&self, hash: u64) -> (usize, u16) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the bucket is below the number of buckets, the fingerprint is the low bits"
        )]
        let (bucket, fingerprint) = (
            // The high half of the hash, scaled to the number of buckets.
            (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize,
            hash as u16,
        );
        // 0 marks an empty place.
        (bucket, fingerprint.max(1))
    }

    /// Makes room for the ghosts of `entries` entries.
    fn fit(&mut self, entries: usize) {
        let wanted = entries.div_ceil(WAYS);
        let there = self.buckets.len();
        if there < wanted {
            // Growing forgets the ghosts: it happens once where the entries are bounded, and seldom where only
            // their weight is and they become lighter.
            self.buckets.clear();
            self.buckets
                .resize(wanted.max(there + there / 4), [0; WAYS]);
        }
    }

    fn remember(&mut self, hash: u64) {
        if self.buckets.is_empty() {
            return;
        }
        let (bucket, fingerprint) = self.place(hash);
        let places = &mut self.buckets[bucket];
        places.copy_within(0..WAYS - 1, 1);
        places[0] = fingerprint;
    }

    /// Whether `hash` is remembered; it is forgotten by the asking.
    fn recall(&mut self, hash: u64) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let (bucket, fingerprint) = self.place(hash);
        let places = &mut self.buckets[bucket];
        let Some(position) = places.iter().position(|place| *place == fingerprint) else {
            return false;
        };
        places.copy_within(position + 1.., position);
        places[WAYS - 1] = 0;
        true
    }
}
