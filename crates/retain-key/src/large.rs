//! Bytes too many for one thread, or too many to be held at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::{tag, write};

/// A thread takes so many bytes at a time. A power of two, as BLAKE3's tree asks for.
const PIECE: usize = 1 << 20;

/// Bytes to be [digested](crate::Encoder::digested) apart from the value that they are part of: by several threads if
/// they lie in memory, or piece by piece.
///
/// The digest is the one that [`Encoder::bytes`](crate::Encoder::bytes) writes.
///
/// # Examples
/// ```
/// use retain_key::{Encoder, KeyHasher, Large};
///
/// let content = vec![7; 3_000_000];
/// let mut whole = KeyHasher::new();
/// whole.bytes(&content);
/// let mut apart = KeyHasher::new();
/// apart.digested(Large::bytes(&content));
/// assert_eq!(whole.finish(), apart.finish());
/// ```
#[derive(Debug)]
pub struct Large {
    hasher: blake3::Hasher,
    left: u64,
}

impl Large {
    /// Bytes fewer than these are part of their container, and not to be digested apart.
    pub const LEAST: usize = write::INLINE;

    /// The digest of bytes that lie in memory, by as many threads as the process may use if there are many of them.
    ///
    /// The threads end before it returns.
    ///
    /// # Panics
    /// If there are fewer than [`LEAST`](Self::LEAST).
    #[must_use]
    pub fn bytes(content: &[u8]) -> [u8; 32] {
        assert!(
            content.len() >= Self::LEAST,
            "few bytes are not digested apart"
        );
        let header = header(tag::BYTES, content.len());
        let threads = match content.len() / PIECE {
            0 | 1 => 1,
            pieces => thread::available_parallelism()
                .map_or(1, usize::from)
                .min(pieces),
        };
        if threads == 1 {
            let mut hasher = blake3::Hasher::new();
            return hasher.update(&header).update(content).finalize().into();
        }
        spread(&header, content, threads)
    }

    /// A text or bytes of a length in bytes that come piece by piece.
    ///
    /// # Panics
    /// If there are fewer than [`LEAST`](Self::LEAST).
    #[must_use]
    pub fn pieces(text: bool, length: usize) -> Self {
        assert!(length >= Self::LEAST, "few bytes are not digested apart");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header(if text { tag::STR } else { tag::BYTES }, length));
        Self {
            hasher,
            left: length as u64,
        }
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.left = self.left.wrapping_sub(piece.len() as u64);
        self.hasher.update(piece);
    }

    /// The digest of all pieces.
    ///
    /// # Panics
    /// If they were not as long as was said.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        assert_eq!(self.left, 0, "the pieces are not as long as was said");
        self.hasher.finalize().into()
    }
}

fn header(tag: u8, length: usize) -> Vec<u8> {
    let mut header = vec![tag];
    write::varint(&mut header, length);
    header
}

/// The BLAKE3 of `header` and `content`, which together are longer than a piece.
fn spread(header: &[u8], content: &[u8], threads: usize) -> [u8; 32] {
    let pieces = (header.len() + content.len()).div_ceil(PIECE);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return done;
            }
            done.push((piece, subtree(header, content, piece)));
        }
    };
    let mut values = vec![[0; 32]; pieces];
    thread::scope(|scope| {
        // Where the system refuses a thread, the others do its part.
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        for (piece, value) in done {
            values[piece] = value;
        }
    });
    let (left, right) = values.split_at(left_pieces(pieces));
    merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).into()
}

fn subtree(header: &[u8], content: &[u8], piece: usize) -> ChainingValue {
    let start = piece * PIECE;
    let end = (start + PIECE).min(header.len() + content.len());
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start as u64);
    if piece == 0 {
        hasher.update(header);
    }
    hasher.update(&content[start.saturating_sub(header.len())..end - header.len()]);
    hasher.finalize_non_root()
}

fn merge(values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = values.split_at(left_pieces(values.len()));
    merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
}

/// How many of several pieces form BLAKE3's left subtree: the largest power of two below their number.
fn left_pieces(pieces: usize) -> usize {
    pieces.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::{PIECE, header, left_pieces, spread};

    #[test]
    fn the_left_subtree_is_the_largest_power_of_two_below() {
        for pieces in 2..200 {
            let left = left_pieces(pieces);
            assert!(
                left.is_power_of_two() && left < pieces && left * 2 >= pieces,
                "{pieces}"
            );
        }
    }

    #[test]
    fn threads_agree_with_one_hasher() {
        let content: Vec<u8> = (0..7 * PIECE + 5)
            .map(|i| (i % 251).to_le_bytes()[0])
            .collect();
        for length in [
            PIECE,
            PIECE + 1,
            2 * PIECE - 4,
            2 * PIECE - 3,
            3 * PIECE,
            7 * PIECE + 5,
        ] {
            let header = header(crate::tag::BYTES, length);
            let content = &content[..length];
            let whole = blake3::Hasher::new()
                .update(&header)
                .update(content)
                .finalize();
            for threads in [1, 2, 5] {
                assert_eq!(
                    spread(&header, content, threads),
                    *whole.as_bytes(),
                    "{length}, {threads}"
                );
            }
        }
    }
}
