//! What the opcodes mean for the verifier.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Instant;

use super::arena::{Arena, Bytes, Holder, Kind, Members, Node, Value};
use super::hashes::ANY;
use super::names::Rule;
use super::plan::Plan;
use super::policy::Policy;
use super::report::{NameVerdict, Refusal};
use super::text;
use crate::Error;
use crate::domain::{Domain, is_text};
use crate::opcode as op;

/// Why something is refused.
pub(super) type Reason = Cow<'static, str>;

pub(super) fn refuse<T>(reason: impl Into<Reason>) -> Result<T, Reason> {
    Err(reason.into())
}

/// What the raw bytes are that follow one of joblib's wrappers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub(super) array: Value,
    pub(super) nbytes: u64,
    pub(super) object: bool,
    pub(super) padded: bool,
}

/// A name that the stream imports.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) module: String,
    pub(super) qualified: String,
    pub(super) written: Option<(String, String)>,
    pub(super) count: u64,
    pub(super) verdict: NameVerdict,
    pub(super) reason: &'static str,
    pub(super) rule: Option<Rule>,
}

/// The domain of the verifier.
#[derive(Debug)]
pub(super) struct Verifier<'a> {
    pub(super) policy: &'a Policy,
    /// The whole stream, if it lies in memory.
    pub(super) plan: Plan,
    pub(super) memory: Option<&'a [u8]>,
    pub(super) arena: Arena<'a>,
    pub(super) names: Vec<Name>,
    pub(super) by_name: HashMap<(Vec<u8>, Vec<u8>), u32>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) more_refusals: u64,
    /// Objects whose state is still to be set.
    pub(super) unbuilt: i64,
    pub(super) arrays: Vec<Value>,
    pub(super) protocol: u8,
    /// Where the stream begins: a nested one within another.
    pub(super) start: u64,
    pub(super) nested: bool,
    pub(super) frame_end: u64,
    pub(super) allocated: u64,
    /// How much work the stream may make, up to here.
    pub(super) most_work: u64,
    /// How many keys of one hash a container has, for those hashes that a file can choose.
    pub(super) keys: HashMap<(u32, u64), u32>,
    pub(super) random: std::hash::RandomState,
    /// Bytes of contents that were looked at.
    pub(super) scanned: std::cell::Cell<u64>,
    pub(super) result: Value,
    empty_tuple: Value,
    began: Instant,
    ticks: u32,
    pub(super) joblib: bool,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(policy: &'a Policy, memory: Option<&'a [u8]>) -> Self {
        let mut arena = Arena::new(memory);
        let items = arena.push_items(&[]);
        let empty_tuple = arena.node(Node::Tuple {
            items,
            depth: 1,
            cost: 1,
            frozen: true,
        });
        Self {
            policy,
            memory,
            plan: Plan::default(),
            arena,
            names: Vec::new(),
            by_name: HashMap::new(),
            refusals: Vec::new(),
            more_refusals: 0,
            unbuilt: 0,
            arrays: Vec::new(),
            protocol: 0,
            start: 0,
            nested: false,
            frame_end: 0,
            allocated: 0,
            most_work: 0,
            keys: HashMap::new(),
            random: std::hash::RandomState::new(),
            scanned: std::cell::Cell::new(0),
            result: Value::None,
            empty_tuple,
            began: Instant::now(),
            ticks: 0,
            joblib: false,
        }
    }

    /// Note that something at `at` is refused.
    pub(super) fn refused(&mut self, at: u64, reason: impl Into<Reason>) -> Value {
        if self.refusals.len() < 100 {
            self.refusals.push(Refusal {
                offset: at,
                reason: reason.into().into_owned(),
            });
        } else {
            self.more_refusals += 1;
        }
        Value::Unknown
    }

    /// The value of a rule, or the note that it was refused.
    fn noted(&mut self, at: u64, result: Result<Value, Reason>) -> Value {
        match result {
            Ok(value) => value,
            Err(reason) => self.refused(at, reason),
        }
    }

    /// Loading takes so many bytes more. What exceeds a budget is noted by [`enough`](Self::enough).
    pub(super) fn charge(&mut self, bytes: u64) {
        self.allocated = self.allocated.saturating_add(bytes);
    }

    /// Whether the budgets hold; looked at now and then, and at the end.
    #[inline]
    fn enough(&mut self, at: u64) -> Result<(), Error> {
        self.ticks = self.ticks.wrapping_add(1);
        self.most_work = at.saturating_mul(64).saturating_add(1 << 20);
        if self.ticks.is_multiple_of(64) {
            return self.budget(at);
        }
        Ok(())
    }

    /// Whether the budgets hold.
    fn budget(&mut self, at: u64) -> Result<(), Error> {
        let budgets = &self.policy.budgets;
        let limit = budgets
            .expansion
            .saturating_mul(at)
            .saturating_add(1 << 26)
            .min(budgets.allocation);
        if self.allocated > limit {
            return Err(Error::Budget(format!(
                "loading the file takes more than {limit} bytes of memory"
            )));
        }
        // Contents are looked at a few times each; more often are they only where a file refers to them again and again.
        if self.scanned.get() > at.saturating_mul(16).saturating_add(1 << 24) {
            return Err(Error::Budget(
                "the contents of the file take too long to check".into(),
            ));
        }
        self.most_work = at.saturating_mul(64).saturating_add(1 << 20);
        if self.arena.spent() > self.most_work {
            return Err(Error::Budget(
                "the keys and members of the file take too long to compare".into(),
            ));
        }
        if self.more_refusals > 10_000 {
            return Err(Error::Budget("too much of the file is refused".into()));
        }
        if self.ticks.is_multiple_of(1 << 9) {
            if self.began.elapsed() > budgets.time {
                return Err(Error::Budget(format!(
                    "verifying the file takes longer than {:?}",
                    budgets.time
                )));
            }
            if self.arena.is_full() || self.arena.size() > budgets.allocation {
                return Err(Error::Budget("the file holds too many values".into()));
            }
        }
        Ok(())
    }

    /// How deep the values in `items` lie, with the container; and whether one of them may be in none.
    #[inline]
    fn deepest(&mut self, at: u64, items: &[Value]) -> Result<u32, Error> {
        let mut depth = 0;
        for &item in items {
            match item {
                Value::Node(_) => depth = depth.max(self.arena.depth(item)),
                Value::Global(name) => {
                    let name = self.names.get(name as usize);
                    if name.is_some_and(|name| name.rule == Some(Rule::GetAttr)) {
                        self.refused(at, "getattr as a value");
                    }
                }
                _ => {}
            }
        }
        let depth = depth + 1;
        if depth > self.policy.budgets.depth {
            return Err(Error::Budget(format!(
                "the file's values lie more than {} deep in one another (at byte {at})",
                self.policy.budgets.depth
            )));
        }
        Ok(depth)
    }

    pub(super) fn note_array(&mut self, array: Value) {
        self.arrays.push(array);
    }

    /// A new list, dict or set, or something like it.
    pub(super) fn holder(&mut self, what: Holder) -> Value {
        self.arena.node(Node::Holder {
            what,
            members: Members::EMPTY,
            depth: 1,
            frozen: false,
        })
    }

    /// Bytes that were made by an encoding.
    pub(super) fn encoded(&mut self, len: u64, content: Option<Vec<u8>>, writable: bool) -> Value {
        let short = content
            .filter(|content| content.len() as u64 == len && len <= 256)
            .map(|content| self.arena.push_text(&content).start);
        self.arena.new_bytes(Bytes {
            data: None,
            len,
            short,
            writable,
        })
    }

    fn tuple(&mut self, at: u64, items: &[Value]) -> Result<Value, Error> {
        let depth = self.deepest(at, items)?;
        let mut cost = 1u32;
        for &item in items {
            cost = match self.arena.hash_cost(item) {
                0 => 0,
                more if cost > 0 => cost.saturating_add(more),
                _ => 0,
            };
            if cost == 0 {
                break;
            }
        }
        let items = self.arena.push_items(items);
        Ok(self.arena.node(Node::Tuple {
            items,
            depth,
            cost,
            frozen: false,
        }))
    }
}

