//! What a task costs beside what it does: `cargo bench -p retain-pool`.

use std::time::{Duration, Instant};

use retain_pool::{
    Command, Error, Payload, Pool, Run, RunOptions, Settings, Starter, Task, Window,
};

const WORKER: &str = env!("CARGO_BIN_EXE_retain-pool-test-worker");

fn main() {
    for workers in [1, 2] {
        println!("{workers} workers");
        cold(workers);
        let starter = Starter::Zygote(Command::new(WORKER).arg("zygote"));
        let pool = Pool::new(Settings::new(starter, workers)).expect("a pool");
        many(&run(&pool, Window::Auto), 1000);
        round_trip(&pool);
        let calls = median(300, || {
            many(&run(&pool, Window::Auto), 2);
        });
        println!("  a run of 2 tasks               {:8.1} us", micros(calls));
        for (name, window, tasks) in [
            ("Window::Tasks(4)", Window::Tasks(4), 20_000),
            ("Window::Auto", Window::Auto, 200_000),
        ] {
            let run = run(&pool, window);
            many(&run, tasks / 10);
            let each = median(5, || many(&run, tasks)) / u32::try_from(tasks).expect("few");
            let own = cpu();
            many(&run, tasks);
            #[expect(clippy::cast_precision_loss, reason = "a figure")]
            let own = (cpu() - own) * 1e6 / tasks as f64;
            println!(
                "  {name:20} a task      {:8.3} us, of which here {own:.3} us of CPU",
                micros(each)
            );
        }
        unequal(&pool, workers);
        pool.shutdown();
    }
}

/// How near the makespan of unequal tasks comes to an even share of their sum.
#[expect(clippy::cast_precision_loss, reason = "a figure")]
fn unequal(pool: &Pool, workers: usize) {
    let run = run(pool, Window::Auto);
    let mut outcomes = Vec::new();
    let (mut sum, mut tasks, mut turn) = (0, 0, 1_u64);
    let begun = Instant::now();
    while tasks < 100 {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let milliseconds = 1 + (turn >> 33) % 100;
        sum += milliseconds;
        tasks += 1;
        let task = Task {
            definition: None,
            payload: Payload::from(format!("s{milliseconds}").into_bytes()),
            tag: 0,
        };
        run.submit(task).expect("an open run");
    }
    while outcomes.len() < tasks {
        match run.outcomes(Duration::MAX, &mut outcomes) {
            Ok(()) | Err(Error::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let ideal = sum as f64 / 1e3 / workers as f64;
    println!(
        "  100 tasks of 1 to 100 ms       {:8.1} % of the ideal",
        100.0 * ideal / begun.elapsed().as_secs_f64()
    );
}

fn cold(workers: usize) {
    let first = median(10, || {
        let starter = Starter::Zygote(Command::new(WORKER).arg("zygote"));
        let pool = Pool::new(Settings::new(starter, workers)).expect("a pool");
        many(&run(&pool, Window::Auto), 1);
        drop(pool);
    });
    println!("  the first task of a new pool   {:8.1} us", micros(first));
}

fn round_trip(pool: &Pool) {
    let run = run(pool, Window::Auto);
    let each = median(2000, || many(&run, 1));
    println!("  a task and its answer          {:8.1} us", micros(each));
}

fn run(pool: &Pool, window: Window) -> Run {
    let options = RunOptions {
        window,
        ..RunOptions::default()
    };
    pool.run(options).expect("a run")
}

fn many(run: &Run, tasks: usize) {
    let mut outcomes = Vec::new();
    let (mut sent, mut done) = (0, 0);
    while done < tasks {
        for _ in 0..run.room().min(tasks - sent) {
            let payload = Payload::from(b"e1234567890".to_vec());
            let task = Task {
                definition: None,
                payload,
                tag: 0,
            };
            run.submit(task).expect("an open run");
            sent += 1;
        }
        match run.outcomes(Duration::MAX, &mut outcomes) {
            Ok(()) | Err(Error::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
        done += outcomes.len();
        outcomes.clear();
    }
}

fn median(times: usize, mut body: impl FnMut()) -> Duration {
    let mut took: Vec<_> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            body();
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[times / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The processor time of this process, of all its threads, in seconds.
#[expect(clippy::cast_precision_loss, reason = "a figure")]
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
