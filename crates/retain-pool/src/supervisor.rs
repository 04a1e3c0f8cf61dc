//! The supervisor: what a pool knows, behind one lock, and the thread that sees to it.
//!
//! Sockets of workers ("traffic") are read by whoever waits for outcomes, if only one does: then nothing goes through
//! another thread. Otherwise, and when nobody waits, the supervisor's thread reads them. Everything else (starts,
//! deaths, deadlines) is its own. Nothing waits while the lock is held.

mod dispatch;
mod life;
mod member;
mod runs;
mod traffic;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::alarm::Alarm;
use crate::clock::now_ns;
use crate::error::Error;
use crate::fork::Generation;
use crate::outcome::Outcome;
use crate::payload::{Dropped, Task};
use crate::poller::{Poller, Ready};
use crate::pool::WorkerInfo;
use crate::process;
use crate::segment::Arena;
use crate::settings::{RunOptions, Settings};
use crate::signal::Signal;
use crate::spin::{SHORT_NS, Waits, spin};
use crate::starter::link::Source;
use crate::wire;

use member::{Member, Phase};
use runs::{Queued, RunState};

/// How long the supervisor leaves the traffic to a caller who has just read it, and how long after a message it looks
/// for answers that were not sent: workers keep them back for half as long.
const LEASE_NS: u64 = 1_000_000;

/// Buffered frames are sent when there are so many bytes of them, even if the worker is busy.
const ENOUGH_TO_SEND: usize = 32 << 10;

/// What tells that the leader's sleep is to end.
const LEADER: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const ZYGOTE: u64 = u64::MAX - 2;
const ALARM: u64 = u64::MAX - 3;
const TRAFFIC: u64 = u64::MAX - 4;

