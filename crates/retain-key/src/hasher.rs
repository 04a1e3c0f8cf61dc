//! The encoder of trees: each code is written once, into its container's.

use std::fmt;

use crate::encoder::{Code, Encoder, Shape};
use crate::write::{self, INLINE};
use crate::{Digest, tag};

/// So much of a long value is gathered before it is hashed: enough for BLAKE3 to work on many chunks at once.
const GATHERED: usize = 64 * 1024;

/// Takes a value's parts and tells its [`Digest`].
///
/// What it keeps is at most 64 KiB for each value that is begun and not ended, and the codes of the members of sets and
/// maps, which are sorted at their end.
///
/// # Examples
/// ```
/// use retain_key::{Encoder, KeyHasher, Shape};
///
/// let mut hasher = KeyHasher::new();
/// hasher.begin(Shape::List);
/// hasher.integer(1);
/// hasher.str("one");
/// hasher.end(false);
/// let digest = hasher.finish();
/// assert_eq!(digest.to_string().len(), 64);
/// ```
pub struct KeyHasher {
    /// The codes so far of the values that are begun, one after the other.
    buffer: Vec<u8>,
    frames: Vec<Frame>,
    /// Where the items of the sets and maps that are begun start, one container after the other.
    items: Vec<usize>,
    /// The length of the buffer at which the innermost value is hashed as far as it goes.
    full: usize,
    /// The codes of values that come again.
    known: Vec<u8>,
    order: Vec<Item>,
    sorted: Vec<u8>,
}

/// A value that is begun.
struct Frame {
    start: usize,
    /// Its first item in `items`.
    items: usize,
    shape: Shape,
    /// What of it is hashed already.
    hashed: Option<Box<blake3::Hasher>>,
}

/// A code that was met before, in `known`.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    start: usize,
    length: usize,
}

#[derive(Clone, Copy)]
struct Item {
    /// The first bytes, which settle most comparisons.
    prefix: u64,
    start: usize,
    end: usize,
}

impl KeyHasher {
    /// A hasher that has taken nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            // As much as most values take.
            buffer: Vec::with_capacity(INLINE),
            full: usize::MAX,
            frames: Vec::new(),
            items: Vec::new(),
            known: Vec::new(),
            order: Vec::new(),
            sorted: Vec::new(),
        }
    }

    /// The digest of the value that was taken.
    ///
    /// # Panics
    /// If a value is begun and not ended.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::of_code(&self.code().0)
    }

    /// The code of the value that was taken, to be [written](Encoder::encoded) as part of others.
    ///
    /// # Panics
    /// If a value is begun and not ended.
    #[must_use]
    pub fn code(self) -> Code {
        assert!(
            self.frames.is_empty(),
            "a value was begun and not ended: call end() for each begin()"
        );
        Code(self.buffer.into())
    }

    /// A tuple, whose parts `parts` writes.
    pub fn tuple(&mut self, parts: impl FnOnce(&mut Self)) {
        self.begin(Shape::Tuple);
        parts(self);
        self.end(false);
    }

    /// An object of a named type, whose parts `parts` writes.
    pub fn object(&mut self, name: &str, parts: impl FnOnce(&mut Self)) {
        self.begin(Shape::Object);
        self.str(name);
        parts(self);
        self.end(false);
    }

    #[cold]
    #[inline(never)]
    fn hash_what_is_gathered(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let hasher = frame.hashed.get_or_insert_default();
        hasher.update(&self.buffer[frame.start..]);
        self.buffer.truncate(frame.start);
    }

    fn watch(&mut self) {
        self.full = match self.frames.last() {
            Some(frame) if frame.shape.is_ordered() => frame.start + GATHERED,
            _ => usize::MAX,
        };
    }

    /// Ends the last item of a map if there is one.
    fn end_item(&mut self, frame_items: usize) {
        if self.items.len() > frame_items
            && let Some(&start) = self.items.last()
            && self.buffer.len() - start > INLINE
        {
            let digest = blake3::hash(&self.buffer[start..]);
            write::digest(&mut self.buffer, start, &digest);
            self.buffer[start] = tag::ITEM;
        }
    }

    fn sort_items(&mut self, first: usize) {
        let starts = &self.items[first..];
        let Some(&from) = starts.first() else {
            return;
        };
        let end = self.buffer.len();
        let mut order = std::mem::take(&mut self.order);
        let ends = starts.iter().skip(1).copied().chain([end]);
        order.extend(starts.iter().zip(ends).map(|(&start, end)| Item {
            prefix: prefix(&self.buffer, start, end),
            start,
            end,
        }));
        self.items.truncate(first);
        let buffer = &self.buffer;
        let compare = |a: &Item, b: &Item| {
            let rest = || buffer[a.start..a.end].cmp(&buffer[b.start..b.end]);
            a.prefix.cmp(&b.prefix).then_with(rest)
        };
        if !order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            order.sort_unstable_by(compare);
            let mut sorted = std::mem::take(&mut self.sorted);
            for item in &order {
                let end = sorted.len() + (item.end - item.start);
                // Most items are short, and copied faster with what follows them than by a call.
                match buffer[item.start..].first_chunk::<32>() {
                    Some(chunk) if item.end - item.start <= 32 => sorted.extend_from_slice(chunk),
                    _ => sorted.extend_from_slice(&buffer[item.start..item.end]),
                }
                sorted.truncate(end);
            }
            self.buffer[from..].copy_from_slice(&sorted);
            sorted.clear();
            self.sorted = sorted;
        }
        order.clear();
        self.order = order;
    }
}

