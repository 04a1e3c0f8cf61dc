//! Who waits for whom, so that no two computations wait for one another.
//!
//! A computation that calls itself with the same arguments, or two on different threads that call one another's,
//! would wait for ever. Before anyone waits, the chain of waits from the flight's leader is followed; where it comes
//! back to the caller, the caller computes for itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Someone who computes and waits: a thread, or a task that computes on behalf of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agent(u64);

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

type Graph = HashMap<Agent, Vec<Agent>>;

static WAITS: LazyLock<Mutex<Graph>> = LazyLock::new(Mutex::default);

/// While it lives, `waiter` is known to wait for `leader`.
#[derive(Debug)]
pub(crate) struct Waiting {
    waiter: Agent,
    leader: Agent,
}

impl Waiting {
    /// Notes the wait, or refuses it with `None` if `leader` is, at the end of some chain of waits, waiting for
    /// `waiter` already.
    pub(crate) fn begin(waiter: Agent, leader: Agent) -> Option<Self> {
        let mut graph = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        if reaches(&graph, leader, waiter) {
            return None;
        }
        graph.entry(waiter).or_default().push(leader);
        Some(Self { waiter, leader })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut graph = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaders) = graph.get_mut(&self.waiter) {
            if let Some(position) = leaders.iter().position(|leader| *leader == self.leader) {
                leaders.swap_remove(position);
            }
            if leaders.is_empty() {
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
        for &leader in graph.get(&agent).into_iter().flatten() {
            if !seen.contains(&leader) {
                seen.push(leader);
            }
        }
        next += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Agent, Waiting};

    #[test]
    fn a_wait_that_closes_a_circle_is_refused() {
        let [a, b, c] = [Agent::new(), Agent::new(), Agent::new()];
        assert!(
            Waiting::begin(a, a).is_none(),
            "an agent never waits for itself"
        );
        let first = Waiting::begin(a, b).expect("a may wait for b");
        let _second = Waiting::begin(b, c).expect("b may wait for c");
        assert!(
            Waiting::begin(c, a).is_none(),
            "c would wait for itself through a and b"
        );
        drop(first);
        assert!(Waiting::begin(c, a).is_some(), "the circle is open again");
    }
}
