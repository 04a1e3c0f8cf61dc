//! A pool with nothing to do. A file of its own, as it looks at the threads of the process.

mod common;

use std::time::Duration;

use common::{answers, pool, run, task};

/// How often the supervisor's thread has slept.
fn sleeps() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let supervisor = tasks
        .map(|task| task.unwrap().path())
        .find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "retain-pool\n")
        })
        .unwrap();
    let status = std::fs::read_to_string(supervisor.join("status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("voluntary_ctxt_switches"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn nobody_wakes_while_there_is_nothing_to_do_or_one_long_task() {
    let pool = pool(2);
    let short = run(&pool);
    answers(&short, (0..5000).map(|at| format!("e{at}")));
    drop(short);
    for long in [false, true] {
        let run = run(&pool);
        if long {
            run.submit(task(0, "s60000")).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
        let before = sleeps();
        std::thread::sleep(Duration::from_millis(300));
        let after = sleeps();
        assert!(after - before <= 3, "{} times in 300 ms", after - before);
    }
}
