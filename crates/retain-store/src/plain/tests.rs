use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

/// A store whose clock is turned by hand.
struct Bench {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicU64>,
    plain: Plain,
}

impl Bench {
    fn new() -> Self {
        Self::sealed(None)
    }

    fn sealed(key: Option<[u8; 32]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicU64::new(1_000_000_000));
        let clock = Clock::Other(Arc::new({
            let seconds = Arc::clone(&seconds);
            move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed))
        }));
        Self {
            plain: Plain::new(folder.path(), key, clock),
            folder,
            seconds,
        }
    }

    /// What another machine sees.
    fn other(&self, key: Option<[u8; 32]>) -> Plain {
        Plain::new(self.folder.path(), key, self.plain.clock.clone())
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn key(version: u8, arguments: u32) -> Key {
    let digest = blake3::hash(&arguments.to_le_bytes());
    Key {
        version: [version; 32],
        arguments: *digest.as_bytes(),
    }
}

fn new(key: Key) -> New<'static> {
    New {
        key,
        function: "package.module.function",
        cost: Duration::from_millis(5),
        lives: None,
        about: b"about it",
    }
}

fn put(plain: &Plain, key: Key, value: &[u8]) {
    plain.put(&new(key), Body::Bytes(value)).unwrap();
}

fn put_file(plain: &Plain, new: &New<'_>, content: &[u8]) {
    let publication = plain.begin(&plain.blob(&new.key).unwrap()).unwrap();
    publication.file().write_all(content).unwrap();
    plain.put(new, Body::File(publication)).unwrap();
}

fn value(plain: &Plain, key: &Key) -> Option<Vec<u8>> {
    plain.get(key).unwrap().map(|found| match found.value {
        Value::Bytes(bytes) => bytes,
        Value::File(path) => fs::read(path).unwrap(),
    })
}