/// What the handles of a pool and its thread share.
pub(crate) struct Core {
    pub(crate) generation: Generation,
    pub(crate) arena: Arena,
    pub(crate) dropped: Arc<Dropped>,
    definitions: AtomicU32,
    /// The sockets of the workers, and what wakes the leader.
    traffic: Arc<Poller>,
    /// What the thread waits for, and now and then the traffic.
    control: Arc<Poller>,
    wake: Arc<Signal>,
    state: Mutex<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is behind the lock.
pub(super) struct State {
    /// By index.
    members: Vec<Option<Member>>,
    runs: Vec<Option<RunState>>,
    /// At which run the next worker begins to look for tasks.
    turn: usize,
    /// How many workers there may be.
    target: usize,
    /// How many are to be there without tasks.
    wanted: usize,
    next_peer: u64,
    next_wire: u32,
    /// How many tasks are with no worker.
    queued: usize,
    source: Source,
    memory_limit: u64,
    idle: Duration,
    arena: Arena,
    dropped: Arc<Dropped>,
    /// Whether mappings of results were dropped.
    returned: Arc<AtomicBool>,
    traffic: Arc<Poller>,
    control: Arc<Poller>,
    wake: Arc<Signal>,
    leader_wake: Signal,
    /// The run whose caller reads the traffic.
    leader: Option<u32>,
    /// How often somebody became the leader, and how many tasks were submitted.
    led: u64,
    submitted: u64,
    /// How long leaders waited.
    waits: Waits,
    /// How many callers wait without reading.
    waiting: usize,
    /// Whether the traffic wakes the supervisor.
    watching: bool,
    /// When the supervisor wakes by itself.
    wakes_at_ns: u64,
    alarm: Alarm,
    /// When it is to look for answers that were not sent; 0 for never.
    look_at_ns: u64,
    /// How long after the last look that was fixed.
    look_every_ns: u64,
    /// How often traffic came, in all and when the look was fixed.
    came: u64,
    came_at_look: u64,
    /// The places of workers with frames that were not sent.
    dirty: Vec<usize>,
    /// Workers in a row that ended before they served.
    failures: u32,
    broken: Option<String>,
    closing: bool,
    scratch: Vec<u8>,
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, Error> {
        let poller = || Poller::new().map_err(Error::io("cannot make a poller"));
        let traffic = Arc::new(poller()?);
        let control = Arc::new(poller()?);
        let signal = || Signal::new().map_err(Error::io("cannot make a signal"));
        let (wake, leader_wake) = (Arc::new(signal()?), signal()?);
        let add = |to: &Poller, signal: &Signal, key| {
            to.add(signal, key)
                .map_err(Error::io("cannot watch a signal"))
        };
        add(&traffic, &leader_wake, LEADER)?;
        add(&control, &wake, WAKE)?;
        let watched = control.add(&*traffic, TRAFFIC);
        watched.map_err(Error::io("cannot watch the workers"))?;
        let alarm = Alarm::new(&control, ALARM).map_err(Error::io("cannot make a timer"))?;
        // It is to begin.
        wake.raise();
        let arena = Arena::new();
        let dropped = Arc::new(Dropped::default());
        let state = State {
            members: Vec::new(),
            runs: Vec::new(),
            turn: 0,
            target: settings.workers.max(1),
            wanted: settings.workers.max(1),
            next_peer: 1,
            next_wire: 1,
            queued: 0,
            source: Source::new(settings.starter),
            memory_limit: settings.memory_limit.unwrap_or(0),
            idle: settings.idle,
            arena: arena.clone(),
            dropped: Arc::clone(&dropped),
            returned: Arc::new(AtomicBool::new(false)),
            traffic: Arc::clone(&traffic),
            control: Arc::clone(&control),
            wake: Arc::clone(&wake),
            leader_wake,
            leader: None,
            led: 0,
            submitted: 0,
            waits: Waits::new(),
            waiting: 0,
            watching: true,
            wakes_at_ns: u64::MAX,
            alarm,
            look_at_ns: 0,
            look_every_ns: LEASE_NS,
            came: 0,
            came_at_look: 0,
            dirty: Vec::new(),
            failures: 0,
            broken: None,
            closing: false,
            scratch: vec![0; 256 << 10],
        };
        let core = Arc::new(Self {
            generation: Generation::current(),
            arena,
            dropped,
            definitions: AtomicU32::new(1),
            traffic,
            control,
            wake,
            state: Mutex::new(state),
            thread: Mutex::new(None),
        });
        let of_thread = Arc::clone(&core);
        let thread = process::without_signals(|| {
            std::thread::Builder::new()
                .name("retain-pool".into())
                .spawn(move || of_thread.supervise())
        })
        .map_err(Error::io("cannot start a thread"))?;
        *core.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(core)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if this is the process of the pool.
    fn ours(&self) -> Option<MutexGuard<'_, State>> {
        self.generation.is_ours().then(|| self.lock())
    }

    pub(crate) fn grow(&self, workers: usize) {
        if let Some(mut state) = self.ours()
            && state.target < workers
        {
            state.target = workers;
            state.wanted = workers;
            state.wake_by(0);
        }
    }

    pub(crate) fn workers(&self) -> Vec<WorkerInfo> {
        self.ours().map_or_else(Vec::new, |state| {
            let members = state.members.iter().flatten();
            members.map(Member::info).collect()
        })
    }

    /// Asks the thread to end everything.
    pub(crate) fn close(&self) {
        if let Some(mut state) = self.ours() {
            state.closing = true;
            self.wake.raise();
        }
    }

    /// Waits until everything is ended.
    pub(crate) fn join(&self) {
        if self.generation.is_ours() {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }

    pub(crate) fn next_definition(&self) -> u32 {
        self.definitions.fetch_add(1, Ordering::Relaxed)
    }

    /// A new run: its place, and by what workers know it.
    pub(crate) fn begin(&self, options: RunOptions) -> Result<(u32, u32), Error> {
        let mut state = self.ours().ok_or(Error::Closed)?;
        if state.closing {
            return Err(Error::Closed);
        }
        if !wire::fits(options.context.buffers.len(), options.context.bytes.len()) {
            return Err(Error::TooLarge);
        }
        if state.broken.take().is_some() {
            state.failures = 0;
            state.wake_by(0);
        }
        let wire = state.next_wire;
        state.next_wire += 1;
        let run = RunState::new(wire, options);
        let free = state.runs.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            state.runs.push(None);
            state.runs.len() - 1
        });
        state.runs[place] = Some(run);
        let place = u32::try_from(place).map_err(|_| Error::TooLarge)?;
        Ok((place, wire))
    }

