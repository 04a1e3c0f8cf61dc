//! What goes wrong, and what it costs.

mod common;

use std::time::Duration;

use common::{
    WORKER, all, answers, lives, outcomes, pool, run, some, spawn, task, text, until, zygote,
};
use retain_pool::{
    Command, Ended, Error, Outcome, OutcomeKind, Pool, RunOptions, Settings, Starter, Window,
};

fn done(outcomes: &[Outcome]) -> usize {
    let done = |outcome: &&Outcome| matches!(outcome.kind, OutcomeKind::Done(_));
    outcomes.iter().filter(done).count()
}

#[test]
fn the_death_of_a_worker_costs_only_the_task_that_it_ran() {
    for starter in [spawn(), zygote()] {
        let pool = Pool::new(Settings::new(starter, 2)).unwrap();
        for (fatal, status) in [
            ("k9", Ended::Signal(9)),
            ("k11", Ended::Signal(11)),
            ("x3", Ended::Exit(3)),
        ] {
            let run = run(&pool);
            // The workers' windows are full of other tasks when it comes.
            for tag in 0..3000 {
                let text = if tag == 1500 { fatal } else { "eok" };
                run.submit(task(tag, text)).unwrap();
            }
            let outcomes = all(&run, 3000);
            assert_eq!(done(&outcomes), 2999);
            let fatal = outcomes.iter().find(|outcome| outcome.tag == 1500).unwrap();
            let OutcomeKind::Died {
                pid,
                status: was,
                rss,
            } = fatal.kind
            else {
                panic!("{fatal:?}");
            };
            assert_eq!(was, status);
            assert!(pid > 1 && rss > 0, "{fatal:?}");
            assert_eq!(fatal.attempts, 1);
        }
        assert_eq!(answers(&run(&pool), ["ealive".into()]), ["alive"]);
        pool.shutdown();
    }
}

#[test]
fn what_a_task_has_started_dies_with_its_worker() {
    for starter in [spawn(), zygote()] {
        let pool = Pool::new(Settings::new(starter, 1)).unwrap();
        let run = run(&pool);
        let child: i32 = answers(&run, ["C".into()])[0].parse().unwrap();
        assert!(lives(child));
        run.submit(task(0, "k9")).unwrap();
        all(&run, 1);
        until("it dies", || !lives(child));
    }
}

#[test]
fn answers_that_were_not_sent_outlive_their_worker() {
    let pool = pool(1);
    let run = run(&pool);
    answers(&run, (0..100).map(|_| "e".into()));
    // Of the same frame, and so quick that their answers are kept back.
    for tag in 0..50 {
        run.submit(task(tag, if tag == 40 { "k9" } else { "e" }))
            .unwrap();
    }
    let outcomes = all(&run, 50);
    assert_eq!(done(&outcomes), 49);
    assert!(outcomes.iter().all(|outcome| outcome.attempts == 1));
}

#[test]
fn answers_come_while_the_worker_is_at_a_long_task() {
    let pool = pool(1);
    let run = run(&pool);
    answers(&run, (0..200).map(|_| "e".into()));
    for tag in 0..21 {
        run.submit(task(tag, if tag == 20 { "s20000" } else { "e" }))
            .unwrap();
    }
    let mut outcomes = Vec::new();
    while outcomes.len() < 20 {
        outcomes.extend(some(&run));
    }
    assert_eq!(done(&outcomes), 20);
}

#[test]
fn a_failure_is_tried_again_as_often_as_was_said() {
    let pool = pool(2);
    let folder = tempfile::tempdir().unwrap();
    let options = || RunOptions {
        retries: 2,
        ..RunOptions::default()
    };
    let run = pool.run(options()).unwrap();
    // The third attempt is done.
    run.submit(task(
        0,
        format!("t{}", folder.path().join("marks").display()),
    ))
    .unwrap();
    let outcomes = all(&run, 1);
    let attempts: Vec<_> = outcomes.iter().map(|outcome| outcome.attempts).collect();
    assert_eq!(attempts, [1, 2, 3]);
    assert!(
        matches!(&outcomes[0].kind, OutcomeKind::Retried { reason } if matches!(**reason, OutcomeKind::Failed(_)))
    );
    assert_eq!(text(&outcomes[2]), "3");
    run.submit(task(1, "fnever")).unwrap();
    run.submit(task(2, "k9")).unwrap();
    let outcomes = all(&run, 2);
    assert_eq!(outcomes.len(), 6);
    let last: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.kind.is_final())
        .collect();
    assert!(last.iter().all(|outcome| outcome.attempts == 3));
}

