//! Many processes on one folder: kills, forks, and a limit that they share. The test binary runs itself as the others.
#![cfg(unix)]

mod shared;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retain_format::Publication;
use retain_store::{Body, Folder, Options};
use shared::{bytes, key, new, open, options, value};

const PLACE: &str = "RETAIN_TEST_PLACE";
const WORK: &str = "RETAIN_TEST_WORK";

/// Runs the test `work` in a process of its own, which [`place`] tells that it is one.
fn run(work: &str, place: &Path, argument: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            work,
            "--nocapture",
            "--test-threads=1",
            "--quiet",
        ])
        .env(PLACE, place)
        .env(WORK, argument.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn work() -> Option<(Folder, u64)> {
    let place = std::env::var_os(PLACE)?;
    let argument = std::env::var(WORK).ok()?.parse().ok()?;
    Some((open(Path::new(&place)), argument))
}

/// A value that is a file for one number in four.
fn put(folder: &Folder, number: u64) {
    if number.is_multiple_of(4) {
        let file = Publication::begin(&folder.blob(&key(number)).unwrap()).unwrap();
        file.file().write_all(&value(number).repeat(700)).unwrap();
        folder.put(&new(number, "m.f"), Body::File(file)).unwrap();
    } else {
        folder
            .put(&new(number, "m.f"), Body::Bytes(&value(number)))
            .unwrap();
    }
}

fn is_whole(folder: &Folder, number: u64) -> bool {
    let expected = value(number);
    folder.get(&key(number)).unwrap().is_some_and(|found| {
        bytes(found)
            == if number.is_multiple_of(4) {
                expected.repeat(700)
            } else {
                expected
            }
    })
}

/// Puts for ever, and says what it has put.
#[test]
fn writer() {
    let Some((folder, begin)) = work() else {
        return;
    };
    let mut out = std::io::stdout();
    for number in begin.. {
        put(&folder, number);
        // Others' too, which they put at the same time.
        if number % 8 == 3 {
            put(&folder, number % 64 + 1_000_000_000);
        }
        // One write, which a kill does not part.
        out.write_all(format!("\nput {number}\n").as_bytes())
            .unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_was_told_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..12u64 {
        let mut writers: Vec<Child> = (0..3)
            .map(|index| run("writer", place.path(), (round * 3 + index) * 1_000_000))
            .collect();
        std::thread::sleep(Duration::from_millis(60 + 23 * (round % 7)));
        for writer in &mut writers {
            writer.kill().unwrap();
        }
        for mut writer in writers {
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            acknowledged.extend(
                lines
                    .map_while(Result::ok)
                    .filter_map(|line| line.strip_prefix("put ")?.parse::<u64>().ok()),
            );
            writer.wait().unwrap();
        }
    }
    let folder = open(place.path());
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    for number in &acknowledged {
        assert!(is_whole(&folder, *number), "{number}");
    }
    // Every file belongs to an entry.
    let mut files = 0;
    for bucket in fs::read_dir(place.path().join("blobs")).unwrap() {
        for file in fs::read_dir(bucket.unwrap().path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            assert_eq!(name.len(), 52, "{name}");
            files += 1;
        }
    }
    let mut listed = 0;
    folder
        .list(&mut |entry| {
            listed += u64::from(entry.record.size > 50_000);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    // A kill between row and file leaves a row.
    assert!(files <= listed, "{files} files, {listed} entries with one");
    let verified = folder
        .verify(&mut |_, _| std::ops::ControlFlow::Continue(()))
        .unwrap();
    assert!(verified.damaged.len() <= 36, "{}", verified.damaged.len());
}

/// Puts a thousand, and looks for what it has put.
#[test]
fn bounded_writer() {
    let Some((_, begin)) = work() else {
        return;
    };
    let place = std::env::var_os(PLACE).unwrap();
    let folder = bounded(Path::new(&place));
    for number in begin..begin + 1000 {
        put(&folder, number);
        assert!(is_whole(&folder, number) || number % 4 == 0);
    }
}

fn bounded(place: &Path) -> Folder {
    let options = Options {
        max_items: Some(300),
        ..options()
    };
    Folder::open(place, &options).unwrap()
}

#[test]
fn processes_share_a_limit() {
    let place = tempfile::tempdir().unwrap();
    let folder = bounded(place.path());
    let writers: Vec<Child> = (0..4)
        .map(|index| run("bounded_writer", place.path(), index * 10_000))
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let mut entries = 0;
    folder
        .list(&mut |_| {
            entries += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let functions = folder.functions().unwrap();
    assert_eq!(functions[0].entries, entries);
    assert!(entries <= 300 && entries > 250, "{entries}");
    let files: usize = fs::read_dir(place.path().join("blobs"))
        .unwrap()
        .map(|bucket| fs::read_dir(bucket.unwrap().path()).unwrap().count())
        .sum();
    assert!(files <= 300, "{files}");
}

/// Forks while threads use a folder, and uses it on both sides.
#[test]
fn forker() {
    let Some((folder, _)) = work() else {
        return;
    };
    let begun = Instant::now();
    let threads: Vec<_> = (1..4u64)
        .map(|thread| {
            let folder = folder.clone();
            std::thread::spawn(move || {
                let mut number = thread * 1_000_000;
                while begun.elapsed() < Duration::from_secs(2) {
                    number += 1;
                    put(&folder, number);
                    assert!(is_whole(&folder, number));
                }
                number
            })
        })
        .collect();
    let mut children = Vec::new();
    for round in 1..=20u64 {
        // SAFETY: the child uses nothing but the folder, and ends without unwinding.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                retain_store::after_fork_in_child();
                for number in 0..50 {
                    put(&folder, 100_000_000 + round * 1000 + number);
                    assert!(is_whole(&folder, 100_000_000 + round * 1000 + number));
                }
            }));
            // SAFETY: nothing of the parent is to be undone here.
            unsafe { libc::_exit(i32::from(done.is_err())) };
        }
        assert!(child > 0);
        children.push(child);
        std::thread::sleep(Duration::from_millis(40));
    }
    for child in children {
        let mut status = 0;
        // SAFETY: it waits for a child of its own.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
    for (thread, last) in (1..4u64).zip(threads.into_iter().map(|thread| thread.join().unwrap())) {
        for number in thread * 1_000_000 + 1..=last {
            assert!(is_whole(&folder, number));
        }
    }
    for round in 1..=20 {
        for number in 0..50 {
            assert!(is_whole(&folder, 100_000_000 + round * 1000 + number));
        }
    }
}

#[test]
fn a_folder_is_used_on_both_sides_of_a_fork() {
    let place = tempfile::tempdir().unwrap();
    let mut forker = run("forker", place.path(), 0);
    let begun = Instant::now();
    loop {
        if let Some(status) = forker.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            forker.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Puts where files may not grow beyond a limit, as on a full disk.
#[test]
fn crowded() {
    let Some((folder, most)) = work() else {
        return;
    };
    for number in 0..20 {
        put(&folder, number);
    }
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: it is this process's own limit, and a signal that would end it is ignored.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
    let mut kept = Vec::new();
    let mut refused = 0;
    for number in (101..12_000).step_by(4) {
        match folder.put(&new(number, "m.f"), Body::Bytes(&value(number))) {
            Ok(()) => kept.push(number),
            Err(_) => refused += 1,
        }
        let file = Publication::begin(&folder.blob(&key(number + 100_000)).unwrap()).unwrap();
        let _ = file.file().write_all(&value(number).repeat(3000));
        drop(file);
        let _ = folder.get(&key(number)).map(|found| found.map(bytes));
        if refused > 50 {
            break;
        }
    }
    assert!(refused > 0, "{}", kept.len());
    for number in kept.iter().copied().chain(0..20) {
        assert!(is_whole(&folder, number), "{number}");
    }
    // There is room again.
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: as above.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    assert_eq!(done, 0);
    for number in 50_000..50_100 {
        put(&folder, number);
        assert!(is_whole(&folder, number));
    }
    for number in kept.into_iter().chain(0..20) {
        assert!(is_whole(&folder, number), "{number}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let place = tempfile::tempdir().unwrap();
    for most in [100_000, 200_000, 400_000] {
        assert!(run("crowded", place.path(), most).wait().unwrap().success());
        fs::remove_dir_all(place.path()).unwrap();
        fs::create_dir(place.path()).unwrap();
    }
}
