//! The helper that is forked for each worker.
//!
//! The supervisor says which worker is wanted and sends its socket. The zygote forks, says which process it is, and
//! later how it ended. When the supervisor is gone, all workers are killed, with all that they started.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::channel::{Outgoing, Received, receive};
use crate::error::Error;
use crate::outcome::Ended;
use crate::process;

/// What is said, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A worker is wanted; its socket comes with it.
    Start { index: u32 },
    /// It is this process, or 0 if it could not be forked.
    Started { index: u32, pid: i32 },
    /// A process ended.
    Exited { pid: i32, status: Ended, rss: u64 },
}

impl Message {
    pub(crate) const SIZE: usize = 24;

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        let (kind, index, pid, status, rss) = match self {
            Self::Start { index } => (1, index, 0, 0, 0),
            Self::Started { index, pid } => (2, index, pid, 0, 0),
            Self::Exited {
                pid,
                status: Ended::Exit(code),
                rss,
            } => (3, 0, pid, code, rss),
            Self::Exited {
                pid,
                status: Ended::Signal(signal),
                rss,
            } => (4, 0, pid, signal, rss),
        };
        out.extend_from_slice(&u32::to_le_bytes(kind));
        out.extend_from_slice(&u32::to_le_bytes(index));
        out.extend_from_slice(&i32::to_le_bytes(pid));
        out.extend_from_slice(&i32::to_le_bytes(status));
        out.extend_from_slice(&u64::to_le_bytes(rss));
    }

    pub(crate) fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, Error> {
        let word = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap_or_default();
        let index = u32::from_le_bytes(word(4));
        let pid = i32::from_le_bytes(word(8));
        let status = i32::from_le_bytes(word(12));
        let (low, high) = (u32::from_le_bytes(word(16)), u32::from_le_bytes(word(20)));
        let rss = u64::from(high) << 32 | u64::from(low);
        Ok(match u32::from_le_bytes(word(0)) {
            1 => Self::Start { index },
            2 => Self::Started { index, pid },
            3 => Self::Exited {
                pid,
                status: Ended::Exit(status),
                rss,
            },
            4 => Self::Exited {
                pid,
                status: Ended::Signal(status),
                rss,
            },
            _ => return Err(Error::Protocol("an unknown message of a zygote")),
        })
    }
}

/// The messages that came so far, the last of which may be half one.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: VecDeque<u8>,
    pub(crate) fds: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Receives some. `false`: the other end is gone.
    pub(crate) fn fill(&mut self, socket: &OwnedFd) -> Result<bool, Error> {
        let mut buffer = [0; 16 * Message::SIZE];
        match receive(socket.as_fd(), &mut buffer, &mut self.fds, true) {
            Ok(Received::Bytes(count)) => {
                self.bytes.extend(buffer.get(..count).unwrap_or_default());
                Ok(true)
            }
            Ok(Received::Nothing) | Err(rustix::io::Errno::INTR) => Ok(true),
            Ok(Received::End) => Ok(false),
            Err(error) => Err(Error::io("cannot read from the other end of a zygote")(
                error,
            )),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Message>, Error> {
        if self.bytes.len() < Message::SIZE {
            return Ok(None);
        }
        let mut message = [0; Message::SIZE];
        for (to, from) in message.iter_mut().zip(self.bytes.drain(..Message::SIZE)) {
            *to = from;
        }
        Message::parse(&message).map(Some)
    }
}

/// The zygote's side: the program calls it, and forks by itself.
#[derive(Debug)]
pub struct Server(Mutex<Option<Serving>>);

/// A worker is wanted.
#[derive(Debug)]
pub struct Request {
    /// Its index, for `RETAIN_WORKER`.
    pub index: u32,
    /// What the child serves.
    pub socket: OwnedFd,
}

#[derive(Debug)]
struct Serving {
    socket: OwnedFd,
    /// The process that made the pool: its socket may have been inherited by others, and does not tell.
    supervisor: OwnedFd,
    inbox: Inbox,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    pid: i32,
    watched: OwnedFd,
}

impl Server {
    /// Serves the supervisor at the other end of `socket`: see
    /// [`take_inherited_socket`](super::take_inherited_socket).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the process that made the pool cannot be watched.
    pub fn new(socket: OwnedFd) -> Result<Self, Error> {
        process::settle();
        let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let supervisor =
            process::watch(parent).map_err(Error::io("cannot watch the process of the pool"))?;
        Ok(Self(Mutex::new(Some(Serving {
            socket,
            supervisor,
            inbox: Inbox::default(),
            children: Vec::new(),
        }))))
    }

    fn serving(&self) -> MutexGuard<'_, Option<Serving>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a worker is wanted, and meanwhile sees to those that end. `None`: all workers were killed, and the
    /// zygote is to exit. In the child of the fork, call [`Server::forked`] and then
    /// [`worker::serve`](crate::worker::serve).
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] or [`Error::Io`], after all workers were killed.
    pub fn wait(&self) -> Result<Option<Request>, Error> {
        let mut serving = self.serving();
        let Some(serving) = serving.as_mut() else {
            return Ok(None);
        };
        let request = serving.wait();
        if !matches!(request, Ok(Some(_))) {
            serving.end();
        }
        request
    }

    /// Says that the child for a request is `pid`, or 0 if the fork failed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the child cannot be watched.
    pub fn started(&self, index: u32, pid: i32) -> Result<(), Error> {
        let mut serving = self.serving();
        let Some(serving) = serving.as_mut() else {
            return Ok(());
        };
        if pid > 0 {
            let watched =
                process::watch(pid).map_err(Error::io("cannot watch the process of a worker"))?;
            serving.children.push(Child { pid, watched });
        }
        serving.say(Message::Started { index, pid })
    }

    /// In the child of the fork: lets go of what belongs to the zygote.
    pub fn forked(&self) {
        *self.serving() = None;
    }
}

