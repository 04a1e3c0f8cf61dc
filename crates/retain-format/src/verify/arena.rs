//! The values of a stream, as far as rules look at them.

use std::cell::Cell;
use std::fmt::Write as _;

use super::dtype::Dtype;
use super::hashes::Hash;

/// A value: small ones themselves, others by their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes: how many, whether it is negative, and its hash.
    BigInt(u32, bool, u64),
    Float(f64),
    /// A short text, in the arena.
    Text(Span),
    Global(u32),
    Node(u32),
    /// What a refused part of the stream makes. That it was refused has been noted, so that nothing is said of it again.
    Unknown,
}

/// A piece of one of the arena's vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    const EMPTY: Self = Self { start: 0, len: 0 };

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// What no node has the number of.
const NOTHING: u32 = u32::MAX;

/// Members that come in batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members {
    first: u32,
    last: u32,
    pub(super) len: u32,
}

impl Members {
    pub(super) const EMPTY: Self = Self {
        first: NOTHING,
        last: NOTHING,
        len: 0,
    };
}

#[derive(Debug, Clone, Copy)]
struct Batch {
    span: Span,
    next: u32,
}

/// What kind of container holds members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    List,
    Dict,
    Set,
    /// `collections.deque`.
    Deque,
    /// `OrderedDict`, `Counter`.
    Mapping,
    DefaultDict,
}

/// What is known of an object of a class that a rule knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Data of the standard library that never change and can be keys.
    Data,
    /// Data that cannot be keys.
    Unhashable,
    /// A `timedelta`; `extent` is 1 if a time zone may be so far from UTC.
    Delta,
    /// A time zone.
    Zone,
    /// A slice; `detail` is the tuple of its parts.
    Slice,
    /// `zoneinfo.ZoneInfo._unpickle`.
    ZoneOpener,
    /// `UUID`, to be built.
    Uuid,
    /// `SimpleNamespace`, to be built.
    Namespace,
    /// `random.Random`, perhaps to be built.
    Random,
    /// One of joblib's wrappers, to be built.
    Wrapper,
    /// A bit generator of numpy's; `extent` is which.
    BitGenerator,
    /// A generator of numpy's.
    Generator,
    /// A `RandomState` of numpy's, to be built.
    RandomState,
    /// A `SeedSequence` of numpy's.
    SeedSequence,
    /// A masked array, to be built.
    Masked,
    /// A sparse matrix, to be built; `extent` is which.
    Sparse,
    /// A type of Arrow's; `extent` is which.
    ArrowType,
    /// A buffer of Arrow's; `detail` is its bytes.
    ArrowBuffer,
    /// An array of Arrow's; `extent` is its length.
    ArrowArray,
    /// A type of pandas' own; `extent` is which.
    PandasType,
    /// An array of pandas' own; `extent` is its length when built.
    PandasArray,
    /// An offset of pandas'.
    Offset,
    /// An index; `extent` is its length.
    Index,
    /// A block; `extent` is its length.
    Block,
    /// A manager of blocks; `extent` is its number of axes.
    Manager,
    /// A `DataFrame` or `Series`; `extent` is its number of axes.
    Frame,
    /// An object of a class that the caller trusts.
    Trusted,
}

/// An object of a class that a rule knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// Whether its state has been set; a rule looks into no other.
    pub(super) built: bool,
    pub(super) hashable: bool,
    pub(super) hash: Hash,
    pub(super) frozen: bool,
    pub(super) depth: u32,
    /// What a rule wants to know later: a length, a code.
    pub(super) extent: i64,
    /// What a rule wants to look at later.
    pub(super) detail: Value,
    /// What it was made of, for paths.
    pub(super) parts: Value,
}

/// An array of numpy's.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of one another"
)]
pub(super) struct Array {
    pub(super) built: bool,
    pub(super) matrix: bool,
    pub(super) dtype: u32,
    /// In `items`, as integers.
    pub(super) shape: Span,
    pub(super) count: u64,
    pub(super) fortran: bool,
    /// Where its bytes lie in the stream.
    pub(super) data: Option<u64>,
    /// For objects: the list.
    pub(super) members: Value,
    pub(super) depth: u32,
    pub(super) frozen: bool,
}

