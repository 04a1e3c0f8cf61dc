//! What can be wrong with a cache's settings.

/// Why [`Builder::build`](crate::Builder::build) refused its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A time-to-live, a time-to-idle or a stale window of zero would expire each entry as it arrives.
    #[error(
        "{setting} is zero: every entry would expire as it arrives; leave it out for entries that never expire"
    )]
    ZeroDuration {
        /// The setting's name.
        setting: &'static str,
    },
    /// A bound on the weight says nothing without a weigher.
    #[error("max_weight is {max_weight} but there is no weigher: give one with `weigher`")]
    WeightWithoutWeigher {
        /// The bound that was asked for.
        max_weight: u64,
    },
    /// The unbounded policy never evicts, so it can keep no bound.
    #[error(
        "the unbounded policy cannot keep to {setting}: choose another policy or leave the bound out"
    )]
    BoundedUnbounded {
        /// The bound's name.
        setting: &'static str,
    },
    /// A policy's name that is not one of the known ones.
    #[error("unknown policy {name:?}: expected one of {}", crate::Eviction::NAMES.join(", "))]
    UnknownPolicy {
        /// The name that was given.
        name: String,
    },
}
