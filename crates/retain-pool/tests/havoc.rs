//! Runs of several threads, while workers and zygotes are killed at any time.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{pool, some, task, until};
use retain_pool::{OutcomeKind, Pool, RunOptions, Window};

#[test]
fn each_task_has_one_end_whoever_is_killed() {
    let seconds = std::env::var("RETAIN_HAVOC_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(2));
    let pool = pool(3);
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut round = thread;
                    while begun.elapsed() < lasts {
                        one_run(pool, round);
                        round += 1;
                    }
                    round
                })
            })
            .collect();
        scope.spawn(|| {
            let mut turn: u32 = 0;
            while !over.load(Ordering::Relaxed) {
                turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                std::thread::sleep(Duration::from_micros(u64::from(turn >> 17)));
                let workers = pool.workers();
                let Some(worker) = workers.get(turn as usize / 7 % workers.len().max(1)) else {
                    continue;
                };
                if worker.pid > 1 && !over.load(Ordering::Relaxed) {
                    let zygote = parent_of(worker.pid).filter(|_| (turn / 64).is_multiple_of(16));
                    // SAFETY: a process of this test's pool: if it is dead, its number is not given out so soon again.
                    unsafe { libc::kill(zygote.unwrap_or(worker.pid), libc::SIGKILL) };
                }
            }
        });
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(common::answers(&common::run(&pool), ["eon".into()]), ["on"]);
    let workers = pool.workers();
    pool.shutdown();
    for worker in workers {
        until("it is dead", || !common::lives(worker.pid));
    }
}

fn one_run(pool: &Pool, round: u64) {
    let tasks = 500;
    let run = pool
        .run(RunOptions {
            retries: u32::from(round.is_multiple_of(2)),
            window: if round.is_multiple_of(3) {
                Window::Tasks(4)
            } else {
                Window::Auto
            },
            task_timeout: round.is_multiple_of(5).then_some(Duration::from_secs(20)),
            ..RunOptions::default()
        })
        .unwrap();
    let mut ends = vec![0; 500];
    for tag in 0..tasks {
        let text = if tag % 50 == 7 {
            "s1".into()
        } else {
            format!("e{tag}")
        };
        run.submit(task(tag, text)).unwrap();
    }
    if round % 7 == 6 {
        return;
    }
    let mut ended = 0;
    while ended < tasks {
        for outcome in some(&run) {
            if outcome.kind.is_final() {
                ended += 1;
                ends[usize::try_from(outcome.tag).unwrap()] += 1;
            }
            if let OutcomeKind::Done(reply) = &outcome.kind
                && outcome.tag % 50 != 7
            {
                assert_eq!(&*reply.bytes, outcome.tag.to_string().as_bytes());
            }
        }
    }
    assert!(ends.iter().all(|count| *count == 1));
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let parent = rest.split(' ').nth(1)?.parse().ok()?;
    // An orphan's is not the zygote, and this test's own is none.
    let name = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).ok()?;
    name.contains("zygote").then_some(parent)
}
