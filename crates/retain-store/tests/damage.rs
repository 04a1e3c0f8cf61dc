//! Whatever becomes of its files, a folder gives back what was put, or nothing.

mod shared;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use retain_format::Publication;
use retain_store::{Body, Folder, Options};
use shared::{bytes, key, new, open, options, value};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).unwrap().flatten() {
        let path = item.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn keyed(place: &Path) -> Folder {
    let options = Options {
        key: Some([3; 32]),
        ..options()
    };
    Folder::open(place, &options).unwrap()
}

/// Uses a folder in all ways; what it gives back has to be what was put.
fn use_all(folder: &Folder) {
    for number in 0..60 {
        if let Ok(Some(found)) = folder.get(&key(number)) {
            assert_eq!(bytes(found), value(number), "{number}");
        }
    }
    let _ = folder.list(&mut |_| ControlFlow::Continue(()));
    let _ = folder.functions();
    let _ = folder.versions("m.f");
    for number in 50..70 {
        let _ = folder.put(&new(number, "m.f"), Body::Bytes(&value(number)));
        if let Ok(Some(found)) = folder.get(&key(number)) {
            assert_eq!(bytes(found), value(number), "{number}");
        }
    }
    let _ = folder.verify(&mut |_, _| ControlFlow::Continue(()));
    let _ = folder.reduce(retain_store::Bounds {
        max_items: Some(20),
        ..Default::default()
    });
    let _ = folder.clear(Some("m.f"));
    // Whatever happened, it works again.
    folder.put(&new(7, "m.f"), Body::Bytes(&value(7))).unwrap();
    assert_eq!(bytes(folder.get(&key(7)).unwrap().unwrap()), value(7));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_are_never_a_value(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255u8), 1..12),
        log in any::<bool>(),
    ) {
        let place = tempfile::tempdir().unwrap();
        {
            let folder = keyed(place.path());
            for number in 0..60 {
                if number % 10 == 0 {
                    let file = Publication::begin(&folder.blob(&key(number)).unwrap()).unwrap();
                    file.file().write_all(&value(number)).unwrap();
                    folder.put(&new(number, "m.f"), Body::File(file)).unwrap();
                } else {
                    folder.put(&new(number, "m.f"), Body::Bytes(&value(number))).unwrap();
                }
            }
            folder.describe("m.f", &key(0).version, "text").unwrap();
            if !log {
                // It is in the database then, and no longer in the log.
                folder.reduce(retain_store::Bounds::default()).unwrap();
            }
        }
        let files: Vec<PathBuf> = files(place.path())
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                name.ends_with("pkl") || name.starts_with("entries") && !name.ends_with("shm")
            })
            .collect();
        for (file, at, flip) in flips {
            let path = file.get(&files);
            let mut content = fs::read(path).unwrap();
            if !content.is_empty() {
                let at = at.index(content.len());
                content[at] ^= flip;
                fs::write(path, content).unwrap();
            }
        }
        use_all(&keyed(place.path()));
    }
}

#[test]
fn an_index_that_was_whole_when_the_power_went_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    folder.put(&new(1, "f"), Body::Bytes(&value(1))).unwrap();
    folder.flush().unwrap();
    drop(folder);
    let note = place.path().join("index").join("moving");
    fs::write(&note, "another run of the system").unwrap();
    let folder = open(place.path());
    let found = folder.get(&key(1)).unwrap();
    assert_eq!(found.map(bytes), Some(value(1)));
    assert_eq!(fs::read(&note).unwrap(), b"", "it is not checked again");
}

#[test]
fn an_index_that_was_half_written_when_the_power_went_is_begun_anew() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(place.path());
    for number in 0..300 {
        folder
            .put(&new(number, "f"), Body::Bytes(&value(number)))
            .unwrap();
    }
    drop(folder);
    let index = place.path().join("index");
    let database = index.join("entries.sqlite");
    let mut pages = fs::read(&database).unwrap();
    let (first, second) = (pages.len() - 4096, pages.len() - 8192);
    pages.copy_within(first.., second);
    fs::write(&database, &pages).unwrap();
    for name in ["entries.sqlite-wal", "entries.sqlite-shm"] {
        let _ = fs::remove_file(index.join(name));
    }
    fs::write(index.join("moving"), "another run of the system").unwrap();
    let folder = open(place.path());
    use_all(&folder);
    for number in 0..300 {
        assert!(
            folder
                .get(&key(number))
                .unwrap()
                .is_none_or(|found| bytes(found) == value(number))
        );
    }
    folder.put(&new(1, "f"), Body::Bytes(&value(1))).unwrap();
    assert!(folder.get(&key(1)).unwrap().is_some());
    assert!(!fs::exists(index.join("moving")).unwrap());
}

