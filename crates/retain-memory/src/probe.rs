//! How a key that is looked up is told from a stored one.

use std::borrow::Borrow;
use std::convert::Infallible;

/// An equality in two steps.
///
/// Most comparisons settle at a glance: the same object, two integers, two strings. Those are made under the lock.
/// The others may run code that fails, blocks, or comes back to the same cache: those are made on a clone of the
/// stored key while no lock is held, and the answer is used only if the stored key is still there.
///
/// ```
/// use std::sync::Arc;
/// use retain_memory::Probe;
///
/// /// Paths are the same if they lead to the same file, which only the system can tell.
/// struct SameFile(Arc<str>);
///
/// impl Probe<Arc<str>> for SameFile {
///     type Error = std::io::Error;
///
///     fn settle(&self, stored: &Arc<str>) -> Option<bool> {
///         (self.0 == *stored).then_some(true)
///     }
///
///     fn compare(&self, stored: &Arc<str>) -> Result<bool, Self::Error> {
///         Ok(std::fs::canonicalize(&*self.0)? == std::fs::canonicalize(&**stored)?)
///     }
///
///     fn same(a: &Arc<str>, b: &Arc<str>) -> bool {
///         Arc::ptr_eq(a, b)
///     }
/// }
///
/// let wanted = SameFile("./".into());
/// assert_eq!(wanted.settle(&".".into()), None);
/// assert!(wanted.compare(&".".into())?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Probe<K> {
    /// Why a comparison can fail.
    type Error;

    /// Whether `stored` is the key looked for, or `None` if only [`compare`](Self::compare) can tell.
    ///
    /// Called under the lock: it must not fail, block, or touch the cache.
    fn settle(&self, stored: &K) -> Option<bool>;

    /// Whether `stored` is the key looked for. Called under no lock.
    ///
    /// # Errors
    /// Whatever the comparison raises; the lookup stops and passes it on, the cache is unchanged.
    fn compare(&self, stored: &K) -> Result<bool, Self::Error>;

    /// Whether two stored keys are one and the same object, so that a key compared under no lock is known again.
    fn same(a: &K, b: &K) -> bool;
}

/// The probe of ordinary Rust keys: their `Eq`, under the lock.
///
/// As with every map of Rust, an `Eq` that panics is harmless and one that re-enters the cache is a deadlock; a key
/// type that may do so implements [`Probe`] itself.
#[derive(Debug, Clone, Copy)]
pub struct Exact<'a, Q: ?Sized>(pub &'a Q);

impl<K: Borrow<Q>, Q: Eq + ?Sized> Probe<K> for Exact<'_, Q> {
    type Error = Infallible;

    #[inline]
    fn settle(&self, stored: &K) -> Option<bool> {
        Some(stored.borrow() == self.0)
    }

    fn compare(&self, stored: &K) -> Result<bool, Infallible> {
        Ok(stored.borrow() == self.0)
    }

    fn same(a: &K, b: &K) -> bool {
        a.borrow() == b.borrow()
    }
}
