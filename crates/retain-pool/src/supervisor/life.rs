//! How workers begin and end.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::member::{Killed, Member, Parts, Phase};
use super::runs::RunState;
use super::{ALARM, LEASE_NS, State, TRAFFIC, WAKE, ZYGOTE};
use crate::channel::{Outgoing, pair};
use crate::clock::now_ns;
use crate::error::Error;
use crate::fork::{Generation, Guarded};
use crate::outbox::Outbox;
use crate::outcome::{Ended, Outcome, OutcomeKind};
use crate::poller::Ready;
use crate::process;
use crate::segment::Mappings;
use crate::slots::Slots;
use crate::starter::link::{Link, Source};
use crate::starter::spawn::spawn;
use crate::starter::zygote::Message;
use crate::wire;

/// So long a worker may take to leave.
const PATIENCE_NS: u64 = 5_000_000_000;

/// So many workers in a row may end before they serve.
const FAILURES: u32 = 5;

impl State {
    /// What came for the supervisor's thread.
    pub(super) fn control(&mut self, events: &[Ready]) {
        for event in events {
            match event.key {
                WAKE => self.wake.clear(),
                ALARM => self.alarm.clear(),
                TRAFFIC => self.read_traffic(),
                ZYGOTE => self.hear_zygote(),
                index => self.ended(usize::try_from(index).unwrap_or(usize::MAX)),
            }
        }
    }

    fn watch_control(&self, fd: impl AsFd, key: u64) {
        let _ = self.control.add(fd, key);
    }

    /// Watches a worker's socket, also for room if it is full.
    pub(super) fn watch_socket(&mut self, index: usize) {
        if let Some(Some(member)) = self.members.get(index) {
            let (socket, wait) = (&*member.socket, member.blocked);
            let _ = self.traffic.wait_for_room(socket, index as u64, wait);
        }
    }

    /// Sees to everything that is due, and says when to do so again.
    pub(super) fn upkeep(&mut self, now: u64) -> u64 {
        self.start_wanted();
        self.tell_what_is_gone();
        let mut next = u64::MAX;
        if self.look_at_ns != 0 && self.look_at_ns <= now {
            self.look_at_ns = 0;
            for index in 0..self.members.len() {
                if matches!(&self.members[index], Some(member) if member.live > 0) {
                    self.look(index);
                }
            }
            // A worker may have been held up between an answer and the place where it is seen. After some looks in vain
            // there is none.
            self.look_every_ns = if self.came == self.came_at_look {
                self.look_every_ns * 2
            } else {
                LEASE_NS
            };
            let keeps_back = self.members.iter().flatten().any(|member| member.live > 1);
            if keeps_back && self.look_every_ns <= 64 * LEASE_NS {
                self.look_at_ns = now + self.look_every_ns;
                self.came_at_look = self.came;
            }
        }
        self.dispatch();
        if self.look_at_ns != 0 {
            next = next.min(self.look_at_ns);
        }
        for index in 0..self.members.len() {
            next = next
                .min(self.overdue(index, now))
                .min(self.idle(index, now));
        }
        self.flush_dirty();
        if let Some(wait) = self.arena.tidy() {
            next = next.min(now.saturating_add(nanoseconds(wait)));
        }
        next
    }

    /// How many workers there should be now.
    fn needed(&self) -> usize {
        let tasks = |run: &RunState| (run.queue.len() + run.in_flight).min(run.width);
        let needed: usize = self.runs.iter().flatten().map(tasks).sum();
        needed.max(self.wanted).min(self.target)
    }

    fn start_wanted(&mut self) {
        if self.broken.is_some() {
            return;
        }
        while self.members.iter().flatten().count() < self.needed() {
            let index = self.members.iter().position(Option::is_none);
            let index = index.unwrap_or_else(|| {
                self.members.push(None);
                self.members.len() - 1
            });
            if let Err(error) = self.start(index) {
                self.failed_to_start(&error.to_string(), true);
                return;
            }
        }
        self.wanted = 0;
    }

