//! How values are written in bytes and lines: only as picklers write them.

use super::arena::Value;
use super::hashes;

/// A dotted name: identifiers of ASCII with dots between.
pub(super) fn dotted(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let plain = name.len() <= 256
        && name.split('.').all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && part
                    .chars()
                    .all(|each| each.is_ascii_alphanumeric() || each == '_')
        });
    plain.then_some(name)
}

/// An integer in little-endian two's complement.
pub(super) fn twos_complement(bytes: &[u8]) -> Value {
    let negative = bytes.last().is_some_and(|&last| last >= 0x80);
    if bytes.len() <= 8 {
        let mut whole = if negative { [0xff; 8] } else { [0; 8] };
        if let Some(low) = whole.get_mut(..bytes.len()) {
            low.copy_from_slice(bytes);
        }
        return Value::Int(i64::from_le_bytes(whole));
    }
    // What is longer than it has to be counts as what it is.
    let fill = if negative { 0xff } else { 0 };
    let used = bytes
        .iter()
        .rposition(|&byte| byte != fill)
        .map_or(0, |last| last + 1);
    if used < 8 {
        return twos_complement(bytes.get(..8).unwrap_or_default());
    }
    Value::BigInt(
        u32::try_from(used).unwrap_or(u32::MAX),
        negative,
        hashes::twos_complement(bytes),
    )
}

fn decimal(digits: &[u8]) -> Option<Value> {
    let (negative, digits) = match digits.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, digits),
    };
    // Python refuses to read more digits than that, as it takes quadratic time.
    if digits.is_empty() || digits.len() > 4300 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.starts_with(b"0") && (digits.len() > 1 || negative) {
        return None;
    }
    Some(match std::str::from_utf8(digits).ok()?.parse::<u128>() {
        Ok(value) => match i64::try_from(value) {
            Ok(value) => Value::Int(if negative { -value } else { value }),
            Err(_) => Value::BigInt(16, negative, hashes::decimal(digits, negative)),
        },
        Err(_) => Value::BigInt(
            u32::try_from(digits.len() / 2 + 1).unwrap_or(u32::MAX),
            negative,
            hashes::decimal(digits, negative),
        ),
    })
}

/// The line of INT.
pub(super) fn int(line: &[u8]) -> Option<Value> {
    match line {
        b"00" => Some(Value::Bool(false)),
        b"01" => Some(Value::Bool(true)),
        _ => decimal(line),
    }
}

/// The line of LONG.
pub(super) fn long(line: &[u8]) -> Option<Value> {
    decimal(line.strip_suffix(b"L").unwrap_or(line))
}

/// The line of FLOAT.
pub(super) fn float(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?;
    let named = matches!(text, "inf" | "-inf" | "nan" | "-nan");
    let plain = text.len() <= 64
        && text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !named && !plain {
        return None;
    }
    let value: f64 = text.trim_start_matches("-nan").parse().unwrap_or(f64::NAN);
    if named {
        return Some(Value::Float(value));
    }
    // Too large a number is an error for Python.
    value.is_finite().then_some(Value::Float(value))
}

/// The line of STRING: a quoted text of ASCII.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = line.split_first()?;
    let (&last, content) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') || content.len() > 256 {
        return None;
    }
    let mut text = Vec::with_capacity(content.len());
    let mut bytes = content.iter().copied();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next()? {
                same @ (b'\\' | b'\'' | b'"') => same,
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'x' => {
                    hex(&[bytes.next()?, bytes.next()?]).and_then(|code| u8::try_from(code).ok())?
                }
                _ => return None,
            },
            byte => byte,
        };
        if !byte.is_ascii() {
            return None;
        }
        text.push(byte);
    }
    Some(text)
}

fn hex(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The line of UNICODE, as UTF-8 in which a lone surrogate takes three bytes.
pub(super) fn raw_unicode(line: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let code = if byte == b'\\' {
            let (&kind, after) = rest.split_first()?;
            let length = match kind {
                b'u' => 4,
                b'U' => 8,
                _ => return None,
            };
            let code = hex(after.get(..length)?)?;
            rest = after.get(length..)?;
            code
        } else {
            u32::from(byte)
        };
        push_code(&mut text, code)?;
    }
    Some(text)
}

