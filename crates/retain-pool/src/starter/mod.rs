//! How workers come to be.

pub mod zygote;

use std::io;
use std::os::fd::OwnedFd;

/// The socket that a program was started with, in the place of standard input, which becomes empty.
///
/// # Errors
///
/// If standard input is not a socket.
pub fn take_inherited_socket() -> io::Result<OwnedFd> {
    todo!()
}
