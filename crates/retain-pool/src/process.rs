//! Processes: how they are watched, ended, and made ready to serve.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, kill_process_group, setpgid};

use crate::outcome::Ended;

/// What becomes readable when the process ends.
pub(crate) fn watch(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    watch_it(pid)
}

#[cfg(target_os = "linux")]
fn watch_it(pid: Pid) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(not(target_os = "linux"))]
fn watch_it(pid: Pid) -> io::Result<OwnedFd> {
    use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
    let queue = kqueue()?;
    let filter = EventFilter::Proc {
        pid,
        flags: ProcessEvents::EXIT,
    };
    let event = Event::new(filter, EventFlags::ADD, std::ptr::null_mut());
    let mut none: [MaybeUninit<Event>; 0] = [];
    // SAFETY: the event is of a process, and of no descriptor.
    unsafe { kevent(&queue, &[event], &mut none, None)? };
    Ok(queue)
}

/// Whether a watched process has ended.
pub(crate) fn has_ended(watched: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(watched, PollFlags::IN)];
    poll(&mut fds, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Kills a process that is not yet reaped, and its group, which is all that it has started and that did not leave it.
pub(crate) fn kill_tree(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        // It may not have its own group yet, or be dead with others of its group alive.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// How a child ended, and the most memory that it had. It must have ended.
pub(crate) fn reap(pid: i32) -> io::Result<(Ended, u64)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let reaped = loop {
        // SAFETY: both pointers are valid for writes; zeroes are a valid `rusage`.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if reaped != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            break reaped;
        }
    };
    if reaped == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and written by wait4.
    let peak = unsafe { usage.assume_init() }.ru_maxrss;
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Exit(libc::WEXITSTATUS(status))
    };
    // Apple counts in bytes, all others in KiB.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    Ok((ended, u64::try_from(peak).unwrap_or(0) * unit))
}

/// Runs something with all signals blocked in this thread, so that threads that it starts take none.
pub(crate) fn without_signals<T>(body: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`, pthread_sigmask initialises `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = body();
    // SAFETY: initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result
}

/// A process that a supervisor started takes signals, other than an interrupt: that is for whoever made the pool, who
/// ends this process.
pub(crate) fn settle() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; ignoring a signal runs no code.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// A worker besides has a group of its own, with all that it starts, and the group dies with what started the worker.
pub(crate) fn settle_worker() {
    settle();
    let _ = setpgid(None, None);
    follow_parent();
}

/// Kills this process, and all that it has started and that did not leave its group.
pub(crate) fn end_group() {
    // This is called by a handler of a signal: each of these is a system call and no more.
    let me = getpid();
    if getpgrp() == me {
        let _ = kill_process_group(me, Signal::KILL);
    }
    let _ = kill_process(me, Signal::KILL);
}

/// Ends the group when the parent does, whatever a task is doing. A thread would do it as well, but a task that forks
/// is warned of threads; and `SIGKILL`, as the signal that the kernel sends, would end the worker alone.
#[cfg(target_os = "linux")]
fn follow_parent() {
    extern "C" fn end(_: libc::c_int) {
        end_group();
    }
    // Nobody else has a use for it.
    let signal = libc::SIGRTMAX();
    let handler: extern "C" fn(libc::c_int) = end;
    // SAFETY: zeroes are a valid `sigaction`, the handler makes system calls only, and prctl takes a number.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        libc::prctl(libc::PR_SET_PDEATHSIG, signal);
    }
}

#[cfg(not(target_os = "linux"))]
fn follow_parent() {
    let Some(parent) = rustix::process::getppid() else {
        return;
    };
    // If it is gone already, the worker finds its socket closed, before any task.
    let follow = move || {
        if watch_it(parent).is_ok_and(|watched| readable(&[&watched]).is_ok()) {
            end_group();
        }
    };
    let thread = std::thread::Builder::new().name("retain-parent".into());
    without_signals(|| drop(thread.spawn(follow)));
}

/// Waits until one of `fds` is readable or at its end.
pub(crate) fn readable(fds: &[&OwnedFd]) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
        .collect();
    loop {
        match poll(&mut polled, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
}
