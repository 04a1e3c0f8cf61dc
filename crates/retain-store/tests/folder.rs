//! A folder keeps what it is given, across threads, openings and processes.

mod shared;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use retain_format::Publication;
use retain_store::{Body, Bounds, Error, Folder, Layout, New, Options, Tally, Value};
use shared::{bytes, key, new, open, options, value};

#[test]
fn what_is_put_is_found_after_reopening() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    assert_eq!(folder.layout(), Layout::Indexed);
    assert!(folder.get(&key(1)).unwrap().is_none());
    let costly = New {
        cost: Duration::from_micros(5),
        ..new(1, "m.f")
    };
    folder.put(&costly, Body::Bytes(b"one")).unwrap();
    drop(folder);
    let folder = open(place.path());
    let found = folder.get(&key(1)).unwrap().unwrap();
    assert_eq!(found.record.about, b"about");
    assert_eq!(found.record.cost, Duration::from_micros(5));
    assert_eq!(found.record.size, 3);
    assert_eq!(bytes(found), b"one");
    assert!(folder.get(&key(2)).unwrap().is_none());
    assert!(folder.remove(&key(1)).unwrap());
    assert!(!folder.remove(&key(1)).unwrap());
    assert!(folder.get(&key(1)).unwrap().is_none());
}

fn put_file(folder: &Folder, number: u64, content: &[u8]) {
    let file = Publication::begin(&folder.blob(&key(number)).unwrap()).unwrap();
    file.file().write_all(content).unwrap();
    folder.put(&new(number, "m.f"), Body::File(file)).unwrap();
}

#[test]
fn large_values_are_files_that_leave_with_their_entry() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    let file_of = |number| match folder.get(&key(number)).unwrap().unwrap().value {
        Value::File(path) => path,
        Value::Bytes(_) => panic!("bytes"),
    };
    put_file(&folder, 1, b"first");
    assert_eq!(fs::read(file_of(1)).unwrap(), b"first");
    put_file(&folder, 1, b"second");
    let path = file_of(1);
    assert_eq!(fs::read(&path).unwrap(), b"second");
    folder.put(&new(1, "m.f"), Body::Bytes(b"inline")).unwrap();
    assert!(!path.exists());
    put_file(&folder, 1, b"third");
    assert_eq!(fs::read(file_of(1)).unwrap(), b"third");
    assert!(folder.contains(&key(1)).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    assert!(folder.contains(&key(1)).unwrap().is_none());
    put_file(&folder, 1, b"fourth");
    assert!(folder.remove(&key(1)).unwrap());
    assert!(!path.exists());
}

#[test]
fn an_entry_is_listed_with_its_key() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    for number in 0..600 {
        let function = if number % 2 == 0 { "m.even" } else { "m.odd" };
        folder
            .put(&new(number, function), Body::Bytes(&value(number)))
            .unwrap();
    }
    let mut listed = Vec::new();
    folder
        .list(&mut |entry| {
            // The folder may be used meanwhile.
            assert_eq!(
                bytes(folder.get(&entry.key).unwrap().unwrap()).len() as u64,
                entry.record.size
            );
            listed.push((entry.key.to_bytes(), entry.function));
            ControlFlow::Continue(())
        })
        .unwrap();
    listed.sort();
    let mut expected: Vec<_> = (0..600)
        .map(|number| {
            let function = if number % 2 == 0 { "m.even" } else { "m.odd" };
            (key(number).to_bytes(), function.to_owned())
        })
        .collect();
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(folder.clear(Some("m.even")).unwrap(), 300);
    assert!(folder.get(&key(2)).unwrap().is_none());
    assert!(folder.get(&key(3)).unwrap().is_some());
    assert_eq!(folder.clear(None).unwrap(), 300);
    assert_eq!(
        folder
            .functions()
            .unwrap()
            .iter()
            .map(|f| f.entries)
            .sum::<u64>(),
        0
    );
}

