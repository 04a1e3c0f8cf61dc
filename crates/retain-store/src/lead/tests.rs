use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::thread::JoinHandleExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;

fn key(number: u8) -> Key {
    Key {
        version: [number; 32],
        arguments: [0; 32],
    }
}

/// A process that does what it is told: this very program, at [`helper`].
struct Helper {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Helper {
    fn new(folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lead::tests::helper", "--nocapture", "--ignored"])
            .env("RETAIN_TEST_FOLDER", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, answer)) = line.split_once("> ") {
                return answer.trim_end().to_owned();
            }
            line.clear();
        }
        "gone".to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "the other process of the tests here"]
fn helper() {
    let Some(folder) = std::env::var_os("RETAIN_TEST_FOLDER") else {
        return;
    };
    let flights = Flights::new(Path::new(&folder));
    let mut leads = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (command, number) = line.split_once(' ').unwrap();
        let key = key(number.parse().unwrap());
        match command {
            "lead" => {
                let lead = flights.lead(&key, Owner::thread()).unwrap();
                println!("> {} {}", lead.is_held(), lead.waited());
                leads.push(lead);
            }
            "through" => {
                let lead = flights.lead(&key, Owner::thread()).unwrap();
                println!("> {} {}", lead.is_held(), lead.waited());
                leads.clear();
            }
            "try" => {
                let lead = flights.try_lead(&key, Owner::thread()).unwrap();
                println!("> {}", lead.is_some());
                leads.extend(lead);
            }
            "drop" => {
                leads.clear();
                println!("> dropped");
            }
            "fork" => {
                // SAFETY: the child uses nothing that another thread of the parent may have locked.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    after_fork_in_child();
                    // What the parent led is dropped here too, and ends nothing.
                    drop(std::mem::take(&mut leads));
                    let answer = format!("> forked {}\n", std::process::id());
                    // SAFETY: the bytes are valid; the child goes on until its input ends.
                    unsafe {
                        libc::write(1, answer.as_ptr().cast(), answer.len());
                        let mut byte = 0_u8;
                        while libc::read(0, std::ptr::from_mut(&mut byte).cast(), 1) > 0 {}
                        libc::_exit(0);
                    }
                }
            }
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn one_thread_leads_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let lead = flights.lead(&key(1), Owner::thread()).unwrap();
                    assert!(lead.is_held());
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn different_calls_do_not_wait_for_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let leads: Vec<Lead> = (0..100)
        .map(|number| flights.lead(&key(number), Owner::thread()).unwrap())
        .collect();
    assert!(leads.iter().all(|lead| lead.is_held() && !lead.waited()));
}

#[test]
fn a_process_waits_for_another_and_follows_it_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut other = Helper::new(folder.path());
    assert_eq!(other.ask("lead 1"), "true false");
    assert!(
        flights
            .try_lead(&key(1), Owner::thread())
            .unwrap()
            .is_none()
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| flights.lead(&key(1), Owner::thread()).unwrap());
        other.kill();
        let lead = waiting.join().unwrap();
        assert!(lead.is_held());
    });
    // Nothing is left over.
    let lead = flights.lead(&key(1), Owner::thread()).unwrap();
    assert!(lead.is_held() && !lead.waited());
    assert_eq!(
        fs::metadata(folder.path().join("flights")).unwrap().len(),
        0
    );
}

#[test]
fn who_waited_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut other = Helper::new(folder.path());
    let lead = flights.lead(&key(1), Owner::thread()).unwrap();
    other.tell("lead 1");
    wait_for_a_waiter(&folder.path().join("flights"));
    drop(lead);
    assert_eq!(other.answer(), "true true");
}

/// Returns when somebody waits for a lock of that file.
fn wait_for_a_waiter(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let waits = |line: &str| line.contains("->") && line.contains(&inode);
    while !fs::read_to_string("/proc/locks")
        .unwrap()
        .lines()
        .any(waits)
    {
        thread::yield_now();
    }
}

#[test]
fn a_call_inside_itself_does_not_wait_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let _outer = flights.lead(&key(1), Owner::thread()).unwrap();
    let inner = flights.lead(&key(1), Owner::thread()).unwrap();
    assert!(!inner.is_held());
    drop(inner);
    let other = Owner::new();
    assert!(flights.try_lead(&key(1), other).unwrap().is_none());
}

#[test]
fn two_processes_that_need_one_another_both_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut other = Helper::new(folder.path());
    for _ in 0..20 {
        let outer = flights.lead(&key(1), Owner::thread()).unwrap();
        assert_eq!(other.ask("lead 2"), "true false");
        other.tell("through 1");
        let inner = flights.lead(&key(2), Owner::thread()).unwrap();
        let held = inner.is_held();
        drop((inner, outer));
        let theirs = other.answer();
        // Whoever came second does not wait; both may have.
        assert!(!held || theirs == "false true", "{held} {theirs}");
    }
    assert_eq!(
        fs::metadata(folder.path().join("flights")).unwrap().len(),
        0
    );
}

