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
    small: List,
    main: List,
    ghosts: Ghosts,
    capacity: u64,
}

impl S3Fifo {
    /// Promotes from the old end of the small queue until one is met that is not worth it.
    fn sift(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        while let Some(slot) = self.small.oldest() {
            if nodes.node(slot).mark < PROMOTION {
                self.ghosts.remember(nodes.hash(slot));
                return Some(slot);
            }
            self.small.unlink(nodes, slot);
            nodes.node(slot).mark = IN_MAIN;
            self.main.push(nodes, slot);
        }
        None
    }

    /// Gives those at the old end of the main queue another round for each hit, until one has none left.
    fn rotate(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        loop {
            let slot = self.main.oldest()?;
            let node = nodes.node(slot);
            if node.mark == IN_MAIN {
                return Some(slot);
            }
            node.mark -= 1;
            self.main.move_to_front(nodes, slot);
        }
    }
}

impl Policy for S3Fifo {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let (queue, mark) = if self.ghosts.recall(nodes.hash(slot)) {
            (&mut self.main, IN_MAIN)
        } else {
            (&mut self.small, 0)
        };
        nodes.node(slot).mark = mark;
        queue.push(nodes, slot);
    }

    #[inline]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        let node = nodes.node(slot);
        if node.mark & !IN_MAIN < MAX_FREQUENCY {
            node.mark += 1;
        }
    }

    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        if nodes.node(slot).mark & IN_MAIN == 0 {
            self.small.unlink(nodes, slot);
        } else {
            self.main.unlink(nodes, slot);
        }
    }

    fn victim(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        self.ghosts.fit(self.small.len + self.main.len);
        if self.small.weight >= self.capacity / 10 || self.main.is_empty() {
            self.sift(nodes).or_else(|| self.rotate(nodes))
        } else {
            self.rotate(nodes).or_else(|| self.sift(nodes))
        }
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    fn clear(&mut self) {
        let capacity = self.capacity;
        *self = Self::default();
        self.capacity = capacity;
    }
}

/// Hashes per bucket.
const WAYS: usize = 4;

/// The hashes of those who left the small queue lately: about as many as the cache has entries.
///
/// Buckets of four 32-bit fingerprints, newest first, in one allocation: remembering and recalling each touch one
/// cache line, where an exact queue with its index would touch four. A fingerprint in common (one in 2^30) costs one
/// entry its time in the small queue.
#[derive(Debug, Default)]
struct Ghosts {
    buckets: Vec<[u32; WAYS]>,
}

impl Ghosts {
    fn place(&self, hash: u64) -> (usize, u32) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the low and the high half of a hash"
        )]
        let (bucket, fingerprint) = (
            hash as usize & (self.buckets.len() - 1),
            (hash >> 32) as u32,
        );
        // 0 marks an empty place.
        (bucket, fingerprint | 1)
    }

    /// Makes room for the ghosts of `entries` entries. They are few while the cache fills, and grow with it.
    fn fit(&mut self, entries: usize) {
        let wanted = (entries / WAYS).max(1).next_power_of_two();
        if self.buckets.len() < wanted {
            self.buckets.clear();
            self.buckets.resize(wanted, [0; WAYS]);
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
