//! Sizes of segments: few enough that one is found again, close enough that little is wasted.

const SMALLEST: u64 = 64 << 10;

/// The size of the segment that holds `len` bytes: four classes for each power of two, so that at
/// most a fifth of it is never touched (and takes no memory then).
pub(super) fn size(len: u64) -> Option<u64> {
    let len = len.max(SMALLEST);
    let step = 1u64 << (len.ilog2() - 2);
    len.checked_next_multiple_of(step)
        .filter(|&size| i64::try_from(size).is_ok())
}

/// Whether a segment of size `have` may serve where `want` is needed: not one so large that small
/// results would keep much memory from being given back.
pub(super) fn serves(have: u64, want: u64) -> bool {
    have >= want && have / 2 <= want
}

/// The length of all parts together.
pub(super) fn total(mut lens: impl Iterator<Item = u64>) -> Option<u64> {
    lens.try_fold(0u64, u64::checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_is_for_and_little_more() {
        let mut len = 1u64;
        while len < 1 << 50 {
            for near in [len - 1, len, len + 1] {
                let size = size(near).unwrap();
                assert!(size >= near);
                assert!(
                    size == SMALLEST || size <= near + near / 4 + 1,
                    "{near} -> {size}"
                );
            }
            len = len * 13 / 10 + 1;
        }
        assert_eq!(size(u64::MAX), None);
        assert_eq!(size(i64::MAX.unsigned_abs()), None);
    }

    #[test]
    fn lengths_beyond_four_gibibytes_add_up_and_overflow_is_noticed() {
        assert_eq!(
            total([3 << 30, 1, 2 << 30].into_iter()),
            Some((5 << 30) + 1)
        );
        assert_eq!(total([u64::MAX, 1].into_iter()), None);
    }

    #[test]
    fn a_large_segment_does_not_serve_a_small_need() {
        assert!(serves(100, 100));
        assert!(serves(200, 100));
        assert!(!serves(202, 100));
        assert!(!serves(99, 100));
    }
}
