//! Which worker gets which task.

use super::member::Phase;
use super::runs::Queued;
use super::{ENOUGH_TO_SEND, LEASE_NS, State};
use crate::clock::now_ns;
use crate::error::Error;

/// Tasks that take less together are not worth being taken from a worker that is about to run them.
const WORTH_STEALING_NS: f64 = 50_000.0;

/// Tasks that take less are sent to an idle worker some at once.
const TINY_NS: f64 = 50_000.0;

impl State {
    /// Hands a new task to the worker with the fewest, if it has room, else to the queue.
    pub(super) fn submit(&mut self, place: u32, queued: Queued) -> Result<(), Error> {
        let workers = self.target;
        let Some(Some(run)) = self.runs.get_mut(place as usize) else {
            return Err(Error::Closed);
        };
        if self.closing || run.cancelled {
            return Err(Error::Closed);
        }
        run.outstanding += 1;
        self.submitted += 1;
        let window = run.window(workers);
        let may_spread = run.serving < run.width;
        let best = if run.queue.is_empty() {
            self.members
                .iter()
                .enumerate()
                .filter_map(|(index, member)| {
                    let member = member.as_ref().filter(|member| member.is_ready())?;
                    let share = member.share(place);
                    let fits = share < window && member.has_slot() && (may_spread || share > 0);
                    fits.then_some((member.live, index))
                })
                .min()
        } else {
            None
        };
        let Some((_, index)) = best else {
            run.queue.push_back(queued);
            self.queued += 1;
            if self.members.iter().flatten().count() < self.target {
                self.wake_by(0);
            }
            return Ok(());
        };
        let mean_ns = run.mean_ns();
        self.give(index, place, queued);
        if self.is_to_be_sent(index, mean_ns) {
            self.flush(index);
        } else {
            self.touch(index);
        }
        Ok(())
    }

