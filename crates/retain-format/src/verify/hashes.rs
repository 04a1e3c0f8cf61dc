//! The hashes that Python gives to keys, as far as a file can choose them.
//!
//! Keys of one hash are compared with one another, each with all before it. Numbers, and tuples and frozensets of them, can
//! be chosen to have one hash, so their hashes are worked out here as Python works them out. Those of texts and bytes are
//! different in each process, so a random one stands for them. What has a hash that is not known is taken to have the
//! same as all else of which that is true.

use std::hash::BuildHasher as _;

use super::arena::{Arena, Holder, Node, Value};
use super::domain::Verifier;

/// What numbers are reduced by.
const MODULUS: u64 = (1 << 61) - 1;

/// The hash of all whose hash is not known.
pub(super) const ANY: u64 = 0x5b2d_61c9_7f3a_0e84;

/// What is known of the hash of an object of some class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// No file has many such objects of one hash; but as part of a tuple it may be any.
    Apart,
    Known(u64),
    Any,
}

/// The hash of a number that is `magnitude` modulo [`MODULUS`].
fn signed(magnitude: u64, negative: bool) -> u64 {
    let hash = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    // -1 tells of errors.
    if hash == u64::MAX { hash - 1 } else { hash }
}

fn times(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other) % u128::from(MODULUS);
    u64::try_from(product).unwrap_or(0)
}

/// `base` to the power of `exponent`.
fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    result
}

/// The hash of an integer.
pub(super) fn integer(value: i64) -> u64 {
    signed(value.unsigned_abs() % MODULUS, value < 0)
}

/// The hash of an integer in little-endian two's complement.
pub(super) fn twos_complement(bytes: &[u8]) -> u64 {
    let negative = bytes.last().is_some_and(|&last| last >= 0x80);
    let reduced = bytes.iter().rev().fold(0, |sum, &byte| {
        (times(sum, 256) + u64::from(byte)) % MODULUS
    });
    if negative {
        let whole = power(256, bytes.len() as u64);
        return signed((whole + MODULUS - reduced) % MODULUS, true);
    }
    signed(reduced, false)
}

/// Decimal digits, modulo [`MODULUS`].
fn digits(digits: impl Iterator<Item = u8>) -> u64 {
    digits.fold(0, |sum, digit| {
        (times(sum, 10) + u64::from(digit.wrapping_sub(b'0'))) % MODULUS
    })
}

/// The hash of an integer in decimal digits.
pub(super) fn decimal(text: &[u8], negative: bool) -> u64 {
    signed(digits(text.iter().copied()), negative)
}

/// The hash of `Decimal(text)`, where the text is as Python writes it.
pub(super) fn decimal_number(text: &[u8]) -> Option<u64> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut halves = text.split(|&byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent, None) = (halves.next()?, halves.next(), halves.next()) else {
        return None;
    };
    let exponent: i64 = match exponent {
        Some(exponent) => std::str::from_utf8(exponent).ok()?.parse().ok()?,
        None => 0,
    };
    let places = mantissa
        .iter()
        .position(|&byte| byte == b'.')
        .map_or(0, |point| mantissa.len() - point - 1);
    let plain = |&byte: &u8| byte.is_ascii_digit();
    if mantissa.iter().filter(|&byte| !plain(byte)).count() > usize::from(mantissa.contains(&b'.'))
    {
        return None;
    }
    let exponent = exponent.checked_sub(i64::try_from(places).ok()?)?;
    let order = i64::try_from(MODULUS - 1).ok()?;
    let scale = power(10, exponent.rem_euclid(order).unsigned_abs());
    let whole = digits(mantissa.iter().copied().filter(plain));
    Some(signed(times(whole, scale), negative))
}

/// The hash of `Fraction(text)`, where the text is as Python writes it.
pub(super) fn fraction_text(text: &[u8]) -> Option<u64> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut halves = text.split(|&byte| byte == b'/');
    let (over, under, None) = (halves.next()?, halves.next(), halves.next()) else {
        return None;
    };
    if !over
        .iter()
        .chain(under.unwrap_or(b"1"))
        .all(u8::is_ascii_digit)
    {
        return None;
    }
    let under = under.map_or(1, |under| decimal(under, false));
    fraction(decimal(over, negative), under)
}

