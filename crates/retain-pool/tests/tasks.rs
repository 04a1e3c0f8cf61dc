//! Tasks and what comes of them.

mod common;

use common::{all, answers, pool, run, spawn, task, text};
use retain_pool::{OutcomeKind, Payload, Pool, RunOptions, Settings, Task};

#[test]
fn a_task_is_answered_by_a_spawned_worker() {
    let pool = Pool::new(Settings::new(spawn(), 1)).unwrap();
    assert_eq!(answers(&run(&pool), ["ehello".into()]), ["hello"]);
    pool.shutdown();
}

#[test]
fn a_task_is_answered_by_a_forked_worker() {
    let pool = pool(1);
    assert_eq!(answers(&run(&pool), ["ehello".into()]), ["hello"]);
    pool.shutdown();
}

#[test]
fn many_tasks_are_each_answered_once() {
    let pool = pool(2);
    let run = run(&pool);
    let answers = answers(&run, (0..20_000).map(|number| format!("e{number}")));
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(at, answer)| *answer == at.to_string())
    );
}

#[test]
fn a_failure_is_told_apart() {
    let pool = pool(1);
    let run = run(&pool);
    run.submit(task(5, "fwhy")).unwrap();
    let outcomes = all(&run, 1);
    assert_eq!((outcomes[0].tag, outcomes[0].attempts), (5, 1));
    assert!(matches!(outcomes[0].kind, OutcomeKind::Failed(_)));
    assert_eq!(text(&outcomes[0]), "why");
    assert!(outcomes[0].ended_ns >= outcomes[0].started_ns && outcomes[0].started_ns > 0);
}

#[test]
fn a_definition_is_told_once_to_each_worker() {
    let pool = pool(2);
    let run = run(&pool);
    let definition = run.define(Payload::from(b"function".to_vec()));
    for tag in 0..1000 {
        let definition = Some(definition.clone());
        let payload = Payload::from(b"d".to_vec());
        run.submit(Task {
            definition,
            payload,
            tag,
        })
        .unwrap();
    }
    assert!(
        all(&run, 1000)
            .iter()
            .all(|outcome| text(outcome) == "function")
    );
    let known = answers(&run, (0..50).map(|_| "n".into()));
    assert!(
        known.iter().all(|known| known == "1 1" || known == "0 0"),
        "{known:?}"
    );
    drop(definition);
    common::until("definitions are forgotten", || {
        answers(&run, (0..50).map(|_| "n".into()))
            .iter()
            .all(|known| known == "1 0" || known == "0 0")
    });
}

#[test]
fn the_context_of_a_run_comes_before_its_tasks() {
    let pool = pool(2);
    for round in 0..20 {
        let options = RunOptions {
            context: Payload::from(format!("context {round}").into_bytes()),
            ..RunOptions::default()
        };
        let run = pool.run(options).unwrap();
        let answers = answers(&run, (0..10).map(|_| "c".into()));
        assert!(
            answers
                .iter()
                .all(|answer| *answer == format!("context {round}"))
        );
    }
}

#[test]
fn what_a_task_says_comes_in_order_and_before_its_answer() {
    let pool = pool(2);
    let run = run(&pool);
    for tag in 0..20 {
        run.submit(task(tag, "o5")).unwrap();
    }
    let outcomes = all(&run, 20);
    for tag in 0..20 {
        let of_task: Vec<String> = outcomes
            .iter()
            .filter(|outcome| outcome.tag == tag)
            .map(|outcome| match &outcome.kind {
                OutcomeKind::Output { kind: 7, bytes } => String::from_utf8_lossy(bytes).into(),
                OutcomeKind::Done(_) => "done".into(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(of_task, ["0", "1", "2", "3", "4", "done"]);
    }
}

#[test]
fn all_that_many_short_tasks_say_comes() {
    let pool = pool(2);
    let run = run(&pool);
    for tag in 0..20_000 {
        run.submit(task(tag, "o1")).unwrap();
    }
    let outcomes = all(&run, 20_000);
    let mut said = vec![false; 20_000];
    for outcome in &outcomes {
        let said = &mut said[usize::try_from(outcome.tag).unwrap()];
        match outcome.kind {
            OutcomeKind::Output { .. } => *said = true,
            _ => assert!(*said, "the answer of {} came first", outcome.tag),
        }
    }
}

#[test]
fn large_tasks_and_answers_come_whole() {
    let pool = pool(2);
    let run = run(&pool);
    let texts: Vec<String> = (0..6).map(|at| at.to_string().repeat(3_000_000)).collect();
    let answers = answers(&run, texts.iter().map(|text| format!("e{text}")));
    assert!(answers == texts);
}
