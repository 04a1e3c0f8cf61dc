//! The values that protocol 0 writes as lines of text.

use super::nodes::Node;
use crate::opcode as op;

/// What a line stands for; `None` where it is malformed.
pub(super) fn node(opcode: u8, line: &[u8]) -> Option<Node> {
    let text = || std::str::from_utf8(line).ok();
    Some(match opcode {
        op::INT if line == b"00" => Node::Bool(false),
        op::INT if line == b"01" => Node::Bool(true),
        op::INT | op::LONG => {
            let digits = text()?.trim();
            let digits = digits.strip_suffix('L').unwrap_or(digits);
            let unsigned = digits.strip_prefix('-').unwrap_or(digits);
            if unsigned.is_empty() || !unsigned.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            digits.parse().map_or(Node::Huge, Node::Int)
        }
        op::FLOAT => Node::Float(text()?.trim().parse().ok()?),
        op::STRING => Node::Octets(quoted(line)?.into_boxed_slice()),
        op::UNICODE => Node::String(raw_unicode(line)?.into_boxed_str()),
        _ => return None,
    })
}

/// A text as Python 2's `repr` writes it.
fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let (&quote, rest) = line.split_first()?;
    let (&last, inner) = rest.split_last()?;
    if last != quote || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'0' => 0,
            same @ (b'\\' | b'\'' | b'"') => same,
            _ => return None,
        });
    }
    Some(bytes)
}

/// Latin-1, with `\u` and `\U` for all else.
fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(byte));
                rest = after;
                continue;
            }
        };
        let code = after.get(1..=digits)?;
        let code = u32::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?;
        // Halves of surrogate pairs are no text of Rust.
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = after.get(digits + 1..)?;
    }
    Some(text)
}
