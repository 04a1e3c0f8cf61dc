//! How much there is, by bucket, as far as this process has seen.
//!
//! Nothing here is locked, so that a child of a fork can go on with it. What other processes put and remove is seen when
//! a bucket is looked at again.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use super::walk::{BUCKETS, Item};

pub(super) struct Sizes {
    buckets: Vec<Bucket>,
    cursor: AtomicUsize,
    /// Files that may be looked at before the next put pays for them.
    credit: AtomicI64,
}

#[derive(Default)]
struct Bucket {
    known: AtomicBool,
    items: AtomicU64,
    bytes: AtomicU64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Total {
    pub(super) items: u64,
    pub(super) bytes: u64,
}

impl Sizes {
    pub(super) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            cursor: AtomicUsize::new(0),
            credit: AtomicI64::new(0),
        }
    }

    /// The bucket to look at next, if that is paid for.
    pub(super) fn next(&self) -> Option<usize> {
        (self.credit.load(Ordering::Relaxed) > 0)
            .then(|| self.cursor.fetch_add(1, Ordering::Relaxed) % BUCKETS)
    }

    /// Pays for looking at so many files.
    pub(super) fn pay(&self, files: i64) {
        let most = 4 * files;
        let paid = self.credit.fetch_add(files, Ordering::Relaxed) + files;
        if paid > most {
            self.credit.store(most, Ordering::Relaxed);
        }
    }

    /// Notes what is in a bucket.
    pub(super) fn set(&self, bucket: usize, items: &[Item]) {
        let spent = i64::try_from(items.len()).unwrap_or(i64::MAX);
        // An empty folder costs something too.
        self.credit.fetch_sub(spent + 2, Ordering::Relaxed);
        let bucket = &self.buckets[bucket];
        bucket.items.store(items.len() as u64, Ordering::Relaxed);
        let bytes = items.iter().map(|item| item.bytes).sum();
        bucket.bytes.store(bytes, Ordering::Relaxed);
        bucket.known.store(true, Ordering::Relaxed);
    }

    /// Notes that an entry was put in place of an older one, if there was one.
    pub(super) fn put(&self, bucket: usize, bytes: u64, old: Option<u64>) {
        let bucket = &self.buckets[bucket];
        bucket.bytes.fetch_add(bytes, Ordering::Relaxed);
        match old {
            Some(old) => lower(&bucket.bytes, old),
            None => {
                bucket.items.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notes that an entry was removed.
    pub(super) fn remove(&self, bucket: usize, bytes: u64) {
        let bucket = &self.buckets[bucket];
        lower(&bucket.bytes, bytes);
        lower(&bucket.items, 1);
    }

    /// Whether there is nothing in a bucket.
    pub(super) fn is_empty(&self, bucket: usize) -> bool {
        let bucket = &self.buckets[bucket];
        bucket.known.load(Ordering::Relaxed) && bucket.items.load(Ordering::Relaxed) == 0
    }

    /// How much there is in all, guessed from the buckets that were looked at; `None` if they are too few for that.
    pub(super) fn total(&self) -> Option<Total> {
        let mut total = Total::default();
        let mut known = 0;
        for bucket in &self.buckets {
            if bucket.known.load(Ordering::Relaxed) {
                known += 1;
                total.items += bucket.items.load(Ordering::Relaxed);
                total.bytes += bucket.bytes.load(Ordering::Relaxed);
            }
        }
        if known < 16 {
            return None;
        }
        let buckets = BUCKETS as u64;
        Some(Total {
            items: total.items.saturating_mul(buckets) / known,
            bytes: total.bytes.saturating_mul(buckets) / known,
        })
    }

    /// Forgets everything, when much was removed.
    pub(super) fn forget(&self) {
        for bucket in &self.buckets {
            bucket.known.store(false, Ordering::Relaxed);
            bucket.items.store(0, Ordering::Relaxed);
            bucket.bytes.store(0, Ordering::Relaxed);
        }
    }
}

fn lower(number: &AtomicU64, by: u64) {
    let lowered = |number: u64| Some(number.saturating_sub(by));
    let _ = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
}
