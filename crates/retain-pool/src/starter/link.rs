//! The supervisor's side of the starters.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;

use super::spawn::spawn;
use super::zygote::{Inbox, Message};
use crate::channel::{Outgoing, pair};
use crate::error::Error;
use crate::fork::Guarded;
use crate::process;
use crate::settings::{Command, Starter};

/// A running zygote.
#[derive(Debug)]
pub(crate) struct Link {
    child: Child,
    pub(crate) socket: Guarded,
    inbox: Inbox,
    out: Outgoing,
    /// Whether it was heard of.
    pub(crate) proven: bool,
}

impl Link {
    /// Starts the program.
    pub(crate) fn new(command: &Command) -> Result<Self, Error> {
        let (ours, theirs) = pair().map_err(Error::io("cannot make a pair of sockets"))?;
        Ok(Self {
            child: spawn(command, theirs, None)?,
            socket: Guarded::new(ours),
            inbox: Inbox::default(),
            out: Outgoing::default(),
            proven: false,
        })
    }

    /// Asks for a worker.
    pub(crate) fn start(&mut self, index: u32, socket: OwnedFd) -> Result<(), Error> {
        self.out.attach(Arc::new(socket));
        Message::Start { index }.put(self.out.bytes());
        // So few bytes fit always; if not, the zygote hangs.
        match self.out.flush(self.socket.as_fd(), true) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::io("cannot write to the zygote")(error)),
        }
    }

    /// What it says. `Err`: it is gone.
    pub(crate) fn hear(&mut self) -> Result<Vec<Message>, Error> {
        let alive = self.inbox.fill(&self.socket)?;
        let mut messages = Vec::new();
        while let Some(message) = self.inbox.next()? {
            messages.push(message);
        }
        self.proven |= !messages.is_empty();
        if alive || !messages.is_empty() {
            Ok(messages)
        } else {
            Err(Error::Start(String::new()))
        }
    }

    /// Ends it, and says how it ended. A zygote whose supervisor is gone ends by itself, after its workers.
    pub(crate) fn end(mut self) -> String {
        let pid = self.child.id();
        drop(self.socket);
        let watched = i32::try_from(pid)
            .ok()
            .and_then(|pid| process::watch(pid).ok());
        if let Some(watched) = watched {
            let patience = rustix::event::Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let mut fds = [rustix::event::PollFd::new(
                &watched,
                rustix::event::PollFlags::IN,
            )];
            let _ = rustix::event::poll(&mut fds, Some(&patience));
        }
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => error.to_string(),
        }
    }
}

/// Where workers come from.
#[derive(Debug)]
pub(crate) enum Source {
    Zygote(Command, Option<Link>),
    Spawn(Command),
}

impl Source {
    pub(crate) fn new(starter: Starter) -> Self {
        match starter {
            Starter::Zygote(command) => Self::Zygote(command, None),
            Starter::Spawn(command) => Self::Spawn(command),
        }
    }
}
