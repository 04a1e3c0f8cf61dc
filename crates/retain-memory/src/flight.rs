//! One computation that many callers wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Wake, Waker};

use crate::sync::{Condvar, Mutex, locked};
use crate::waits::{Agent, Waiting};

/// How a flight ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<V, E> {
    /// The value was computed.
    Value(V),
    /// The computation failed; everyone who waited gets the error, the next caller computes again.
    Error(E),
    /// The computation was given up (cancelled, panicked): whoever still wants the value begins anew.
    Abandoned,
}

#[derive(Debug)]
enum Phase<V, E> {
    Airborne(Vec<Waker>),
    Landed(Outcome<V, E>),
}

/// A computation in flight, shared by the one who leads it and all who wait for it.
#[derive(Debug)]
pub struct Flight<V, E> {
    phase: Mutex<Phase<V, E>>,
    /// Set once there is an outcome. Shared with those who wait, and read by others without the lock.
    landed: Arc<AtomicBool>,
    /// The number of the agent that leads.
    leader: AtomicU64,
    /// How often the process had been forked when the flight took off.
    forks: u64,
}

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Tells that this process is the child of a fork: the threads that led flights do not exist here, and nobody waits for
/// those flights any more.
pub fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

impl<V, E> Flight<V, E> {
    pub(crate) fn new(leader: Agent) -> Self {
        Self {
            phase: Mutex::new(Phase::Airborne(Vec::new())),
            landed: Arc::default(),
            leader: AtomicU64::new(leader.number()),
            forks: FORKS.load(Ordering::Relaxed),
        }
    }

    /// Who computes.
    #[must_use]
    pub fn leader(&self) -> Agent {
        Agent::numbered(self.leader.load(Ordering::Acquire))
    }

    /// Another agent computes from now on. Those who wait already are not known to wait for it.
    pub fn hand_over(&self, leader: Agent) {
        self.leader.store(leader.number(), Ordering::Release);
    }

    pub(crate) fn has_landed(&self) -> bool {
        self.landed.load(Ordering::Acquire) || self.forks != FORKS.load(Ordering::Relaxed)
    }

    /// Ends the flight and wakes everyone. The first end counts.
    fn land(&self, outcome: Outcome<V, E>) {
        let wakers = {
            let mut phase = locked(&self.phase);
            match &mut *phase {
                Phase::Landed(_) => return,
                Phase::Airborne(wakers) => {
                    let wakers = std::mem::take(wakers);
                    self.landed.store(true, Ordering::Release);
                    *phase = Phase::Landed(outcome);
                    wakers
                }
            }
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

impl<V: Clone, E: Clone> Flight<V, E> {
    /// The outcome, or `Pending` after noting that `waker` is to be woken when there is one.
    pub fn poll(&self, waker: &Waker) -> Poll<Outcome<V, E>> {
        match &mut *locked(&self.phase) {
            Phase::Landed(outcome) => Poll::Ready(outcome.clone()),
            Phase::Airborne(wakers) => {
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// Notes that `agent` waits for this flight, for as long as the result lives; `None` if that would be for ever,
    /// because the leader waits for `agent`.
    #[must_use]
    pub fn join(&self, agent: Agent) -> Option<Waiting> {
        Waiting::begin(agent, self.leader(), &self.landed)
    }

    /// Waits for the outcome with a wait of the caller's own kind.
    ///
    /// `block` is called while there is no outcome, and returns once the waker it stands for was woken, or an error
    /// to stop waiting. `None` if the wait would never end, because the leader waits for `agent`.
    ///
    /// # Errors
    /// What `block` returned.
    pub fn wait_with<X>(
        &self,
        agent: Agent,
        waker: &Waker,
        mut block: impl FnMut() -> Result<(), X>,
    ) -> Result<Option<Outcome<V, E>>, X> {
        let Some(_waiting) = self.join(agent) else {
            return Ok(None);
        };
        loop {
            match self.poll(waker) {
                Poll::Ready(outcome) => return Ok(Some(outcome)),
                Poll::Pending => block()?,
            }
        }
    }

    /// As [`wait_with`](Self::wait_with), for tasks.
    pub(crate) async fn wait_async(&self, agent: Agent) -> Option<Outcome<V, E>> {
        let _waiting = self.join(agent)?;
        Some(std::future::poll_fn(|context| self.poll(context.waker())).await)
    }

    /// Blocks this thread until the outcome is there; `None` if that would be for ever, because the leader waits for
    /// this thread.
    #[must_use]
    pub fn wait(&self) -> Option<Outcome<V, E>> {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let Ok(outcome) = self.wait_with(
            Agent::acting().unwrap_or_else(Agent::thread),
            &waker,
            || {
                bell.wait();
                Ok::<(), std::convert::Infallible>(())
            },
        );
        outcome
    }
}

/// Wakes one blocked thread.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            rung: Mutex::new(false),
            changed: Condvar::new(),
        }
    }
}

impl Bell {
    fn wait(&self) {
        let mut rung = self
            .rung
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while !*rung {
            rung = self
                .changed
                .wait(rung)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *locked(&self.rung) = true;
        self.changed.notify_one();
    }
}

/// The duty to end a flight, by [`Shard::finish`](crate::Shard::finish) or [`Shard::end`](crate::Shard::end).
///
/// Dropped without an end, it abandons the flight, so that nobody waits for ever; the shard lets go of the flight's key
/// some flights later. [`Shard::end`](crate::Shard::end) with [`Outcome::Abandoned`] does the same at once.
#[derive(Debug)]
pub struct Lead<K, V, E> {
    pub(crate) hash: u64,
    pub(crate) key: K,
    pub(crate) flight: Arc<Flight<V, E>>,
}

impl<K, V, E> Lead<K, V, E> {
    /// The key that is computed for.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The flight that is led.
    pub fn flight(&self) -> &Arc<Flight<V, E>> {
        &self.flight
    }

    pub(crate) fn land(self, outcome: Outcome<V, E>) {
        self.flight.land(outcome);
    }
}

impl<K, V, E> Drop for Lead<K, V, E> {
    fn drop(&mut self) {
        self.flight.land(Outcome::Abandoned);
    }
}
