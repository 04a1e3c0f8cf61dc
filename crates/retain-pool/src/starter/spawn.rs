//! A program that is started with a socket in the place of standard input.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Child;

use crate::error::Error;
use crate::settings::Command;

/// Starts a program in a process group of its own.
pub(crate) fn spawn(
    command: &Command,
    socket: OwnedFd,
    worker: Option<u32>,
) -> Result<Child, Error> {
    let mut process = std::process::Command::new(&command.program);
    process
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(socket)
        .process_group(0);
    if let Some(folder) = &command.cwd {
        process.current_dir(folder);
    }
    if let Some(index) = worker {
        process.env("RETAIN_WORKER", index.to_string());
    }
    process.spawn().map_err(|error| {
        Error::Start(format!(
            "cannot start {}: {error}",
            command.program.to_string_lossy()
        ))
    })
}
