//! A worker, as its supervisor sees it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use super::runs::{Queued, RunState};
use crate::channel::Outgoing;
use crate::fork::Guarded;
use crate::outbox::Outbox;
use crate::outcome::Ended;
use crate::payload::{Buffer, Defined, Payload};
use crate::segment::{Arena, Mappings};
use crate::slots::Slots;
use crate::wire;
use crate::worker::region;

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    /// It gets no more tasks and is to end.
    Leaving,
}

/// Why a worker was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Killed {
    /// The task of this sequence took so long.
    TimedOut(u64, Duration),
    /// It ran a task that nobody wants any more, or broke the protocol between tasks.
    Unwanted,
}

/// A task that is with a worker.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) queued: Queued,
    /// Its run's place.
    pub(super) run: u32,
}

/// A worker.
pub(super) struct Member {
    /// By what the arena knows it; never used again.
    pub(super) peer: u64,
    pub(super) index: u32,
    /// 0 if not known yet.
    pub(super) pid: i32,
    pub(super) child: Option<Child>,
    pub(super) watched: Option<OwnedFd>,
    /// Whether the zygote that would say how it ends is gone.
    pub(super) orphaned: bool,
    pub(super) phase: Phase,
    pub(super) killed: Option<Killed>,
    pub(super) ended: Option<(Ended, u64)>,
    /// Whether nothing more comes from its socket.
    pub(super) silent: bool,
    pub(super) socket: Guarded,
    pub(super) out: Outgoing,
    /// Whether it is waited for room in its socket.
    pub(super) blocked: bool,
    pub(super) partial: Vec<u8>,
    pub(super) fds: VecDeque<OwnedFd>,
    pub(super) slots: Slots,
    pub(super) outbox: Outbox,
    pub(super) mappings: Mappings,
    /// What it has, in order; `None` was answered or revoked.
    window: VecDeque<Option<Flight>>,
    /// The sequence of the window's first.
    first: u64,
    pub(super) live: usize,
    /// How many of these were written since it was sent something.
    pub(super) unsent: usize,
    /// How many tasks it has of which run's place.
    shares: Vec<(u32, usize)>,
    /// The runs that it was told of.
    runs: HashSet<u32>,
    /// The definitions that it was told of, and of which run they are.
    definitions: HashMap<u32, u32>,
    pub(super) tasks: u64,
    pub(super) rss: u64,
    pub(super) idle_since_ns: u64,
}

/// What a member is made of.
pub(super) struct Parts {
    pub(super) socket: Guarded,
    pub(super) slots: Slots,
    pub(super) outbox: Outbox,
    pub(super) mappings: Mappings,
    pub(super) out: Outgoing,
}

impl Member {
    pub(super) fn new(peer: u64, index: u32, parts: Parts) -> Self {
        Self {
            peer,
            index,
            pid: 0,
            child: None,
            watched: None,
            orphaned: false,
            phase: Phase::Starting,
            killed: None,
            ended: None,
            silent: false,
            socket: parts.socket,
            out: parts.out,
            blocked: false,
            partial: Vec::new(),
            fds: VecDeque::new(),
            slots: parts.slots,
            outbox: parts.outbox,
            mappings: parts.mappings,
            window: VecDeque::new(),
            first: 1,
            live: 0,
            unsent: 0,
            shares: Vec::new(),
            runs: HashSet::new(),
            definitions: HashMap::new(),
            tasks: 0,
            rss: 0,
            idle_since_ns: 0,
        }
    }

    /// How many tasks of a run it has.
    pub(super) fn share(&self, place: u32) -> usize {
        self.shares
            .iter()
            .find(|(run, _)| *run == place)
            .map_or(0, |(_, count)| *count)
    }

    /// Whether one more task can be in its window.
    pub(super) fn has_slot(&self) -> bool {
        self.window.len() < Slots::COUNT
    }

    /// The sequence of the task that it runs or will run next, and its run's place.
    pub(super) fn front(&self) -> Option<(u64, u32)> {
        let flight = self.window.front()?.as_ref()?;
        Some((self.first, flight.run))
    }

