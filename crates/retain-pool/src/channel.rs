//! One end of a stream socket: what is to be sent, and what was received.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// More are taken for an attack: a frame brings at most some.
const MOST_FDS: usize = 70_000;

/// A pair of sockets that no program inherits.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = SocketFlags::empty();
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    #[cfg(target_vendor = "apple")]
    for end in [&pair.0, &pair.1] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::net::sockopt::set_socket_nosigpipe(end, true)?;
    }
    Ok(pair)
}

/// Flags with which a write to an end that is gone is an error and no signal.
fn send_flags() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL;
    #[cfg(target_vendor = "apple")]
    SendFlags::empty()
}

/// What is to be sent. A file descriptor goes with the byte at which it was attached, so that it is there when the
/// frame that begins with this byte is.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: VecDeque<(usize, Arc<OwnedFd>)>,
}

impl Outgoing {
    /// Where frames are put.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Attaches a file descriptor to the frame that is put next.
    pub(crate) fn attach(&mut self, fd: Arc<OwnedFd>) {
        self.fds.push_back((self.bytes.len(), fd));
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what it can. `Ok(false)`: the socket is full, and was to be sent `without_waiting`.
    pub(crate) fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        without_waiting: bool,
    ) -> Result<bool, Errno> {
        let mut flags = send_flags();
        if without_waiting {
            flags |= SendFlags::DONTWAIT;
        }
        while self.sent < self.bytes.len() {
            match self.send_some(socket, flags) {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        // What was once a large frame is not kept.
        self.bytes.shrink_to(1 << 20);
        Ok(true)
    }

    fn send_some(&mut self, socket: BorrowedFd<'_>, flags: SendFlags) -> Result<(), Errno> {
        let due = self
            .fds
            .front()
            .filter(|(at, _)| *at == self.sent)
            .map(|(_, fd)| Arc::clone(fd));
        // The second descriptor attached at one byte goes with a byte of its own frame's head.
        let from = self.sent;
        let until = match (&due, self.fds.get(1)) {
            (Some(_), Some((next, _))) => (*next).max(from + 1),
            (None, _) => self.fds.front().map_or(self.bytes.len(), |(at, _)| *at),
            (Some(_), None) => self.bytes.len(),
        };
        let part = self.bytes.get(from..until).unwrap_or_default();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = due.as_ref().map(|fd| [fd.as_fd()]);
        if let Some(fds) = &fds {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let sent = sendmsg(socket, &[IoSlice::new(part)], &mut control, flags)?;
        self.sent += sent;
        if due.is_some() && sent > 0 {
            self.fds.pop_front();
            // Those that were attached at the byte that is gone are due with the next.
            if let Some((at, _)) = self.fds.front_mut() {
                *at = (*at).max(self.sent);
            }
        }
        Ok(())
    }
}

/// What a call of [`receive`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    End,
}

/// Receives some bytes, and the file descriptors that come with them.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    fds: &mut VecDeque<OwnedFd>,
    without_waiting: bool,
) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = receive_flags();
    if without_waiting {
        flags |= RecvFlags::DONTWAIT;
    }
    let message = match recvmsg(socket, &mut [IoSliceMut::new(into)], &mut control, flags) {
        Ok(message) => message,
        Err(Errno::AGAIN) => return Ok(Received::Nothing),
        Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Received::End),
        Err(error) => return Err(error),
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = part {
            for fd in came {
                #[cfg(target_vendor = "apple")]
                rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
                fds.push_back(fd);
            }
        }
    }
    if fds.len() > MOST_FDS {
        return Err(Errno::TOOMANYREFS);
    }
    Ok(match message.bytes {
        0 => Received::End,
        bytes => Received::Bytes(bytes),
    })
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn receive_flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn receive_flags() -> RecvFlags {
    RecvFlags::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_arrive_in_order_and_no_later_than_their_frame() {
        let (a, b) = pair().unwrap();
        let mut out = Outgoing::default();
        let file = || Arc::new(OwnedFd::from(tempfile::tempfile().unwrap()));
        out.bytes().extend_from_slice(b"first");
        out.attach(file());
        out.attach(file());
        out.bytes().extend_from_slice(b"second");
        out.attach(file());
        out.bytes().extend_from_slice(b"third");
        assert!(out.flush(a.as_fd(), true).unwrap());
        drop(a);
        let mut fds = VecDeque::new();
        let mut all = Vec::new();
        let mut buffer = [0; 100];
        while let Received::Bytes(count) = receive(b.as_fd(), &mut buffer, &mut fds, false).unwrap()
        {
            all.extend_from_slice(&buffer[..count]);
            let wanted = match all.len() {
                0..=5 => 0,
                6..11 => 1,
                11 => 2,
                _ => 3,
            };
            assert!(fds.len() >= wanted, "{} at {}", fds.len(), all.len());
        }
        assert_eq!(all, b"firstsecondthird");
        assert_eq!(fds.len(), 3);
    }
}