/// What a number stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    Tuple {
        items: Span,
        depth: u32,
        /// What hashing it costs; 0 if it cannot be hashed.
        cost: u32,
        frozen: bool,
    },
    Holder {
        what: Holder,
        members: Members,
        depth: u32,
        frozen: bool,
    },
    FrozenSet {
        hash: u64,
        depth: u32,
        /// What comparing it costs.
        cost: u32,
    },
    /// A long text.
    Text {
        chars: u64,
        latin: bool,
    },
    // The rest by number: they are few, and would make all nodes large.
    Bytes(u32),
    Dtype(u32),
    Array(u32),
    Object(u32),
}

const _: () = assert!(size_of::<Node>() <= 24);

/// Bytes, or a bytearray.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes {
    /// Where they lie in the stream, if they do.
    pub(super) data: Option<u64>,
    pub(super) len: u64,
    /// Short ones, in the arena.
    pub(super) short: Option<u32>,
    pub(super) writable: bool,
}

/// All values of a stream.
#[derive(Debug, Default)]
pub(super) struct Arena<'a> {
    /// The whole stream, if it lies in memory: short texts then stay where they are.
    memory: Option<&'a [u8]>,
    nodes: Vec<Node>,
    pub(super) items: Vec<Value>,
    batches: Vec<Batch>,
    texts: Vec<u8>,
    pub(super) dtypes: Vec<Dtype>,
    bytes: Vec<Bytes>,
    arrays: Vec<Array>,
    objects: Vec<Object>,
    /// What has been done that takes longer than an opcode: members looked at, keys compared.
    work: Cell<u64>,
}

/// What tells a place in the stream from one in the arena, among where texts start.
const IN_MEMORY: u32 = 1 << 31;

impl<'a> Arena<'a> {
    /// An arena for the stream that lies in `memory`, if it does.
    pub(super) fn new(memory: Option<&'a [u8]>) -> Self {
        let mut arena = Self {
            memory,
            ..Self::default()
        };
        // Reserving takes addresses, not memory, and saves copying what grows.
        let length = memory.map_or(0, <[u8]>::len).min(1 << 24);
        arena.nodes.reserve(length / 8);
        arena.items.reserve(length / 4);
        arena
    }

    /// A short text that begins at `data` in the stream.
    #[inline]
    pub(super) fn text_at(&mut self, data: u64, text: &[u8]) -> Span {
        match (self.memory, u32::try_from(data)) {
            (Some(_), Ok(start)) if start < IN_MEMORY => Span {
                start: start | IN_MEMORY,
                len: number(text.len()),
            },
            _ => self.push_text(text),
        }
    }

    /// Note that so much is done: a member looked at, a key compared with another, now or when the stream is loaded.
    #[inline]
    pub(super) fn spend(&self, work: u64) {
        self.work.set(self.work.get().saturating_add(work));
    }

    #[inline]
    pub(super) fn spent(&self) -> u64 {
        self.work.get()
    }

    /// How many bytes it takes, about.
    pub(super) fn size(&self) -> u64 {
        (self.nodes.len() * size_of::<Node>()
            + self.items.len() * size_of::<Value>()
            + self.batches.len() * size_of::<Batch>()
            + self.texts.len()
            + self.dtypes.len() * size_of::<Dtype>()
            + self.bytes.len() * size_of::<Bytes>()
            + self.arrays.len() * size_of::<Array>()
            + self.objects.len() * size_of::<Object>()) as u64
    }

    /// Whether numbers are left for more nodes, items and texts.
    pub(super) fn is_full(&self) -> bool {
        const FULL: usize = (u32::MAX / 2) as usize;
        self.nodes.len() > FULL || self.items.len() > FULL || self.texts.len() > FULL
    }

    #[inline]
    pub(super) fn node(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value::Node(number(self.nodes.len() - 1))
    }

    pub(super) fn new_bytes(&mut self, bytes: Bytes) -> Value {
        self.bytes.push(bytes);
        self.node(Node::Bytes(number(self.bytes.len() - 1)))
    }

    pub(super) fn new_array(&mut self, array: Array) -> Value {
        self.arrays.push(array);
        self.node(Node::Array(number(self.arrays.len() - 1)))
    }

    pub(super) fn new_object(&mut self, object: Object) -> Value {
        self.objects.push(object);
        self.node(Node::Object(number(self.objects.len() - 1)))
    }

    pub(super) fn raw_bytes(&self, value: Value) -> Option<&Bytes> {
        match self.get(value) {
            Some(&Node::Bytes(number)) => self.bytes.get(number as usize),
            _ => None,
        }
    }

