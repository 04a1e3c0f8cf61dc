//! A value with what the cache knows of it: weight, cost, lifetime.

use crate::clock::Nanos;
use crate::table::{Freshness, Stored};

/// A stored value with its weight, the seconds it took to compute, and its lifetime if it has one.
#[derive(Debug, Clone)]
pub struct Held<T> {
    /// The value.
    pub value: T,
    /// What it counts towards [`Bounds::max_weight`](crate::Bounds::max_weight).
    pub weight: u64,
    /// Seconds it took to compute.
    pub cost: f32,
    /// When it stops being served; `None` for never.
    pub timing: Option<Box<Timing>>,
}

/// The lifetime of an entry, in [`Nanos`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From here on the value is stale.
    pub expires: Nanos,
    /// For this long after, a stale value is still served while a new one is computed.
    pub stale_for: Nanos,
    /// The value expires when it was not asked for during this long.
    pub idle: Nanos,
    /// When it was last asked for.
    pub touched: Nanos,
}

impl Timing {
    /// A lifetime that begins at `now` and never ends.
    #[must_use]
    pub fn forever(now: Nanos) -> Self {
        Self {
            expires: Nanos::MAX,
            stale_for: 0,
            idle: Nanos::MAX,
            touched: now,
        }
    }

    fn freshness(&self, now: Nanos) -> Freshness {
        if now >= self.touched.saturating_add(self.idle) {
            Freshness::Expired
        } else if now < self.expires {
            Freshness::Fresh
        } else if now < self.expires.saturating_add(self.stale_for) {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }
}

impl<T> Held<T> {
    /// `value` with weight 1, no known cost and no end.
    pub const fn new(value: T) -> Self {
        Self {
            value,
            weight: 1,
            cost: 0.0,
            timing: None,
        }
    }

    /// Whether it may be served at `now`.
    pub fn is_served(&self, now: Nanos) -> bool {
        self.freshness(now) != Freshness::Expired
    }
}

impl<T> Stored for Held<T> {
    fn weight(&self) -> u64 {
        self.weight
    }

    fn cost(&self) -> f64 {
        f64::from(self.cost)
    }

    #[inline]
    fn freshness(&self, now: Nanos) -> Freshness {
        match &self.timing {
            None => Freshness::Fresh,
            Some(timing) => timing.freshness(now),
        }
    }

    #[inline]
    fn touch(&mut self, now: Nanos) {
        if let Some(timing) = &mut self.timing {
            // Another thread may have read a later clock and come first.
            timing.touched = timing.touched.max(now);
        }
    }
}