#[test]
fn a_circle_of_three_over_two_folders_goes_on() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let flights = folders.each_ref().map(|folder| Flights::new(folder.path()));
    for _ in 0..20 {
        let barrier = Barrier::new(3);
        let waited = AtomicU32::new(0);
        thread::scope(|scope| {
            for number in 0..3 {
                let (flights, barrier, waited) = (&flights, &barrier, &waited);
                scope.spawn(move || {
                    let place = |number: u8| &flights[usize::from(number % 2)];
                    let next = (number + 1) % 3;
                    let outer = place(number).lead(&key(number), Owner::thread()).unwrap();
                    assert!(outer.is_held());
                    barrier.wait();
                    let inner = place(next).lead(&key(next), Owner::thread()).unwrap();
                    waited.fetch_add(u32::from(inner.is_held()), Ordering::Relaxed);
                });
            }
        });
        assert!(waited.into_inner() < 3);
    }
}

#[test]
fn those_who_lead_wait_where_there_is_no_circle() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut other = Helper::new(folder.path());
    let lead = flights.lead(&key(2), Owner::thread()).unwrap();
    assert_eq!(other.ask("lead 1"), "true false");
    other.tell("lead 2");
    wait_for_a_waiter(&folder.path().join("flights"));
    assert_ne!(
        fs::metadata(folder.path().join("flights")).unwrap().len(),
        0
    );
    drop(lead);
    assert_eq!(other.answer(), "true true");
    assert_eq!(
        fs::metadata(folder.path().join("flights")).unwrap().len(),
        0
    );
}

#[test]
fn what_the_dead_have_noted_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut other = Helper::new(folder.path());
    let lead = flights.lead(&key(2), Owner::thread()).unwrap();
    assert_eq!(other.ask("lead 1"), "true false");
    other.tell("lead 2");
    wait_for_a_waiter(&folder.path().join("flights"));
    other.kill();
    // The dead one has noted that 1 waits for 2.
    let mut third = Helper::new(folder.path());
    assert_eq!(third.ask("lead 3"), "true false");
    let nested = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let outer = flights.lead(&key(4), Owner::thread()).unwrap();
            let inner = flights.lead(&key(3), Owner::thread()).unwrap();
            (outer.is_held(), inner.is_held())
        });
        wait_for_a_waiter(&folder.path().join("flights"));
        assert_eq!(third.ask("drop 0"), "dropped");
        waiting.join().unwrap()
    });
    assert_eq!(nested, (true, true));
    drop(lead);
    assert_eq!(
        fs::metadata(folder.path().join("flights")).unwrap().len(),
        0
    );
}

#[test]
fn a_forked_child_neither_ends_nor_prolongs_what_its_parent_leads() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(folder.path());
    let mut parent = Helper::new(folder.path());
    assert_eq!(parent.ask("lead 1"), "true false");
    let forked = parent.ask("fork 0");
    let child: u32 = forked.strip_prefix("forked ").unwrap().parse().unwrap();
    assert!(
        flights
            .try_lead(&key(1), Owner::thread())
            .unwrap()
            .is_none()
    );
    parent.kill();
    assert!(
        Path::new(&format!("/proc/{child}")).exists(),
        "the child ended too early to tell anything"
    );
    let lead = flights.lead(&key(1), Owner::thread()).unwrap();
    assert!(lead.is_held());
}

#[test]
fn a_signal_ends_the_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, and nobody else here uses that signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
    let folder = tempfile::tempdir().unwrap();
    let flights = Arc::new(Flights::new(folder.path()));
    let _lead = flights.lead(&key(1), Owner::thread()).unwrap();
    let waiting = thread::spawn({
        let flights = Arc::clone(&flights);
        move || flights.lead(&key(1), Owner::thread()).map(|_| ())
    });
    wait_for_a_waiter(&folder.path().join("flights"));
    // SAFETY: the thread is not joined yet.
    unsafe { libc::pthread_kill(waiting.as_pthread_t(), libc::SIGUSR1) };
    assert!(matches!(waiting.join().unwrap(), Err(Error::Interrupted)));
}

#[test]
fn where_there_is_no_folder_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let flights = Flights::new(&folder.path().join("gone"));
    for _ in 0..2 {
        let lead = flights.lead(&key(1), Owner::new()).unwrap();
        assert!(!lead.is_held() && !lead.waited());
        assert!(flights.try_lead(&key(1), Owner::new()).unwrap().is_some());
        std::mem::forget(lead);
    }
}

#[test]
fn a_folder_that_was_deleted_and_made_again_is_led_in_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir(&path).unwrap();
    let flights = Flights::new(&path);
    let before = flights.lead(&key(1), Owner::new()).unwrap();
    // One more, so that an open file is kept.
    drop(flights.lead(&key(2), Owner::new()).unwrap());
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut other = Helper::new(&path);
    assert_eq!(other.ask("lead 1"), "true false");
    assert!(flights.try_lead(&key(1), Owner::new()).unwrap().is_none());
    drop(before);
    assert!(flights.try_lead(&key(1), Owner::new()).unwrap().is_none());
}

#[test]
fn no_file_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .filter(|path| path.starts_with(folder.path()))
            .count()
    };
    let flights = Flights::new(folder.path());
    let leads: Vec<Lead> = (0..50)
        .map(|number| flights.lead(&key(number), Owner::thread()).unwrap())
        .collect();
    assert!(open() >= 50);
    drop(leads);
    // Tests beside this one look for circles, and have the files of all folders open for a moment.
    while open() > 10 {
        thread::yield_now();
    }
    drop(flights);
    while open() > 0 {
        thread::yield_now();
    }
}