#[test]
fn a_task_that_takes_too_long_is_ended_and_only_that() {
    let pool = pool(2);
    let run = pool
        .run(RunOptions {
            task_timeout: Some(Duration::from_millis(200)),
            ..RunOptions::default()
        })
        .unwrap();
    for tag in 0..40 {
        run.submit(task(tag, if tag % 10 == 3 { "s60000" } else { "s1" }))
            .unwrap();
    }
    let outcomes = all(&run, 40);
    for outcome in &outcomes {
        let late = matches!(outcome.kind, OutcomeKind::TimedOut { after } if after == Duration::from_millis(200));
        assert_eq!(late, outcome.tag % 10 == 3, "{outcome:?}");
    }
}

#[test]
fn after_a_cancellation_nothing_comes_and_the_pool_serves_on() {
    let pool = pool(2);
    let long = run(&pool);
    let other = run(&pool);
    for tag in 0..100 {
        long.submit(task(tag, "s60000")).unwrap();
    }
    other.submit(task(0, "eother")).unwrap();
    until("both are busy", || {
        pool.workers().iter().all(|worker| worker.busy)
    });
    long.cancel();
    assert!(outcomes(&long).unwrap().is_empty());
    assert!(matches!(long.submit(task(0, "e")), Err(Error::Closed)));
    assert_eq!(text(&all(&other, 1)[0]), "other");
    drop(long);
    assert_eq!(answers(&run(&pool), ["enew".into()]), ["new"]);
}

#[test]
fn a_cancellation_ends_the_wait_of_another_thread() {
    let pool = pool(1);
    let run = run(&pool);
    run.submit(task(0, "s60000")).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| outcomes(&run).map(|outcomes| outcomes.len()));
        std::thread::sleep(Duration::from_millis(50));
        run.cancel();
        assert_eq!(waiter.join().unwrap().unwrap(), 0);
    });
}

#[test]
fn workers_that_are_killed_from_outside_are_replaced() {
    let pool = pool(2);
    let run = run(&pool);
    answers(&run, (0..10).map(|_| "e".into()));
    for _ in 0..5 {
        until("all have begun", || {
            pool.workers().iter().all(|worker| worker.pid > 0)
        });
        let workers = pool.workers();
        for worker in &workers {
            kill(worker.pid);
        }
        for worker in &workers {
            until("it is dead", || !lives(worker.pid));
        }
        assert_eq!(
            answers(&run, (0..100).map(|at| format!("e{at}"))).len(),
            100
        );
    }
}

#[test]
fn a_killed_zygote_is_replaced_with_its_workers() {
    let pool = pool(2);
    let run = run(&pool);
    answers(&run, (0..10).map(|_| "e".into()));
    until("all have begun", || {
        pool.workers().iter().all(|worker| worker.pid > 0)
    });
    let workers = pool.workers();
    let zygote = parent_of(workers[0].pid);
    kill(zygote);
    for pid in [zygote, workers[0].pid, workers[1].pid] {
        until("the old ones are dead", || !lives(pid));
    }
    assert_eq!(
        answers(&run, (0..100).map(|at| format!("e{at}"))).len(),
        100
    );
    until("all have begun again", || {
        pool.workers().iter().all(|worker| worker.pid > 0)
    });
    assert!(
        pool.workers()
            .iter()
            .all(|worker| parent_of(worker.pid) != zygote)
    );
    pool.shutdown();
}

