//! Who waits for whom, so that no two computations wait for one another.
//!
//! A computation that calls itself with the same arguments, or two on different threads that call one another's,
//! would wait for ever. Before anyone waits, the chain of waits from the flight's leader is followed; where it comes
//! back to the caller, the caller computes for itself.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::sync::thread_local;

/// Someone who computes and waits: a thread, or a task that computes on behalf of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agent(u64);

std::thread_local!(static ACTING: Cell<Option<Agent>> = const { Cell::new(None) });

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Agent {
    /// An agent like no other, for a task.
    #[must_use]
    pub fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The agent that is this thread.
    #[must_use]
    pub fn thread() -> Self {
        thread_local!(static AGENT: Agent = Agent::new());
        AGENT.with(|agent| *agent)
    }

    /// The agent on whose behalf this thread computes at present, if one was named.
    pub(crate) fn acting() -> Option<Self> {
        ACTING.get()
    }

    /// Runs `body` on behalf of this agent: a wait that begins inside is this agent's.
    pub(crate) fn act<R>(self, body: impl FnOnce() -> R) -> R {
        struct Restore(Option<Agent>);
        impl Drop for Restore {
            fn drop(&mut self) {
                ACTING.set(self.0);
            }
        }
        let _restore = Restore(ACTING.replace(Some(self)));
        body()
    }

    /// The agent's number, to be handed through code that cannot hold an `Agent`.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The agent with this [`number`](Self::number).
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

/// Whom each agent waits for.
type Graph = HashMap<Agent, Vec<Wait>>;

struct Wait {
    leader: Agent,
    /// Set when the wait has an outcome. Its end lies in the past then, though the waiter may not have run since: the
    /// leader may well be at the next computation already, and wait for what the waiter leads.
    over: Arc<AtomicBool>,
}

static WAITS: LazyLock<Mutex<Graph>> = LazyLock::new(Mutex::default);

/// While it lives, an agent is known to wait for a flight; see [`Flight::join`](crate::Flight::join).
#[derive(Debug)]
pub struct Waiting {
    waiter: Agent,
    over: Arc<AtomicBool>,
}

impl Waiting {
    /// Notes that `waiter` waits for `leader` until `over` is set, or refuses it with `None` if `leader`, at the end of
    /// some chain of waits, waits for `waiter` already.
    pub(crate) fn begin(waiter: Agent, leader: Agent, over: &Arc<AtomicBool>) -> Option<Self> {
        let mut graph = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        if !over.load(Ordering::Acquire) && reaches(&graph, leader, waiter) {
            return None;
        }
        let wait = Wait {
            leader,
            over: Arc::clone(over),
        };
        graph.entry(waiter).or_default().push(wait);
        Some(Self {
            waiter,
            over: Arc::clone(over),
        })
    }

    /// Notes that `parent` waits for `child`, one of whose computations it runs.
    pub(crate) fn for_child(parent: Agent, child: Agent) -> Option<Self> {
        Self::begin(parent, child, &Arc::default())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut graph = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waits) = graph.get_mut(&self.waiter) {
            // Two waits of one agent for one flight are alike: either may go.
            if let Some(position) = waits
                .iter()
                .position(|wait| Arc::ptr_eq(&wait.over, &self.over))
            {
                waits.swap_remove(position);
            }
            if waits.is_empty() {
                graph.remove(&self.waiter);
            }
        }
    }
}

fn reaches(graph: &Graph, from: Agent, to: Agent) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(&agent) = seen.get(next) {
        if agent == to {
            return true;
        }
        for wait in graph.get(&agent).into_iter().flatten() {
            if !seen.contains(&wait.leader) && !wait.over.load(Ordering::Acquire) {
                seen.push(wait.leader);
            }
        }
        next += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Agent, Waiting};

    fn wait(waiter: Agent, leader: Agent) -> Option<Waiting> {
        Waiting::begin(waiter, leader, &Arc::default())
    }

    #[test]
    fn a_wait_that_closes_a_circle_is_refused() {
        let [a, b, c] = [Agent::new(), Agent::new(), Agent::new()];
        assert!(wait(a, a).is_none(), "an agent never waits for itself");
        let first = wait(a, b).expect("a may wait for b");
        let _second = wait(b, c).expect("b may wait for c");
        assert!(
            wait(c, a).is_none(),
            "c would wait for itself through a and b"
        );
        drop(first);
        assert!(wait(c, a).is_some(), "the circle is open again");
    }

    #[test]
    fn a_wait_that_is_over_closes_no_circle() {
        let [a, b] = [Agent::new(), Agent::new()];
        let over = Arc::new(AtomicBool::new(false));
        let _first = Waiting::begin(a, b, &over).expect("a may wait for b");
        assert!(wait(b, a).is_none(), "a still waits for b");
        over.store(true, Ordering::Release);
        assert!(
            wait(b, a).is_some(),
            "a has what it waited for, though it has not run yet"
        );
    }

    #[test]
    fn an_agent_can_wait_for_several_others() {
        let [a, b, c] = [Agent::new(), Agent::new(), Agent::new()];
        let first = wait(a, b).expect("a may wait for b");
        let _second = wait(a, c).expect("a may wait for c too");
        assert!(wait(b, a).is_none() && wait(c, a).is_none());
        drop(first);
        assert!(wait(b, a).is_some(), "a waits for c alone");
        assert!(wait(c, a).is_none());
    }
}
