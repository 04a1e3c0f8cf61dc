//! What the tests share.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::time::{Duration, Instant};

use retain_pool::{
    Command, Error, Outcome, OutcomeKind, Payload, Pool, Run, RunOptions, Settings, Starter, Task,
};

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_retain-pool-test-worker");

pub(crate) fn spawn() -> Starter {
    Starter::Spawn(Command::new(WORKER).arg("worker"))
}

pub(crate) fn zygote() -> Starter {
    Starter::Zygote(Command::new(WORKER).arg("zygote"))
}

pub(crate) fn pool(workers: usize) -> Pool {
    Pool::new(Settings::new(zygote(), workers)).unwrap()
}

pub(crate) fn task(tag: u64, text: impl Into<String>) -> Task {
    Task {
        definition: None,
        payload: Payload::from(text.into().into_bytes()),
        tag,
    }
}

/// Waits for outcomes, as a caller does: not for ever, as a test that hangs says nothing.
pub(crate) fn outcomes(run: &Run) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::new();
    loop {
        match run.outcomes(Duration::from_secs(30), &mut outcomes) {
            // A machine that is stopped and goes on does this as well.
            Err(Error::Interrupted) => {}
            result => return result.map(|()| outcomes),
        }
    }
}

/// At least one outcome.
pub(crate) fn some(run: &Run) -> Vec<Outcome> {
    let outcomes = outcomes(run).unwrap();
    assert!(!outcomes.is_empty(), "no outcome came");
    outcomes
}

/// All outcomes of so many tasks, in the order in which they came.
pub(crate) fn all(run: &Run, tasks: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut ended = 0;
    while ended < tasks {
        let came = some(run);
        ended += came
            .iter()
            .filter(|outcome| outcome.kind.is_final())
            .count();
        outcomes.extend(came);
    }
    assert_eq!(ended, tasks);
    outcomes
}

pub(crate) fn text(outcome: &Outcome) -> String {
    match &outcome.kind {
        OutcomeKind::Done(reply) | OutcomeKind::Failed(reply) => {
            String::from_utf8_lossy(&reply.bytes).into_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// The answers to some tasks, in the order of their tags.
pub(crate) fn answers(run: &Run, tasks: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut count = 0;
    for (tag, text) in (0..).zip(tasks) {
        run.submit(task(tag, text)).unwrap();
        count += 1;
    }
    let mut outcomes = all(run, count);
    outcomes.sort_by_key(|outcome| outcome.tag);
    outcomes.iter().map(text).collect()
}

pub(crate) fn run(pool: &Pool) -> Run {
    pool.run(RunOptions::default()).unwrap()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process is there and no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
