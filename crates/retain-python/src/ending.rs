//! Calls of Python code in which the interpreter may end the thread.
//!
//! At shutdown, CPython before 3.14 ends a daemon thread that asks for its lock by `pthread_exit`, which glibc does by
//! unwinding the stack. Rust's frames must not be unwound so: the process would abort. A thread that is about to be
//! ended inside such a call stops there for good, as all of them do from 3.14 on. The process does not wait for it.
//!
//! glibc runs the thread's cleanup routines on its way, in the old manner by the address of a buffer each: one in a frame
//! of the stack when that frame has been left, one anywhere else before the first frame.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::cell::{Cell, UnsafeCell};
    use std::ffi::{c_int, c_void};
    use std::marker::PhantomData;
    use std::mem::MaybeUninit;
    use std::ptr;

    /// `struct _pthread_cleanup_buffer`.
    #[repr(C)]
    struct Cleanup {
        routine: Option<unsafe extern "C" fn(*mut c_void)>,
        argument: *mut c_void,
        cancel_type: c_int,
        previous: *mut Cleanup,
    }

    unsafe extern "C" {
        fn _pthread_cleanup_push(
            buffer: *mut Cleanup,
            routine: unsafe extern "C" fn(*mut c_void),
            argument: *mut c_void,
        );
        fn _pthread_cleanup_pop(buffer: *mut Cleanup, execute: c_int);
    }

    unsafe extern "C" fn stay(_: *mut c_void) {
        loop {
            std::thread::park();
        }
    }

    #[inline(never)]
    pub(crate) fn endable<R: Copy>(body: impl Fn() -> R + Copy) -> R {
        // Inside of a `Stay` there is a buffer already. One in this frame would hide it until this frame is left, and
        // frames further in may have to be unwound before.
        if STAYS
            .try_with(|(depth, _)| depth.get() > 0)
            .unwrap_or(false)
        {
            return body();
        }
        let mut buffer = MaybeUninit::<Cleanup>::uninit();
        // SAFETY: glibc fills the buffer in. It stays where it is until it is taken off the thread's list again, which
        // is before this frame ends: what `body` calls is C code, which cannot panic through it.
        unsafe {
            _pthread_cleanup_push(buffer.as_mut_ptr(), stay, ptr::null_mut());
            let result = body();
            _pthread_cleanup_pop(buffer.as_mut_ptr(), 0);
            result
        }
    }

    thread_local! {
        /// How many [`Stay`]s this thread is inside of, and the buffer of the outermost, which lies on the heap.
        static STAYS: (Cell<usize>, Box<UnsafeCell<MaybeUninit<Cleanup>>>) =
            (Cell::new(0), Box::new(UnsafeCell::new(MaybeUninit::uninit())));
    }

    /// While it lives, this thread is not unwound.
    pub(crate) struct Stay(PhantomData<*mut ()>);

    impl Stay {
        pub(crate) fn begin() -> Self {
            // A thread whose own data is gone already runs no more Python code.
            let _ = STAYS.try_with(|(depth, buffer)| {
                if depth.replace(depth.get() + 1) == 0 {
                    // SAFETY: glibc fills the buffer in. It stays where it is until it is taken off the list again,
                    // since `Stay`s end in the reverse order of their beginnings.
                    unsafe { _pthread_cleanup_push(buffer.get().cast(), stay, ptr::null_mut()) };
                }
            });
            Self(PhantomData)
        }
    }

    impl Drop for Stay {
        fn drop(&mut self) {
            let _ = STAYS.try_with(|(depth, buffer)| {
                depth.set(depth.get() - 1);
                if depth.get() == 0 {
                    // SAFETY: pushed by the outermost `begin`.
                    unsafe { _pthread_cleanup_pop(buffer.get().cast(), 0) };
                }
            });
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod elsewhere {
    pub(crate) fn endable<R: Copy>(body: impl Fn() -> R + Copy) -> R {
        body()
    }

    pub(crate) struct Stay;

    impl Stay {
        pub(crate) fn begin() -> Self {
            Self
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use elsewhere as here;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use glibc as here;

/// While it lives, this thread is not unwound: for whatever calls Python code here and there. It costs some nanoseconds.
pub(crate) use here::Stay;

/// Runs `body`, one call of Python code, out of which this thread is not unwound.
///
/// `body` holds nothing that needs to be dropped: it is passed before the thread is stopped, and so is the frame that it
/// runs in.
pub(crate) use here::endable;