/// The first eight bytes of an item, as a number that is ordered as they are; where it is shorter, zeros follow.
fn prefix(buffer: &[u8], start: usize, end: usize) -> u64 {
    let number = match buffer[start..].first_chunk::<10>() {
        // Read as they were written just now, two bytes and then more: the processor waits where a read spans writes.
        Some([first, second, rest @ ..]) => {
            u64::from(u16::from_be_bytes([*first, *second])) << 48 | u64::from_be_bytes(*rest) >> 16
        }
        None => (0..8).fold(0, |number, place| {
            number << 8 | u64::from(buffer.get(start + place).copied().unwrap_or(0))
        }),
    };
    match end - start {
        length @ 0..8 => number & !(u64::MAX >> (8 * length)),
        _ => number,
    }
}

impl Encoder for KeyHasher {
    type Known = Again;

    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    #[inline]
    fn written(&mut self) {
        if self.buffer.len() >= self.full {
            self.hash_what_is_gathered();
        }
    }

    #[inline]
    fn begin(&mut self, shape: Shape) -> Option<Again> {
        self.frames.push(Frame {
            start: self.buffer.len(),
            items: self.items.len(),
            shape,
            hashed: None,
        });
        self.buffer.push(shape.tag());
        self.watch();
        None
    }

    #[inline]
    fn item(&mut self) {
        if let Some(frame) = self.frames.last() {
            self.end_item(frame.items);
            self.items.push(self.buffer.len());
        }
    }

    fn end(&mut self, again: bool) -> Option<Again> {
        let frame = self.frames.pop()?;
        if !frame.shape.is_ordered() {
            self.end_item(frame.items);
            self.sort_items(frame.items);
        }
        self.buffer.push(tag::END);
        let raw = &self.buffer[frame.start..];
        if let Some(mut hasher) = frame.hashed {
            let digest = hasher.update(raw).finalize();
            write::digest(&mut self.buffer, frame.start, &digest);
        } else if raw.len() > INLINE {
            let digest = blake3::hash(raw);
            write::digest(&mut self.buffer, frame.start, &digest);
        }
        let known = again.then(|| {
            let start = self.known.len();
            self.known.extend_from_slice(&self.buffer[frame.start..]);
            Again {
                start,
                length: self.known.len() - start,
            }
        });
        self.watch();
        self.written();
        known
    }

    fn again(&mut self, known: Again) {
        let code = &self.known[known.start..known.start + known.length];
        self.buffer.extend_from_slice(code);
        self.written();
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyHasher")
            .field("depth", &self.frames.len())
            .finish_non_exhaustive()
    }
}
