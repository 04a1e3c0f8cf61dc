//! What workers say.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;

use super::member::{Member, Phase};
use super::{LEADER, LEASE_NS, State};
use crate::bytes::Bytes;
use crate::channel::{Received, receive};
use crate::clock::now_ns;
use crate::error::Error;
use crate::outcome::{Outcome, OutcomeKind, Reply};
use crate::poller::Ready;
use crate::wire::{self, Cargo, Ending, Frame};
use crate::worker::map;

/// Of the memory that a worker may have, so much makes it leave after a task.
const FULL: f64 = 0.8;

impl State {
    /// Reads what there is.
    pub(super) fn read_traffic(&mut self) {
        if let Ok(ready) = self.traffic.wait(Some(&Timespec::default())) {
            self.traffic(&ready);
        }
    }

    /// Reads from the workers that said something, and gives them more to do.
    pub(super) fn traffic(&mut self, events: &[Ready]) {
        let mut came = false;
        for event in events {
            if event.key == LEADER {
                // Seen by another thread, it is left to whoever leads, who may not have woken by it yet.
                if self.leader.is_none() {
                    self.leader_wake.clear();
                }
                continue;
            }
            let Ok(index) = usize::try_from(event.key) else {
                continue;
            };
            if event.writable {
                self.flush(index);
            }
            if event.readable {
                came = true;
                self.read(index);
            }
        }
        if came {
            self.came += 1;
            self.dispatch();
            // Of one task alone no answer is kept back.
            if self.members.iter().flatten().any(|member| member.live > 1) {
                self.look_by(now_ns() + LEASE_NS);
            }
        }
    }

    /// Sees to it that workers have what there is for them.
    pub(super) fn dispatch(&mut self) {
        self.fill();
        self.balance();
        self.flush_dirty();
    }

    /// Reads all that a worker has sent.
    pub(super) fn read(&mut self, index: usize) {
        let Some(mut member) = self.members.get_mut(index).and_then(Option::take) else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = self.read_all(&mut member, &mut scratch);
        self.scratch = scratch;
        self.members[index] = Some(member);
        if read.is_err() {
            self.lost(index);
        }
    }

    /// `Err`: nothing more will come from it.
    fn read_all(&mut self, member: &mut Member, scratch: &mut [u8]) -> Result<(), Error> {
        while !member.silent {
            match receive(member.socket.as_fd(), scratch, &mut member.fds, true) {
                Ok(Received::Bytes(count)) => {
                    let came = scratch.get(..count).unwrap_or_default();
                    self.frames(member, came)?;
                    if count < scratch.len() {
                        return Ok(());
                    }
                }
                Ok(Received::Nothing) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Ok(Received::End) | Err(_) => return Err(Error::Closed),
            }
        }
        Ok(())
    }

    fn frames(&mut self, member: &mut Member, came: &[u8]) -> Result<(), Error> {
        let mut fds = std::mem::take(&mut member.fds);
        if member.partial.is_empty() {
            let read = self.frames_of(member, came, &mut fds)?;
            let rest = came.get(read..).unwrap_or_default();
            member.partial.extend_from_slice(rest);
        } else {
            let mut bytes = std::mem::take(&mut member.partial);
            bytes.extend_from_slice(came);
            let read = self.frames_of(member, &bytes, &mut fds)?;
            bytes.drain(..read);
            bytes.shrink_to(1 << 20);
            member.partial = bytes;
        }
        member.fds = fds;
        Ok(())
    }

    /// Does what whole frames say, and says how long they are.
    fn frames_of(
        &mut self,
        member: &mut Member,
        bytes: &[u8],
        fds: &mut VecDeque<OwnedFd>,
    ) -> Result<usize, Error> {
        let mut read = 0;
        while let Some((frame, length)) = wire::parse(bytes.get(read..).unwrap_or_default())? {
            self.frame(member, frame, fds)?;
            read += length;
        }
        Ok(read)
    }