#[test]
fn functions_have_statistics() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    for number in 0..10 {
        folder
            .put(&new(number, "m.f"), Body::Bytes(&value(number)))
            .unwrap();
    }
    let tally = Tally {
        hits: 3,
        misses: 10,
        saved: Duration::from_secs(2),
        spent: Duration::from_secs(5),
    };
    folder.count("m.f", tally);
    let noted = folder.functions().unwrap();
    folder.flush().unwrap();
    let written = open(place.path()).functions().unwrap();
    assert_eq!(noted, written);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].function, "m.f");
    assert_eq!(written[0].entries, 10);
    assert_eq!(written[0].tally, tally);
    assert!(written[0].bytes >= 1000);
}

#[test]
fn versions_are_kept_side_by_side_the_last_used_first() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    folder.describe("m.f", &[1; 32], "first").unwrap();
    std::thread::sleep(Duration::from_millis(3));
    folder.describe("m.f", &[2; 32], "second").unwrap();
    folder.describe("m.f", &[1; 32], "not kept").unwrap();
    let texts = |folder: &Folder| -> Vec<String> {
        let versions = folder.versions("m.f").unwrap();
        versions.into_iter().map(|version| version.text).collect()
    };
    assert_eq!(texts(&folder), ["second", "first"]);
    assert!(folder.versions("m.g").unwrap().is_empty());
}

#[test]
fn a_full_folder_stays_within_its_bounds() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(
        place.path(),
        &Options {
            max_items: Some(200),
            ..options()
        },
    )
    .unwrap();
    for number in 0..1000 {
        folder
            .put(&new(number, "m.f"), Body::Bytes(&value(number)))
            .unwrap();
        assert!(
            folder.get(&key(0)).unwrap().is_some(),
            "{number}: it is used all the time"
        );
        assert!(folder.functions().unwrap()[0].entries <= 200);
        std::thread::sleep(Duration::from_micros(200));
    }
    let recent = (900..1000)
        .filter(|&number| folder.get(&key(number)).unwrap().is_some())
        .count();
    assert!(recent > 90, "{recent}");
}

#[test]
fn what_was_superseded_goes_first() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(
        place.path(),
        &Options {
            max_items: Some(20),
            ..options()
        },
    )
    .unwrap();
    let versioned = |number, version| {
        let mut new = new(number, "m.f");
        new.key.version = [version; 32];
        new
    };
    let pause = || std::thread::sleep(Duration::from_millis(3));
    folder.put(&new(100, "m.other"), Body::Bytes(b"x")).unwrap();
    pause();
    for number in 0..10 {
        folder
            .put(&versioned(number, 1), Body::Bytes(b"x"))
            .unwrap();
    }
    pause();
    for number in 0..14 {
        folder
            .put(&versioned(number, 2), Body::Bytes(b"x"))
            .unwrap();
    }
    // The oldest, but of a version that is in use.
    assert!(folder.get(&key(100)).unwrap().is_some());
    let kept = (0..10)
        .filter(|&n| folder.get(&versioned(n, 1).key).unwrap().is_some())
        .count();
    assert_eq!(kept, 5);
}

#[test]
fn reduce_removes_what_is_too_much_the_least_used_first() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    for number in 0..50 {
        folder
            .put(&new(number, "m.f"), Body::Bytes(&value(number)))
            .unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(folder.get(&key(0)).unwrap().is_some());
    let before = folder.removals();
    let freed = folder
        .reduce(Bounds {
            max_items: Some(10),
            ..Bounds::default()
        })
        .unwrap();
    assert_eq!(freed.items, 40);
    assert!(folder.get(&key(0)).unwrap().is_some());
    assert!(folder.get(&key(1)).unwrap().is_none());
    assert!(folder.get(&key(45)).unwrap().is_some());
    assert_ne!(folder.removals(), before);
    let all = Bounds {
        max_age: Some(Duration::ZERO),
        ..Bounds::default()
    };
    assert_eq!(folder.reduce(all).unwrap().items, 10);
}

