//! The codes of values that hold no others, written to a buffer.

use crate::tag;

/// The longest raw form that stands in its container as it is; a longer one is replaced by its digest.
pub(crate) const INLINE: usize = 256;

/// An unsigned LEB128.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "the lowest seven bits")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "less than 0x80")]
    out.push(value as u8);
}

#[inline]
pub(crate) fn small_integer(out: &mut Vec<u8>, value: i64) {
    // The bits that differ from the sign, and the sign.
    let bits = 65 - (value ^ (value >> 63)).leading_zeros();
    let length = if value == 0 { 0 } else { bits.div_ceil(8) };
    let end = out.len() + 2 + length as usize;
    out.extend_from_slice(&[tag::INTEGER, length.to_le_bytes()[0]]);
    out.extend_from_slice(&value.to_le_bytes());
    out.truncate(end);
}

/// An integer from its two's complement, little endian, of any length.
pub(crate) fn integer(out: &mut Vec<u8>, digits: &[u8]) {
    let sign = match digits.last() {
        Some(top) if top & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut length = digits.len();
    while length > 0 && digits[length - 1] == sign {
        // The byte says nothing, unless the one below would read as of the other sign.
        let below = length.checked_sub(2).map_or(0, |below| digits[below]);
        if (below & 0x80 != 0) != (sign != 0) {
            break;
        }
        length -= 1;
    }
    bytes(out, tag::INTEGER, &digits[..length]);
}

/// A tag, a length and as many bytes; replaced by its digest if that is shorter.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    let length = content.len();
    if length > 16 {
        return long_bytes(out, tag, content);
    }
    // Short ones are most of all, and need no call to be copied: by their first and their last bytes, which may overlap.
    out.extend_from_slice(&[tag, length.to_le_bytes()[0]]);
    let start = out.len();
    out.extend_from_slice(&[0; 16]);
    let short = &mut out[start..start + length];
    if let (Some(first), Some(last)) = (content.first_chunk::<8>(), content.last_chunk::<8>()) {
        short[..8].copy_from_slice(first);
        short[length - 8..].copy_from_slice(last);
    } else if let (Some(first), Some(last)) =
        (content.first_chunk::<4>(), content.last_chunk::<4>())
    {
        short[..4].copy_from_slice(first);
        short[length - 4..].copy_from_slice(last);
    } else if let (Some(first), Some(last)) =
        (content.first_chunk::<2>(), content.last_chunk::<2>())
    {
        short[..2].copy_from_slice(first);
        short[length - 2..].copy_from_slice(last);
    } else if let [only] = content {
        short[0] = *only;
    }
    out.truncate(start + length);
}

fn long_bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    let start = out.len();
    out.push(tag);
    varint(out, content.len());
    if out.len() - start + content.len() <= INLINE {
        out.extend_from_slice(content);
    } else {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&out[start..]).update(content);
        digest(out, start, &hasher.finalize());
    }
}

/// Replaces what was written from `start` on by its digest.
pub(crate) fn digest(out: &mut Vec<u8>, start: usize, digest: &blake3::Hash) {
    out.truncate(start);
    out.push(tag::DIGEST);
    out.extend_from_slice(digest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{integer, small_integer};
    use proptest::prelude::*;

    fn small(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        small_integer(&mut out, value);
        out
    }

    fn any_length(digits: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        integer(&mut out, digits);
        out
    }

    #[test]
    fn integers_take_as_few_bytes_as_possible() {
        for (value, code) in [
            (0, vec![5, 0]),
            (1, vec![5, 1, 1]),
            (-1, vec![5, 1, 255]),
            (127, vec![5, 1, 127]),
            (128, vec![5, 2, 128, 0]),
            (-128, vec![5, 1, 128]),
            (-129, vec![5, 2, 127, 255]),
            (i64::MIN, vec![5, 8, 0, 0, 0, 0, 0, 0, 0, 128]),
        ] {
            assert_eq!(small(value), code, "{value}");
        }
    }

    proptest! {
        #[test]
        fn an_integer_is_its_value_whatever_its_width(value: i64, shift in 0_u32..64, more in 0_usize..9) {
            let value = value >> shift;
            let mut digits = value.to_le_bytes().to_vec();
            digits.resize(8 + more, if value < 0 { 0xff } else { 0 });
            prop_assert_eq!(any_length(&digits), small(value));
        }
    }
}
