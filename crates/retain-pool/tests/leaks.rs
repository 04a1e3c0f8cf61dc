//! What many runs leave behind: nothing. A file of its own, as it counts the descriptors of the process.

mod common;

use common::{answers, pool, run, task, until};
use retain_pool::{Buffer, Payload, Task};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn descriptors_and_threads_are_back_after_many_runs() {
    let before = descriptors();
    let pool = pool(2);
    for round in 0..1000 {
        let run = run(&pool);
        let bytes = vec![1; 100_000];
        let shared = pool.arena().share(&[&bytes]).unwrap();
        for tag in 0..2 {
            let payload = Payload {
                bytes: b"b".to_vec(),
                buffers: vec![Buffer::Shared(shared.clone())],
            };
            run.submit(Task {
                definition: None,
                payload,
                tag,
            })
            .unwrap();
        }
        common::all(&run, 2);
        if round % 100 == 50 {
            run.submit(task(9, "k9")).unwrap();
            common::all(&run, 1);
        }
        if round % 100 == 70 {
            run.submit(task(9, "s60000")).unwrap();
        }
    }
    assert_eq!(answers(&run(&pool), ["e".into()]), [""]);
    let during = descriptors();
    assert!(during < before + 60, "{before} before, {during} now");
    pool.shutdown();
    drop(pool);
    until("descriptors are back", || descriptors() == before);
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 2, "{threads} threads");
}
