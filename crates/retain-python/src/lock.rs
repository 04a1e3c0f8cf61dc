//! The lock around a table: the interpreter's own where there is one, a mutex where there is not.

#[cfg(Py_GIL_DISABLED)]
pub(crate) use std::sync::Mutex as Guarded;

#[cfg(not(Py_GIL_DISABLED))]
pub(crate) use with_gil::Guarded;

#[cfg(not(Py_GIL_DISABLED))]
mod with_gil {
    use std::cell::{Cell, UnsafeCell};
    use std::ops::{Deref, DerefMut};

    use retain_memory::Lock;

    /// A value that threads reach only while they hold the interpreter's lock.
    pub(crate) struct Guarded<T> {
        value: UnsafeCell<T>,
        busy: Cell<bool>,
    }

    // SAFETY: whoever locks holds the interpreter's lock, and keeps it as long as the guard, since no Python code that
    // could pass it on runs meanwhile: there is one guard at a time.
    unsafe impl<T: Send> Sync for Guarded<T> {}

    pub(crate) struct Guard<'a, T>(&'a Guarded<T>);

    impl<T> Lock<T> for Guarded<T> {
        type Guard<'a>
            = Guard<'a, T>
        where
            T: 'a;

        fn new(value: T) -> Self {
            Self {
                value: UnsafeCell::new(value),
                busy: Cell::new(false),
            }
        }

        #[inline(always)]
        fn lock(&self) -> Guard<'_, T> {
            // The trait says that nobody locks twice; a mistake must show, not alias.
            assert!(
                !self.busy.replace(true),
                "a table was reached from inside its own lock"
            );
            Guard(self)
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline(always)]
        fn deref(&self) -> &T {
            // SAFETY: the interpreter's lock excludes other threads, and `busy` another guard of this one.
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline(always)]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as above.
            unsafe { &mut *self.0.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        #[inline(always)]
        fn drop(&mut self) {
            self.0.busy.set(false);
        }
    }
}