#[test]
fn an_index_that_is_cut_emptied_or_something_else_is_begun_anew() {
    let place = tempfile::tempdir().unwrap();
    let index = place.path().join("index").join("entries.sqlite");
    for broken in [
        Vec::new(),
        b"SQLite".to_vec(),
        vec![0; 50_000],
        vec![b'x'; 9000],
    ] {
        {
            let folder = open(place.path());
            for number in 0..500 {
                folder
                    .put(&new(number, "m.f"), Body::Bytes(&value(number)))
                    .unwrap();
            }
            folder.reduce(retain_store::Bounds::default()).unwrap();
        }
        fs::write(&index, &broken).unwrap();
        use_all(&open(place.path()));
        // While it is open, too; so that others see it.
        eprintln!("round {} {:?}", broken.len(), std::time::SystemTime::now());
        let (one, other) = (open(place.path()), open(place.path()));
        other.put(&new(1, "m.f"), Body::Bytes(&value(1))).unwrap();
        one.put(&new(2, "m.f"), Body::Bytes(&value(2))).unwrap();
        one.reduce(retain_store::Bounds::default()).unwrap();
        fs::write(&index, &broken).unwrap();
        for number in 0..20 {
            let _ = one.get(&key(number));
            let _ = one.put(&new(number, "m.f"), Body::Bytes(&value(number)));
        }
        one.put(&new(4, "m.f"), Body::Bytes(&value(4))).unwrap();
        other.put(&new(3, "m.f"), Body::Bytes(&value(3))).unwrap();
        for folder in [&one, &other] {
            assert_eq!(bytes(folder.get(&key(3)).unwrap().unwrap()), value(3));
        }
        let cut = fs::read(&index).unwrap();
        fs::write(&index, &cut[..cut.len() / 2]).unwrap();
        use_all(&one);
        use_all(&other);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64, usize),
    PutFile(u64, usize),
    Remove(u64),
    Get(u64),
    Clear(bool),
    Reopen,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..40u64;
    prop_oneof![
        6 => (number.clone(), 0..5000usize).prop_map(|(number, len)| Step::Put(number, len)),
        2 => (number.clone(), 0..50_000usize).prop_map(|(number, len)| Step::PutFile(number, len)),
        2 => number.clone().prop_map(Step::Remove),
        5 => number.prop_map(Step::Get),
        1 => any::<bool>().prop_map(Step::Clear),
        1 => Just(Step::Reopen),
        1 => Just(Step::Check),
    ]
}

fn function_of(number: u64) -> &'static str {
    if number.is_multiple_of(2) {
        "m.even"
    } else {
        "m.odd"
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_folder_does_what_a_map_does(steps in prop::collection::vec(step(), 1..60)) {
        let place = tempfile::tempdir().unwrap();
        let mut folder = open(place.path());
        let mut map = std::collections::HashMap::new();
        for (index, step) in steps.into_iter().enumerate() {
            let content = |len: usize| vec![u8::try_from(index % 256).unwrap(); len];
            match step {
                Step::Put(number, len) => {
                    folder.put(&new(number, function_of(number)), Body::Bytes(&content(len))).unwrap();
                    map.insert(number, content(len));
                }
                Step::PutFile(number, len) => {
                    let file = Publication::begin(&folder.blob(&key(number)).unwrap()).unwrap();
                    file.file().write_all(&content(len)).unwrap();
                    folder.put(&new(number, function_of(number)), Body::File(file)).unwrap();
                    map.insert(number, content(len));
                }
                Step::Remove(number) => {
                    assert_eq!(folder.remove(&key(number)).unwrap(), map.remove(&number).is_some());
                }
                Step::Get(number) => {
                    assert_eq!(folder.get(&key(number)).unwrap().map(bytes).as_ref(), map.get(&number));
                }
                Step::Clear(even) => {
                    let before = map.len();
                    map.retain(|number, _| (number % 2 == 0) != even);
                    let removed = folder.clear(Some(function_of(u64::from(!even)))).unwrap();
                    assert_eq!(removed, (before - map.len()) as u64);
                }
                Step::Reopen => {
                    drop(folder);
                    folder = open(place.path());
                }
                Step::Check => {
                    let mut listed = 0;
                    let mut taken = 0;
                    folder.list(&mut |entry| {
                        listed += 1;
                        taken += entry.record.size;
                        ControlFlow::Continue(())
                    }).unwrap();
                    assert_eq!(listed, map.len());
                    assert_eq!(taken, map.values().map(|value| value.len() as u64).sum::<u64>());
                    let functions = folder.functions().unwrap();
                    assert_eq!(functions.iter().map(|f| f.entries).sum::<u64>(), map.len() as u64);
                    let verified = folder.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
                    assert!(verified.damaged.is_empty());
                }
            }
        }
    }
}
