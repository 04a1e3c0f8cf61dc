//! What a worker does until its supervisor wants it no more.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::memory::Memory;
use super::{Handler, Out, Parcel, SUPERVISOR};
use crate::channel::{Outgoing, Received, receive};
use crate::clock::now_ns;
use crate::error::Error;
use crate::outbox::Outbox;
use crate::process;
use crate::segment::{Arena, Mapped, Mappings};
use crate::slots::Slots;
use crate::spin::{SHORT_NS, Waits, spin};
use crate::wire::{self, Cargo, Frame};

/// What is read at once.
const CHUNK: usize = 128 << 10;

/// Serves the supervisor at the other end of `socket`, until it wants this worker no more.
///
/// When the supervisor is gone, this process is killed, and all that tasks have started: nobody else would end that.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Protocol`] if the socket or what comes over it is of no use.
pub fn serve(socket: OwnedFd, handler: &mut dyn Handler) -> Result<(), Error> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};

    let dismissed = match serve_until_the_end(socket, handler) {
        // The supervisor went away while it was written to, or with answers that it had not read.
        Err(Error::Io { source, .. }) if matches!(source.kind(), BrokenPipe | ConnectionReset) => {
            false
        }
        result => result?,
    };
    if !dismissed {
        process::end_group();
    }
    Ok(())
}

/// Whether the supervisor wants this worker no more; else it is gone.
fn serve_until_the_end(socket: OwnedFd, handler: &mut dyn Handler) -> Result<bool, Error> {
    process::settle_worker();
    let mut input = Input::new();
    let Some((memory_limit, slots, outbox)) = welcomed(&socket, &mut input, handler)? else {
        return Ok(false);
    };
    let returned = Arc::new(AtomicBool::new(false));
    let on_return = Arc::clone(&returned);
    let mut worker = Worker {
        slots,
        memory: Memory::new(memory_limit).map_err(Error::io("cannot limit the memory"))?,
        mappings: Mappings::new(
            false,
            Arc::new(move || on_return.store(true, Ordering::Release)),
        ),
        returned,
        now_ns: 0,
        out: Out {
            socket,
            outgoing: Outgoing::default(),
            outbox,
            arena: Arena::new(),
            sequence: 0,
            sent_ns: 0,
            frame: Vec::new(),
        },
    };
    wire::ready(worker.out.outgoing.bytes());
    loop {
        while let Some((frame, length)) = wire::parse(
            input
                .bytes
                .get(input.read..input.filled)
                .unwrap_or_default(),
        )? {
            if !worker.does(frame, &mut input.fds, handler)? {
                worker.out.flush()?;
                return Ok(true);
            }
            input.read += length;
        }
        worker.tell_what_is_done_with();
        worker.out.flush()?;
        worker.now_ns = 0;
        if !worker.more(&mut input, handler)? {
            return Ok(false);
        }
    }
}

/// Waits for the first frame.
fn welcomed(
    socket: &OwnedFd,
    input: &mut Input,
    handler: &mut dyn Handler,
) -> Result<Option<(u64, Slots, Outbox)>, Error> {
    loop {
        if let Some(length) = input.next()? {
            let Some((Frame::Welcome { memory_limit }, _)) = wire::parse(input.unread())? else {
                return Err(Error::Protocol("no welcome"));
            };
            input.read += length;
            let mut fd = || input.fds.pop_front().ok_or(Error::Protocol("no welcome"));
            let (slots, outbox) = (Slots::open(&fd()?)?, Outbox::open(&fd()?)?);
            return Ok(Some((memory_limit, slots, outbox)));
        }
        if !input.fill(socket, None, handler)? {
            return Ok(None);
        }
    }
}

/// What was received and not yet read.
struct Input {
    bytes: Vec<u8>,
    read: usize,
    filled: usize,
    fds: VecDeque<OwnedFd>,
    waits: Waits,
}

impl Input {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            read: 0,
            filled: 0,
            fds: VecDeque::new(),
            waits: Waits::new(),
        }
    }

    fn unread(&self) -> &[u8] {
        self.bytes.get(self.read..self.filled).unwrap_or_default()
    }

    /// How long the next frame is, if it is there.
    fn next(&self) -> Result<Option<usize>, Error> {
        Ok(wire::parse(self.unread())?.map(|(_, length)| length))
    }

    /// Waits for more. `false`: the supervisor is gone.
    fn fill(
        &mut self,
        socket: &OwnedFd,
        at_most: Option<Duration>,
        handler: &mut dyn Handler,
    ) -> Result<bool, Error> {
        self.bytes.copy_within(self.read..self.filled, 0);
        self.filled -= self.read;
        self.read = 0;
        // A large frame is read with few calls, and the room for it grows as it comes.
        let wanted = wire::length(self.unread()).map_or(0, |length| length - self.filled);
        let room = wanted.clamp(CHUNK, (self.filled * 2).max(CHUNK));
        if self.bytes.len() < self.filled + room {
            self.bytes.resize(self.filled + room, 0);
        } else if self.bytes.len() > 16 * CHUNK && wanted < CHUNK {
            self.bytes.truncate(self.filled + CHUNK);
            self.bytes.shrink_to_fit();
        }
        let mut came = Ok(Received::Nothing);
        let begun_ns = now_ns();
        handler.wait(&mut || came = self.block(socket, at_most));
        self.waits.note(now_ns().saturating_sub(begun_ns));
        match came {
            Ok(Received::Bytes(count)) => {
                self.filled += count;
                Ok(true)
            }
            Ok(Received::Nothing) | Err(Errno::INTR) => Ok(true),
            Ok(Received::End) => Ok(false),
            Err(error) => Err(Error::io("cannot read from the supervisor")(error)),
        }
    }

    fn block(&mut self, socket: &OwnedFd, at_most: Option<Duration>) -> Result<Received, Errno> {
        if self.waits.are_short() {
            let came = spin(SHORT_NS, || {
                let into = self.bytes.get_mut(self.filled..).unwrap_or_default();
                match receive(socket.as_fd(), into, &mut self.fds, true) {
                    Ok(Received::Nothing) => None,
                    came => Some(came),
                }
            });
            if let Some(came) = came {
                return came;
            }
        }
        if let Some(at_most) = at_most {
            let timeout = Timespec::try_from(at_most).ok();
            let mut fds = [PollFd::new(socket, PollFlags::IN)];
            if poll(&mut fds, timeout.as_ref())? == 0 {
                return Ok(Received::Nothing);
            }
        }
        let into = self.bytes.get_mut(self.filled..).unwrap_or_default();
        receive(socket.as_fd(), into, &mut self.fds, false)
    }
}