    pub(super) fn bytes_mut(&mut self, value: Value) -> Option<&mut Bytes> {
        match self.get(value) {
            Some(&Node::Bytes(number)) => self.bytes.get_mut(number as usize),
            _ => None,
        }
    }

    /// An array, whether its state is set or not.
    pub(super) fn raw_array(&self, value: Value) -> Option<&Array> {
        match self.get(value) {
            Some(&Node::Array(number)) => self.arrays.get(number as usize),
            _ => None,
        }
    }

    pub(super) fn array_mut(&mut self, value: Value) -> Option<&mut Array> {
        match self.get(value) {
            Some(&Node::Array(number)) => self.arrays.get_mut(number as usize),
            _ => None,
        }
    }

    pub(super) fn object_mut(&mut self, value: Value) -> Option<&mut Object> {
        match self.get(value) {
            Some(&Node::Object(number)) => self.objects.get_mut(number as usize),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(number) => self.nodes.get(number as usize),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(number) => self.nodes.get_mut(number as usize),
            _ => None,
        }
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(super) fn push_text(&mut self, text: &[u8]) -> Span {
        let start = number(self.texts.len());
        self.texts.extend_from_slice(text);
        Span {
            start,
            len: number(text.len()),
        }
    }

    #[inline]
    pub(super) fn push_items(&mut self, items: &[Value]) -> Span {
        let start = number(self.items.len());
        self.items.extend_from_slice(items);
        Span {
            start,
            len: number(items.len()),
        }
    }

    pub(super) fn span(&self, span: Span) -> &[Value] {
        self.items.get(span.range()).unwrap_or_default()
    }

    fn text_span(&self, span: Span) -> &[u8] {
        if span.start & IN_MEMORY != 0 {
            let start = (span.start & !IN_MEMORY) as usize;
            let text = self
                .memory
                .and_then(|memory| memory.get(start..start + span.len as usize));
            return text.unwrap_or_default();
        }
        self.texts.get(span.range()).unwrap_or_default()
    }

    /// A short text.
    pub(super) fn text(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Text(span) => Some(self.text_span(span)),
            _ => None,
        }
    }

    /// Whether the value is a text, of any length.
    pub(super) fn is_text(&self, value: Value) -> bool {
        matches!(value, Value::Text(_)) || matches!(self.get(value), Some(Node::Text { .. }))
    }

    /// How many bytes a text has in Latin-1, if it can be written in it.
    pub(super) fn latin_length(&self, value: Value) -> Option<u64> {
        match (value, self.get(value)) {
            (Value::Text(span), _) => latin_length(self.text_span(span)),
            (_, Some(&Node::Text { chars, latin: true })) => Some(chars),
            _ => None,
        }
    }

    /// The length of bytes, and where they lie.
    pub(super) fn bytes(&self, value: Value) -> Option<(u64, Option<u64>)> {
        self.raw_bytes(value).map(|bytes| (bytes.len, bytes.data))
    }

    /// Short bytes.
    pub(super) fn short_bytes(&self, value: Value) -> Option<&[u8]> {
        let bytes = self.raw_bytes(value)?;
        Some(self.text_span(Span {
            start: bytes.short?,
            len: u32::try_from(bytes.len).ok()?,
        }))
    }