fn push_code(text: &mut Vec<u8>, code: u32) -> Option<()> {
    if let Some(each) = char::from_u32(code) {
        text.extend_from_slice(each.encode_utf8(&mut [0; 4]).as_bytes());
        return Some(());
    }
    let [.., high, low] = code.to_be_bytes();
    if !(0xd800..=0xdfff).contains(&code) {
        return None;
    }
    text.extend([
        0xed,
        0x80 | (((high << 2) | (low >> 6)) & 0x3f),
        0x80 | (low & 0x3f),
    ]);
    Some(())
}

/// Whether this is UTF-8, but for surrogates, which may stand alone.
pub(super) fn is_utf8(mut bytes: &[u8]) -> bool {
    loop {
        let Err(error) = std::str::from_utf8(bytes) else {
            return true;
        };
        let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
        match rest {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}

/// What Latin-1 makes of a short text.
pub(super) fn latin(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            0x00..=0x7f => byte,
            0xc2 | 0xc3 => (byte << 6) | (rest.next()? & 0x3f),
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        assert_eq!(dotted(b"numpy._core.numeric"), Some("numpy._core.numeric"));
        for name in [
            &b""[..],
            b".",
            b"a.",
            b"os\0x",
            b"a b",
            b"1a",
            "\u{e9}".as_bytes(),
            b"a..b",
        ] {
            assert_eq!(dotted(name), None);
        }
    }

    #[test]
    fn integers() {
        assert_eq!(twos_complement(b""), Value::Int(0));
        assert_eq!(twos_complement(b"\xff"), Value::Int(-1));
        assert_eq!(
            twos_complement(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Value::Int(255)
        );
        assert_eq!(
            twos_complement(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]),
            Value::BigInt(8, false, 4)
        );
        assert_eq!(int(b"01"), Some(Value::Bool(true)));
        assert_eq!(int(b"-12"), Some(Value::Int(-12)));
        for line in [&b"+1"[..], b" 1", b"0x1", b"1_0", b"-0", b"007", b"", b"-"] {
            assert_eq!(int(line), None);
        }
        assert_eq!(
            long(b"9223372036854775808L"),
            Some(Value::BigInt(16, false, 4))
        );
    }

    #[test]
    fn floats() {
        assert_eq!(float(b"-1.5e3"), Some(Value::Float(-1500.0)));
        assert!(matches!(float(b"nan"), Some(Value::Float(value)) if value.is_nan()));
        for line in [
            &b"1e999"[..],
            b"1_0.0",
            b" 1.0",
            b"infinity",
            b"0x1p3",
            b"e",
            b"--1",
            b"",
        ] {
            assert_eq!(float(line), None, "{line:?}");
        }
    }

    #[test]
    fn texts() {
        assert_eq!(quoted(b"'a\\x41\\n'").as_deref(), Some(&b"aA\n"[..]));
        for line in [&b"'"[..], b"'a", b"'\\0'", b"'\\'", b"a'a", b"'\xe9'"] {
            assert_eq!(quoted(line), None, "{line:?}");
        }
        assert_eq!(
            raw_unicode(b"\\u005c\xe9\\ud800").as_deref(),
            Some(&b"\\\xc3\xa9\xed\xa0\x80"[..])
        );
        assert_eq!(raw_unicode(b"\\"), None);
        assert_eq!(raw_unicode(b"\\U00110000"), None);
        assert!(is_utf8(b"a\xed\xa0\x80b"));
        assert!(!is_utf8(b"a\xed\xa0"));
        assert!(!is_utf8(b"\xff"));
        assert_eq!(
            latin("\u{e9}\u{ff}a".as_bytes()).as_deref(),
            Some(&b"\xe9\xffa"[..])
        );
        assert_eq!(latin("\u{100}".as_bytes()), None);
    }
}
