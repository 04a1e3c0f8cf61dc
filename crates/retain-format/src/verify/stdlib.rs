//! The standard library's types of data.

use super::arena::{Holder, Kind, Value};
use super::domain::{Reason, Verifier, refuse};
use super::hashes::{self, Hash};
use super::names::Rule;
use super::text;

/// A name of a time zone's file: it leads nowhere else.
fn is_zone_name(name: &[u8]) -> bool {
    name.len() <= 64
        && name.split(|&byte| byte == b'/').all(|part| {
            part.first().is_some_and(u8::is_ascii_alphanumeric)
                && part
                    .iter()
                    .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
        })
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether this is the date of a `date` or `datetime`. The top bit of the month is the fold of a `datetime`.
fn is_date(bytes: [u8; 4], fold: bool) -> bool {
    let [high, low, month, day] = bytes;
    let year = u16::from_be_bytes([high, low]);
    let month = if fold { month & 0x7f } else { month };
    (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
}

fn is_time(bytes: [u8; 6]) -> bool {
    let [hour, minute, second, high, middle, low] = bytes;
    let micro = u32::from_be_bytes([0, high, middle, low]);
    hour & 0x7f < 24 && minute < 60 && second < 60 && micro < 1_000_000
}

impl Verifier<'_> {
    fn data(&mut self) -> Value {
        self.object(Kind::Data, true, true, 0, Value::None)
    }

    /// Data that can be made to have one hash.
    fn data_of(&mut self, hash: Hash) -> Value {
        let data = self.data();
        self.hashed(data, hash);
        data
    }

    /// The call of something from the standard library.
    #[expect(clippy::too_many_lines, reason = "a short arm to each type")]
    pub(super) fn stdlib_call(
        &mut self,
        rule: Rule,
        callable: Value,
        args: &[Value],
    ) -> Result<Value, Reason> {
        match rule {
            Rule::Set | Rule::FrozenSet => self.set_of(rule, args),
            Rule::Complex => match *args {
                [
                    real @ (Value::Float(_) | Value::Int(_)),
                    imaginary @ (Value::Float(_) | Value::Int(_)),
                ] => {
                    let hash = match (self.number_hash(real), self.number_hash(imaginary)) {
                        (Hash::Known(real), Hash::Known(imaginary)) => {
                            Hash::Known(hashes::complex(real, imaginary))
                        }
                        _ => Hash::Any,
                    };
                    Ok(self.data_of(hash))
                }
                _ => refuse("not two numbers"),
            },
            Rule::Range => match args {
                [Value::Int(_), Value::Int(_), Value::Int(step)] if *step != 0 => {
                    Ok(self.data_of(Hash::Any))
                }
                _ => refuse("not three small integers"),
            },
            Rule::Slice => {
                let &[start, stop, stride] = args else {
                    return refuse("not three arguments");
                };
                let parts = self.arena.push_items(&[start, stop, stride]);
                let depth = args
                    .iter()
                    .map(|&part| self.arena.depth(part))
                    .max()
                    .unwrap_or(0)
                    + 1;
                if depth > self.policy.budgets.depth {
                    return refuse("too deep");
                }
                let detail = self.arena.node(super::arena::Node::Tuple {
                    items: parts,
                    depth,
                    cost: 0,
                    frozen: true,
                });
                for &part in args {
                    self.arena.freeze(part);
                }
                Ok(self.object(Kind::Slice, true, false, 0, detail))
            }
            Rule::Bytes => match args {
                [] => Ok(self.encoded(0, Some(Vec::new()), false)),
                _ => refuse("other arguments than none"),
            },
            Rule::ByteArray => self.bytearray(args),
            Rule::Encode => self.encode(args),
            Rule::GetAttr => match args {
                &[class, name]
                    if self.rule_of(class) == Some(Rule::ZoneInfo)
                        && self.arena.text(name) == Some(b"_unpickle") =>
                {
                    Ok(self.object(Kind::ZoneOpener, true, false, 0, Value::None))
                }
                _ => refuse("any other attribute than how a time zone is opened"),
            },
            Rule::Date => match args {
                &[bytes] => match self.arena.short_bytes(bytes).map(<[u8; 4]>::try_from) {
                    Some(Ok(bytes)) if is_date(bytes, false) => {
                        let hash = self.content_hash(&bytes);
                        Ok(self.data_of(hash))
                    }
                    _ => refuse("no date"),
                },
                _ => refuse("not one argument"),
            },
            Rule::DateTime | Rule::Time => self.date_time(rule, args),
            Rule::Delta => match args {
                &[Value::Int(days), Value::Int(seconds), Value::Int(micros)]
                    if (-999_999_999..=999_999_999).contains(&days)
                        && (0..86_400).contains(&seconds)
                        && (0..1_000_000).contains(&micros) =>
                {
                    let near = days == 0 || (days == -1 && (seconds, micros) != (0, 0));
                    Ok(self.object(Kind::Delta, true, true, i64::from(near), Value::None))
                }
                _ => refuse("no time difference"),
            },
            Rule::Zone => {
                let delta = args
                    .first()
                    .and_then(|&delta| self.arena.built(delta, Kind::Delta));
                let named = args.get(1).is_none_or(|&name| self.arena.is_text(name));
                if delta.is_none_or(|delta| delta.extent != 1) || !named || args.len() > 2 {
                    return refuse("no difference of less than a day");
                }
                Ok(self.object(Kind::Zone, true, true, 0, Value::None))
            }
            Rule::Decimal => match args {
                &[number]
                    if self.arena.text(number).is_some_and(|number| {
                        number
                            .iter()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
                            && (number.iter().any(u8::is_ascii_digit)
                                || matches!(number, b"NaN" | b"-NaN" | b"Infinity" | b"-Infinity"))
                    }) =>
                {
                    let text = self.arena.text(number).unwrap_or_default();
                    let hash = hashes::decimal_number(text).map_or(Hash::Any, Hash::Known);
                    Ok(self.data_of(hash))
                }
                _ => refuse("no number in a short text"),
            },
            Rule::Fraction => match *args {
                [
                    Value::Int(_) | Value::BigInt(..=512, ..),
                    Value::Int(1..) | Value::BigInt(..=512, false, _),
                ] => {
                    let parts = args.iter().map(|&part| self.number_hash(part));
                    let hash = match parts.collect::<smallvec::SmallVec<[Hash; 2]>>().as_slice() {
                        &[Hash::Known(over), Hash::Known(under)] => {
                            hashes::fraction(over, under).map_or(Hash::Any, Hash::Known)
                        }
                        _ => Hash::Any,
                    };
                    Ok(self.data_of(hash))
                }
                [number]
                    if self.arena.text(number).is_some_and(|number| {
                        let (first, last) = (number.first(), number.last());
                        number
                            .iter()
                            .all(|byte| byte.is_ascii_digit() || b"/-".contains(byte))
                            && last.is_some_and(u8::is_ascii_digit)
                            && first != Some(&b'/')
                    }) =>
                {
                    let text = self.arena.text(number).unwrap_or_default();
                    let hash = hashes::fraction_text(text).map_or(Hash::Any, Hash::Known);
                    Ok(self.data_of(hash))
                }
                _ => refuse("no two numbers"),
            },
            Rule::Path => {
                if args.iter().all(|&part| self.arena.text(part).is_some()) {
                    return Ok(self.data());
                }
                refuse("parts that are no short texts")
            }
            Rule::OrderedDict | Rule::DefaultDict | Rule::Counter => self.mapping(rule, args),
            Rule::Deque => {
                let (items, longest) = match *args {
                    [] => (None, None),
                    [items] => (Some(items), None),
                    [items, longest] => (Some(items), Some(longest)),
                    _ => return refuse("more than two arguments"),
                };
                if !matches!(longest, None | Some(Value::None | Value::Int(0..))) {
                    return refuse("a length that is no size");
                }
                let deque = self.holder(Holder::Deque);
                match items {
                    None => {}
                    Some(items) if self.arena.tuple(items).is_some_and(<[_]>::is_empty) => {}
                    Some(items) => {
                        let Some(items) = self.arena.members(items, Holder::List) else {
                            return refuse("what is no list");
                        };
                        let items: Vec<_> = items.collect();
                        self.fill(deque, &items)?;
                    }
                }
                Ok(deque)
            }
            Rule::Namespace => match args {
                [] => Ok(self.object(Kind::Namespace, false, false, 0, Value::None)),
                _ => refuse("arguments"),
            },
            Rule::Address => self.address(callable, args),
            Rule::RebuiltArray => match *args {
                [class, code, Value::Int(format @ 0..=21), bytes]
                    if self.rule_of(class) == Some(Rule::Array) =>
                {
                    let known = self.arena.text(code).is_some_and(
                        |code| matches!(code, [code] if b"bBhHiIlLqQfd".contains(code)),
                    );
                    let width = match format {
                        0 | 1 => 1,
                        2..=5 => 2,
                        6..=9 | 14 | 15 => 4,
                        10..=13 | 16 | 17 => 8,
                        _ => return refuse("an array of texts"),
                    };
                    match self.arena.bytes(bytes) {
                        Some((length, _)) if known && length.is_multiple_of(width) => {
                            self.charge(length * 8);
                            Ok(self.object(Kind::Unhashable, true, false, 0, Value::None))
                        }
                        _ => refuse("no bytes of numbers"),
                    }
                }
                _ => refuse("no array of a known format"),
            },
            Rule::Array => match *args {
                [code, items] => {
                    let float = match self.arena.text(code) {
                        Some(b"f" | b"d") => true,
                        Some([code]) if b"bBhHiIlLqQ".contains(code) => false,
                        _ => return refuse("an array of an unknown type"),
                    };
                    let numbers =
                        self.arena
                            .members(items, Holder::List)
                            .is_some_and(|mut items| {
                                items.all(|item| match item {
                                    Value::Int(_) => true,
                                    Value::Float(_) => float,
                                    Value::BigInt(..) => !float,
                                    _ => false,
                                })
                            });
                    if !numbers {
                        return refuse("what is no list of numbers");
                    }
                    let length = self.arena.member_count(items, Holder::List).unwrap_or(0);
                    self.charge(u64::from(length) * 8);
                    Ok(self.object(Kind::Unhashable, true, false, 0, Value::None))
                }
                _ => refuse("not two arguments"),
            },
            Rule::Random => match args {
                [] => Ok(self.object(Kind::Random, false, false, 0, Value::None)),
                _ => refuse("arguments"),
            },
            Rule::DateutilUtc | Rule::PytzUtc => match args {
                [] => Ok(self.object(Kind::Zone, true, true, 0, Value::None)),
                _ => refuse("arguments"),
            },
            Rule::PytzZone => {
                let name = args.first().and_then(|&name| self.arena.text(name));
                let rest = args.get(1..).unwrap_or_default();
                let plain = rest
                    .iter()
                    .all(|&part| matches!(part, Value::Int(_)) || self.arena.text(part).is_some());
                if !name.is_some_and(is_zone_name) || !plain || !matches!(args.len(), 1 | 4) {
                    return refuse("no name of a zone");
                }
                Ok(self.object(Kind::Zone, true, true, 0, Value::None))
            }
            _ => refuse("what is never called"),
        }
    }

    /// `ZoneInfo._unpickle(name, from_cache)`.
    pub(super) fn zone(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let &[name, cached] = args else {
            return refuse("a time zone of other arguments");
        };
        if super::arena::truth(cached).is_none() || !self.arena.text(name).is_some_and(is_zone_name)
        {
            return refuse("a time zone of no plain name");
        }
        Ok(self.object(Kind::Zone, true, true, 0, Value::None))
    }

    /// Put `items` into a new container.
    fn fill(&mut self, holder: Value, items: &[Value]) -> Result<(), Reason> {
        self.charge(items.len() as u64 * 64);
        let below = items
            .iter()
            .map(|&item| self.arena.depth(item))
            .max()
            .unwrap_or(0)
            + 1;
        if below > self.policy.budgets.depth {
            return refuse("too deep");
        }
        let Some(&super::arena::Node::Holder {
            mut members, what, ..
        }) = self.arena.get(holder)
        else {
            return Ok(());
        };
        match what {
            Holder::Deque => {
                for &item in items {
                    self.arena.freeze(item);
                }
            }
            Holder::Set => self.compare(holder, items.iter().copied()),
            _ => self.compare(holder, items.iter().step_by(2).copied()),
        }
        self.arena.extend(&mut members, items);
        if let Some(super::arena::Node::Holder {
            members: slot,
            depth,
            ..
        }) = self.arena.get_mut(holder)
        {
            *slot = members;
            *depth = below;
        }
        Ok(())
    }

    fn set_of(&mut self, rule: Rule, args: &[Value]) -> Result<Value, Reason> {
        let &[items] = args else {
            return refuse("not one argument");
        };
        let items: Vec<_> = match (
            self.arena.tuple(items),
            self.arena.members(items, Holder::List),
        ) {
            (Some(items), _) => items.to_vec(),
            (_, Some(items)) => items.collect(),
            _ => return refuse("what is no list"),
        };
        if !self.hashable(items.iter().copied()) {
            return refuse("what cannot be hashed");
        }
        if rule == Rule::FrozenSet {
            self.charge(items.len() as u64 * 64);
            let depth = items
                .iter()
                .map(|&item| self.arena.depth(item))
                .max()
                .unwrap_or(0)
                + 1;
            return Ok(self.frozenset(&items, depth));
        }
        let set = self.holder(Holder::Set);
        self.fill(set, &items)?;
        Ok(set)
    }

    fn bytearray(&mut self, args: &[Value]) -> Result<Value, Reason> {
        let (length, content) = match *args {
            [] => (0, Some(Vec::new())),
            [bytes] => match self.arena.bytes(bytes) {
                Some((length, _)) => (length, self.arena.short_bytes(bytes).map(<[u8]>::to_vec)),
                None => return refuse("what is no bytes"),
            },
            [source, encoding] => return self.latin(source, encoding, true),
            _ => return refuse("more than two arguments"),
        };
        self.charge(length);
        let data = args
            .first()
            .and_then(|&bytes| self.arena.bytes(bytes))
            .and_then(|(_, data)| data);
        let made = self.encoded(length, content, true);
        // The same bytes: what lies in the stream is what is in memory.
        if let Some(made) = self.arena.bytes_mut(made) {
            made.data = data;
        }
        Ok(made)
    }

    fn encode(&mut self, args: &[Value]) -> Result<Value, Reason> {
        match *args {
            [source, encoding] => self.latin(source, encoding, false),
            _ => refuse("not two arguments"),
        }
    }

    fn latin(&mut self, source: Value, encoding: Value, writable: bool) -> Result<Value, Reason> {
        if !matches!(self.arena.text(encoding), Some(b"latin1" | b"latin-1")) {
            return refuse("another encoding than Latin-1");
        }
        let Some(length) = self.arena.latin_length(source) else {
            return refuse("a text that is not in Latin-1");
        };
        self.charge(length);
        let content = self.arena.text(source).and_then(text::latin);
        Ok(self.encoded(length, content, writable))
    }

    fn date_time(&mut self, rule: Rule, args: &[Value]) -> Result<Value, Reason> {
        let (Some(&bytes), zone) = (args.first(), args.get(1)) else {
            return refuse("no arguments");
        };
        let bytes = self.arena.short_bytes(bytes).unwrap_or_default();
        let good = if rule == Rule::Time {
            <[u8; 6]>::try_from(bytes).is_ok_and(is_time)
        } else {
            bytes.split_first_chunk::<4>().is_some_and(|(&date, time)| {
                is_date(date, true)
                    && <[u8; 6]>::try_from(time).is_ok_and(|time| {
                        is_time(time) && time.first().is_some_and(|&hour| hour < 24)
                    })
            })
        };
        let zoned = zone.is_none_or(|&zone| {
            zone == Value::None || self.arena.built(zone, Kind::Zone).is_some()
        });
        if !good || !zoned || args.len() > 2 {
            return refuse("no date, time and zone");
        }
        // Those of pandas and those with a zone may have the same hash as others.
        let hash = match (rule, <[u8; 10]>::try_from(bytes)) {
            (Rule::DateTime, Ok(mut bytes)) if matches!(zone, None | Some(Value::None)) => {
                bytes[2] &= 0x7f;
                self.content_hash(&bytes)
            }
            _ => Hash::Apart,
        };
        Ok(self.data_of(hash))
    }

    fn mapping(&mut self, rule: Rule, args: &[Value]) -> Result<Value, Reason> {
        let mapping = self.holder(if rule == Rule::DefaultDict {
            Holder::DefaultDict
        } else {
            Holder::Mapping
        });
        match (rule, args) {
            (_, []) => {}
            (Rule::DefaultDict, &[factory]) => {
                let known = factory == Value::None
                    || self.is_global(
                        factory,
                        "builtins",
                        &[
                            "list",
                            "dict",
                            "set",
                            "int",
                            "float",
                            "str",
                            "tuple",
                            "bool",
                            "frozenset",
                            "bytes",
                            "bytearray",
                            "complex",
                            "object",
                        ],
                    )
                    || self.is_global(
                        factory,
                        "collections",
                        &["OrderedDict", "defaultdict", "Counter", "deque"],
                    );
                if !known {
                    return refuse("a factory of something else than plain data");
                }
            }
            (Rule::Counter, &[counts]) => {
                let Some(members) = self.arena.members(counts, Holder::Dict) else {
                    return refuse("what is no dict");
                };
                let members: Vec<_> = members.collect();
                // Their hashes are known, but they are compared again.
                self.fill(mapping, &members)?;
            }
            (Rule::OrderedDict, &[items]) => {
                // Python 2 wrote lists of lists of two.
                let Some(pairs) = self.arena.members(items, Holder::List) else {
                    return refuse("what is no list");
                };
                let mut members = Vec::new();
                for pair in pairs {
                    let pair: Vec<_> = match (
                        self.arena.tuple(pair),
                        self.arena.members(pair, Holder::List),
                    ) {
                        (Some(pair), _) => pair.to_vec(),
                        (_, Some(pair)) => pair.take(3).collect(),
                        _ => return refuse("what is no list of pairs"),
                    };
                    if pair.len() != 2 {
                        return refuse("what is no list of pairs");
                    }
                    members.extend(pair);
                }
                if !self.hashable(members.iter().step_by(2).copied()) {
                    return refuse("keys that cannot be hashed");
                }
                self.fill(mapping, &members)?;
            }
            _ => return refuse("other arguments"),
        }
        Ok(mapping)
    }

    fn address(&mut self, callable: Value, args: &[Value]) -> Result<Value, Reason> {
        let good = match *args {
            [Value::Int(number)] => {
                let most = if self.is_global(callable, "ipaddress", &["IPv4Address"]) {
                    i64::from(u32::MAX)
                } else if self.is_global(callable, "ipaddress", &["IPv6Address"]) {
                    i64::MAX
                } else {
                    -1
                };
                (0..=most).contains(&number)
            }
            [Value::BigInt(..=16, false, _)] => {
                self.is_global(callable, "ipaddress", &["IPv6Address"])
            }
            [text] => self.arena.text(text).is_some_and(|text| {
                text.len() <= 64
                    && text
                        .iter()
                        .all(|byte| byte.is_ascii_hexdigit() || b".:/%".contains(byte))
            }),
            _ => false,
        };
        if !good {
            return refuse("no address");
        }
        let single = self.is_global(callable, "ipaddress", &["IPv4Address", "IPv6Address"]);
        let scoped = args.iter().any(|&text| {
            self.arena
                .text(text)
                .is_some_and(|text| text.contains(&b'%'))
        });
        Ok(self.data_of(if single && !scoped {
            Hash::Apart
        } else {
            Hash::Any
        }))
    }
}