impl Domain for Verifier<'_> {
    type Value = Value;
    type Event = Raw;

    #[inline]
    fn unknown(&mut self) -> Value {
        Value::Unknown
    }

    fn protocol(&mut self, at: u64, version: u8) -> Result<(), Error> {
        if at != self.start {
            self.refused(at, "a protocol in the middle");
        }
        self.protocol = version;
        Ok(())
    }

    fn frame(&mut self, at: u64, length: u64) -> Result<Option<Raw>, Error> {
        self.frame_end = (at + 9).saturating_add(length);
        if !self.nested {
            self.plan.frame(at);
        }
        Ok(None)
    }

    #[inline]
    fn none(&mut self) -> Value {
        Value::None
    }

    #[inline]
    fn boolean(&mut self, value: bool) -> Value {
        Value::Bool(value)
    }

    #[inline]
    fn integer(&mut self, value: i64) -> Value {
        Value::Int(value)
    }

    #[inline]
    fn float(&mut self, value: f64) -> Value {
        Value::Float(value)
    }

    fn line(&mut self, at: u64, opcode: u8, line: &[u8]) -> Result<Value, Error> {
        self.enough(at)?;
        let value = match opcode {
            op::INT => text::int(line),
            op::LONG => text::long(line),
            op::FLOAT => text::float(line),
            op::STRING => {
                text::quoted(line).map(|content| Value::Text(self.arena.push_text(&content)))
            }
            _ => text::raw_unicode(line).map(|content| self.text(None, &content)),
        };
        self.allocated = self.allocated.saturating_add(line.len() as u64 + 32);
        Ok(match value {
            Some(value) => value,
            None => self.refused(at, "a value that is written as no pickler writes it"),
        })
    }

    #[inline]
    fn whole(&mut self, at: u64, opcode: u8, data: u64, length: u64) -> Result<bool, Error> {
        if matches!(opcode, op::BINBYTES8 | op::BYTEARRAY8) && !self.nested {
            self.plan.payload(data, length, opcode == op::BYTEARRAY8);
        }
        if length <= 256 {
            return Ok(true);
        }
        if length > self.policy.budgets.allocation {
            return Err(Error::Budget(format!(
                "a value of {length} bytes (at byte {at})"
            )));
        }
        Ok(is_text(opcode) || matches!(opcode, op::BINSTRING))
    }

    #[inline]
    fn counted(&mut self, at: u64, opcode: u8, data: u64, payload: &[u8]) -> Result<Value, Error> {
        self.enough(at)?;
        self.allocated = self.allocated.saturating_add(payload.len() as u64 + 49);
        Ok(match opcode {
            op::LONG1 | op::LONG4 => text::twos_complement(payload),
            op::BINSTRING | op::SHORT_BINSTRING => {
                if payload.is_ascii() {
                    self.text(Some(data), payload)
                } else {
                    self.refused(at, "a str of Python 2 that is not ASCII")
                }
            }
            _ if is_text(opcode) => {
                if payload.is_ascii() || text::is_utf8(payload) {
                    self.text(Some(data), payload)
                } else {
                    return Err(Error::malformed(at, "a text that is no UTF-8"));
                }
            }
            _ => {
                let short = Some(self.arena.text_at(data, payload).start);
                self.arena.new_bytes(Bytes {
                    data: Some(data),
                    len: payload.len() as u64,
                    short,
                    writable: opcode == op::BYTEARRAY8,
                })
            }
        })
    }

    fn passed(&mut self, at: u64, opcode: u8, data: u64, length: u64) -> Result<Value, Error> {
        self.enough(at)?;
        self.allocated = self.allocated.saturating_add(length);
        Ok(match opcode {
            op::LONG1 | op::LONG4 => {
                // Its sign is not looked at: who takes long integers takes shorter ones.
                Value::BigInt(u32::try_from(length).unwrap_or(u32::MAX), false, ANY)
            }
            _ => self.arena.new_bytes(Bytes {
                data: Some(data),
                len: length,
                short: None,
                writable: opcode == op::BYTEARRAY8,
            }),
        })
    }

    #[inline]
    fn empty(&mut self, at: u64, opcode: u8) -> Result<Value, Error> {
        self.enough(at)?;
        if opcode == op::EMPTY_TUPLE {
            return Ok(self.empty_tuple);
        }
        self.allocated = self.allocated.saturating_add(72);
        Ok(self.holder(match opcode {
            op::EMPTY_LIST => Holder::List,
            op::EMPTY_DICT => Holder::Dict,
            _ => Holder::Set,
        }))
    }

    #[inline]
    fn collect(&mut self, at: u64, opcode: u8, items: &[Value]) -> Result<Value, Error> {
        self.enough(at)?;
        self.allocated = self.allocated.saturating_add(items.len() as u64 * 8 + 56);
        match opcode {
            op::LIST | op::DICT => {
                let value = self.empty(
                    at,
                    if opcode == op::LIST {
                        op::EMPTY_LIST
                    } else {
                        op::EMPTY_DICT
                    },
                )?;
                if !items.is_empty() {
                    let opcode = if opcode == op::LIST {
                        op::APPENDS
                    } else {
                        op::SETITEMS
                    };
                    self.extend(at, opcode, value, items)?;
                }
                Ok(value)
            }
            op::FROZENSET => {
                let depth = self.deepest(at, items)?;
                if !self.hashable(items.iter().copied()) {
                    return Ok(self.refused(at, "a frozenset of what cannot be hashed"));
                }
                Ok(self.frozenset(items, depth))
            }
            _ => self.tuple(at, items),
        }
    }

    #[inline]
    fn extend(&mut self, at: u64, opcode: u8, target: Value, items: &[Value]) -> Result<(), Error> {
        self.enough(at)?;
        let below = self.deepest(at, items)?;
        let (mut members, what) = match self.arena.get(target) {
            Some(&Node::Holder {
                what,
                members,
                frozen: false,
                ..
            }) => (members, what),
            Some(Node::Object(_)) if self.arena.built(target, Kind::Trusted).is_some() => {
                self.allocated = self.allocated.saturating_add(items.len() as u64 * 8);
                return Ok(());
            }
            _ if self.is_untrusted(target) => return Ok(()),
            Some(Node::Holder { .. }) => {
                self.refused(at, "something added to what an object already holds");
                return Ok(());
            }
            _ => {
                let what = self.arena.describe(target);
                self.refused(at, format!("something added to {what}"));
                return Ok(());
            }
        };
        let fits = match opcode {
            op::APPEND | op::APPENDS => matches!(what, Holder::List | Holder::Deque),
            op::ADDITEMS => what == Holder::Set && self.hashable(items.iter().copied()),
            _ => {
                matches!(what, Holder::Dict | Holder::Mapping | Holder::DefaultDict)
                    && self.hashable(items.iter().step_by(2).copied())
            }
        };
        if !fits {
            let what = self.arena.describe(target);
            self.refused(at, format!("what cannot be added to {what}"));
            return Ok(());
        }
        match what {
            Holder::List => {}
            Holder::Set => self.compare(target, items.iter().copied()),
            Holder::Dict | Holder::Mapping => {
                self.compare(target, items.iter().step_by(2).copied());
            }
            Holder::Deque | Holder::DefaultDict => {
                // Those are taken apart recursively: how deep they are has to stay as it is known.
                for &item in items {
                    self.arena.freeze(item);
                }
                if what == Holder::DefaultDict {
                    self.compare(target, items.iter().step_by(2).copied());
                }
            }
        }
        let each = if what == Holder::List { 8 } else { 48 };
        self.allocated = self.allocated.saturating_add(items.len() as u64 * each);
        self.arena.extend(&mut members, items);
        if let Some(Node::Holder {
            members: slot,
            depth,
            ..
        }) = self.arena.get_mut(target)
        {
            *slot = members;
            *depth = below.max(*depth);
        }
        Ok(())
    }

    fn global(&mut self, at: u64, module: &[u8], name: &[u8]) -> Result<Value, Error> {
        self.enough(at)?;
        Ok(self.named(at, module, name))
    }

    fn stack_global(&mut self, at: u64, module: Value, name: Value) -> Result<Value, Error> {
        self.enough(at)?;
        if module == Value::Unknown || name == Value::Unknown {
            return Ok(Value::Unknown);
        }
        let (Some(module), Some(name)) = (self.arena.text(module), self.arena.text(name)) else {
            return Ok(self.refused(at, "a global of a name that is no short text"));
        };
        let (module, name) = (module.to_vec(), name.to_vec());
        Ok(self.named(at, &module, &name))
    }

    fn extension(&mut self, at: u64, code: u32) -> Result<Value, Error> {
        Ok(self.refused(at, format!("a global by code {code} of copyreg's registry")))
    }

    fn persistent_line(&mut self, at: u64, _id: &[u8]) -> Result<Value, Error> {
        Ok(self.refused(at, "a persistent object, which is not in the file"))
    }

    fn persistent(&mut self, at: u64, _id: Value) -> Result<Value, Error> {
        Ok(self.refused(at, "a persistent object, which is not in the file"))
    }

    fn reduce(&mut self, at: u64, callable: Value, arguments: Value) -> Result<Value, Error> {
        // A call costs more than its opcode says.
        self.ticks = self.ticks.wrapping_add(1);
        self.budget(at)?;
        self.allocated = self.allocated.saturating_add(64);
        if self.is_untrusted(callable) || arguments == Value::Unknown {
            return Ok(Value::Unknown);
        }
        let Some(args) = self.arena.tuple(arguments) else {
            return Ok(self.refused(at, "a call with no tuple of arguments"));
        };
        // The parts of a slice and of states are many, the arguments of a call are few.
        let args: smallvec::SmallVec<[Value; 8]> = args.iter().copied().collect();
        if self.is_trusted(callable) {
            return Ok(self.trusted_object(arguments));
        }
        let result = match self.rule_of(callable) {
            Some(rule) => self.call(rule, callable, arguments, &args),
            None if self.arena.built(callable, Kind::ZoneOpener).is_some() => self.zone(&args),
            None => refuse(format!("a call of {}", self.arena.describe(callable))),
        };
        if result.is_err() && args.contains(&Value::Unknown) {
            return Ok(Value::Unknown);
        }
        let result = result.map_err(|reason| match self.name_of(callable) {
            Some(name) => format!("{}.{}: {reason}", name.module, name.qualified).into(),
            None => reason,
        });
        Ok(self.noted(at, result))
    }

    fn new_object(
        &mut self,
        at: u64,
        class: Value,
        arguments: Value,
        keywords: Option<Value>,
    ) -> Result<Value, Error> {
        self.enough(at)?;
        self.allocated = self.allocated.saturating_add(64);
        if self.is_untrusted(class) || arguments == Value::Unknown {
            return Ok(Value::Unknown);
        }
        let Some(args) = self.arena.tuple(arguments) else {
            return Ok(self.refused(at, "a new object with no tuple of arguments"));
        };
        let plain = args.is_empty();
        if let Some(keywords) = keywords
            && self.arena.members(keywords, Holder::Dict).is_none()
        {
            return Ok(self.refused(at, "a new object with no dict of keywords"));
        }
        if self.is_trusted(class) {
            return Ok(self.trusted_object(arguments));
        }
        let result = match self.rule_of(class) {
            Some(rule) if plain && keywords.is_none() => self.new_of(rule),
            Some(_) => refuse("a new object with arguments"),
            None => refuse(format!("a new object of {}", self.arena.describe(class))),
        };
        let result = result.map_err(|reason| match self.name_of(class) {
            Some(name) => format!("{}.{}: {reason}", name.module, name.qualified).into(),
            None => reason,
        });
        Ok(self.noted(at, result))
    }

    fn instantiate(&mut self, at: u64, class: Value, items: &[Value]) -> Result<Value, Error> {
        self.enough(at)?;
        self.allocated = self.allocated.saturating_add(64);
        if self.is_untrusted(class) {
            return Ok(Value::Unknown);
        }
        if self.is_trusted(class) {
            let parts = self.tuple(at, items)?;
            return Ok(self.trusted_object(parts));
        }
        Ok(self.refused(
            at,
            "an object made as Python 2 made those of its old classes",
        ))
    }

    fn build(
        &mut self,
        at: u64,
        instance: Value,
        state: Value,
    ) -> Result<(Value, Option<Raw>), Error> {
        self.ticks = self.ticks.wrapping_add(1);
        self.budget(at)?;
        if self.rule_of(state) == Some(Rule::GetAttr) {
            return Ok((self.refused(at, "getattr as a state"), None));
        }
        if instance == Value::Unknown || state == Value::Unknown {
            return Ok((Value::Unknown, None));
        }
        let done = match self.arena.get(instance) {
            Some(&Node::Dtype(number)) => self.dtype_build(number, state),
            Some(Node::Array(_)) => self.array_build(instance, state),
            Some(Node::Object(_)) => match self
                .arena
                .object(instance)
                .map_or(Kind::Data, |object| object.kind)
            {
                Kind::Trusted => self.trusted_build(instance, state),
                Kind::Wrapper
                    if self
                        .arena
                        .object(instance)
                        .is_some_and(|object| object.built) =>
                {
                    refuse("an array of joblib's whose state is set twice")
                }
                Kind::Wrapper => match self.wrapper_build(at, state) {
                    Ok(raw) => {
                        self.set_built(instance, 0, Value::None);
                        return Ok((raw.array, Some(raw)));
                    }
                    Err(reason) => {
                        self.refused(at, reason);
                        return Err(Error::malformed(
                            at,
                            "where the bytes of joblib's array end is not known",
                        ));
                    }
                },
                _ => self.build_of(instance, state),
            },
            _ if self.is_untrusted(instance) && matches!(instance, Value::Unknown) => Ok(()),
            _ => refuse(format!("a state set on {}", self.arena.describe(instance))),
        };
        match done {
            Ok(()) => Ok((instance, None)),
            Err(reason) => Ok((self.refused(at, reason), None)),
        }
    }

    fn buffer(&mut self, at: u64) -> Result<Value, Error> {
        Ok(self.refused(at, "an out-of-band buffer, which is not in the file"))
    }

    fn read_only(&mut self, at: u64, _value: Value) -> Result<Value, Error> {
        Ok(self.refused(at, "an out-of-band buffer, which is not in the file"))
    }

    fn stop(&mut self, end: u64, value: Value, left: usize) -> Result<(), Error> {
        if left > 0 {
            self.refused(end - 1, "values left over at STOP");
        }
        if end < self.frame_end {
            self.refused(end - 1, "a frame that reaches beyond STOP");
        }
        if self.unbuilt > 0 {
            self.refused(end - 1, "objects whose state is never set");
        }
        self.deepest(end - 1, &[value])?;
        self.budget(end)?;
        self.result = value;
        Ok(())
    }
}