fn listed(plain: &Plain) -> Vec<Entry> {
    let mut entries = Vec::new();
    plain
        .list(&mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })
        .unwrap();
    entries
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>, Option<u8>),
    PutFile(u8, Vec<u8>, Option<u8>),
    Get(u8),
    Remove(u8),
    Clear,
    Pass(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = || proptest::collection::vec(any::<u8>(), 0..64);
    let lives = || proptest::option::of(1..20_u8);
    let step = prop_oneof![
        3 => (0..6_u8, value(), lives()).prop_map(|(key, value, lives)| Step::Put(key, value, lives)),
        2 => (0..6_u8, value(), lives()).prop_map(|(key, value, lives)| Step::PutFile(key, value, lives)),
        4 => (0..6_u8).prop_map(Step::Get),
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => Just(Step::Clear),
        1 => (1..10_u8).prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_map_whose_entries_end(steps in steps(), secret in any::<bool>()) {
        let secret = secret.then_some([7; 32]);
        let mut bench = Bench::sealed(secret);
        let mut model: HashMap<u8, (Vec<u8>, Option<u64>)> = HashMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Put(number, value, lives) | Step::PutFile(number, value, lives)
                    if value.len() % 2 == 0 =>
                {
                    let new = New { lives: lives.map(|lives| Duration::from_secs(lives.into())), ..new(key(number % 2, number.into())) };
                    bench.plain.put(&new, Body::Bytes(&value)).unwrap();
                    model.insert(number, (value, lives.map(|lives| now + u64::from(lives))));
                }
                Step::Put(number, value, lives) | Step::PutFile(number, value, lives) => {
                    let new = New { lives: lives.map(|lives| Duration::from_secs(lives.into())), ..new(key(number % 2, number.into())) };
                    // Not by chance what a compressed file begins with, which would be checked as one.
                    let value = [b"value ", value.as_slice()].concat();
                    put_file(&bench.plain, &new, &value);
                    model.insert(number, (value, lives.map(|lives| now + u64::from(lives))));
                }
                Step::Get(number) => {
                    let expected = model
                        .get(&number)
                        .filter(|(_, ends)| ends.is_none_or(|ends| ends > now))
                        .map(|(value, _)| value.clone());
                    prop_assert_eq!(value(&bench.plain, &key(number % 2, number.into())), expected.clone());
                    let known = bench.plain.record(&key(number % 2, number.into())).unwrap();
                    prop_assert_eq!(known.map(|record| record.size), expected.map(|value| value.len() as u64));
                }
                Step::Remove(number) => {
                    let removed = bench.plain.remove(&key(number % 2, number.into())).unwrap();
                    prop_assert_eq!(removed, model.remove(&number).is_some());
                }
                Step::Clear => {
                    prop_assert_eq!(bench.plain.clear(None).unwrap(), model.len() as u64);
                    model.clear();
                    // What began before is not kept.
                    bench.pass(1);
                    now += 1;
                }
                Step::Pass(seconds) => {
                    bench.pass(seconds.into());
                    now += u64::from(seconds);
                }
                Step::Reopen => bench.plain = bench.other(secret),
            }
            prop_assert_eq!(listed(&bench.plain).len(), model.len());
        }
        let verified = bench.plain.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(verified.checked, model.len() as u64);
        prop_assert!(verified.damaged.is_empty());
        let entries: u64 = bench.plain.functions().unwrap().iter().map(|of| of.entries).sum();
        prop_assert_eq!(entries, model.len() as u64);
    }

    #[test]
    fn a_flipped_bit_is_a_miss(position in any::<prop::sample::Index>(), bit in 0..8_u8, file in any::<bool>(), secret in any::<bool>()) {
        let bench = Bench::sealed(secret.then_some([7; 32]));
        let content: Vec<u8> = (0..600_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        if file {
            put_file(&bench.plain, &new(key(1, 1)), &content);
        } else {
            put(&bench.plain, key(1, 1), &content);
        }
        let paths: Vec<PathBuf> = bench.files().into_iter().filter(|path| path.starts_with(bench.folder.path().join("entries"))).collect();
        let sizes: Vec<usize> = paths.iter().map(|path| fs::read(path).unwrap().len()).collect();
        let mut at = position.index(sizes.iter().sum());
        let mut which = 0;
        while at >= sizes[which] {
            at -= sizes[which];
            which += 1;
        }
        let mut bytes = fs::read(&paths[which]).unwrap();
        bytes[at] ^= 1 << bit;
        fs::write(&paths[which], bytes).unwrap();
        prop_assert_eq!(value(&bench.plain, &key(1, 1)), None);
        // An entry under another secret is not looked into.
        let foreign = (8..16).contains(&at) && paths[which].extension().is_none();
        let verified = bench.plain.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(verified.damaged.len(), usize::from(!foreign));
        put(&bench.plain, key(1, 1), b"new");
        prop_assert_eq!(value(&bench.plain, &key(1, 1)), Some(b"new".to_vec()));
    }
}

#[test]
fn what_is_known_of_an_entry_is_told() {
    let bench = Bench::new();
    let new = New {
        lives: Some(Duration::from_secs(60)),
        ..new(key(1, 1))
    };
    bench.plain.put(&new, Body::Bytes(b"value")).unwrap();
    let now = bench.plain.clock.now();
    bench.pass(10);
    bench
        .plain
        .touch(&[(new.key, bench.plain.clock.now())])
        .unwrap();
    let expected = Record {
        created: now,
        used: now + Duration::from_secs(10),
        expires: Some(now + Duration::from_secs(60)),
        cost: new.cost,
        size: 5,
        about: new.about.to_vec(),
    };
    assert_eq!(bench.plain.get(&new.key).unwrap().unwrap().record, expected);
    assert_eq!(bench.plain.record(&new.key).unwrap().unwrap(), expected);
    let entries = listed(&bench.plain);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].key, new.key);
    assert_eq!(entries[0].function, new.function);
    assert_eq!(entries[0].record, expected);
}