/// The hash of a fraction of two integers of these hashes, the second above 0.
pub(super) fn fraction(numerator: u64, denominator: u64) -> Option<u64> {
    // That is the hash of -1 and of -2.
    if numerator == 2u64.wrapping_neg() {
        return None;
    }
    let negative = numerator.cast_signed() < 0;
    let numerator = numerator.cast_signed().unsigned_abs();
    if denominator.is_multiple_of(MODULUS) {
        return Some(signed(314_159, negative));
    }
    let quotient = times(numerator, power(denominator, MODULUS - 2));
    Some(signed(quotient, negative))
}

/// The hash of a float.
pub(super) fn float(value: f64) -> u64 {
    if value.is_nan() {
        return ANY;
    }
    if value.is_infinite() {
        return signed(314_159, value < 0.0);
    }
    let bits = value.to_bits();
    let (raw, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if raw == 0 {
        (fraction, 1)
    } else {
        (fraction | 1 << 52, raw)
    };
    // 2 to the power of 61 is 1; 1075 is what exponents are shifted by.
    let turns = (exponent + 61 * 18 - 1075) % 61;
    signed(times(mantissa, 1 << turns), value < 0.0)
}

/// The hash of a complex number whose parts have these.
pub(super) fn complex(real: u64, imaginary: u64) -> u64 {
    let hash = real.wrapping_add(imaginary.wrapping_mul(1_000_003));
    if hash == u64::MAX { hash - 1 } else { hash }
}

/// The hash of a tuple whose items have these.
fn tuple(items: impl ExactSizeIterator<Item = u64>) -> u64 {
    const FIRST: u64 = 11_400_714_785_074_694_791;
    const SECOND: u64 = 14_029_467_366_897_019_727;
    const FIFTH: u64 = 2_870_177_450_012_600_261;
    let length = items.len() as u64;
    let sum = items.fold(FIFTH, |sum, item| {
        sum.wrapping_add(item.wrapping_mul(SECOND))
            .rotate_left(31)
            .wrapping_mul(FIRST)
    });
    let hash = sum.wrapping_add(length ^ (FIFTH ^ 0x0035_d373));
    if hash == u64::MAX {
        1_546_275_796
    } else {
        hash
    }
}

/// The hash of a frozenset whose members have these.
fn frozenset(members: &[u64]) -> u64 {
    let sum = members.iter().fold(0, |sum, &member| {
        sum ^ ((member ^ 0x055b_4db3) ^ (member << 16)).wrapping_mul(3_644_798_167)
    });
    let sum = sum ^ (members.len() as u64 + 1).wrapping_mul(1_927_868_237);
    let hash = (sum ^ (sum >> 11) ^ (sum >> 25))
        .wrapping_mul(69_069)
        .wrapping_add(907_133_923);
    if hash == u64::MAX { 590_923_713 } else { hash }
}

/// What Python hashes of a text: its characters, each in as many bytes as the largest takes.
fn stored(text: &[u8]) -> Vec<u8> {
    let mut codes = Vec::with_capacity(text.len());
    for &byte in text {
        let code = u32::from(byte);
        match byte {
            0x80..=0xbf => {
                if let Some(last) = codes.last_mut() {
                    *last = *last << 6 | (code & 0x3f);
                }
            }
            0xc0..=0xdf => codes.push(code & 0x1f),
            0xe0..=0xef => codes.push(code & 0x0f),
            0xf0.. => codes.push(code & 0x07),
            _ => codes.push(code),
        }
    }
    let width = match codes.iter().max() {
        Some(0x1_0000..) => 4,
        Some(0x100..) => 2,
        _ => 1,
    };
    codes
        .iter()
        .flat_map(|code| code.to_le_bytes().into_iter().take(width))
        .collect()
}

impl Arena<'_> {
    /// The hash of a value as a part of a tuple or frozenset, or of one of those; nothing if it is not known.
    fn part(&self, random: &std::hash::RandomState, value: Value) -> Option<u64> {
        let content = |content: &[u8]| {
            if content.is_empty() {
                0
            } else {
                random.hash_one(content)
            }
        };
        match value {
            Value::None => Some(0xfca8_6420),
            Value::Bool(value) => Some(u64::from(value)),
            Value::Int(value) => Some(integer(value)),
            Value::BigInt(_, _, hash) => (hash != ANY).then_some(hash),
            Value::Float(value) => (!value.is_nan()).then(|| float(value)),
            Value::Text(_) => {
                let text = self.text(value)?;
                Some(if text.is_ascii() {
                    content(text)
                } else {
                    content(&stored(text))
                })
            }
            Value::Global(_) | Value::Unknown => None,
            Value::Node(_) => match self.get(value)? {
                // So deep are no keys but those that are to overflow the stack.
                Node::Tuple { depth: 200.., .. } => None,
                &Node::Tuple { items, .. } => {
                    let items: Option<smallvec::SmallVec<[u64; 8]>> = self
                        .span(items)
                        .iter()
                        .map(|&item| self.part(random, item))
                        .collect();
                    Some(tuple(items?.into_iter()))
                }
                &Node::FrozenSet { hash, .. } => (hash != ANY).then_some(hash),
                Node::Bytes(_) => self.short_bytes(value).map(content),
                Node::Object(_) => match self.object(value)?.hash {
                    Hash::Known(hash) => Some(hash),
                    _ => None,
                },
                _ => None,
            },
        }
    }

    /// The hash of a value as a key; nothing if no file has many keys of that hash.
    fn key(&self, random: &std::hash::RandomState, key: Value) -> Option<u64> {
        match key {
            Value::Int(value) if value.unsigned_abs() < MODULUS => None,
            Value::Int(value) => Some(integer(value)),
            Value::BigInt(_, _, hash) => Some(hash),
            Value::Node(_) => match self.get(key)? {
                Node::Tuple { .. } => Some(self.part(random, key).unwrap_or(ANY)),
                &Node::FrozenSet { hash, .. } => Some(hash),
                Node::Object(_) => match self.object(key)?.hash {
                    Hash::Apart => None,
                    Hash::Known(hash) => Some(hash),
                    Hash::Any => Some(ANY),
                },
                // The unit of times is no part of it.
                Node::Dtype(_) => Some(ANY),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Verifier<'_> {
    /// Whether each of `keys` can be hashed; what that costs is noted.
    pub(super) fn hashable(&self, keys: impl Iterator<Item = Value>) -> bool {
        let mut work = 0u64;
        let mut all = true;
        for key in keys {
            let cost = match key {
                Value::Text(_) | Value::Int(_) => continue,
                _ => self.arena.hash_cost(key),
            };
            all &= cost > 0;
            work = work.saturating_add(u64::from(cost));
        }
        self.arena.spend(work);
        all
    }

    /// Note what it costs to compare `keys` with those that `holder` has.
    pub(super) fn compare(&mut self, holder: Value, keys: impl Iterator<Item = Value>) {
        let Value::Node(number) = holder else {
            return;
        };
        for key in keys {
            if matches!(key, Value::Text(_) | Value::None | Value::Bool(_)) {
                continue;
            }
            let Some(hash) = self.key_hash(key) else {
                continue;
            };
            let cost = self.arena.hash_cost(key);
            let same = self.keys.entry((number, hash)).or_insert(0);
            self.arena
                .spend(u64::from(*same).saturating_mul(u64::from(cost)));
            *same = same.saturating_add(1);
        }
    }

    fn key_hash(&self, key: Value) -> Option<u64> {
        if matches!(key, Value::Node(_)) && self.is_spent() {
            return None;
        }
        self.arena.key(&self.random, key)
    }

    /// Whether too much has been done: then nothing more is, and the file is refused.
    fn is_spent(&self) -> bool {
        let over = self.arena.spent() > self.most_work;
        if over {
            self.arena.spend(u64::MAX);
        }
        over
    }

    /// A frozenset of what can be hashed.
    pub(super) fn frozenset(&mut self, items: &[Value], depth: u32) -> Value {
        let mut cost = 1u32;
        let mut hashes = Vec::with_capacity(items.len());
        for &item in items {
            cost = cost.saturating_add(self.arena.hash_cost(item));
            if !self.is_spent()
                && let Some(hash) = self.arena.part(&self.random, item)
            {
                hashes.push(hash);
            }
        }
        hashes.sort_unstable();
        let mut same = 0u64;
        let mut different = true;
        for (one, other) in hashes.iter().zip(hashes.iter().skip(1)) {
            same = if one == other { same + 1 } else { 0 };
            different &= one != other;
            self.arena.spend(same);
        }
        let known = different && hashes.len() == items.len();
        // Of members whose hash is not known, those that may be many of one hash are compared.
        let holder = self.holder(Holder::Set);
        self.compare(holder, items.iter().copied());
        let hash = if known { frozenset(&hashes) } else { ANY };
        self.arena.node(Node::FrozenSet { hash, depth, cost })
    }

    /// Let the hash of an object be known.
    pub(super) fn hashed(&mut self, object: Value, hash: Hash) {
        if let Some(object) = self.arena.object_mut(object) {
            object.hash = hash;
        }
    }

    /// The hash of a number: an integer, a float.
    pub(super) fn number_hash(&self, value: Value) -> Hash {
        match value {
            Value::Int(_) | Value::BigInt(..) | Value::Float(_) => self
                .arena
                .part(&self.random, value)
                .map_or(Hash::Any, Hash::Known),
            _ => Hash::Any,
        }
    }

    /// The hash of what is hashed as the tuple of these.
    pub(super) fn parts_hash(&self, parts: &[Value]) -> Hash {
        let parts: Option<Vec<u64>> = parts
            .iter()
            .map(|&part| self.arena.part(&self.random, part))
            .collect();
        parts.map_or(Hash::Any, |parts| Hash::Known(tuple(parts.into_iter())))
    }

    /// The hash of short bytes.
    pub(super) fn content_hash(&self, content: &[u8]) -> Hash {
        Hash::Known(self.random.hash_one(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_python_s() {
        assert_eq!(integer(-1), 2u64.wrapping_neg());
        assert_eq!(integer(i64::MIN), 4u64.wrapping_neg());
        assert_eq!(twos_complement(&(-3i64).to_le_bytes()), 3u64.wrapping_neg());
        assert_eq!(twos_complement(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]), 4);
        assert_eq!(decimal(b"18446744073709551616", false), 8);
        assert_eq!(float(0.5), 1 << 60);
        assert_eq!(float(-1.5), (1u64 << 60 | 1).wrapping_neg());
        assert_eq!(float(3.0), 3);
        assert_eq!(float(5e-324), 1 << 24);
        assert_eq!(decimal_number(b"1.50"), Some(1 << 60 | 1));
        assert_eq!(decimal_number(b"-2E+1"), Some(20u64.wrapping_neg()));
        assert_eq!(decimal_number(b"NaN"), None);
        assert_eq!(fraction(integer(3), integer(2)), Some(1 << 60 | 1));
        assert_eq!(complex(1, 2), 2_000_007);
        assert_eq!(tuple([].into_iter()), 5_740_354_900_026_072_187);
        assert_eq!(
            tuple([1, 2].into_iter()).cast_signed(),
            -3_550_055_125_485_641_917
        );
        assert_eq!(frozenset(&[]), 133_146_708_735_736);
        assert_eq!(
            frozenset(&[1, 2, 3]).cast_signed(),
            -272_375_401_224_217_160
        );
    }

    #[test]
    fn texts_are_hashed_as_they_lie_in_memory() {
        assert_eq!(stored("\u{e9}".as_bytes()), [0xe9]);
        assert_eq!(stored("a\u{4f60}".as_bytes()), [b'a', 0, 0x60, 0x4f]);
        assert_eq!(stored("\u{1f600}".as_bytes()), [0x00, 0xf6, 0x01, 0x00]);
    }
}
