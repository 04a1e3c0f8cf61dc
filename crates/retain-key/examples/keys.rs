//! Runs jobs and keeps what they printed under who they are: a job that was run before is not run again.
//!
//! Run as `cargo run --release -p retain-key --example keys`.

use std::collections::{BTreeSet, HashMap};

use retain_key::{Digest, Encoder, Key, KeyHasher, Large, digest};

/// What a build step is given: all that its output can depend on.
struct Job {
    command: Vec<String>,
    environment: HashMap<String, String>,
    input: Vec<u8>,
}

impl Key for Job {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.object("Job", |hasher| {
            self.command.key(hasher);
            self.environment.key(hasher);
            // The digest is that of `self.input.key(hasher)`, made by as many threads as there are processors.
            hasher.digested(Large::bytes(&self.input));
        });
    }
}

fn job(command: &[&str], environment: &[(&str, &str)], input: u8) -> Job {
    Job {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        environment: (environment.iter())
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        input: vec![input; 16 << 20],
    }
}

fn main() {
    let jobs = [
        job(&["cc", "-O2"], &[("LANG", "C"), ("HOME", "/")], 1),
        job(&["cc", "-O2"], &[("HOME", "/"), ("LANG", "C")], 1),
        job(&["cc", "-O2"], &[("HOME", "/"), ("LANG", "C")], 2),
        job(&["cc -O2"], &[("HOME", "/"), ("LANG", "C")], 2),
    ];
    let mut done: BTreeSet<Digest> = BTreeSet::new();
    for job in &jobs {
        let key = digest(job);
        let verb = if done.insert(key) { "run" } else { "kept" };
        println!("{key}  {:?}  {verb}", job.command);
    }
    assert_eq!(done.len(), 3, "the order of the environment does not count");
}