#[test]
fn an_entry_from_the_future_that_ends_has_ended() {
    let bench = Bench::new();
    let ends = New {
        lives: Some(Duration::from_secs(10_000)),
        ..new(key(1, 1))
    };
    bench.plain.put(&ends, Body::Bytes(b"ends")).unwrap();
    put(&bench.plain, key(1, 2), b"stays");
    bench.seconds.fetch_sub(3600, Ordering::Relaxed);
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    assert_eq!(value(&bench.plain, &key(1, 2)), Some(b"stays".to_vec()));
}

#[test]
fn another_secret_finds_nothing_and_removes_nothing() {
    let bench = Bench::sealed(Some([1; 32]));
    put(&bench.plain, key(1, 1), b"mine");
    for other in [bench.other(None), bench.other(Some([2; 32]))] {
        assert_eq!(value(&other, &key(1, 1)), None);
        assert!(other.record(&key(1, 1)).unwrap().is_none());
        assert!(listed(&other).is_empty());
        let verified = other.verify(&mut |_, _| ControlFlow::Continue(())).unwrap();
        assert!(verified.damaged.is_empty());
    }
    assert_eq!(value(&bench.plain, &key(1, 1)), Some(b"mine".to_vec()));
}

#[test]
fn a_forged_entry_is_not_found_under_a_secret() {
    let bench = Bench::sealed(Some([1; 32]));
    let forger = bench.other(None);
    put(&forger, key(1, 1), b"forged");
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    // One that claims to be sealed.
    let path = bench.plain.path(&key(1, 1));
    let mut bytes = fs::read(&path).unwrap();
    bytes[8..16].copy_from_slice(&Seal::new(Some([1; 32])).id());
    fs::write(&path, bytes).unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    // An entry of one call under the name of another.
    put(&bench.plain, key(1, 2), b"other");
    fs::copy(bench.plain.path(&key(1, 2)), &path).unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
}

#[test]
fn a_file_that_is_not_the_one_that_was_put_is_a_miss() {
    let bench = Bench::new();
    put_file(&bench.plain, &new(key(1, 1)), b"the first content");
    let blob = blob_of(&bench.plain.path(&key(1, 1)));
    fs::write(&blob, b"any other content").unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    fs::remove_file(&blob).unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    assert!(bench.plain.record(&key(1, 1)).unwrap().is_none());
}

#[test]
fn a_folder_that_is_deleted_misses_and_is_not_made_again_here() {
    let bench = Bench::new();
    put(&bench.plain, key(1, 1), b"value");
    let root = bench.folder.path();
    fs::remove_dir_all(root.join("entries")).unwrap();
    fs::remove_dir_all(root.join("functions")).unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    put(&bench.plain, key(1, 1), b"again");
    assert_eq!(value(&bench.plain, &key(1, 1)), Some(b"again".to_vec()));
    fs::remove_dir_all(root).unwrap();
    assert_eq!(value(&bench.plain, &key(1, 1)), None);
    assert!(!bench.plain.remove(&key(1, 1)).unwrap());
    assert!(listed(&bench.plain).is_empty());
    assert!(bench.plain.functions().unwrap().is_empty());
    let refused = bench.plain.put(&new(key(1, 1)), Body::Bytes(b"value"));
    let gone = |error: &Error| matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
    assert!(refused.is_err_and(|error| gone(&error)));
    assert!(!root.exists());
}

