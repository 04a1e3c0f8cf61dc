//! The lock a shard is built on, and the primitives behind flights (loom's own under `--cfg loom`).

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
// Loom runs its threads on one thread of the system: only its own thread locals tell them apart.
#[cfg(loom)]
pub(crate) use loom::thread_local;
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

use std::ops::DerefMut;
#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// Exclusive access to a value.
///
/// A [`Shard`](crate::Shard) is generic over its lock, so that a program whose callers already exclude one another
/// (an interpreter with a global lock, say) pays for no second one.
pub trait Lock<T> {
    /// Gives access while it lives.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// Wraps `value`.
    fn new(value: T) -> Self;

    /// Waits until no other thread holds a guard. A thread that holds one must not ask for another.
    fn lock(&self) -> Self::Guard<'_>;
}

impl<T> Lock<T> for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Mutex::new(value)
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, T> {
        locked(self)
    }
}

/// Locks `mutex`, whether or not a thread panicked while it held it: every critical section of this crate leaves its
/// data whole at each step that can panic.
#[inline]
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
