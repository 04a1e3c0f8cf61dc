//! Workers that several runs and tasks share, and what is left of them.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{all, answers, pool, run, some, task, text, until};
use retain_pool::{
    Buffer, Error, OutcomeKind, Payload, RunOptions, Task, Window, after_fork_in_child,
};

#[test]
fn what_waits_behind_a_long_task_is_taken_by_others() {
    let pool = pool(2);
    let run = run(&pool);
    // Until windows are wide.
    answers(&run, (0..2000).map(|_| "e".into()));
    for tag in 0..600 {
        run.submit(task(tag, if tag == 0 { "s60000" } else { "e" }))
            .unwrap();
    }
    let mut ended = HashSet::new();
    while ended.len() < 599 {
        ended.extend(some(&run).iter().map(|outcome| outcome.tag));
    }
    assert!(!ended.contains(&0));
}

#[test]
fn no_worker_rests_while_another_has_more_than_one_long_task() {
    let pool = pool(2);
    let run = run(&pool);
    answers(&run, (0..2000).map(|_| "e".into()));
    // As windows are wide, all of these are with workers at once.
    for tag in 0..12 {
        run.submit(task(tag, "s100")).unwrap();
    }
    let outcomes = all(&run, 12);
    let mut of_worker = [0; 2];
    for outcome in &outcomes {
        of_worker[outcome.worker as usize] += 1;
    }
    assert!(
        of_worker.iter().all(|count| (5..=7).contains(count)),
        "{of_worker:?}"
    );
}

#[test]
fn runs_of_many_threads_share_the_workers() {
    let pool = pool(2);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..5 {
                    let run = run(pool);
                    let answers =
                        answers(&run, (0..200).map(|at| format!("e{thread} {round} {at}")));
                    for (at, answer) in answers.iter().enumerate() {
                        assert_eq!(*answer, format!("{thread} {round} {at}"));
                    }
                }
            });
        }
    });
}

#[test]
fn a_run_uses_no_more_workers_than_it_may() {
    let pool = pool(3);
    answers(&run(&pool), (0..100).map(|_| "s1".into()));
    let narrow = pool
        .run(RunOptions {
            width: 1,
            ..RunOptions::default()
        })
        .unwrap();
    for tag in 0..20 {
        narrow.submit(task(tag, "s2")).unwrap();
    }
    let mut times: Vec<_> = all(&narrow, 20)
        .iter()
        .map(|outcome| (outcome.started_ns, outcome.ended_ns))
        .collect();
    times.sort_unstable();
    assert!(
        times.windows(2).all(|pair| pair[0].1 <= pair[1].0),
        "two ran at once"
    );
}

#[test]
fn a_pool_grows() {
    let pool = pool(1);
    let run = run(&pool);
    answers(&run, ["e".into()]);
    pool.grow(3);
    until("three are there", || pool.workers().len() == 3);
    assert_eq!(answers(&run, (0..30).map(|_| "s1".into())).len(), 30);
}

#[test]
fn large_buffers_go_there_and_come_back() {
    let pool = pool(2);
    let run = run(&pool);
    let bytes = vec![1; 3_000_000];
    let shared = pool.arena().share(&[&bytes]).unwrap();
    for tag in 0..50 {
        let payload = Payload {
            bytes: b"b".to_vec(),
            buffers: vec![
                Buffer::Shared(shared.clone()),
                Buffer::Shared(shared.clone()),
            ],
        };
        run.submit(Task {
            definition: None,
            payload,
            tag,
        })
        .unwrap();
    }
    assert!(
        all(&run, 50)
            .iter()
            .all(|outcome| text(outcome) == "6000000")
    );
    for round in 0..20 {
        for tag in 0..4 {
            run.submit(task(tag, "B2000000")).unwrap();
        }
        for outcome in all(&run, 4) {
            let OutcomeKind::Done(reply) = outcome.kind else {
                panic!("{outcome:?} in round {round}");
            };
            assert_eq!(reply.buffers.len(), 1);
            assert!(
                reply.buffers[0].len() == 2_000_000
                    && reply.buffers[0].iter().all(|byte| *byte == 3)
            );
        }
    }
}

#[test]
fn a_million_tasks_are_each_answered_once() {
    // Not optimised, it takes long.
    let tasks: u64 = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    let pool = pool(2);
    let run = run(&pool);
    let (mut sent, mut came) = (0, 0_u64);
    let mut sum = 0;
    let mut outcomes = Vec::new();
    while came < tasks {
        for _ in 0..run.room().min(usize::try_from(tasks - sent).unwrap()) {
            run.submit(task(sent, "e")).unwrap();
            sent += 1;
        }
        match run.outcomes(Duration::from_secs(30), &mut outcomes) {
            Ok(()) | Err(Error::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
        came += outcomes.len() as u64;
        sum += outcomes.drain(..).map(|outcome| outcome.tag).sum::<u64>();
    }
    assert_eq!(sum, (tasks - 1) * tasks / 2);
}

#[test]
fn a_forked_child_has_no_pool_and_its_parent_keeps_it() {
    let pool = pool(2);
    let run_of_parent = run(&pool);
    answers(&run_of_parent, ["e".into()]);
    run_of_parent.submit(task(0, "s300")).unwrap();
    // SAFETY: the child only does what the test is about, and leaves without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        after_fork_in_child();
        let closed = matches!(pool.run(RunOptions::default()), Err(Error::Closed))
            && matches!(run_of_parent.submit(task(0, "e")), Err(Error::Closed))
            && pool.workers().is_empty();
        drop(run_of_parent);
        pool.shutdown();
        drop(pool);
        // SAFETY: see above.
        unsafe { libc::_exit(i32::from(!closed)) };
    }
    let mut status = 0;
    // SAFETY: a child of this process.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(text(&all(&run_of_parent, 1)[0]), "300");
    assert_eq!(answers(&run(&pool), ["eon".into()]), ["on"]);
}

#[test]
fn a_window_of_tasks_keeps_all_workers_busy() {
    let pool = pool(2);
    let options = RunOptions {
        window: Window::Tasks(4),
        ..RunOptions::default()
    };
    let run = pool.run(options).unwrap();
    let mut workers = HashSet::new();
    for tag in 0..4 {
        run.submit(task(tag, "s50")).unwrap();
    }
    for outcome in all(&run, 4) {
        workers.insert(outcome.worker);
    }
    assert_eq!(workers.len(), 2);
}
