//! Arrow's types, buffers and arrays, as far as columns of pandas are made of them.

use super::arena::{Holder, Kind, Value};
use super::contents::chunks;
use super::domain::{Reason, Verifier, refuse};
use super::names::Rule;

/// How the elements of a type lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Bits,
    Words(u64),
    /// The width of an offset, and whether the data are texts.
    Bytes(u64, bool),
}

/// The number of a layout, for objects to keep.
fn number(layout: Layout) -> i64 {
    match layout {
        Layout::Bits => 0,
        Layout::Words(width) => i64::try_from(width).unwrap_or(0),
        Layout::Bytes(width, text) => 100 + i64::try_from(width).unwrap_or(0) + i64::from(text),
    }
}

fn layout(number: i64) -> Layout {
    match number {
        0 => Layout::Bits,
        104 => Layout::Bytes(4, false),
        105 => Layout::Bytes(4, true),
        108 => Layout::Bytes(8, false),
        109 => Layout::Bytes(8, true),
        words => Layout::Words(words.unsigned_abs()),
    }
}

/// The type of a name.
fn named(name: &[u8]) -> Option<Layout> {
    Some(match name {
        b"bool" | b"boolean" => Layout::Bits,
        b"int8" | b"uint8" => Layout::Words(1),
        b"int16" | b"uint16" | b"halffloat" | b"float16" => Layout::Words(2),
        b"int32" | b"uint32" | b"float" | b"float32" | b"date32" | b"date32[day]"
        | b"time32[s]" | b"time32[ms]" => Layout::Words(4),
        b"int64" | b"uint64" | b"double" | b"float64" | b"date64" | b"date64[ms]"
        | b"time64[us]" | b"time64[ns]" | b"timestamp[s]" | b"timestamp[ms]" | b"timestamp[us]"
        | b"timestamp[ns]" | b"duration[s]" | b"duration[ms]" | b"duration[us]"
        | b"duration[ns]" => Layout::Words(8),
        b"string" | b"str" | b"utf8" => Layout::Bytes(4, true),
        b"binary" => Layout::Bytes(4, false),
        b"large_string" | b"large_str" | b"large_utf8" => Layout::Bytes(8, true),
        b"large_binary" => Layout::Bytes(8, false),
        _ => return None,
    })
}