#[test]
fn a_shutdown_leaves_no_process_not_even_of_a_task() {
    for starter in [spawn(), zygote()] {
        let pool = Pool::new(Settings::new(starter, 2)).unwrap();
        let run = run(&pool);
        let child: i32 = answers(&run, ["C".into()])[0].parse().unwrap();
        run.submit(task(0, "s60000")).unwrap();
        let workers = pool.workers();
        assert!(lives(child));
        pool.shutdown();
        for worker in workers {
            assert!(!lives(worker.pid));
        }
        until("the child of a task is dead", || !lives(child));
        assert!(matches!(outcomes(&run), Err(Error::Closed)));
        assert!(matches!(run.submit(task(0, "e")), Err(Error::Closed)));
    }
}

#[test]
fn nothing_outlives_a_killed_parent() {
    for how in [
        &["parent-spawn"][..],
        &["parent-spawn", "that forks"],
        &["parent-spawn", "that rests"],
        &["parent-zygote"],
        &["parent-zygote", "that forks"],
        &["parent-zygote", "that rests"],
    ] {
        let mut parent = std::process::Command::new(WORKER)
            .args(how)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = parent.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let pids: Vec<i32> = line
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect();
        assert!(
            pids.len() >= 2 && pids.iter().all(|pid| lives(*pid)),
            "{line}"
        );
        parent.kill().unwrap();
        parent.wait().unwrap();
        for pid in pids {
            until("it dies with its parent", || !lives(pid));
        }
    }
}

#[test]
fn garbage_of_a_worker_is_its_end_and_no_more() {
    let starter = Starter::Spawn(Command::new(WORKER).arg("garbage"));
    let pool = Pool::new(Settings::new(starter, 1)).unwrap();
    let run = run(&pool);
    run.submit(task(0, "e")).unwrap();
    let error = outcomes(&run).unwrap_err();
    assert!(error.to_string().contains("signal 9"), "{error}");
}

#[test]
fn programs_that_do_not_serve_are_an_error_and_not_tried_for_ever() {
    for (program, told) in [("/nonexistent/program", "No such file"), ("true", "exit")] {
        for starter in [
            Starter::Spawn(Command::new(program)),
            Starter::Zygote(Command::new(program)),
        ] {
            let pool = Pool::new(Settings::new(starter, 2)).unwrap();
            let run = run(&pool);
            run.submit(task(0, "e")).unwrap();
            let error = outcomes(&run).unwrap_err();
            assert!(matches!(error, Error::Start(_)), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}

#[test]
fn a_worker_with_too_much_memory_is_replaced_after_its_task() {
    let settings = Settings {
        memory_limit: Some(200 << 20),
        ..Settings::new(zygote(), 1)
    };
    let pool = Pool::new(settings).unwrap();
    let run = run(&pool);
    let first = answers(&run, ["p".into()]);
    assert_eq!(answers(&run, [format!("m{}", 170 << 20)]), [""]);
    assert_ne!(answers(&run, ["p".into()]), first);
}

#[test]
fn idle_workers_leave_and_come_again() {
    let settings = Settings {
        idle: Duration::from_millis(50),
        ..Settings::new(zygote(), 2)
    };
    let pool = Pool::new(settings).unwrap();
    let run = run(&pool);
    assert_eq!(answers(&run, ["e1".into()]), ["1"]);
    until("they leave", || pool.workers().is_empty());
    assert_eq!(answers(&run, ["e2".into()]), ["2"]);
}

#[test]
fn a_window_bounds_what_a_slow_consumer_is_owed() {
    let pool = pool(2);
    let run = pool
        .run(RunOptions {
            window: Window::Tasks(3),
            ..RunOptions::default()
        })
        .unwrap();
    for tag in 0..3 {
        assert_eq!(run.room(), 3 - usize::try_from(tag).unwrap());
        run.submit(task(tag, "e")).unwrap();
    }
    until("all are done", || {
        pool.workers().iter().all(|worker| !worker.busy)
    });
    assert_eq!(run.room(), 0);
    let taken = some(&run).len();
    assert_eq!(run.room(), taken);
}

fn kill(pid: i32) {
    assert!(pid > 1);
    // SAFETY: a process that this test has made.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
}

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(1).unwrap().parse().unwrap()
}