    fn failed_to_start(&mut self, why: &str, for_good: bool) {
        self.failures += 1;
        if for_good || self.failures >= FAILURES {
            self.broken = Some(format!("no worker can be started: {why}"));
            self.wanted = 0;
            for place in 0..self.runs.len() {
                self.notify(u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
    }

    fn start(&mut self, index: usize) -> Result<(), Error> {
        let (ours, theirs) = pair().map_err(Error::io("cannot make a pair of sockets"))?;
        let (slots, slots_fd) = Slots::create()?;
        let (outbox, outbox_fd) = Outbox::create()?;
        let mut out = Outgoing::default();
        out.attach(Arc::new(slots_fd));
        out.attach(Arc::new(outbox_fd));
        wire::welcome(out.bytes(), self.memory_limit);
        let number = u32::try_from(index).map_err(|_| Error::TooLarge)?;
        let peer = self.next_peer;
        self.next_peer += 1;
        let parts = Parts {
            socket: Guarded::new(ours),
            slots,
            outbox,
            mappings: self.mappings(),
            out,
        };
        let mut member = Member::new(peer, number, parts);
        match &mut self.source {
            Source::Zygote(command, link) => {
                if link.is_none() {
                    let new = Link::new(command)?;
                    let watched = self.control.add(&*new.socket, ZYGOTE);
                    watched.map_err(Error::io("cannot watch the zygote"))?;
                    *link = Some(new);
                }
                if let Some(link) = link {
                    // If it is gone, that is heard next.
                    let _ = link.start(number, theirs);
                }
            }
            Source::Spawn(command) => {
                let child = spawn(command, theirs, Some(number))?;
                member.pid = i32::try_from(child.id()).unwrap_or(0);
                member.child = Some(child);
                self.watch_process(&mut member);
            }
        }
        let watched = self.traffic.add(&*member.socket, index as u64);
        watched.map_err(Error::io("cannot watch a worker"))?;
        self.members[index] = Some(member);
        self.flush(index);
        Ok(())
    }

    fn mappings(&self) -> Mappings {
        let (returned, wake) = (Arc::clone(&self.returned), Arc::clone(&self.wake));
        let generation = Generation::current();
        let on_return = move || {
            if generation.is_ours() && !returned.swap(true, Ordering::AcqRel) {
                wake.raise();
            }
        };
        Mappings::new(true, Arc::new(on_return))
    }

    fn watch_process(&self, member: &mut Member) {
        // It fails if the process is dead and reaped: then the zygote says so.
        member.watched = process::watch(member.pid).ok();
        if let Some(watched) = &member.watched {
            self.watch_control(watched, u64::from(member.index));
        }
    }

    fn hear_zygote(&mut self) {
        let Source::Zygote(_, Some(link)) = &mut self.source else {
            return;
        };
        match link.hear() {
            Ok(messages) => {
                for message in messages {
                    self.heard(message);
                }
            }
            Err(_) => self.zygote_died(),
        }
    }

    fn heard(&mut self, message: Message) {
        match message {
            Message::Start { .. } => {}
            Message::Started { index, pid } => {
                let index = index as usize;
                if let Some(mut member) = self.members.get_mut(index).and_then(Option::take) {
                    member.pid = pid;
                    if pid > 0 {
                        self.watch_process(&mut member);
                        if member.killed.is_some() {
                            // It was faster with its first task than the word of its start.
                            member.kill();
                        }
                    } else {
                        member.ended = Some((Ended::Exit(-1), 0));
                    }
                    self.members[index] = Some(member);
                    self.bury(index);
                }
            }
            Message::Exited { pid, status, rss } => {
                let index = self.members.iter().position(
                    |member| matches!(member, Some(member) if member.pid == pid && pid > 0),
                );
                if let Some(index) = index {
                    if let Some(member) = &mut self.members[index] {
                        member.ended = Some((status, rss));
                    }
                    self.bury(index);
                }
            }
        }
    }

    /// The zygote is dead, and with it its workers.
    fn zygote_died(&mut self) {
        let Source::Zygote(_, link) = &mut self.source else {
            return;
        };
        let Some(link) = link.take() else { return };
        let proven = link.proven;
        let how = link.end();
        for index in 0..self.members.len() {
            let Some(member) = &mut self.members[index] else {
                continue;
            };
            member.kill();
            member.orphaned = true;
            if member.watched.as_ref().is_none_or(process::has_ended) {
                member.ended = Some((Ended::Signal(libc::SIGKILL), 0));
                self.bury(index);
            }
        }
        if !proven {
            self.failed_to_start(&format!("the program did not serve: {how}"), false);
        }
    }

    /// A process ended.
    fn ended(&mut self, index: usize) {
        let Some(Some(member)) = self.members.get_mut(index) else {
            return;
        };
        if !member.watched.as_ref().is_some_and(process::has_ended) {
            return;
        }
        if member.child.is_some() {
            // What it started dies with it, while its number is still its own.
            process::kill_tree(member.pid);
            let ended = process::reap(member.pid);
            member.ended = Some(ended.unwrap_or((Ended::Signal(libc::SIGKILL), 0)));
            member.child = None;
        } else if member.orphaned {
            member.ended = Some((Ended::Signal(libc::SIGKILL), 0));
        } else {
            // The zygote says how.
            member.watched = None;
            return;
        }
        self.bury(index);
    }

    /// Nothing of use comes from a worker any more.
    pub(super) fn lost(&mut self, index: usize) {
        if let Some(Some(member)) = self.members.get_mut(index)
            && !member.silent
        {
            member.silent = true;
            self.traffic.remove(&*member.socket);
            if member.phase != Phase::Leaving {
                member.kill();
            }
            // It was dead before it could be watched.
            if member.child.is_some() && member.watched.is_none() {
                let ended = process::reap(member.pid);
                member.ended = Some(ended.unwrap_or((Ended::Signal(libc::SIGKILL), 0)));
                member.child = None;
                self.bury(index);
            }
        }
    }

    /// A worker is dead: only the task that it ran is lost.
    fn bury(&mut self, index: usize) {
        let ended = |member: &Option<Member>| member.as_ref().and_then(|member| member.ended);
        let Some((status, peak)) = self.members.get(index).and_then(ended) else {
            return;
        };
        self.read(index);
        self.look(index);
        let Some(mut member) = self.members[index].take() else {
            return;
        };
        if !member.silent {
            self.traffic.remove(&*member.socket);
        }
        let mut unbegun = Vec::new();
        for sequence in member.sequences() {
            let taken = !member.slots.revoke(sequence);
            let Some(flight) = member.remove(sequence, &mut self.runs) else {
                continue;
            };
            if taken {
                self.died_of(&member, sequence, flight, status, peak);
            } else {
                unbegun.push(flight);
            }
        }
        self.requeue(unbegun);
        self.arena.peer_gone(member.peer);
        self.dirty.retain(|dirty| *dirty != index);
        if member.phase == Phase::Starting {
            let how = match status {
                Ended::Exit(code) => format!("exit code {code}"),
                Ended::Signal(signal) => format!("signal {signal}"),
            };
            self.failed_to_start(
                &format!("{FAILURES} in a row ended before they served, the last with {how}"),
                false,
            );
        }
        for place in 0..self.runs.len() {
            self.forget_run(u32::try_from(place).unwrap_or(u32::MAX));
        }
        drop(member);
        self.start_wanted();
    }

    fn died_of(
        &mut self,
        member: &Member,
        sequence: u64,
        flight: super::member::Flight,
        status: Ended,
        peak: u64,
    ) {
        let mut queued = flight.queued;
        queued.attempts += 1;
        let kind = match member.killed {
            Some(Killed::TimedOut(late, after)) if late == sequence => {
                OutcomeKind::TimedOut { after }
            }
            _ => OutcomeKind::Died {
                pid: member.pid,
                status,
                rss: peak.max(member.rss),
            },
        };
        let outcome = Outcome {
            tag: queued.task.tag,
            attempts: queued.attempts,
            worker: member.index,
            started_ns: member.slots.taken(sequence).unwrap_or(0),
            ended_ns: now_ns(),
            kind,
        };
        if let Some(run) = self.run_mut(flight.run) {
            let again = run.failed(queued, outcome);
            self.queued += usize::from(again);
            self.notify(flight.run);
        }
    }

    /// Kills a worker whose task takes too long or is not wanted any more; when to look again.
    fn overdue(&mut self, index: usize, now: u64) -> u64 {
        let due = self.due(index, now);
        if due > now {
            return due;
        }
        // The task may have ended, and another begun.
        self.read(index);
        self.look(index);
        if self.due(index, now) > now {
            // The worker has room again, and the others may take some of what it has: that is seen to at once.
            return now;
        }
        let Some(Some(member)) = self.members.get_mut(index) else {
            return u64::MAX;
        };
        let front = member.front();
        let timeout = front
            .and_then(|(_, place)| self.runs.get(place as usize)?.as_ref())
            .filter(|run| !run.cancelled)
            .and_then(|run| run.timeout);
        member.killed = Some(match (front, timeout) {
            (Some((sequence, _)), Some(after)) => Killed::TimedOut(sequence, after),
            _ => Killed::Unwanted,
        });
        member.kill();
        u64::MAX
    }

    /// When a worker is to be killed, or looked at again.
    fn due(&self, index: usize, now: u64) -> u64 {
        let Some(Some(member)) = self.members.get(index) else {
            return u64::MAX;
        };
        let (Some((sequence, place)), None) = (member.front(), member.killed) else {
            return u64::MAX;
        };
        let Some(Some(run)) = self.runs.get(place as usize) else {
            return u64::MAX;
        };
        let begun = member.slots.taken(sequence);
        if run.cancelled {
            return run.kill_at_ns;
        }
        let timeout = |run: &RunState| run.timeout.map_or(u64::MAX, nanoseconds);
        let own = begun.unwrap_or(now).saturating_add(timeout(run));
        // What is behind it cannot begin before now.
        let others = self.runs.iter().flatten().map(timeout).min();
        own.min(others.map_or(u64::MAX, |least| now.saturating_add(least)))
    }

    /// Lets a worker go that had nothing to do for long; when to look again.
    fn idle(&mut self, index: usize, now: u64) -> u64 {
        let idle_ns = self.idle_ns();
        let Some(Some(member)) = self.members.get(index) else {
            return u64::MAX;
        };
        if member.phase == Phase::Starting || member.killed.is_some() {
            return u64::MAX;
        }
        if member.live > 0 {
            // Looked at again when it might be idle for so long: nobody need tell that its last task has ended.
            return now.saturating_add(idle_ns);
        }
        if member.phase == Phase::Leaving {
            let killed = member.idle_since_ns.saturating_add(PATIENCE_NS);
            if killed <= now {
                member.kill();
                return u64::MAX;
            }
            return killed;
        }
        let leaves = member.idle_since_ns.saturating_add(idle_ns);
        if leaves > now {
            return leaves;
        }
        if let Some(mut member) = self.members[index].take() {
            self.dismiss(&mut member);
            self.members[index] = Some(member);
        }
        now.saturating_add(PATIENCE_NS)
    }

    /// Tells workers which definitions, regions and segments they may let go of.
    fn tell_what_is_gone(&mut self) {
        let dropped = self.dropped.take();
        let returned = self.returned.swap(false, Ordering::AcqRel);
        for index in 0..self.members.len() {
            let Some(member) = &mut self.members[index] else {
                continue;
            };
            let mut told = false;
            for (run, id) in &dropped {
                told |= member.forget(*run, *id);
            }
            if returned {
                let regions = member.mappings.take_returned();
                if !regions.is_empty() {
                    wire::returned(member.out.bytes(), &regions);
                    told = true;
                }
            }
            let segments = self.arena.dropped(member.peer);
            if !segments.is_empty() {
                wire::dropped(member.out.bytes(), &segments);
                told = true;
            }
            if told {
                self.touch(index);
            }
        }
    }
}

impl Member {
    /// Kills it and what it started, unless it is dead: what comes of that is seen when it is.
    pub(super) fn kill(&self) {
        let dead = self.ended.is_some() || self.watched.as_ref().is_some_and(process::has_ended);
        if self.pid > 0 && !dead {
            process::kill_tree(self.pid);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
