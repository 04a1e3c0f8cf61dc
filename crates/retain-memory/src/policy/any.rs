//! A policy chosen while the program runs.

use std::str::FromStr;

use super::{Fifo, Lfu, Lru, Node, Nodes, Policy, S3Fifo, Sieve, Slot};
use crate::error::BuildError;

/// The policies by name.
///
/// ```
/// use retain_memory::Eviction;
///
/// assert_eq!("lru".parse(), Ok(Eviction::Lru));
/// assert!("random".parse::<Eviction>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eviction {
    /// [`S3Fifo`].
    #[default]
    S3Fifo,
    /// [`Lru`].
    Lru,
    /// [`Sieve`].
    Sieve,
    /// [`Lfu`].
    Lfu,
    /// [`Fifo`].
    Fifo,
    /// [`Unbounded`](super::Unbounded).
    Unbounded,
}

impl Eviction {
    /// The names that [`str::parse`] takes.
    pub const NAMES: [&str; 6] = ["s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"];

    const ALL: [Self; 6] = [
        Self::S3Fifo,
        Self::Lru,
        Self::Sieve,
        Self::Lfu,
        Self::Fifo,
        Self::Unbounded,
    ];

    /// The policy's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl FromStr for Eviction {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self, BuildError> {
        Self::ALL
            .into_iter()
            .find(|eviction| eviction.name() == name)
            .ok_or_else(|| BuildError::UnknownPolicy { name: name.into() })
    }
}

/// One of the policies.
#[derive(Debug)]
pub enum AnyPolicy {
    /// [`S3Fifo`].
    S3Fifo(S3Fifo),
    /// [`Lru`].
    Lru(Lru),
    /// [`Sieve`].
    Sieve(Sieve),
    /// [`Lfu`].
    Lfu(Lfu),
    /// [`Fifo`].
    Fifo(Fifo),
    /// [`Unbounded`](super::Unbounded).
    Unbounded,
}

impl AnyPolicy {
    /// The policy's name.
    #[must_use]
    pub fn eviction(&self) -> Eviction {
        match self {
            Self::S3Fifo(_) => Eviction::S3Fifo,
            Self::Lru(_) => Eviction::Lru,
            Self::Sieve(_) => Eviction::Sieve,
            Self::Lfu(_) => Eviction::Lfu,
            Self::Fifo(_) => Eviction::Fifo,
            Self::Unbounded => Eviction::Unbounded,
        }
    }
}

impl From<Eviction> for AnyPolicy {
    fn from(eviction: Eviction) -> Self {
        match eviction {
            Eviction::S3Fifo => Self::S3Fifo(S3Fifo::default()),
            Eviction::Lru => Self::Lru(Lru::default()),
            Eviction::Sieve => Self::Sieve(Sieve::default()),
            Eviction::Lfu => Self::Lfu(Lfu::default()),
            Eviction::Fifo => Self::Fifo(Fifo::default()),
            Eviction::Unbounded => Self::Unbounded,
        }
    }
}

/// Calls the same method of whichever policy it is; nothing for the unbounded one.
macro_rules! each {
    ($self:ident, $policy:ident => $call:expr, else $otherwise:expr) => {
        match $self {
            AnyPolicy::S3Fifo($policy) => $call,
            AnyPolicy::Lru($policy) => $call,
            AnyPolicy::Sieve($policy) => $call,
            AnyPolicy::Lfu($policy) => $call,
            AnyPolicy::Fifo($policy) => $call,
            AnyPolicy::Unbounded => $otherwise,
        }
    };
}

impl Policy for AnyPolicy {
    type Node = Node;

    fn insert(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        each!(self, policy => policy.insert(nodes, slot), else ());
    }
    #[inline]
    fn hit(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        each!(self, policy => policy.hit(nodes, slot), else ());
    }
    fn remove(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot) {
        each!(self, policy => policy.remove(nodes, slot), else ());
    }
    fn victim(&mut self, nodes: &mut impl Nodes<Node>) -> Option<Slot> {
        each!(self, policy => policy.victim(nodes), else None)
    }
    fn reweigh(&mut self, nodes: &mut impl Nodes<Node>, slot: Slot, old: u64) {
        each!(self, policy => policy.reweigh(nodes, slot, old), else ());
    }
    fn clear(&mut self) {
        each!(self, policy => policy.clear(), else ());
    }
}