    /// Whether a worker is to be sent what was written for it at once, and not when the caller waits or the worker has
    /// said something.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn is_to_be_sent(&mut self, index: usize, mean_ns: f64) -> bool {
        let Some(Some(member)) = self.members.get(index) else {
            return false;
        };
        if member.out.len() >= ENOUGH_TO_SEND {
            return true;
        }
        let idle = member.unsent >= member.live;
        let (unsent, first) = (member.unsent, member.live == 1);
        if !idle {
            return false;
        }
        let is_tiny = mean_ns > 0.0 && mean_ns < TINY_NS;
        if !is_tiny {
            return first;
        }
        // To wake a worker takes longer than a tiny task: it gets some at once, or soon what there is.
        if first {
            self.wake_by(now_ns() + LEASE_NS);
        }
        unsent as f64 * mean_ns >= 2.0 * TINY_NS
    }

    /// Writes a task for a worker.
    fn give(&mut self, index: usize, place: u32, queued: Queued) {
        let (Some(Some(member)), Some(Some(run))) = (
            self.members.get_mut(index),
            self.runs.get_mut(place as usize),
        ) else {
            return;
        };
        member.give(place, run, queued, &self.arena);
        if let Some(timeout) = run.timeout {
            let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            let due = now_ns().saturating_add(timeout);
            self.wake_by(due);
        }
    }

    /// Remembers that a worker has frames that were not sent.
    pub(super) fn touch(&mut self, index: usize) {
        if !self.dirty.contains(&index) {
            self.dirty.push(index);
        }
    }

    /// Sends what was written for a worker.
    pub(super) fn flush(&mut self, index: usize) {
        if let Some(Some(member)) = self.members.get_mut(index) {
            let blocked = member.flush();
            if blocked != member.blocked && !member.silent {
                member.blocked = blocked;
                self.watch_socket(index);
            }
        }
    }

    pub(super) fn flush_dirty(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.flush(index);
        }
    }

    /// Gives tasks to all workers that have room, each run in its turn.
    pub(super) fn fill(&mut self) {
        if self.queued > 0 {
            // Those with the least come first.
            let mut order: Vec<_> = self
                .members
                .iter()
                .enumerate()
                .filter_map(|(index, member)| {
                    let member = member.as_ref().filter(|member| member.is_ready())?;
                    Some((member.live, index))
                })
                .collect();
            order.sort_unstable();
            for (_, index) in order {
                self.fill_one(index);
            }
        }
    }

    fn fill_one(&mut self, index: usize) {
        let count = self.runs.len();
        for step in 0..count {
            if self.queued == 0 {
                return;
            }
            let place = (self.turn + step) % count;
            let (Some(Some(run)), Some(Some(member))) =
                (self.runs.get(place), self.members.get(index))
            else {
                continue;
            };
            let slot = u32::try_from(place).unwrap_or(u32::MAX);
            let share = member.share(slot);
            let window = run.window(self.target);
            // A window is filled when half of it is done, so that many tasks go in one frame.
            if run.queue.is_empty()
                || (share > 0 && share * 2 > window)
                || (share == 0 && run.serving >= run.width)
            {
                continue;
            }
            let sharers = run.width.min(self.target).max(1);
            let most = (window - share).min(run.queue.len().div_ceil(sharers));
            for _ in 0..most {
                let has_slot =
                    matches!(self.members.get(index), Some(Some(member)) if member.has_slot());
                let next = match self.runs.get_mut(place) {
                    Some(Some(run)) if has_slot => run.queue.pop_front(),
                    _ => None,
                };
                let Some(queued) = next else { break };
                self.queued -= 1;
                self.give(index, slot, queued);
            }
            self.touch(index);
        }
        self.turn = self.turn.wrapping_add(1) % count.max(1);
    }

    /// Workers without tasks take the half of what another has not begun.
    pub(super) fn balance(&mut self) {
        if self.queued > 0 {
            return;
        }
        for thief in 0..self.members.len() {
            let idle = matches!(&self.members[thief], Some(member) if member.is_ready() && member.live == 0);
            if idle {
                self.steal(thief);
            }
        }
    }

    fn steal(&mut self, thief: usize) {
        let richest = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| {
                let member = member.as_ref()?;
                (member.live > 1).then_some((member.live, index))
            })
            .max();
        let Some((live, victim)) = richest else {
            return;
        };
        if !self.is_worth_stealing(victim, live - 1) {
            // It is looked at again soon: the task that runs may be a long one.
            self.look_by(now_ns() + LEASE_NS);
            return;
        }
        let Some(Some(member)) = self.members.get_mut(victim) else {
            return;
        };
        let spread: Vec<bool> = self
            .runs
            .iter()
            .map(|run| run.as_ref().is_some_and(|run| run.serving < run.width))
            .collect();
        let flights = member.revoke(live / 2, &mut self.runs, |flight| {
            spread.get(flight.run as usize) == Some(&true)
        });
        for flight in flights {
            self.give(thief, flight.run, flight.queued);
        }
        self.touch(thief);
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn is_worth_stealing(&self, victim: usize, tasks: usize) -> bool {
        let Some(Some(member)) = self.members.get(victim) else {
            return false;
        };
        let Some((sequence, place)) = member.front() else {
            return false;
        };
        if member.phase != Phase::Ready {
            return true;
        }
        let run = self.runs.get(place as usize).and_then(Option::as_ref);
        let mean_ns = run.map_or(0.0, super::runs::RunState::mean_ns);
        if mean_ns == 0.0 || tasks as f64 * mean_ns >= WORTH_STEALING_NS {
            return true;
        }
        let begun = member.slots.taken(sequence);
        begun.is_some_and(|begun| now_ns().saturating_sub(begun) >= LEASE_NS / 4)
    }

    /// Has the supervisor look at the workers, not later than that.
    pub(super) fn look_by(&mut self, at_ns: u64) {
        if self.look_at_ns == 0 {
            self.look_at_ns = at_ns;
            self.look_every_ns = LEASE_NS;
            self.came_at_look = self.came;
            self.wake_by(at_ns);
        }
    }

    /// Puts tasks back that their worker did not begin, before all others.
    pub(super) fn requeue(&mut self, flights: Vec<super::member::Flight>) {
        for flight in flights.into_iter().rev() {
            if let Some(run) = self.run_mut(flight.run)
                && !run.cancelled
            {
                run.queue.push_front(flight.queued);
                self.queued += 1;
            }
        }
    }

    /// Drops what is queued of a run, takes back what workers have not begun, and kills those that run one of its
    /// tasks: at once, or soon if its tasks are short.
    pub(super) fn cancel(&mut self, place: u32, close: bool) {
        let Some(Some(run)) = self.runs.get_mut(place as usize) else {
            return;
        };
        if !run.cancelled {
            self.queued -= run.queue.len();
            run.forget_all();
            let mean_ns = run.mean_ns();
            let grace_ns = if mean_ns > 0.0 && mean_ns < 10e6 {
                50_000_000
            } else {
                0
            };
            let kill_at_ns = now_ns() + grace_ns;
            run.kill_at_ns = kill_at_ns;
            for member in self.members.iter_mut().flatten() {
                if member.share(place) > 0 {
                    let every = usize::MAX;
                    member.revoke(every, &mut self.runs, |flight| flight.run == place);
                }
            }
            if self
                .members
                .iter()
                .flatten()
                .any(|member| member.share(place) > 0)
            {
                self.wake_by(if grace_ns == 0 { 0 } else { kill_at_ns });
            }
            self.notify(place);
        }
        if close {
            self.close_run(place);
        }
    }

    fn close_run(&mut self, place: u32) {
        let Some(run) = self.run_mut(place) else {
            return;
        };
        run.closed = true;
        let wire = run.wire;
        for index in 0..self.members.len() {
            if let Some(member) = &mut self.members[index]
                && member.end(wire)
            {
                self.touch(index);
            }
        }
        if !self.dirty.is_empty() {
            // Nothing hangs on it: it goes with what is sent next, or soon.
            self.wake_by(now_ns() + 10 * LEASE_NS);
        }
        self.forget_run(place);
    }

    /// Forgets a run of which nothing is left.
    pub(super) fn forget_run(&mut self, place: u32) {
        if let Some(entry) = self.runs.get_mut(place as usize)
            && entry
                .as_ref()
                .is_some_and(|run| run.closed && run.in_flight == 0)
        {
            *entry = None;
        }
    }
}
