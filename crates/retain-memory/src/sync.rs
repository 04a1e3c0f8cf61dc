//! The lock a shard is built on, and the primitives behind flights (loom's own under `--cfg loom`).

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex};

/// Exclusive access to a value, for the length of a closure.
///
/// A [`Shard`](crate::Shard) is generic over its lock, so that a program whose callers already exclude one another
/// (an interpreter with a global lock, say) pays for no second one.
pub trait Lock<T> {
    /// Wraps `value`.
    fn new(value: T) -> Self;

    /// Runs `body` while no other thread is inside a `with` of the same lock.
    ///
    /// `body` must not call `with` on the same lock again.
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Lock<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Mutex::new(value)
    }

    #[inline]
    fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        body(&mut locked(self))
    }
}

/// Locks `mutex`, whether or not a thread panicked while it held it: every critical section of this crate leaves its
/// data whole at each step that can panic.
#[inline]
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> impl std::ops::DerefMut<Target = T> + '_ {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
