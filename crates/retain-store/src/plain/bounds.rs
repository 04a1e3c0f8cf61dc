//! Staying within bounds.
//!
//! There is no index: each put looks at a few folders more, so that all are known after a while. What leaves is the worst
//! of a few entries that are looked at: what has ended, then what belongs to versions of a function that were
//! superseded, then what was not used for longest.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use super::sizes::Total;
use super::walk::{self, BUCKETS, Item};
use super::{Plain, blob_of, versions};
use crate::folder::{Bounds, Freed};
use crate::{Body, Error, New, Store};

/// Entries that are looked at for each that is put.
const LOOK: i64 = 64;
/// Entries of which the worst leave.
const SAMPLE: usize = 64;
/// So many times more are looked at before the next put has to go on.
const ROUNDS: usize = 8;

/// Puts an entry, and makes a few steps towards the bounds.
pub(super) fn keep(
    plain: &Plain,
    new: &New<'_>,
    body: Body<'_>,
    bounds: &Bounds,
) -> Result<(), Error> {
    if *bounds == Bounds::default() {
        return plain.put(new, body);
    }
    let path = plain.path(&new.key);
    let size = || {
        let length = |path| fs::metadata(path).ok().map(|metadata| metadata.len());
        length(path.clone()).map(|bytes| bytes + length(blob_of(&path)).unwrap_or(0))
    };
    let old = size();
    plain.put(new, body)?;
    let bytes = size().unwrap_or(0);
    let bucket = walk::bucket_of(&new.key);
    plain.sizes.put(bucket, bytes, old);
    if bounds.max_bytes.is_some_and(|most| bytes > most) || bounds.max_items == Some(0) {
        // Everything else would have to go, and it would not fit then either.
        plain.remove(&new.key)?;
        plain.sizes.remove(bucket, bytes);
        return Ok(());
    }
    plain.sizes.pay(LOOK);
    while let Some(bucket) = plain.sizes.next() {
        plain.sizes.set(bucket, &walk::items(plain, bucket)?);
    }
    let name = walk::name_of(&new.key);
    for _ in 0..ROUNDS {
        let over = plain.sizes.total().map(|total| over(total, bounds));
        if !over.is_some_and(|over| over != Total::default()) {
            return Ok(());
        }
        if !evict(plain, &name, bounds, over.unwrap_or_default())? {
            return Ok(());
        }
    }
    Ok(())
}

/// How much is too much.
fn over(total: Total, bounds: &Bounds) -> Total {
    let over = |has: u64, most: Option<u64>| most.map_or(0, |most| has.saturating_sub(most));
    Total {
        items: over(total.items, bounds.max_items),
        bytes: over(total.bytes, bounds.max_bytes),
    }
}

/// Removes the worst of a few entries, of which `spared` is none; whether there were any.
fn evict(plain: &Plain, spared: &str, bounds: &Bounds, mut over: Total) -> Result<bool, Error> {
    let start = getrandom::u32().unwrap_or(0) as usize;
    let mut sample = Vec::new();
    for step in 0..BUCKETS {
        let bucket = (start + step) % BUCKETS;
        if plain.sizes.is_empty(bucket) {
            continue;
        }
        let items = walk::items(plain, bucket)?;
        plain.sizes.set(bucket, &items);
        let others = items.into_iter().filter(|item| item.name != spared);
        sample.extend(others.map(|item| (bucket, item)));
        if sample.len() >= SAMPLE {
            break;
        }
    }
    if sample.is_empty() {
        return Ok(false);
    }
    // Large folders take long to look at: the next puts need not.
    let mut more = sample.len() / (4 * SAMPLE);
    let superseded = versions::superseded(plain)?;
    let mut ranked: Vec<(Rank, usize, Item)> = sample
        .into_iter()
        .take(4 * SAMPLE)
        .map(|(bucket, item)| (rank(plain, &item, &superseded, bounds), bucket, item))
        .collect();
    ranked.sort_by_key(|(rank, _, _)| *rank);
    let mut removed = false;
    for (rank, bucket, item) in ranked {
        if over == Total::default() && rank.0 != ENDED {
            if more == 0 {
                break;
            }
            more -= 1;
        }
        item.remove()?;
        plain.sizes.remove(bucket, item.bytes);
        over.items = over.items.saturating_sub(1);
        over.bytes = over.bytes.saturating_sub(item.bytes);
        removed = true;
    }
    Ok(removed)
}

const ENDED: u8 = 0;
const SUPERSEDED: u8 = 1;
const CURRENT: u8 = 2;

/// What leaves first, and when it was used.
type Rank = (u8, SystemTime);

fn rank(plain: &Plain, item: &Item, superseded: &HashSet<String>, bounds: &Bounds) -> Rank {
    let kind = if has_ended(plain, item, bounds.max_age) {
        ENDED
    } else if superseded.contains(&item.version) {
        SUPERSEDED
    } else {
        CURRENT
    };
    (kind, item.used)
}

fn has_ended(plain: &Plain, item: &Item, max_age: Option<Duration>) -> bool {
    let now = plain.clock.now();
    match plain.head(&item.path) {
        Ok(Some(header)) => {
            let dies = max_age.and_then(|age| header.created.checked_add(age));
            header.has_ended(now) || super::has_ended(header.created, dies, now)
        }
        // Of another secret, or damaged: as long as it is of use.
        _ => max_age.is_some_and(|age| now.duration_since(item.used).is_ok_and(|idle| idle > age)),
    }
}

/// Removes what has ended, and then the worst, until nothing is too much.
pub(super) fn reduce(plain: &Plain, to: &Bounds) -> Result<Freed, Error> {
    let superseded = versions::superseded(plain)?;
    let mut all = Vec::new();
    for bucket in 0..BUCKETS {
        for item in walk::items(plain, bucket)? {
            all.push((rank(plain, &item, &superseded, to), item));
        }
    }
    all.sort_by_key(|(rank, _)| *rank);
    let total = Total {
        items: all.len() as u64,
        bytes: all.iter().map(|(_, item)| item.bytes).sum(),
    };
    let mut over = over(total, to);
    let mut freed = Freed::default();
    for (rank, item) in all {
        if over == Total::default() && rank.0 != ENDED {
            break;
        }
        if item.remove()? {
            freed.items += 1;
            freed.bytes += item.bytes;
        }
        over.items = over.items.saturating_sub(1);
        over.bytes = over.bytes.saturating_sub(item.bytes);
    }
    plain.sizes.forget();
    Ok(freed)
}
