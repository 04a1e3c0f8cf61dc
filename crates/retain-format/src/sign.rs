//! Who wrote a file.

use crate::read_at::ReadAt;

/// The length without a signature at the end.
pub(crate) fn unsigned_len(source: &(impl ReadAt + ?Sized)) -> u64 {
    source.len()
}