impl Serving {
    fn wait(&mut self) -> Result<Option<Request>, Error> {
        loop {
            if let Some(message) = self.inbox.next()? {
                let Message::Start { index } = message else {
                    return Err(Error::Protocol("a message that no supervisor sends"));
                };
                let socket = self.inbox.fds.pop_front();
                let socket = socket.ok_or(Error::Protocol("a worker without a socket"))?;
                return Ok(Some(Request { index, socket }));
            }
            let mut fds = vec![&self.socket, &self.supervisor];
            fds.extend(self.children.iter().map(|child| &child.watched));
            let ready = process::readable(&fds).map_err(Error::io("cannot wait"))?;
            let mut ready = ready.into_iter();
            let (came, orphaned) = (ready.next() == Some(true), ready.next() == Some(true));
            let mut ended = Vec::new();
            self.children.retain(|child| {
                let alive = ready.next() != Some(true);
                if !alive {
                    ended.push(child.pid);
                }
                alive
            });
            for pid in ended {
                self.bury(pid)?;
            }
            if orphaned || (came && !self.inbox.fill(&self.socket)?) {
                return Ok(None);
            }
        }
    }

    /// A child ended: so does what it started.
    fn bury(&self, pid: i32) -> Result<(), Error> {
        process::kill_tree(pid);
        let (status, rss) = process::reap(pid).unwrap_or((Ended::Signal(libc::SIGKILL), 0));
        self.say(Message::Exited { pid, status, rss })
    }

    fn say(&self, message: Message) -> Result<(), Error> {
        let mut out = Outgoing::default();
        message.put(out.bytes());
        match out.flush(self.socket.as_fd(), false) {
            // If the supervisor is gone, that is heard next.
            Ok(_) | Err(rustix::io::Errno::PIPE) => Ok(()),
            Err(error) => Err(Error::io("cannot write to the supervisor")(error)),
        }
    }

    fn end(&mut self) {
        for child in &self.children {
            process::kill_tree(child.pid);
        }
        for child in self.children.drain(..) {
            let _ = process::reap(child.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for message in [
            Message::Start { index: 7 },
            Message::Started { index: 1, pid: 99 },
            Message::Exited {
                pid: 5,
                status: Ended::Signal(9),
                rss: 1 << 40 | 3,
            },
            Message::Exited {
                pid: 5,
                status: Ended::Exit(3),
                rss: 0,
            },
        ] {
            let mut out = Vec::new();
            message.put(&mut out);
            let bytes: [u8; Message::SIZE] = out.try_into().unwrap();
            assert_eq!(Message::parse(&bytes).unwrap(), message);
        }
    }
}
