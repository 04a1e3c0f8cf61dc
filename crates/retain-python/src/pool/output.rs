//! What a task prints and logs, on its way to the process that sent it.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use retain_pool::worker::Out;

/// The kinds of the first streams: what is written to them is sent by lines.
const STREAMS: usize = 2;
/// A line that is longer is sent in pieces.
const LONG: usize = 64 << 10;

#[derive(Default)]
struct Waiting {
    /// The line that each stream is in.
    lines: [Vec<u8>; STREAMS],
    /// What threads besides the task's own have written, and what was written between tasks.
    whole: Vec<(u8, Vec<u8>)>,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    lines: [Vec::new(), Vec::new()],
    whole: Vec::new(),
});
/// Whether anything waits.
static ANY: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where this thread's task sends to.
    static OUT: Cell<*mut Out> = const { Cell::new(ptr::null_mut()) };
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, a task of this thread runs.
pub(super) struct Within(());

impl Within {
    pub(super) fn begin(out: &mut Out) -> Self {
        OUT.set(out);
        Self(())
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        OUT.set(ptr::null_mut());
    }
}

/// Sends what waits, and lines that are not ended.
pub(super) fn flush(out: &mut Out) {
    if ANY.swap(false, Ordering::AcqRel) {
        let taken = std::mem::take(&mut *waiting());
        for (kind, bytes) in taken.whole {
            let _ = out.emit(kind, &bytes);
        }
        for (kind, line) in (0..).zip(taken.lines) {
            if !line.is_empty() {
                let _ = out.emit(kind, &line);
            }
        }
    }
}

/// Sends an event at once if a task runs in this thread, and else with the next task's.
#[pyfunction]
pub(crate) fn emit(kind: u8, payload: &[u8]) {
    let mut waiting = waiting();
    waiting.whole.push((kind, payload.to_vec()));
    send(waiting);
}

/// Writes to a stream, as `emit` does but by lines.
#[pyfunction]
pub(crate) fn write(stream: u8, text: &[u8]) {
    let mut waiting = waiting();
    let Some(line) = waiting.lines.get_mut(usize::from(stream)) else {
        return;
    };
    line.extend_from_slice(text);
    let whole = match line.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => line.drain(..=end).collect::<Vec<u8>>(),
        None if line.len() > LONG => std::mem::take(line),
        None => Vec::new(),
    };
    if whole.is_empty() {
        ANY.store(true, Ordering::Release);
    } else {
        waiting.whole.push((stream, whole));
        send(waiting);
    }
}

fn send(mut waiting: MutexGuard<'_, Waiting>) {
    ANY.store(true, Ordering::Release);
    if let Some(mut out) = NonNull::new(OUT.get()) {
        let whole = std::mem::take(&mut waiting.whole);
        drop(waiting);
        // SAFETY: `Within` lies on this thread's stack, below this call, and its `Out` is used by nobody else until the
        // task returns.
        let out = unsafe { out.as_mut() };
        for (kind, bytes) in whole {
            // If the supervisor is gone, this process is about to end.
            let _ = out.emit(kind, &bytes);
        }
    }
}