#[test]
fn whatever_part_of_a_folder_is_deleted_the_next_entry_is_kept() {
    for layout in [Layout::Indexed, Layout::Plain] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        let options = Options {
            layout,
            ..Options::default()
        };
        let folder = Folder::open(&path, &options).unwrap();
        folder.put(&new(1, "m.f"), Body::Bytes(&value(1))).unwrap();
        put_file(&folder, 2, b"a file");
        let parts: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|part| part.unwrap().path())
            .collect();
        assert!(parts.len() > 3);
        for part in &parts {
            if part.is_dir() {
                fs::remove_dir_all(part).unwrap();
            } else {
                fs::remove_file(part).unwrap();
            }
            folder.put(&new(1, "m.f"), Body::Bytes(&value(1))).unwrap();
            let other = Folder::open(&path, &options).unwrap();
            for folder in [&folder, &other] {
                let found = folder.get(&key(1)).unwrap();
                assert_eq!(bytes(found.unwrap()), value(1), "{}", part.display());
            }
        }
    }
}

#[test]
fn removals_are_seen_by_others_and_so_is_the_end_of_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    let (one, other) = (open(&path), open(&path));
    one.put(&new(1, "m.f"), Body::Bytes(b"x")).unwrap();
    let before = other.removals().unwrap();
    one.remove(&key(1)).unwrap();
    let after = other.removals().unwrap();
    assert_ne!(before, after);
    one.remove(&key(1)).unwrap();
    assert_eq!(other.removals(), Some(after));
    one.put(&new(1, "m.f"), Body::Bytes(b"x")).unwrap();
    assert!(other.get(&key(1)).unwrap().is_some());
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(other.removals(), None);
    assert!(other.get(&key(1)).unwrap().is_none());
    assert!(one.get(&key(1)).unwrap().is_none());
    one.put(&new(2, "m.f"), Body::Bytes(b"y")).unwrap();
    assert!(one.get(&key(1)).unwrap().is_none());
    assert!(one.get(&key(2)).unwrap().is_some());
    assert!(other.get(&key(1)).unwrap().is_none());
    assert!(other.get(&key(2)).unwrap().is_some());
    assert_ne!(one.removals(), Some(after));
    assert!(path.join(".gitignore").exists());
    put_file(&other, 3, b"z");
    assert!(one.get(&key(3)).unwrap().is_some());
}