#[test]
fn functions_are_cleared_and_counted_by_name() {
    let bench = Bench::new();
    let long = "package.".repeat(60) + "<locals>.naïve/../function";
    for number in 0..10 {
        let new = New {
            function: &long,
            ..new(key(2, number))
        };
        bench.plain.put(&new, Body::Bytes(&[0; 100])).unwrap();
        put(&bench.plain, key(1, number), b"x");
    }
    bench
        .plain
        .describe(&long, &[2; 32], "what it\nconsists of")
        .unwrap();
    bench
        .plain
        .describe(&long, &[2; 32], "something else")
        .unwrap();
    let tally = Tally {
        hits: 3,
        misses: 4,
        saved: Duration::from_secs(5),
        spent: Duration::from_secs(6),
    };
    bench.plain.count(&[(long.clone(), tally)]).unwrap();
    bench.plain.count(&[(long.clone(), tally)]).unwrap();
    let functions = bench.plain.functions().unwrap();
    assert_eq!(functions.len(), 2);
    let of = functions.iter().find(|of| of.function == long).unwrap();
    assert_eq!((of.entries, of.versions, of.tally.hits), (10, 1, 6));
    assert!(of.bytes > 1000);
    let versions = bench.plain.versions(&long).unwrap();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].digest, [2; 32]);
    assert_eq!(versions[0].text, "what it\nconsists of");
    assert_eq!(bench.plain.clear(Some(&long)).unwrap(), 10);
    assert_eq!(listed(&bench.plain).len(), 10);
    assert_eq!(bench.plain.clear(Some(&long)).unwrap(), 0);
}

#[test]
fn what_was_computed_since_before_a_removal_is_not_kept() {
    let bench = Bench::new();
    let slow = New {
        cost: Duration::from_secs(100),
        ..new(key(1, 1))
    };
    for function in [Some(slow.function), None] {
        put(&bench.plain, key(1, 2), b"before");
        bench.plain.clear(function).unwrap();
        bench.pass(50);
        bench.plain.put(&slow, Body::Bytes(b"of old")).unwrap();
        assert_eq!(value(&bench.plain, &key(1, 1)), None);
        put(&bench.plain, key(1, 2), b"after");
        assert_eq!(value(&bench.plain, &key(1, 2)), Some(b"after".to_vec()));
        bench.plain.clear(Some("another")).unwrap();
        bench.pass(100);
        bench.plain.put(&slow, Body::Bytes(b"new")).unwrap();
        assert_eq!(value(&bench.plain, &key(1, 1)), Some(b"new".to_vec()));
    }
}

#[test]
fn it_stays_within_its_bounds() {
    let bench = Bench::new();
    let bounds = Bounds {
        max_items: Some(50),
        ..Bounds::default()
    };
    for number in 0..300 {
        bench.pass(1);
        bench
            .plain
            .keep(&new(key(1, number)), Body::Bytes(&[0; 50]), &bounds, &[])
            .unwrap();
        let here = listed(&bench.plain).len();
        assert!(here <= 50 || number < 100, "{here} after {number}");
    }
    let bounds = Bounds {
        max_bytes: Some(20_000),
        ..Bounds::default()
    };
    let plain = bench.other(None);
    for number in 0..300 {
        bench.pass(1);
        plain
            .keep(&new(key(1, number)), Body::Bytes(&[0; 1000]), &bounds, &[])
            .unwrap();
    }
    let bytes: u64 = plain.functions().unwrap().iter().map(|of| of.bytes).sum();
    assert!((10_000..=20_000).contains(&bytes), "{bytes}");
    plain
        .keep(&new(key(1, 7)), Body::Bytes(&vec![0; 30_000]), &bounds, &[])
        .unwrap();
    assert_eq!(value(&plain, &key(1, 7)), None);
}

