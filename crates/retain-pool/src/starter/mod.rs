//! How workers come to be.

pub(crate) mod link;
pub(crate) mod spawn;
pub mod zygote;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The socket that a program was started with, in the place of standard input, which becomes empty.
///
/// # Errors
///
/// If standard input is not a socket, or has been taken already.
pub fn take_inherited_socket() -> io::Result<OwnedFd> {
    let input = io::stdin();
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&input)?.st_mode);
    if kind != rustix::fs::FileType::Socket {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "standard input is not the socket of a pool: this program is started by one",
        ));
    }
    let socket = input.as_fd().try_clone_to_owned()?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(socket)
}
