//! Calls of Python code in which the interpreter may end the thread.
//!
//! At shutdown, CPython before 3.14 ends a daemon thread that asks for its lock by `pthread_exit`, which glibc does by
//! unwinding the stack. Rust's frames must not be unwound so: the process would abort. A thread that is about to be
//! ended inside such a call stops there for good, as all of them do from 3.14 on. The process does not wait for it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ffi::{c_int, c_void};

/// `struct _pthread_cleanup_buffer` of glibc.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[repr(C)]
struct Cleanup {
    routine: Option<unsafe extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
    cancel_type: c_int,
    previous: *mut Cleanup,
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn _pthread_cleanup_push(
        buffer: *mut Cleanup,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut Cleanup, execute: c_int);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn stay(_: *mut c_void) {
    loop {
        std::thread::park();
    }
}

/// Runs `body`, out of which the thread does not unwind.
///
/// `body` holds nothing that needs to be dropped: it is passed before the thread is stopped, and so is this frame. For
/// the same reason it must not be inlined into one that does.
#[inline(never)]
pub(crate) fn endable<R: Copy>(body: impl Fn() -> R + Copy) -> R {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let mut buffer = std::mem::MaybeUninit::<Cleanup>::uninit();
        // SAFETY: glibc fills the buffer in. It stays where it is until it is taken off the thread's list again, which
        // is before this frame ends: what `body` calls is C code, which cannot panic through it.
        unsafe {
            _pthread_cleanup_push(buffer.as_mut_ptr(), stay, std::ptr::null_mut());
            let result = body();
            _pthread_cleanup_pop(buffer.as_mut_ptr(), 0);
            result
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    body()
}