    /// Writes a task, which is sent with the next flush.
    pub(super) fn give(&mut self, place: u32, run: &mut RunState, queued: Queued, arena: &Arena) {
        if self.runs.insert(run.wire) {
            let regions = self.lend(&run.context, arena);
            wire::begin(self.out.bytes(), run.wire, &regions, &run.context.bytes);
        }
        let task = &queued.task;
        let definition = match &task.definition {
            Some(definition) => self.tell(&definition.0, arena),
            None => 0,
        };
        let regions = self.lend(&task.payload, arena);
        let sequence = self.first + self.window.len() as u64;
        self.slots.queue(sequence);
        let bytes = &task.payload.bytes;
        wire::task(
            self.out.bytes(),
            sequence,
            run.wire,
            definition,
            &regions,
            bytes,
        );
        self.window.push_back(Some(Flight { queued, run: place }));
        self.live += 1;
        self.unsent += 1;
        run.in_flight += 1;
        if let Some((_, count)) = self.shares.iter_mut().find(|(run, _)| *run == place) {
            *count += 1;
        } else {
            self.shares.push((place, 1));
            run.serving += 1;
        }
    }

    fn tell(&mut self, defined: &Defined, arena: &Arena) -> u32 {
        if self.definitions.insert(defined.id, defined.run).is_none() {
            let regions = self.lend(&defined.payload, arena);
            let bytes = &defined.payload.bytes;
            wire::define(self.out.bytes(), defined.run, defined.id, &regions, bytes);
        }
        defined.id
    }

    fn lend(&mut self, payload: &Payload, arena: &Arena) -> Vec<wire::Region> {
        let mut regions = Vec::new();
        for Buffer::Shared(shared) in &payload.buffers {
            let lent = arena.lend(self.peer, shared);
            regions.push(region(&mut self.out, lent));
        }
        regions
    }

    /// Takes a task out of the window, if it is there.
    pub(super) fn remove(
        &mut self,
        sequence: u64,
        runs: &mut [Option<RunState>],
    ) -> Option<Flight> {
        let place = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let flight = self.window.get_mut(place)?.take()?;
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
        self.live -= 1;
        if let Some(at) = self.shares.iter().position(|(run, _)| *run == flight.run) {
            self.shares[at].1 -= 1;
            let was_last = self.shares[at].1 == 0;
            if was_last {
                self.shares.swap_remove(at);
            }
            if let Some(Some(run)) = runs.get_mut(flight.run as usize) {
                run.in_flight -= 1;
                run.serving -= usize::from(was_last);
            }
        }
        Some(flight)
    }

    /// Takes back the last tasks that the worker has not begun, of which `wanted` says yes, `most` at most: in the
    /// order in which they were given.
    pub(super) fn revoke(
        &mut self,
        most: usize,
        runs: &mut [Option<RunState>],
        wanted: impl Fn(&Flight) -> bool,
    ) -> Vec<Flight> {
        let mut back = Vec::new();
        for place in (0..self.window.len()).rev() {
            if back.len() == most {
                break;
            }
            let Some(Some(flight)) = self.window.get(place) else {
                continue;
            };
            if !wanted(flight) {
                continue;
            }
            let sequence = self.first + place as u64;
            if !self.slots.revoke(sequence) {
                // Those before it were begun as well.
                break;
            }
            back.push(sequence);
        }
        let mut flights: Vec<_> = back
            .into_iter()
            .filter_map(|sequence| self.remove(sequence, runs))
            .collect();
        flights.reverse();
        // What was revoked last is gone from the end of the window as well: it keeps its numbers.
        flights
    }

    /// All sequences that are not answered, in order.
    pub(super) fn sequences(&self) -> Vec<u64> {
        (self.first..)
            .zip(&self.window)
            .filter(|(_, flight)| flight.is_some())
            .map(|(sequence, _)| sequence)
            .collect()
    }

    /// A task that it has.
    pub(super) fn flight(&self, sequence: u64) -> Option<&Flight> {
        let place = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.window.get(place)?.as_ref()
    }

    /// The worker is to forget a run.
    pub(super) fn end(&mut self, wire: u32) -> bool {
        let knew = self.runs.remove(&wire);
        if knew {
            self.definitions.retain(|_, run| *run != wire);
            wire::end(self.out.bytes(), wire);
        }
        knew
    }

    /// The worker is to forget a definition.
    pub(super) fn forget(&mut self, wire: u32, id: u32) -> bool {
        let knew = self.definitions.remove(&id).is_some();
        if knew {
            wire::forget(self.out.bytes(), wire, id);
        }
        knew
    }

    /// Sends what it can; whether the socket is full.
    pub(super) fn flush(&mut self) -> bool {
        if self.silent {
            return false;
        }
        self.unsent = 0;
        // An error is noticed by whoever reads next.
        matches!(self.out.flush(self.socket.as_fd(), true), Ok(false))
    }
}