#[test]
fn what_ended_leaves_first_then_old_versions_then_what_was_not_used() {
    let bench = Bench::new();
    let names = ["ends", "old", "unused", "used"];
    for (index, name) in names.iter().enumerate() {
        bench.pass(10);
        let version = if *name == "old" { 1 } else { 2 };
        let lives = (*name == "ends").then_some(Duration::from_secs(35));
        let number = u32::try_from(index).unwrap();
        let new = New {
            lives,
            ..new(key(version, number))
        };
        bench.plain.put(&new, Body::Bytes(name.as_bytes())).unwrap();
    }
    bench.pass(10);
    // Asked for last, and yet of an old version.
    let now = bench.plain.clock.now();
    bench
        .plain
        .touch(&[(key(1, 1), now), (key(2, 0), now), (key(2, 3), now)])
        .unwrap();
    let here = || {
        let mut names: Vec<Vec<u8>> = (0..4)
            .filter_map(|number| value(&bench.plain, &key(if number == 1 { 1 } else { 2 }, number)))
            .collect();
        names.sort();
        names
    };
    let to = |items| Bounds {
        max_items: Some(items),
        ..Bounds::default()
    };
    assert_eq!(bench.plain.reduce(&to(10)).unwrap().items, 1);
    assert_eq!(
        here(),
        [b"old".to_vec(), b"unused".to_vec(), b"used".to_vec()]
    );
    bench.plain.reduce(&to(2)).unwrap();
    assert_eq!(here(), [b"unused".to_vec(), b"used".to_vec()]);
    bench.plain.reduce(&to(1)).unwrap();
    assert_eq!(here(), [b"used".to_vec()]);
    let old = Bounds {
        max_age: Some(Duration::from_secs(5)),
        ..Bounds::default()
    };
    assert_eq!(bench.plain.reduce(&old).unwrap().items, 1);
    assert_eq!(
        bench.plain.reduce(&Bounds::default()).unwrap(),
        Freed::default()
    );
}

#[test]
fn machines_that_put_and_remove_the_same_calls_read_whole_values() {
    let bench = Bench::new();
    let machines: Vec<Plain> = (0..4).map(|_| bench.other(None)).collect();
    thread::scope(|scope| {
        for (machine, plain) in machines.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..200_u32 {
                    let key = key(1, round % 3);
                    // Each value tells by its length and its bytes what it is.
                    let byte =
                        u8::try_from((round + 50 * u32::try_from(machine).unwrap()) % 251).unwrap();
                    let content = vec![byte; usize::from(byte) + 5000];
                    match round % 4 {
                        0 => plain.put(&new(key), Body::Bytes(&content)).unwrap(),
                        1 => put_file(plain, &new(key), &content),
                        2 if round % 8 == 2 => {
                            plain.remove(&key).unwrap();
                        }
                        _ => {
                            let Some(found) = plain.get(&key).unwrap() else {
                                continue;
                            };
                            let bytes = match found.value {
                                Value::Bytes(bytes) => bytes,
                                Value::File(path) => match fs::read(path) {
                                    Ok(bytes) => bytes,
                                    Err(_) => continue,
                                },
                            };
                            assert_eq!(bytes.len(), usize::from(bytes[0]) + 5000);
                            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                        }
                    }
                }
            });
        }
    });
    let verified = bench
        .plain
        .verify(&mut |_, _| ControlFlow::Continue(()))
        .unwrap();
    assert!(verified.damaged.len() <= 3);
    assert!(
        bench
            .files()
            .iter()
            .all(|path| !path.to_string_lossy().contains(".retain-"))
    );
}

#[test]
fn what_the_killed_have_left_is_removed_when_it_is_old() {
    let bench = Bench::new();
    put(&bench.plain, key(1, 1), b"value");
    let path = bench.plain.path(&key(1, 1));
    let left = [
        path.with_file_name(".retain-1-1.tmp"),
        path.with_file_name(format!("{}-{}.pkl", "0".repeat(32), "0".repeat(16))),
    ];
    for file in &left {
        fs::write(file, b"part of").unwrap();
    }
    listed(&bench.plain);
    assert!(left.iter().all(|file| file.exists()));
    for file in &left {
        let old = SystemTime::now() - Duration::from_secs(7200);
        File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    listed(&bench.plain);
    assert!(left.iter().all(|file| !file.exists()));
    assert_eq!(value(&bench.plain, &key(1, 1)), Some(b"value".to_vec()));
}