    pub(crate) fn submit(&self, place: u32, task: Task) -> Result<(), Error> {
        let Some(mut state) = self.ours() else {
            return Err(Error::Closed);
        };
        if !wire::fits(task.payload.buffers.len(), task.payload.bytes.len()) {
            return Err(Error::TooLarge);
        }
        state.submit(place, Queued { task, attempts: 0 })
    }

    pub(crate) fn room(&self, place: u32) -> usize {
        self.ours().map_or(0, |state| {
            let run = state.runs.get(place as usize).and_then(Option::as_ref);
            run.filter(|run| !run.cancelled)
                .map_or(0, |run| run.room(state.target))
        })
    }

    pub(crate) fn cancel(&self, place: u32, close: bool) {
        if let Some(mut state) = self.ours() {
            state.cancel(place, close);
        }
    }

    pub(crate) fn outcomes(
        &self,
        place: u32,
        wait: Duration,
        into: &mut Vec<Outcome>,
    ) -> Result<(), Error> {
        let mut state = self.ours().ok_or(Error::Closed)?;
        let mut until_ns = None;
        let mut looked = false;
        loop {
            state.flush_dirty();
            let Some(run) = state.run_mut(place) else {
                return Err(Error::Closed);
            };
            if run.is_ready() {
                run.take(into);
                return Ok(());
            }
            let outstanding = run.outstanding;
            if state.closing {
                return Err(Error::Closed);
            }
            if let Some(why) = &state.broken {
                return Err(Error::Start(why.clone()));
            }
            if outstanding == 0 || (looked && wait.is_zero()) {
                return Ok(());
            }
            let left = if wait.is_zero() {
                Some(Duration::ZERO)
            } else if let Some(end) = Duration::MAX.checked_sub(wait).and_then(|rest| {
                // Waits of centuries are for ever.
                (rest > Duration::from_secs(1 << 40))
                    .then(|| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
            }) {
                let now = now_ns();
                let until = *until_ns.get_or_insert_with(|| now.saturating_add(end));
                if until <= now && looked {
                    return Ok(());
                }
                Some(Duration::from_nanos(until.saturating_sub(now)))
            } else {
                None
            };
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            looked = true;
            if state.leader.is_none() && state.waiting == 0 {
                state.leader = Some(place);
                state.led += 1;
                state.watch(false);
                let spins = !wait.is_zero() && state.is_likely_short(place);
                drop(state);
                let begun_ns = now_ns();
                let woken = if spins {
                    self.spin(left)
                } else {
                    self.traffic.wait(timeout.as_ref())
                };
                state = self.lock();
                state.leader = None;
                if !wait.is_zero() {
                    state.waits.note(now_ns().saturating_sub(begun_ns));
                }
                if state.waiting > 0 {
                    state.watch(true);
                } else {
                    state.wake_by(now_ns() + LEASE_NS);
                }
                match woken {
                    // A signal may have come while nothing slept that it could have interrupted.
                    Ok(ready) if spins && ready.is_empty() => return Err(Error::Interrupted),
                    Ok(ready) => state.traffic(&ready),
                    Err(Errno::INTR) => return Err(Error::Interrupted),
                    Err(_) => {}
                }
            } else {
                let Some(run) = state.run_mut(place) else {
                    return Err(Error::Closed);
                };
                let signal = run.signal()?;
                run.waiting = true;
                state.waiting += 1;
                drop(state);
                let mut fds = [PollFd::new(&*signal, PollFlags::IN)];
                let woken = poll(&mut fds, timeout.as_ref());
                signal.clear();
                state = self.lock();
                state.waiting -= 1;
                if let Some(run) = state.run_mut(place) {
                    run.waiting = false;
                }
                if woken == Err(Errno::INTR) {
                    return Err(Error::Interrupted);
                }
            }
        }
    }

    /// Waits for traffic without sleeping.
    fn spin(&self, most: Option<Duration>) -> Result<Vec<Ready>, Errno> {
        let most = most.and_then(|most| u64::try_from(most.as_nanos()).ok());
        let look = || match self.traffic.wait(Some(&Timespec::default())) {
            Ok(ready) if ready.is_empty() => None,
            ready => Some(ready),
        };
        spin(most.unwrap_or(u64::MAX).min(SHORT_NS), look).unwrap_or(Ok(Vec::new()))
    }

    /// What the thread does.
    fn supervise(self: Arc<Self>) {
        let mut seen = (0, 0);
        loop {
            let ready = self.control.wait(None).unwrap_or_default();
            let mut state = self.lock();
            state.control(&ready);
            if state.closing {
                drop(state);
                return self.end();
            }
            let mut next_ns = state.upkeep(now_ns());
            // Whoever leads reads the traffic; who has led or submitted a moment ago will lead again. Until then it is
            // read now and then: with many short tasks, to wake for each message would cost more than they do.
            let active = (state.led, state.submitted);
            let in_lease = active != seen && state.has_short_tasks();
            if in_lease {
                if state.leader.is_none() {
                    state.read_traffic();
                }
                next_ns = next_ns.min(now_ns() + LEASE_NS);
            }
            seen = active;
            let watching = state.leader.is_none() && (!in_lease || state.waiting > 0);
            state.watch(watching);
            state.wakes_at_ns = next_ns;
            state.alarm.set(next_ns);
        }
    }

    /// Kills everything, and waits until it is dead.
    fn end(&self) {
        let mut state = self.lock();
        let members = std::mem::take(&mut state.members);
        let link = match &mut state.source {
            Source::Zygote(_, link) => link.take(),
            Source::Spawn(_) => None,
        };
        for place in 0..state.runs.len() {
            state.notify(u32::try_from(place).unwrap_or(u32::MAX));
        }
        drop(state);
        for member in members.iter().flatten() {
            member.kill();
        }
        if let Some(link) = link {
            link.end();
        }
        for member in members.into_iter().flatten() {
            self.arena.peer_gone(member.peer);
            if let Some(mut child) = member.child {
                let _ = child.wait();
            }
        }
    }
}

impl State {
    fn run_mut(&mut self, place: u32) -> Option<&mut RunState> {
        self.runs.get_mut(place as usize)?.as_mut()
    }