struct Worker {
    slots: Slots,
    memory: Memory,
    mappings: Mappings,
    /// Whether mappings were dropped that the supervisor does not know of.
    returned: Arc<AtomicBool>,
    /// When the last task ended, if no wait came between.
    now_ns: u64,
    out: Out,
}

impl Worker {
    fn more(&mut self, input: &mut Input, handler: &mut dyn Handler) -> Result<bool, Error> {
        let at_most = self.out.arena.tidy();
        input.fill(&self.out.socket, at_most, handler)
    }

    /// Does what a frame says. `false`: the supervisor wants this worker no more.
    fn does(
        &mut self,
        frame: Frame<'_>,
        fds: &mut VecDeque<OwnedFd>,
        handler: &mut dyn Handler,
    ) -> Result<bool, Error> {
        match frame {
            Frame::Begin(run, cargo) => handler.begin(run, self.parcel(cargo, fds)?),
            Frame::Define(run, id, cargo) => handler.define(run, id, self.parcel(cargo, fds)?),
            Frame::Forget(run, id) => handler.forget(run, id),
            Frame::End(run) => handler.end(run),
            Frame::Task(sequence, run, definition, cargo) => {
                let parcel = self.parcel(cargo, fds)?;
                self.task(sequence, run, definition, parcel, handler)?;
            }
            Frame::Stop => return Ok(false),
            Frame::Returned(regions) => {
                for region in wire::numbers(regions) {
                    self.out.arena.returned(SUPERVISOR, region);
                }
            }
            Frame::Dropped(segments) => {
                for segment in wire::numbers(segments) {
                    self.mappings.drop_segment(segment);
                }
            }
            Frame::Welcome { .. } | Frame::Ready | Frame::Answer(..) | Frame::Output(..) => {
                return Err(Error::Protocol("a frame that no supervisor sends"));
            }
        }
        Ok(true)
    }

    fn task(
        &mut self,
        sequence: u64,
        run: u32,
        definition: u32,
        parcel: Parcel<'_>,
        handler: &mut dyn Handler,
    ) -> Result<(), Error> {
        let started_ns = if self.now_ns == 0 {
            now_ns()
        } else {
            self.now_ns
        };
        if self.slots.take(sequence, started_ns) {
            self.out.sequence = sequence;
            let definition = (definition != 0).then_some(definition);
            let answer = handler.call(run, definition, parcel, &mut self.out);
            let ended_ns = now_ns();
            self.now_ns = ended_ns;
            let ending = wire::Ending {
                sequence,
                started_ns,
                ended_ns,
                rss: self.memory.resident(ended_ns),
                failed: answer.failed,
            };
            self.out.answer(ending, &answer.payload)?;
            if self.returned.load(Ordering::Relaxed) {
                self.tell_what_is_done_with();
            }
        }
        self.slots.pass(sequence + 1);
        Ok(())
    }

    fn parcel<'a>(
        &self,
        cargo: Cargo<'a>,
        fds: &mut VecDeque<OwnedFd>,
    ) -> Result<Parcel<'a>, Error> {
        Ok(Parcel {
            bytes: cargo.bytes,
            buffers: map(&self.mappings, cargo.regions, fds)?,
        })
    }

    /// With the next frames that are sent.
    fn tell_what_is_done_with(&mut self) {
        if self.returned.swap(false, Ordering::AcqRel) {
            let regions = self.mappings.take_returned();
            if !regions.is_empty() {
                wire::returned(self.out.outgoing.bytes(), &regions);
            }
        }
        let dropped = self.out.arena.dropped(SUPERVISOR);
        if !dropped.is_empty() {
            wire::dropped(self.out.outgoing.bytes(), &dropped);
        }
    }
}

/// Maps the regions of a frame.
pub(crate) fn map(
    mappings: &Mappings,
    regions: wire::Regions<'_>,
    fds: &mut VecDeque<OwnedFd>,
) -> Result<Vec<Mapped>, Error> {
    if regions.is_empty() {
        return Ok(Vec::new());
    }
    let map = |region: wire::Region| -> io::Result<Mapped> {
        if region.with_fd {
            let fd = fds.pop_front().ok_or(io::ErrorKind::InvalidData)?;
            mappings.attach(region.segment, region.size, fd)?;
        }
        mappings.map(region.segment, region.offset, region.len, region.number)
    };
    Ok(regions.iter().map(map).collect::<Result<_, _>>()?)
}
