//! What calls came to: a file for each process, added up when they are read. Losing some does no harm.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Plain, read, remove_file, walk};
use crate::Error;
use crate::folder::Tally;

type Tallies = BTreeMap<String, Tally>;

const FIRST_LINE: &str = "retain tally 1";
/// More files than this are added up, as soon as another process begins one.
const FILES: usize = 32;
/// A process that has written nothing for so long has ended, or begins another file.
const IDLE: Duration = Duration::from_secs(3600);

/// Adds to this process's tallies.
pub(super) fn add(plain: &Plain, tallies: &[(String, Tally)]) -> Result<(), Error> {
    let path = folder(plain).join(own_name());
    let mut sum = Tallies::new();
    match load(plain, &path)? {
        Some(own) => sum = own,
        None => absorb(plain, &mut sum)?,
    }
    for (function, tally) in tallies {
        join(&mut sum, function, tally);
    }
    let mut body = String::new();
    for (function, tally) in &sum {
        let function = function.replace('\\', "\\\\").replace('\n', "\\n");
        let Tally {
            hits,
            misses,
            saved,
            spent,
        } = tally;
        let (saved, spent) = (saved.as_nanos(), spent.as_nanos());
        let _ = writeln!(body, "{hits} {misses} {saved} {spent} {function}");
    }
    let digest = digest(plain, &body);
    plain.publish(
        &path,
        format!("{FIRST_LINE}\n{digest:x}\n{body}").as_bytes(),
    )
}

/// The tallies of all processes.
pub(super) fn all(plain: &Plain) -> Result<Tallies, Error> {
    let mut sum = Tallies::new();
    for file in walk::files(&folder(plain))? {
        for (function, tally) in load(plain, &file.path())?.unwrap_or_default() {
            join(&mut sum, &function, &tally);
        }
    }
    Ok(sum)
}

/// Takes over the files of processes that have ended, if they are many.
fn absorb(plain: &Plain, sum: &mut Tallies) -> Result<(), Error> {
    let files = walk::files(&folder(plain))?;
    if files.len() < FILES {
        return Ok(());
    }
    for file in files {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let idle = modified
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        if idle.is_none_or(|idle| idle <= IDLE) {
            continue;
        }
        let tallies = load(plain, &file.path())?.unwrap_or_default();
        // Whoever removes it has it.
        if remove_file(&file.path())? {
            for (function, tally) in tallies {
                join(sum, &function, &tally);
            }
        }
    }
    Ok(())
}

fn join(sum: &mut Tallies, function: &str, tally: &Tally) {
    let sum = sum.entry(function.to_owned()).or_default();
    sum.hits = sum.hits.saturating_add(tally.hits);
    sum.misses = sum.misses.saturating_add(tally.misses);
    sum.saved = sum.saved.saturating_add(tally.saved);
    sum.spent = sum.spent.saturating_add(tally.spent);
}

fn folder(plain: &Plain) -> PathBuf {
    plain.root.join("tallies")
}

/// The name of this process's file: another one after a fork.
fn own_name() -> String {
    static PROCESS: AtomicU64 = AtomicU64::new(0);
    static TOKEN: AtomicU64 = AtomicU64::new(0);
    let process = u64::from(std::process::id());
    if PROCESS.load(Ordering::Acquire) != process {
        TOKEN.store(getrandom::u64().unwrap_or(process), Ordering::Relaxed);
        PROCESS.store(process, Ordering::Release);
    }
    format!("{process}-{:016x}", TOKEN.load(Ordering::Relaxed))
}

fn load(plain: &Plain, path: &Path) -> Result<Option<Tallies>, Error> {
    let Some((bytes, _)) = read(path)? else {
        return Ok(None);
    };
    let parse = || {
        let text = std::str::from_utf8(&bytes).ok()?;
        let (check, body) = text
            .strip_prefix(FIRST_LINE)?
            .strip_prefix('\n')?
            .split_once('\n')?;
        if check != format!("{:x}", digest(plain, body)) {
            return None;
        }
        let mut tallies = Tallies::new();
        for line in body.lines() {
            let mut words = line.splitn(5, ' ');
            let mut number = || words.next()?.parse::<u64>().ok();
            let tally = Tally {
                hits: number()?,
                misses: number()?,
                saved: Duration::from_nanos(number()?),
                spent: Duration::from_nanos(number()?),
            };
            tallies.insert(super::versions::unescape(words.next()?), tally);
        }
        Some(tallies)
    };
    Ok(parse())
}

fn digest(plain: &Plain, body: &str) -> u128 {
    u128::from_be_bytes(plain.seal.digest(&[body.as_bytes()]))
}