impl Verifier<'_> {
    /// The call of something of Arrow's.
    pub(super) fn arrow_call(&mut self, rule: Rule, args: &[Value]) -> Result<Value, Reason> {
        match (rule, args) {
            (Rule::ArrowAlias, &[name]) => {
                let Some(layout) = self.arena.text(name).and_then(named) else {
                    return refuse("a type that no rule knows");
                };
                Ok(self.object(Kind::ArrowType, true, true, number(layout), Value::None))
            }
            (Rule::ArrowType(_), &[unit, zone]) => {
                let known = matches!(self.arena.text(unit), Some(b"s" | b"ms" | b"us" | b"ns"));
                let zoned = zone == Value::None
                    || self.arena.text(zone).is_some_and(|zone| {
                        zone.len() <= 64
                            && zone
                                .iter()
                                .all(|byte| byte.is_ascii_alphanumeric() || b"_+-/:".contains(byte))
                    });
                if !known || !zoned {
                    return refuse("a timestamp of no unit and zone");
                }
                Ok(self.object(Kind::ArrowType, true, true, 8, Value::None))
            }
            (Rule::ArrowBuffer, &[bytes]) => {
                if self.arena.bytes(bytes).is_none() {
                    return refuse("what is no bytes");
                }
                Ok(self.object(Kind::ArrowBuffer, true, false, 0, bytes))
            }
            (Rule::ArrowArray, &[state]) => self.arrow_array(state),
            (Rule::ArrowChunked, &[chunks, of]) => {
                let Some(kind) = self.arena.built(of, Kind::ArrowType).map(|of| of.extent) else {
                    return refuse("no known type");
                };
                let Some(chunks) = self.arena.members(chunks, Holder::List) else {
                    return refuse("what is no list");
                };
                let mut length = 0i64;
                for chunk in chunks {
                    match self.arena.built(chunk, Kind::ArrowArray) {
                        Some(chunk) if chunk.detail == Value::Int(kind) => {
                            length = length.saturating_add(chunk.extent);
                        }
                        _ => return refuse("chunks of another type"),
                    }
                }
                Ok(self.object(Kind::ArrowArray, true, false, length, Value::Int(kind)))
            }
            _ => refuse("other arguments"),
        }
    }

    /// The length of an array of Arrow's, and whether it is of texts.
    pub(super) fn arrow_length(&self, value: Value) -> Option<(i64, bool)> {
        let array = self.arena.built(value, Kind::ArrowArray)?;
        let text = matches!(array.detail, Value::Int(105 | 109));
        Some((array.extent, text))
    }

    /// `(type, length, nulls, offset, buffers, children, dictionary)`.
    fn arrow_array(&mut self, state: Value) -> Result<Value, Reason> {
        let Some(
            [
                of,
                Value::Int(length),
                Value::Int(nulls),
                Value::Int(offset),
                buffers,
                children,
                Value::None,
            ],
        ) = self.arena.tuple_of::<7>(state)
        else {
            return refuse("an array of Arrow's of another state");
        };
        let Some(kind) = self.arena.built(of, Kind::ArrowType).map(|of| of.extent) else {
            return refuse("an array of Arrow's of no known type");
        };
        if self.arena.member_count(children, Holder::List) != Some(0) {
            return refuse("an array of Arrow's with children");
        }
        let sizes = 0..1i64 << 40;
        if !sizes.contains(&length) || !sizes.contains(&offset) || !(-1..=length).contains(&nulls) {
            return refuse("an array of Arrow's of an impossible length");
        }
        let end = length.unsigned_abs() + offset.unsigned_abs();
        let Some(buffers) = self.arena.members(buffers, Holder::List) else {
            return refuse("an array of Arrow's whose buffers are no list");
        };
        let mut parts: Vec<Option<&[u8]>> = Vec::new();
        for buffer in buffers.take(4) {
            parts.push(match self.arena.built(buffer, Kind::ArrowBuffer) {
                Some(buffer) => Some(self.content_or_length(buffer.detail)?),
                None if buffer == Value::None => None,
                None => return refuse("an array of Arrow's with a buffer that is none"),
            });
        }
        let (valid, rest) = match parts.split_first() {
            Some((valid, rest)) => (*valid, rest),
            None => return refuse("an array of Arrow's without buffers"),
        };
        if rest.contains(&None) {
            return refuse("an array of Arrow's without one of its buffers");
        }
        self.validity(valid, offset.unsigned_abs(), length.unsigned_abs(), nulls)?;
        match (layout(kind), rest) {
            (Layout::Bits, &[data]) => {
                if (data.map_or(0, <[u8]>::len) as u64) < end.div_ceil(8) {
                    return refuse("an array of Arrow's longer than its data");
                }
            }
            (Layout::Words(width), &[data]) => {
                if (data.map_or(0, <[u8]>::len) as u64) < end * width {
                    return refuse("an array of Arrow's longer than its data");
                }
            }
            (Layout::Bytes(width, text), &[offsets, data]) => {
                let offsets = offsets.unwrap_or_default();
                let data = data.unwrap_or_default();
                if !(end == 0 && offsets.is_empty()) {
                    let needed = usize::try_from((end + 1) * width).unwrap_or(usize::MAX);
                    let Some(offsets) = offsets.get(..needed) else {
                        return refuse("an array of Arrow's longer than its offsets");
                    };
                    let good = if width == 4 {
                        in_order(
                            chunks(offsets).map(|word| i32::from_le_bytes(word).into()),
                            data,
                            text,
                        )
                    } else {
                        in_order(chunks(offsets).map(i64::from_le_bytes), data, text)
                    };
                    if !good {
                        return refuse(
                            "an array of Arrow's whose offsets do not lead into its data",
                        );
                    }
                }
            }
            _ => return refuse("an array of Arrow's with another number of buffers"),
        }
        Ok(self.object(Kind::ArrowArray, true, false, length, Value::Int(kind)))
    }

    /// The bytes of a buffer.
    fn content_or_length(&self, bytes: Value) -> Result<&[u8], Reason> {
        self.content(bytes)
    }

    /// Whether the bits of what is there agree with the number of what is not.
    #[expect(
        clippy::unused_self,
        reason = "it is part of what an array is checked for"
    )]
    fn validity(
        &self,
        bits: Option<&[u8]>,
        offset: u64,
        length: u64,
        nulls: i64,
    ) -> Result<(), Reason> {
        let Some(bits) = bits else {
            if nulls > 0 {
                return refuse("an array of Arrow's with nulls that are nowhere");
            }
            return Ok(());
        };
        if (bits.len() as u64) < (offset + length).div_ceil(8) {
            return refuse("an array of Arrow's longer than what tells its nulls");
        }
        let set = |at: u64| {
            usize::try_from(at / 8)
                .ok()
                .and_then(|byte| bits.get(byte))
                .is_some_and(|byte| byte >> (at % 8) & 1 == 1)
        };
        let mut count = 0u64;
        let mut at = offset;
        let end = offset + length;
        while at < end {
            if at.is_multiple_of(8) && end - at >= 8 {
                let byte = usize::try_from(at / 8).ok().and_then(|byte| bits.get(byte));
                count += u64::from(byte.map_or(0, |byte| byte.count_zeros()));
                at += 8;
            } else {
                count += u64::from(!set(at));
                at += 1;
            }
        }
        if nulls >= 0 && count != nulls.unsigned_abs() {
            return refuse("an array of Arrow's with another number of nulls than it says");
        }
        Ok(())
    }
}

/// Whether offsets rise from 0 or more to the end of the data or less, and texts are UTF-8.
fn in_order(offsets: impl Iterator<Item = i64>, data: &[u8], text: bool) -> bool {
    let (mut first, mut last) = (None, 0i64);
    let whole = if text {
        std::str::from_utf8(data).ok()
    } else {
        None
    };
    for offset in offsets {
        if offset < last || offset.unsigned_abs() > data.len() as u64 {
            return false;
        }
        // Where all data are UTF-8, a text is if it begins and ends between characters.
        let between = usize::try_from(offset)
            .is_ok_and(|offset| whole.is_none_or(|whole| whole.is_char_boundary(offset)));
        if text && !between {
            return false;
        }
        first.get_or_insert(offset);
        last = offset;
    }
    !text || whole.is_some()
}
