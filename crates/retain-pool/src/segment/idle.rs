//! Segments that wait to be used again.

use std::time::{Duration, Instant};

use super::Segment;
use super::class;

/// More than this is given back at once.
const MOST_BYTES: u64 = 256 << 20;
/// Each idle segment holds a descriptor.
const MOST: usize = 64;
const UNUSED: Duration = Duration::from_secs(5);

/// In the order in which they became idle.
#[derive(Debug, Default)]
pub(super) struct Idle {
    segments: Vec<(Instant, Segment)>,
    bytes: u64,
}

impl Idle {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The smallest one that serves; of equals the last used, whose pages are warmest.
    pub(super) fn take(&mut self, size: u64) -> Option<Segment> {
        let serving = self.segments.iter().enumerate().rev();
        let (at, _) = serving
            .filter(|(_, (_, segment))| class::serves(segment.size, size))
            .min_by_key(|(_, (_, segment))| segment.size)?;
        let (_, segment) = self.segments.remove(at);
        self.bytes -= segment.size;
        Some(segment)
    }

    /// Keeps one. Returns those that are too many now, for the caller to drop outside of its lock.
    pub(super) fn put(&mut self, segment: Segment, now: Instant) -> Vec<Segment> {
        if segment.size > MOST_BYTES {
            return vec![segment];
        }
        self.bytes += segment.size;
        self.segments.push((now, segment));
        let mut evicted = Vec::new();
        while self.bytes > MOST_BYTES || self.segments.len() > MOST {
            let (_, oldest) = self.segments.remove(0);
            self.bytes -= oldest.size;
            evicted.push(oldest);
        }
        evicted
    }

    /// Those unused for long, and how long until the next one is.
    pub(super) fn tidy(&mut self, now: Instant) -> (Vec<Segment>, Option<Duration>) {
        let age = |(since, _): &(Instant, _)| now.saturating_duration_since(*since);
        let count = self
            .segments
            .iter()
            .take_while(|entry| age(entry) >= UNUSED)
            .count();
        let old: Vec<_> = self
            .segments
            .drain(..count)
            .map(|(_, segment)| segment)
            .collect();
        self.bytes -= old.iter().map(|segment| segment.size).sum::<u64>();
        (
            old,
            self.segments
                .first()
                .map(|entry| UNUSED.saturating_sub(age(entry))),
        )
    }
}
