//! Who has what of an arena's segments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::idle::Idle;
use super::{Lease, Lent, SEEN_BY_FORK, Segment, Shared};

/// What one receiver has.
#[derive(Default)]
struct Peer {
    /// The segments that it has mapped.
    mapped: HashSet<u64>,
    /// Those of them that it need not keep.
    dropped: Vec<u64>,
    /// What it was lent, and how often.
    lent: HashMap<u64, (Arc<Lease>, usize)>,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) idle: Idle,
    peers: HashMap<u64, Peer>,
    /// Regions whose segments must not be written again.
    seen_by_fork: HashSet<u64>,
}

impl Ledger {
    pub(super) fn lend(&mut self, peer: u64, shared: &Shared) -> Lent {
        let lease = &shared.0;
        let peer = self.peers.entry(peer).or_default();
        peer.lent
            .entry(lease.region)
            .or_insert_with(|| (Arc::clone(lease), 0))
            .1 += 1;
        // A lease has its segment for as long as anything refers to it.
        let (segment, size, file) = lease.segment.as_ref().map_or((0, 0, None), |own| {
            (own.id, own.size, Some(Arc::clone(&own.file)))
        });
        Lent {
            segment,
            size,
            offset: 0,
            len: lease.len,
            region: lease.region,
            fd: file.filter(|_| peer.mapped.insert(segment)),
        }
    }

    /// The lease that ended, to be dropped without the lock.
    pub(super) fn returned(&mut self, peer: u64, region: u64) -> Option<Arc<Lease>> {
        let lent = &mut self.peers.get_mut(&peer)?.lent;
        let number = region & !SEEN_BY_FORK;
        let (_, count) = lent.get_mut(&number)?;
        if region != number {
            self.seen_by_fork.insert(number);
        }
        *count -= 1;
        if *count > 0 {
            return None;
        }
        lent.remove(&number).map(|(lease, _)| lease)
    }

    pub(super) fn peer_gone(&mut self, peer: u64) -> Vec<Arc<Lease>> {
        let peer = self.peers.remove(&peer).unwrap_or_default();
        peer.lent.into_values().map(|(lease, _)| lease).collect()
    }

    pub(super) fn dropped(&mut self, peer: u64) -> Vec<u64> {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        std::mem::take(&mut peer.dropped)
    }

    /// Keeps a segment whose lease ended. Returns those that are given up, to be dropped without
    /// the lock.
    pub(super) fn put(&mut self, region: u64, segment: Segment, now: Instant) -> Vec<Segment> {
        let given_up = if self.seen_by_fork.remove(&region) {
            vec![segment]
        } else {
            self.idle.put(segment, now)
        };
        self.give_up(&given_up);
        given_up
    }

    pub(super) fn tidy(&mut self, now: Instant) -> (Vec<Segment>, Option<Duration>) {
        let (old, next) = self.idle.tidy(now);
        self.give_up(&old);
        (old, next)
    }

    fn give_up(&mut self, segments: &[Segment]) {
        for peer in self.peers.values_mut() {
            for segment in segments {
                if peer.mapped.remove(&segment.id) {
                    peer.dropped.push(segment.id);
                }
            }
        }
    }
}
