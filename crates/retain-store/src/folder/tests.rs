//! What depends upon the time of day, which these tests turn.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Folder, Layout, Options};
use crate::shelf::Clock;
use crate::{Body, Key, New};

/// A clock that shows what it is told to, in seconds.
#[derive(Clone)]
struct Turned(Arc<AtomicI64>);

impl Turned {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000)))
    }

    fn by(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let time = self.0.clone();
        Clock::Other(Arc::new(move || {
            UNIX_EPOCH + Duration::from_secs(time.load(Ordering::SeqCst).unsigned_abs())
        }))
    }
}

fn folder(path: &Path, layout: Layout, max_age: Option<u64>, time: &Turned) -> Folder {
    let options = Options {
        layout,
        max_age: max_age.map(Duration::from_secs),
        ..Options::default()
    };
    Folder::open_at(path, &options, time.clock()).unwrap()
}

fn key(number: u8) -> Key {
    Key {
        version: [1; 32],
        arguments: [number; 32],
    }
}

fn put(folder: &Folder, number: u8, lives: Option<u64>) {
    let new = New {
        key: key(number),
        function: "m.f",
        cost: Duration::from_secs(1),
        lives: lives.map(Duration::from_secs),
        about: b"",
    };
    folder.put(&new, Body::Bytes(b"value")).unwrap();
}

fn has(folder: &Folder, number: u8) -> bool {
    let found = folder.get(&key(number)).unwrap().is_some();
    assert_eq!(folder.contains(&key(number)).unwrap().is_some(), found);
    found
}

const LAYOUTS: [Layout; 2] = [Layout::Indexed, Layout::Plain];

#[test]
fn what_has_ended_or_is_too_old_is_not_found() {
    for layout in LAYOUTS {
        let place = tempfile::tempdir().unwrap();
        let time = Turned::new();
        let forever = folder(&place.path().join("store"), layout, None, &time);
        let hourly = folder(&place.path().join("store"), layout, Some(3600), &time);
        put(&forever, 1, Some(60));
        put(&forever, 2, None);
        assert!(has(&forever, 1) && has(&hourly, 2));
        time.by(59);
        assert!(has(&forever, 1));
        time.by(1);
        assert!(!has(&forever, 1), "{layout:?}");
        assert!(has(&hourly, 2));
        time.by(3540);
        assert!(!has(&hourly, 2));
        assert!(has(&forever, 2));
        put(&forever, 1, Some(60));
        assert!(has(&forever, 1));
    }
}

#[test]
fn a_clock_that_jumps_back_revives_nothing() {
    for layout in LAYOUTS {
        let place = tempfile::tempdir().unwrap();
        let time = Turned::new();
        let forever = folder(&place.path().join("store"), layout, None, &time);
        let hourly = folder(&place.path().join("store"), layout, Some(3600), &time);
        // The clock was a day ahead.
        time.by(86_400);
        put(&forever, 1, Some(60));
        put(&forever, 2, None);
        time.by(-86_400);
        assert!(!has(&forever, 1), "{layout:?}");
        assert!(has(&forever, 2));
        assert!(!has(&hourly, 2), "{layout:?}");
        // A little is what clocks of two machines differ by.
        time.by(30);
        put(&hourly, 3, Some(120));
        time.by(-30);
        assert!(has(&hourly, 3));
    }
}

#[test]
fn what_was_used_by_a_wrong_clock_is_not_kept_for_ever() {
    let place = tempfile::tempdir().unwrap();
    let time = Turned::new();
    let options = Options {
        layout: Layout::Indexed,
        max_items: Some(10),
        ..Options::default()
    };
    let folder = Folder::open_at(&place.path().join("store"), &options, time.clock()).unwrap();
    time.by(86_400 * 365);
    for number in 0..10 {
        put(&folder, number, None);
    }
    time.by(-86_400 * 365);
    for number in 10..20 {
        time.by(1);
        put(&folder, number, None);
    }
    for number in 10..20 {
        assert!(has(&folder, number), "{number}");
    }
}

#[test]
fn uses_are_written_before_what_was_used_least_leaves() {
    let place = tempfile::tempdir().unwrap();
    let time = Turned::new();
    let options = Options {
        layout: Layout::Indexed,
        max_items: Some(10),
        ..Options::default()
    };
    let folder = Folder::open_at(&place.path().join("store"), &options, time.clock()).unwrap();
    for number in 0..100 {
        time.by(100);
        put(&folder, number, None);
        time.by(100);
        assert!(has(&folder, 0));
    }
    let record = folder.contains(&key(0)).unwrap().unwrap();
    let since: SystemTime = record.created;
    assert!(record.used.duration_since(since).unwrap() > Duration::from_secs(10_000));
}
