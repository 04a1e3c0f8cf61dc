//! A worker for the tests: what it is to do is in the bytes of a task. As `zygote` it is forked, as `worker` it serves.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use retain_pool::starter::take_inherited_socket;
use retain_pool::starter::zygote::Server;
use retain_pool::worker::{Answer, Handler, Out, Parcel, serve};
use retain_pool::{
    Buffer, Command, OutcomeKind, Payload, Pool, RunOptions, Settings, Starter, Task,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("zygote") => zygote(),
        Some("worker") => Ok(serve(take_inherited_socket()?, &mut Tasks::default())?),
        Some("garbage") => garbage(),
        Some("parent-spawn") => parent(&Starter::Spawn(myself().arg("worker"))),
        Some("parent-zygote") => parent(&Starter::Zygote(myself().arg("zygote"))),
        other => Err(format!("start this by a pool, not as {other:?}").into()),
    }
}

fn zygote() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::new(take_inherited_socket()?)?;
    while let Some(request) = server.wait()? {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                server.forked();
                serve(request.socket, &mut Tasks::default())?;
                return Ok(());
            }
            pid => server.started(request.index, pid)?,
        }
    }
    Ok(())
}

/// Writes what is no frame, to see what the supervisor makes of it.
fn garbage() -> Result<(), Box<dyn std::error::Error>> {
    let mut socket = std::os::unix::net::UnixStream::from(take_inherited_socket()?);
    socket.write_all(&[0xff; 100])?;
    std::thread::sleep(Duration::from_secs(100));
    Ok(())
}

fn myself() -> Command {
    Command::new(std::env::current_exe().unwrap_or_default())
}

/// Has a pool with long tasks, says which processes there are, and waits to be killed.
fn parent(starts: &Starter) -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::new(Settings::new(starts.clone(), 2))?;
    let run = pool.run(RunOptions::default())?;
    let submit = |text: &[u8]| {
        run.submit(Task {
            definition: None,
            payload: Payload::from(text.to_vec()),
            tag: 0,
        })
    };
    let mut outcomes = Vec::new();
    submit(b"C")?;
    while outcomes.is_empty() {
        match run.outcomes(Duration::MAX, &mut outcomes) {
            Ok(()) | Err(retain_pool::Error::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for outcome in outcomes.drain(..) {
        if let OutcomeKind::Done(reply) = outcome.kind {
            print!("{} ", String::from_utf8_lossy(&reply.bytes));
        }
    }
    let how = std::env::args().nth(2);
    if how.as_deref() != Some("that rests") {
        submit(b"s100000")?;
        submit(b"s100000")?;
        while pool.workers().iter().filter(|worker| worker.busy).count() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // One that is being forked has no number yet.
    while pool.workers().iter().any(|worker| worker.pid == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    for worker in pool.workers() {
        print!("{} ", worker.pid);
    }
    println!();
    std::io::stdout().flush()?;
    // A child has copies of all sockets; it says nothing of its parent's end.
    let parent = std::process::id();
    // SAFETY: the child only waits, until it is orphaned.
    if how.as_deref() == Some("that forks") && unsafe { libc::fork() } == 0 {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_secs(10));
        // Not by a return: a thread that the child does not have may hold the pool's lock.
        // SAFETY: it ends this process.
        unsafe { libc::_exit(0) };
    }
    loop {
        std::thread::park();
    }
}

#[derive(Default)]
struct Tasks {
    contexts: HashMap<u32, Vec<u8>>,
    definitions: HashMap<u32, Vec<u8>>,
    /// How often something was defined.
    defined: usize,
    /// What tasks have kept.
    hoard: Vec<Vec<u8>>,
}

impl Handler for Tasks {
    fn begin(&mut self, run: u32, context: Parcel<'_>) {
        self.contexts.insert(run, context.bytes.to_vec());
    }

    fn define(&mut self, _run: u32, id: u32, definition: Parcel<'_>) {
        self.defined += 1;
        self.definitions.insert(id, definition.bytes.to_vec());
    }

    fn forget(&mut self, _run: u32, id: u32) {
        self.definitions.remove(&id);
    }

    fn call(
        &mut self,
        run: u32,
        definition: Option<u32>,
        task: Parcel<'_>,
        out: &mut Out,
    ) -> Answer {
        let (verb, rest) = task.bytes.split_at_checked(1).unwrap_or((b"e", b""));
        let number = || str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        let mut failed = false;
        let mut buffers = Vec::new();
        let bytes = match verb {
            b"e" => rest.to_vec(),
            b"f" => {
                failed = true;
                rest.to_vec()
            }
            b"p" => std::process::id().to_string().into_bytes(),
            b"s" => {
                std::thread::sleep(Duration::from_millis(number().unwrap_or(0)));
                rest.to_vec()
            }
            #[expect(clippy::disallowed_methods, reason = "what a task may do")]
            b"x" => std::process::exit(i32::try_from(number().unwrap_or(0)).unwrap_or(0)),
            b"k" => {
                let signal = i32::try_from(number().unwrap_or(9)).unwrap_or(9);
                // SAFETY: it ends this process; the handler of Rust's runtime would return.
                unsafe {
                    libc::signal(signal, libc::SIG_DFL);
                    libc::raise(signal);
                }
                Vec::new()
            }
            // Speaks as often as it is told.
            b"o" => {
                for said in 0..number().unwrap_or(0) {
                    let _ = out.emit(7, said.to_string().as_bytes());
                }
                rest.to_vec()
            }
            b"c" => self.contexts.get(&run).cloned().unwrap_or_default(),
            b"d" => {
                let known = definition.and_then(|id| self.definitions.get(&id));
                known.cloned().unwrap_or_else(|| b"unknown".to_vec())
            }
            b"n" => format!("{} {}", self.defined, self.definitions.len()).into_bytes(),
            // Fails as often as it is told: the attempts are counted in a file.
            b"t" => {
                let path = String::from_utf8_lossy(rest).into_owned();
                let file = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&path);
                let _ = file.and_then(|mut file| file.write_all(b"."));
                let attempts = std::fs::read(&path).map_or(0, |marks| marks.len());
                failed = attempts < 3;
                attempts.to_string().into_bytes()
            }
            b"m" => {
                self.hoard
                    .push(vec![1; usize::try_from(number().unwrap_or(0)).unwrap_or(0)]);
                Vec::new()
            }
            // A child that would go on for long.
            b"C" => {
                let child = std::process::Command::new("sleep").arg("100").spawn();
                child.map_or(0, |child| child.id()).to_string().into_bytes()
            }
            // The sum of the buffers.
            b"b" => {
                let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                let sums = task.buffers.iter().map(|buffer| sum(buffer.bytes()));
                sums.sum::<u64>().to_string().into_bytes()
            }
            // A large buffer back.
            b"B" => {
                let bytes = vec![3; usize::try_from(number().unwrap_or(0)).unwrap_or(0)];
                if let Ok(shared) = out.arena().share(&[&bytes]) {
                    buffers.push(Buffer::Shared(shared));
                }
                Vec::new()
            }
            _ => b"?".to_vec(),
        };
        Answer {
            failed,
            payload: Payload { bytes, buffers },
        }
    }

    fn end(&mut self, run: u32) {
        self.contexts.remove(&run);
    }
}