#[test]
fn entries_are_authenticated_with_a_key() {
    let place = tempfile::tempdir().unwrap();
    let keyed = |secret: u8| {
        let options = Options {
            key: Some([secret; 32]),
            ..options()
        };
        Folder::open(place.path(), &options).unwrap()
    };
    let folder = keyed(1);
    folder.put(&new(1, "m.f"), Body::Bytes(b"small")).unwrap();
    put_file(&folder, 2, b"large");
    assert_eq!(bytes(folder.get(&key(1)).unwrap().unwrap()), b"small");
    // A file is read, and checked, before it is handed out.
    assert_eq!(bytes(folder.get(&key(2)).unwrap().unwrap()), b"large");
    for other in [keyed(2), open(place.path())] {
        assert!(other.get(&key(1)).unwrap().is_none());
        assert!(other.get(&key(2)).unwrap().is_none());
    }
    let path = folder.blob(&key(2)).unwrap();
    fs::write(path, b"forge").unwrap();
    assert!(folder.get(&key(2)).unwrap().is_none());
    let verified = folder
        .verify(&mut |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((verified.checked, verified.damaged.len()), (2, 1));
    assert_eq!(verified.damaged[0].key, key(2));
}

#[test]
fn other_layouts_and_newer_versions_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    drop(open(place.path()));
    let plain = Options {
        layout: Layout::Plain,
        ..options()
    };
    let Err(Error::Unsupported(text)) = Folder::open(place.path(), &plain) else {
        panic!();
    };
    assert!(text.contains("indexed") && text.contains("plain"), "{text}");
    fs::write(
        place.path().join("retain-store"),
        "retain-store indexed 7\n",
    )
    .unwrap();
    let Err(Error::Unsupported(text)) = Folder::open(place.path(), &options()) else {
        panic!();
    };
    assert!(
        text.contains("indexed 7") && text.contains("indexed 1"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_write_to_is_refused_without_a_key() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store");
    drop(open(&path));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let permit = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (wide, mode) in [
        (path.as_path(), 0o777),
        (path.as_path(), 0o1777),
        (place.path(), 0o757),
    ] {
        permit(wide, mode);
        let Err(Error::Untrusted(text)) = Folder::open(&path, &options()) else {
            panic!("{mode:o}");
        };
        assert!(
            text.contains("chmod go-w") && text.contains("key="),
            "{text}"
        );
        let keyed = Options {
            key: Some([1; 32]),
            ..options()
        };
        Folder::open(&path, &keyed).unwrap();
        permit(wide, 0o700);
    }
    // As /tmp is: nobody can rename what is ours.
    permit(place.path(), 0o1777);
    open(&path);
}

#[test]
fn threads_put_remove_and_clear_at_once() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    let other = open(place.path());
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let folder = if thread.is_multiple_of(2) {
                &folder
            } else {
                &other
            };
            scope.spawn(move || {
                for step in 0..400 {
                    let number = (step * 7 + thread * 13) % 60;
                    match (step + thread) % 50 {
                        0 => drop(folder.clear(Some("m.f")).unwrap()),
                        1..5 => drop(folder.remove(&key(number)).unwrap()),
                        5..8 => put_file(folder, number + 100, &value(number + 100)),
                        8 => drop(folder.reduce(Bounds::default()).unwrap()),
                        _ => folder
                            .put(&new(number, "m.f"), Body::Bytes(&value(number)))
                            .unwrap(),
                    }
                    if let Some(found) = folder.get(&key(number)).unwrap() {
                        assert_eq!(bytes(found), value(number));
                    }
                }
            });
        }
    });
    let verified = folder
        .verify(&mut |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert!(verified.damaged.is_empty());
}

#[test]
fn what_was_computed_since_before_a_removal_is_not_kept() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    let put = |number, begun: Duration| {
        let new = New {
            cost: begun,
            ..new(number, "m.f")
        };
        folder.put(&new, Body::Bytes(b"x")).unwrap();
        folder.get(&key(number)).unwrap().is_some()
    };
    let (long, short) = (Duration::from_secs(60), Duration::from_micros(1));
    assert!(put(1, long));
    assert!(!folder.remove(&key(2)).unwrap());
    assert!(!put(2, long));
    assert!(put(2, short));
    assert!(put(3, long));
    folder.clear(Some("m.g")).unwrap();
    assert!(!put(4, long));
    assert!(put(4, short));
}

#[test]
fn the_totals_tell_of_all_entries_to_whoever_put_them_and_to_others_once_they_are_written() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    let totals = |folder: &Folder| -> (u64, u64) {
        let functions = folder.functions().unwrap();
        functions
            .iter()
            .map(|each| (each.entries, each.bytes))
            .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    };
    for number in 0..70 {
        folder
            .put(&new(number, "f"), Body::Bytes(&value(number)))
            .unwrap();
    }
    let told = totals(&folder);
    assert_eq!(told.0, 70);
    for number in 0..80 {
        folder
            .put(&new(number, "f"), Body::Bytes(&value(number)))
            .unwrap();
    }
    assert!(folder.remove(&key(79)).unwrap());
    folder.flush().unwrap();
    let other = open(place.path());
    assert_eq!(totals(&other).0, 79);
    assert_eq!(other.clear(None).unwrap(), 79);
    assert_eq!(totals(&folder), (0, 0));
    drop((folder, other));
    assert_eq!(totals(&open(place.path())), (0, 0));
}