impl Verifier<'_> {
    #[inline]
    fn text(&mut self, data: Option<u64>, content: &[u8]) -> Value {
        if content.len() <= 256 {
            return Value::Text(match data {
                Some(data) => self.arena.text_at(data, content),
                None => self.arena.push_text(content),
            });
        }
        let latin = super::arena::latin_length(content);
        self.arena.node(Node::Text {
            chars: latin.unwrap_or(0),
            latin: latin.is_some(),
        })
    }

    /// The state of a trusted object: anything but what would make another object of it.
    fn trusted_build(&mut self, instance: Value, state: Value) -> Result<(), Reason> {
        if let Some([_, slots]) = self.arena.tuple_of::<2>(state)
            && (matches!(
                self.arena.get(slots),
                Some(Node::Holder {
                    what: Holder::Mapping | Holder::DefaultDict,
                    ..
                })
            ) || self.arena.built(slots, Kind::Trusted).is_some())
        {
            return refuse("attributes in another mapping than a dict");
        }
        if let Some([_, slots]) = self.arena.tuple_of::<2>(state)
            && let Some(mut keys) = self
                .arena
                .members(slots, Holder::Dict)
                .map(|m| m.step_by(2))
            && keys.any(|key| {
                !self.arena.is_text(key)
                    || self
                        .arena
                        .text(key)
                        .is_some_and(|key| key.starts_with(b"__"))
            })
        {
            return refuse("an attribute of Python's own in the state of an object");
        }
        // Each attribute gets a place in a dict of the object's own.
        let attributes = |value| self.arena.member_count(value, Holder::Dict).unwrap_or(0);
        let count = match self.arena.tuple_of::<2>(state) {
            Some([one, other]) => attributes(one).saturating_add(attributes(other)),
            None => attributes(state),
        };
        self.arena.spend(count.into());
        self.charge(u64::from(count) * 56);
        let depth = self.arena.depth(state).saturating_add(1);
        if let Some(object) = self.arena.object_mut(instance) {
            object.parts = state;
            object.depth = object.depth.max(depth);
        }
        Ok(())
    }
}