    /// Whether tasks are done that are so short, or of which it is not known, that workers have some in store.
    #[expect(clippy::cast_precision_loss, reason = "a millisecond")]
    fn has_short_tasks(&self) -> bool {
        let mut open = self.runs.iter().flatten().filter(|run| run.in_flight > 0);
        open.all(|run| run.mean_ns() < LEASE_NS as f64)
    }

    /// Whether the next outcome of a run is likely to come soon, and the workers wait for what its caller does then.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn is_likely_short(&self, place: u32) -> bool {
        let Some(Some(run)) = self.runs.get(place as usize) else {
            return false;
        };
        let in_flight: usize = self
            .members
            .iter()
            .flatten()
            .map(|member| member.live)
            .sum();
        self.waits.are_short()
            && in_flight <= 2 * self.members.len()
            && run.mean_ns() < LEASE_NS as f64 / 10.0
    }

    /// Wakes the supervisor's thread at that time at the latest. It need not run for being told so.
    fn wake_by(&mut self, at_ns: u64) {
        if at_ns < self.wakes_at_ns {
            self.wakes_at_ns = at_ns;
            self.alarm.set(at_ns);
        }
    }

    /// Whether the supervisor's thread is to hear of the traffic.
    fn watch(&mut self, watching: bool) {
        if self.watching != watching {
            self.watching = watching;
            self.control.listen(&*self.traffic, TRAFFIC, watching);
        }
    }

    /// Wakes whoever waits for outcomes of a run.
    fn notify(&mut self, place: u32) {
        if self.leader == Some(place) {
            self.leader_wake.raise();
        }
        if let Some(run) = self.run_mut(place)
            && run.waiting
        {
            run.waiting = false;
            run.raise();
        }
    }
}

impl Member {
    fn info(&self) -> WorkerInfo {
        WorkerInfo {
            index: self.index,
            pid: self.pid,
            busy: self.live > 0,
            tasks: self.tasks,
            rss: self.rss,
        }
    }

    fn is_ready(&self) -> bool {
        self.phase == Phase::Ready && !self.silent && self.killed.is_none()
    }
}