    fn frame(
        &mut self,
        member: &mut Member,
        frame: Frame<'_>,
        fds: &mut VecDeque<OwnedFd>,
    ) -> Result<(), Error> {
        match frame {
            Frame::Ready => {
                if member.phase == Phase::Starting {
                    member.phase = Phase::Ready;
                    member.idle_since_ns = now_ns();
                    self.failures = 0;
                    self.wake_by(member.idle_since_ns.saturating_add(self.idle_ns()));
                }
            }
            Frame::Answer(ending, cargo) => self.answer(member, ending, cargo, fds)?,
            Frame::Output(sequence, kind, bytes) => {
                let Some(flight) = member.flight(sequence) else {
                    return Ok(());
                };
                let (place, tag) = (flight.run, flight.queued.task.tag);
                let outcome = Outcome {
                    tag,
                    attempts: flight.queued.attempts + 1,
                    worker: member.index,
                    started_ns: member.slots.taken(sequence).unwrap_or(0),
                    ended_ns: 0,
                    kind: OutcomeKind::Output {
                        kind,
                        bytes: Bytes::copy_from(bytes),
                    },
                };
                self.push(place, outcome);
            }
            Frame::Returned(regions) => {
                for region in wire::numbers(regions) {
                    self.arena.returned(member.peer, region);
                }
            }
            Frame::Dropped(segments) => {
                for segment in wire::numbers(segments) {
                    member.mappings.drop_segment(segment);
                }
            }
            Frame::Welcome { .. }
            | Frame::Begin(..)
            | Frame::Define(..)
            | Frame::Forget(..)
            | Frame::End(_)
            | Frame::Task(..)
            | Frame::Stop => return Err(Error::Protocol("a frame that no worker sends")),
        }
        Ok(())
    }

    fn answer(
        &mut self,
        member: &mut Member,
        ending: Ending,
        cargo: Cargo<'_>,
        fds: &mut VecDeque<OwnedFd>,
    ) -> Result<(), Error> {
        let buffers = map(&member.mappings, cargo.regions, fds)?;
        // What was seen in the outbox comes again over the socket.
        let Some(mut flight) = member.remove(ending.sequence, &mut self.runs) else {
            return Ok(());
        };
        member.tasks += 1;
        if ending.rss != 0 {
            member.rss = ending.rss;
        }
        flight.queued.attempts += 1;
        let reply = Reply {
            bytes: Bytes::copy_from(cargo.bytes),
            buffers,
        };
        let outcome = Outcome {
            tag: flight.queued.task.tag,
            attempts: flight.queued.attempts,
            worker: member.index,
            started_ns: ending.started_ns,
            ended_ns: ending.ended_ns,
            kind: if ending.failed {
                OutcomeKind::Failed(reply)
            } else {
                OutcomeKind::Done(reply)
            },
        };
        let place = flight.run;
        if let Some(run) = self.run_mut(place) {
            run.measured(ending.ended_ns.saturating_sub(ending.started_ns));
            if ending.failed {
                self.queued += usize::from(run.failed(flight.queued, outcome));
            } else {
                run.push(outcome);
            }
            self.notify(place);
            self.forget_run(place);
        }
        if member.live == 0 {
            member.idle_since_ns = ending.ended_ns;
            self.wake_by(now_ns().saturating_add(self.idle_ns()));
        }
        self.dismiss_if_full(member);
        Ok(())
    }

    fn push(&mut self, place: u32, outcome: Outcome) {
        if let Some(run) = self.run_mut(place) {
            run.push(outcome);
            self.notify(place);
        }
    }

    pub(super) fn idle_ns(&self) -> u64 {
        u64::try_from(self.idle.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A worker with too much memory gets no more tasks.
    #[expect(clippy::cast_precision_loss, reason = "a share of some gigabytes")]
    fn dismiss_if_full(&mut self, member: &mut Member) {
        let full = self.memory_limit != 0 && member.rss as f64 > self.memory_limit as f64 * FULL;
        if full && member.phase == Phase::Ready {
            self.dismiss(member);
        }
    }

    /// A worker is to end when it has done what it has begun.
    pub(super) fn dismiss(&mut self, member: &mut Member) {
        member.phase = Phase::Leaving;
        member.idle_since_ns = now_ns();
        let flights = member.revoke(usize::MAX, &mut self.runs, |_| true);
        self.requeue(flights);
        wire::stop(member.out.bytes());
        self.touch(member.index as usize);
    }

    /// Takes the answers that a worker has not sent yet.
    pub(super) fn look(&mut self, index: usize) {
        let Some(Some(member)) = self.members.get(index) else {
            return;
        };
        let frames = member.outbox.look();
        if frames.is_empty() {
            return;
        }
        // What these tasks said was sent before their answers lay there, and comes first.
        self.read(index);
        let Some(mut member) = self.members.get_mut(index).and_then(Option::take) else {
            return;
        };
        let read = self.frames_of(&mut member, &frames, &mut VecDeque::new());
        self.members[index] = Some(member);
        if read.is_err() {
            self.lost(index);
        }
    }
}
