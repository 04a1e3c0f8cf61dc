//! The checksum of a run of bytes: XXH3-64 of the XXH3-64 of each MiB.
//!
//! In two levels, so that the pieces of a large buffer are read and checked by several threads at once. It tells accidents,
//! not forgeries: for those there are signatures.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// How many bytes are hashed in one piece.
pub(crate) const PIECE: usize = 1 << 20;

/// The checksum of bytes that arrive in any portions.
pub struct Checksum {
    piece: Box<Xxh3>,
    room: usize,
    pieces: Box<Xxh3>,
}

impl Checksum {
    /// That of no bytes yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "nobody asks for a default checksum"
    )]
    pub fn new() -> Self {
        Self {
            piece: Box::new(Xxh3::new()),
            room: PIECE,
            pieces: Box::new(Xxh3::new()),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.room));
            if now.len() == PIECE {
                self.piece_of(xxh3_64(now));
            } else {
                self.piece.update(now);
                self.room -= now.len();
                if self.room == 0 {
                    self.end_piece();
                }
            }
            bytes = later;
        }
    }

    /// Takes the hash of a whole piece that was computed elsewhere.
    pub(crate) fn piece_of(&mut self, hash: u64) {
        debug_assert_eq!(self.room, PIECE, "pieces follow one another");
        self.pieces.update(&hash.to_le_bytes());
    }

    pub(crate) fn is_between_pieces(&self) -> bool {
        self.room == PIECE
    }

    fn end_piece(&mut self) {
        self.pieces.update(&self.piece.digest().to_le_bytes());
        self.piece.reset();
        self.room = PIECE;
    }

    /// The checksum of all bytes that were taken.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        if self.room < PIECE {
            self.end_piece();
        }
        known(self.pieces.digest())
    }
}

/// What stands for a checksum that is not known: that of a buffer which was written to in place.
pub(crate) const UNKNOWN: u64 = 0;

fn known(sum: u64) -> u64 {
    if sum == UNKNOWN { 1 } else { sum }
}

/// The hash of one piece, of at most [`PIECE`] bytes.
pub(crate) fn of_piece(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The checksum of pieces whose hashes are known, in order.
pub(crate) fn of_pieces(hashes: &[u64]) -> u64 {
    let mut all = Xxh3::new();
    for hash in hashes {
        all.update(&hash.to_le_bytes());
    }
    known(all.digest())
}

/// The checksum of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let hashes: Vec<u64> = bytes.chunks(PIECE).map(of_piece).collect();
    of_pieces(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_depend_on_how_the_bytes_arrive() {
        let bytes: Vec<u8> = (0u8..=255).cycle().take(3 * PIECE + 17).collect();
        for portion in [1, 4096 + 7, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE] {
            let mut sum = Checksum::new();
            bytes.chunks(portion).for_each(|part| sum.update(part));
            assert_eq!(sum.finish(), of(&bytes), "in portions of {portion}");
        }
        assert_eq!(Checksum::new().finish(), of(&[]));
        assert_ne!(of(&bytes), of(&bytes[1..]));
    }
}