    /// The items of a tuple.
    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.get(value) {
            Some(&Node::Tuple { items, .. }) => {
                // Whoever asks looks at all of them.
                self.spend(items.len.into());
                Some(self.span(items))
            }
            _ => None,
        }
    }

    /// The items of a tuple of `N`.
    pub(super) fn tuple_of<const N: usize>(&self, value: Value) -> Option<[Value; N]> {
        match self.get(value) {
            Some(&Node::Tuple { items, .. }) => self.span(items).try_into().ok(),
            _ => None,
        }
    }

    /// The members of a container of this kind, in order; keys and values of a dict in turn.
    pub(super) fn members(
        &self,
        value: Value,
        kind: Holder,
    ) -> Option<impl Iterator<Item = Value> + '_> {
        match self.get(value) {
            Some(&Node::Holder { what, members, .. }) if what == kind => {
                self.spend(members.len.into());
                Some(self.each(members))
            }
            _ => None,
        }
    }

    fn each(&self, members: Members) -> impl Iterator<Item = Value> + '_ {
        let mut next = members.first;
        std::iter::from_fn(move || {
            let batch = self.batches.get(next as usize)?;
            next = batch.next;
            Some(batch.span)
        })
        .flat_map(|span| self.span(span).iter().copied())
    }

    /// The number of members of a container of this kind.
    pub(super) fn member_count(&self, value: Value, kind: Holder) -> Option<u32> {
        match self.get(value) {
            Some(&Node::Holder { what, members, .. }) if what == kind => Some(members.len),
            _ => None,
        }
    }

    /// The entries of a dict whose keys are different short texts.
    pub(super) fn entries(&self, value: Value) -> Option<Vec<(&[u8], Value)>> {
        let mut entries: Vec<(&[u8], Value)> = Vec::new();
        let mut members = self.members(value, Holder::Dict)?;
        while let (Some(key), Some(value)) = (members.next(), members.next()) {
            let key = self.text(key)?;
            // The dicts that rules look into are small: a large one is none of them.
            if entries.len() >= 1000 {
                return None;
            }
            entries.push((key, value));
        }
        // They are sorted.
        self.spend(entries.len() as u64 * 8);
        let mut keys: Vec<_> = entries.iter().map(|&(key, _)| key).collect();
        keys.sort_unstable();
        let twice = keys
            .iter()
            .zip(keys.iter().skip(1))
            .any(|(key, next)| key == next);
        (!twice).then_some(entries)
    }

    /// Put `items` behind the members.
    pub(super) fn extend(&mut self, members: &mut Members, items: &[Value]) {
        let span = self.push_items(items);
        let batch = number(self.batches.len());
        self.batches.push(Batch {
            span,
            next: NOTHING,
        });
        match self.batches.get_mut(members.last as usize) {
            Some(last) => last.next = batch,
            None => members.first = batch,
        }
        members.last = batch;
        members.len = members.len.saturating_add(span.len);
    }

    /// How deep values lie in this one.
    #[inline]
    pub(super) fn depth(&self, value: Value) -> u32 {
        match self.get(value) {
            Some(
                Node::Tuple { depth, .. }
                | Node::Holder { depth, .. }
                | Node::FrozenSet { depth, .. },
            ) => *depth,
            Some(Node::Object(_)) => self.object(value).map_or(0, |object| object.depth),
            Some(Node::Array(_)) => self.raw_array(value).map_or(0, |array| array.depth),
            _ => 0,
        }
    }

    /// What hashing the value costs; 0 if it cannot be hashed.
    #[inline]
    pub(super) fn hash_cost(&self, value: Value) -> u32 {
        match value {
            Value::BigInt(bytes, ..) => bytes / 8 + 1,
            Value::Node(_) => match self.get(value) {
                Some(&(Node::Tuple { cost, .. } | Node::FrozenSet { cost, .. })) => cost,
                Some(&Node::Dtype(number)) => self
                    .dtypes
                    .get(number as usize)
                    .map_or(0, |dtype| dtype.leaves.max(1)),
                Some(Node::Bytes(_)) => self
                    .raw_bytes(value)
                    .map_or(0, |bytes| u32::from(!bytes.writable)),
                Some(Node::Text { .. }) => 1,
                Some(Node::Object(_)) => self
                    .object(value)
                    .map_or(0, |object| u32::from(object.hashable)),
                _ => 0,
            },
            _ => 1,
        }
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match self.get(value) {
            Some(&Node::Object(number)) => self.objects.get(number as usize),
            _ => None,
        }
    }

    /// An object of this kind, whose state is set.
    pub(super) fn built(&self, value: Value, kind: Kind) -> Option<&Object> {
        self.object(value)
            .filter(|object| object.kind == kind && object.built)
    }

    /// An array whose state is set.
    pub(super) fn array(&self, value: Value) -> Option<(&Array, &Dtype)> {
        let array = self.raw_array(value).filter(|array| array.built)?;
        Some((array, self.dtypes.get(array.dtype as usize)?))
    }

    /// A type of numpy's whose state is set.
    pub(super) fn dtype(&self, value: Value) -> Option<(u32, &Dtype)> {
        match self.get(value) {
            Some(&Node::Dtype(number)) => {
                let dtype = self.dtypes.get(number as usize)?;
                dtype.built.then_some((number, dtype))
            }
            _ => None,
        }
    }

    /// A shape: a tuple of up to 32 integers that are not negative.
    pub(super) fn shape(&self, value: Value) -> Option<Vec<u64>> {
        let items = self.tuple(value)?;
        if items.len() > 32 {
            return None;
        }
        items.iter().map(|&item| size(item)).collect()
    }

    /// The sizes of an array.
    pub(super) fn sizes(&self, array: &Array) -> Vec<u64> {
        self.span(array.shape)
            .iter()
            .map(|&item| size(item).unwrap_or(0))
            .collect()
    }

    /// Let nothing change in `value` from now on, as an object keeps it.
    pub(super) fn freeze(&mut self, value: Value) {
        let mut todo = vec![value];
        while let Some(value) = todo.pop() {
            let members = match self.get_mut(value) {
                Some(Node::Tuple { items, frozen, .. }) if !*frozen => {
                    *frozen = true;
                    let items = *items;
                    todo.extend(self.span(items).iter().filter(|item| is_node(**item)));
                    continue;
                }
                Some(Node::Holder {
                    members, frozen, ..
                }) if !*frozen => {
                    *frozen = true;
                    *members
                }
                Some(Node::Array(_)) => {
                    if let Some(array) = self.array_mut(value)
                        && !array.frozen
                    {
                        array.frozen = true;
                        let members = array.members;
                        todo.push(members);
                    }
                    continue;
                }
                Some(Node::Object(_)) => {
                    if let Some(object) = self.object_mut(value)
                        && !object.frozen
                    {
                        object.frozen = true;
                        let inside = [object.detail, object.parts];
                        todo.extend(inside);
                    }
                    continue;
                }
                _ => continue,
            };
            todo.extend(self.each(members).filter(|&item| is_node(item)));
        }
    }

    /// How the value is called in a refusal.
    pub(super) fn describe(&self, value: Value) -> String {
        let mut text = String::new();
        match value {
            Value::None => text.push_str("None"),
            Value::Bool(value) => text.push_str(if value { "True" } else { "False" }),
            Value::Int(value) => {
                let _ = write!(text, "{value}");
            }
            Value::BigInt(..) => text.push_str("a large integer"),
            Value::Float(_) => text.push_str("a float"),
            Value::Text(span) => {
                let short = self.text_span(span);
                let short = short.get(..short.len().min(40)).unwrap_or_default();
                let _ = write!(text, "{:?}", String::from_utf8_lossy(short));
            }
            Value::Global(_) => text.push_str("a global"),
            Value::Unknown => text.push_str("something refused"),
            Value::Node(_) => text.push_str(match self.get(value) {
                Some(Node::Tuple { .. }) => "a tuple",
                Some(Node::Holder { what, .. }) => match what {
                    Holder::List => "a list",
                    Holder::Dict => "a dict",
                    Holder::Set => "a set",
                    Holder::Deque => "a deque",
                    Holder::Mapping | Holder::DefaultDict => "a mapping",
                },
                Some(Node::FrozenSet { .. }) => "a frozenset",
                Some(Node::Bytes(_)) => "bytes",
                Some(Node::Text { .. }) => "a long text",
                Some(Node::Dtype(_)) => "a dtype",
                Some(Node::Array(_)) => "an array",
                Some(Node::Object(_)) | None => "an object",
            }),
        }
        text
    }
}

fn is_node(value: Value) -> bool {
    matches!(value, Value::Node(_))
}

/// An integer that is not negative.
pub(super) fn size(value: Value) -> Option<u64> {
    match value {
        Value::Int(value) => u64::try_from(value).ok(),
        _ => None,
    }
}

/// A truth value, also as Python 2 wrote it.
pub(super) fn truth(value: Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(value),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        _ => None,
    }
}

/// How many bytes UTF-8 text has in Latin-1.
pub(super) fn latin_length(text: &[u8]) -> Option<u64> {
    if text.is_ascii() {
        return Some(text.len() as u64);
    }
    let mut chars = 0;
    for &byte in text {
        match byte {
            0x00..=0x7f | 0xc2 | 0xc3 => chars += 1,
            0x80..=0xbf => {}
            _ => return None,
        }
    }
    Some(chars)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the arena is full long before; see is_full"
)]
fn number(number: usize) -> u32 {
    number as u32
}

impl Default for Span {
    fn default() -> Self {
        Self::EMPTY
    }
}
