//! Notes of a pickle's values: what the opcodes say, not what Python would make of it.

use super::lines;
use super::notes::Notes;
use super::numpy;
use crate::domain::{Domain, is_text};
use crate::error::Error;
use crate::machine::{Limits, Machine, Step};
use crate::npy::Header;
use crate::opcode as op;

/// The number of a node.
pub(super) type Id = u32;

/// A part of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) length: usize,
}

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits.
    Huge,
    Float(f64),
    /// A text in UTF-8.
    Text(Span),
    /// A text that is written otherwise.
    String(Box<str>),
    Bytes(Span),
    /// A str of Python 2: a text or bytes.
    Str(Span),
    /// The same, written otherwise.
    Octets(Box<[u8]>),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Set(Vec<Id>),
    /// Keys and values in turn.
    Dict(Vec<Id>),
    Global(Box<(String, String)>),
    Object(Box<Object>),
    /// An array whose bytes lie in the content, with no Python around them.
    Raw(Box<(Header, Span)>),
    /// What stands for something that is not in the file.
    Unknown,
}

/// An object, by how it is made.
#[derive(Debug)]
pub(super) struct Object {
    /// The class, or the callable that makes it.
    pub(super) class: Id,
    /// A tuple as a rule.
    pub(super) arguments: Id,
    pub(super) state: Option<Id>,
    /// What is appended to it.
    pub(super) items: Vec<Id>,
    /// Keys and values in turn.
    pub(super) entries: Vec<Id>,
}

/// All values of a stream.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    all: Vec<Node>,
    result: Option<Id>,
}

/// The bytes of an array that follow in a stream of joblib's.
#[derive(Debug, PartialEq)]
pub(super) enum Follows {
    Raw {
        wrapper: Id,
        header: Header,
        padded: bool,
    },
    /// A pickle of its own.
    Pickle { wrapper: Id },
}

impl Nodes {
    pub(super) fn of_array(
        header: Header,
        start: usize,
        length: usize,
    ) -> Result<(Self, Id), Error> {
        let mut nodes = Self::default();
        let span = Span { start, length };
        let root = nodes.push(Node::Raw(Box::new((header, span))))?;
        Ok((nodes, root))
    }

    pub(super) fn get(&self, id: Id) -> &Node {
        self.all.get(id as usize).unwrap_or(&Node::Unknown)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Puts `node` in the place of another.
    fn replace(&mut self, id: Id, node: Node) {
        if let Some(place) = self.all.get_mut(id as usize) {
            *place = node;
        }
    }

    fn push(&mut self, node: Node) -> Result<Id, Error> {
        let id = Id::try_from(self.all.len())
            .map_err(|_| Error::Budget("the file holds more than 2^32 values".into()))?;
        self.all.push(node);
        Ok(id)
    }

    /// For values that cannot fail: beyond the last number they are lost, and the next that can fail does.
    fn put(&mut self, node: Node) -> Id {
        self.push(node).unwrap_or(Id::MAX)
    }

    fn counted_node(opcode: u8, span: Span, payload: Option<&[u8]>) -> Node {
        match opcode {
            op::LONG1 | op::LONG4 => payload.and_then(long).map_or(Node::Huge, Node::Int),
            op::SHORT_BINSTRING | op::BINSTRING => Node::Str(span),
            _ if is_text(opcode) => Node::Text(span),
            _ => Node::Bytes(span),
        }
    }
}

/// An integer in two's complement, if 64 bits hold it.
fn long(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
    Some(i64::from_le_bytes(all))
}

fn span(data: u64, length: u64) -> Span {
    // Whatever lies in memory has addresses in `usize`; the rest is refused where it is read.
    Span {
        start: usize::try_from(data).unwrap_or(usize::MAX),
        length: usize::try_from(length).unwrap_or(usize::MAX),
    }
}

/// The domain, with the content at hand: some names are values of the stream.
#[derive(Debug, Default)]
struct Reader<'c> {
    content: &'c [u8],
    nodes: Nodes,
}

impl Domain for Reader<'_> {
    type Value = Id;
    type Event = Follows;

    fn unknown(&mut self) -> Id {
        self.nodes.put(Node::Unknown)
    }

    fn none(&mut self) -> Id {
        self.nodes.put(Node::None)
    }

    fn boolean(&mut self, value: bool) -> Id {
        self.nodes.put(Node::Bool(value))
    }

    fn integer(&mut self, value: i64) -> Id {
        self.nodes.put(Node::Int(value))
    }

    fn float(&mut self, value: f64) -> Id {
        self.nodes.put(Node::Float(value))
    }

    fn line(&mut self, at: u64, opcode: u8, line: &[u8]) -> Result<Id, Error> {
        let node = lines::node(opcode, line)
            .ok_or_else(|| Error::malformed(at, "a line that is no such value"))?;
        self.nodes.push(node)
    }

    fn counted(&mut self, _at: u64, opcode: u8, data: u64, payload: &[u8]) -> Result<Id, Error> {
        let span = span(data, payload.len() as u64);
        self.nodes
            .push(Nodes::counted_node(opcode, span, Some(payload)))
    }

    fn passed(&mut self, _at: u64, opcode: u8, data: u64, length: u64) -> Result<Id, Error> {
        self.nodes
            .push(Nodes::counted_node(opcode, span(data, length), None))
    }

    fn empty(&mut self, _at: u64, opcode: u8) -> Result<Id, Error> {
        self.nodes.push(match opcode {
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::EMPTY_SET => Node::Set(Vec::new()),
            _ => Node::Tuple(Box::default()),
        })
    }

    fn collect(&mut self, _at: u64, opcode: u8, items: &[Id]) -> Result<Id, Error> {
        self.nodes.push(match opcode {
            op::LIST => Node::List(items.to_vec()),
            op::DICT => Node::Dict(items.to_vec()),
            op::FROZENSET => Node::Set(items.to_vec()),
            _ => Node::Tuple(items.into()),
        })
    }

    fn extend(&mut self, at: u64, opcode: u8, target: Id, items: &[Id]) -> Result<(), Error> {
        let pairs = matches!(opcode, op::SETITEM | op::SETITEMS);
        match (self.nodes.all.get_mut(target as usize), pairs) {
            (Some(Node::List(all) | Node::Set(all)), false) | (Some(Node::Dict(all)), true) => {
                all.extend_from_slice(items);
            }
            (Some(Node::Object(object)), false) => object.items.extend_from_slice(items),
            (Some(Node::Object(object)), true) => object.entries.extend_from_slice(items),
            (Some(Node::Unknown), _) => {}
            _ => return Err(Error::malformed(at, "items for a value that takes none")),
        }
        Ok(())
    }

    fn global(&mut self, _at: u64, module: &[u8], name: &[u8]) -> Result<Id, Error> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.nodes
            .push(Node::Global(Box::new((text(module), text(name)))))
    }

    fn stack_global(&mut self, at: u64, module: Id, name: Id) -> Result<Id, Error> {
        let notes = Notes::new(&self.nodes, self.content);
        let names = notes.text(module).zip(notes.text(name));
        let (module, name) =
            names.ok_or_else(|| Error::malformed(at, "a global whose name is no text"))?;
        let names = (module.into_owned(), name.into_owned());
        self.nodes.push(Node::Global(Box::new(names)))
    }

    fn reduce(&mut self, _at: u64, class: Id, arguments: Id) -> Result<Id, Error> {
        self.nodes.push(Node::Object(Box::new(Object {
            class,
            arguments,
            state: None,
            items: Vec::new(),
            entries: Vec::new(),
        })))
    }

    fn new_object(
        &mut self,
        at: u64,
        class: Id,
        arguments: Id,
        _: Option<Id>,
    ) -> Result<Id, Error> {
        self.reduce(at, class, arguments)
    }

    fn instantiate(&mut self, at: u64, class: Id, items: &[Id]) -> Result<Id, Error> {
        let arguments = self.nodes.push(Node::Tuple(items.into()))?;
        self.reduce(at, class, arguments)
    }

    fn build(&mut self, at: u64, instance: Id, state: Id) -> Result<(Id, Option<Follows>), Error> {
        match self.nodes.all.get_mut(instance as usize) {
            Some(Node::Object(object)) => object.state = Some(state),
            Some(Node::Unknown) => {}
            _ => return Err(Error::malformed(at, "a state for a value that has none")),
        }
        let notes = Notes::new(&self.nodes, self.content);
        Ok((instance, numpy::follows(notes, at, instance, state)?))
    }

    fn stop(&mut self, _end: u64, value: Id, _left: usize) -> Result<(), Error> {
        self.nodes.result = Some(value);
        Ok(())
    }
}

/// Takes down a whole file.
pub(super) fn read(content: &[u8]) -> Result<(Nodes, Id), Error> {
    let reader = Reader {
        content,
        nodes: Nodes::default(),
    };
    let (reader, root, end) = stream(reader, 0, true)?;
    if end == content.len() as u64 {
        Ok((reader.nodes, root))
    } else {
        Err(Error::malformed(
            end,
            "other bytes follow the end of the pickle",
        ))
    }
}

/// Takes down one pickle; returns its value and where it ends.
fn stream(reader: Reader<'_>, start: u64, outermost: bool) -> Result<(Reader<'_>, Id, u64), Error> {
    let content = reader.content;
    let limits = Limits {
        end: content.len() as u64,
        ..Limits::default()
    };
    let from = |at: u64| usize::try_from(at).ok().and_then(|at| content.get(at..));
    let mut machine = Machine::new(reader, limits).starting_at(start);
    loop {
        let at = machine.position();
        let (_, step) = machine.run(from(at).unwrap_or_default())?;
        match step {
            Step::More { .. } => return Err(machine.truncated()),
            // It does not reach beyond the end: the limits say where that is.
            Step::Payload { length, .. } => machine.advance(length),
            Step::Stop => break,
            Step::Event(_) if !outermost => {
                return Err(Error::malformed(
                    at,
                    "an array of joblib's inside of another",
                ));
            }
            Step::Event(Follows::Raw {
                wrapper,
                header,
                padded,
            }) => {
                let at = machine.position();
                let mut skip = 0;
                if padded {
                    let padding = from(at).and_then(<[u8]>::first);
                    skip = 1 + u64::from(*padding.ok_or_else(|| machine.truncated())?);
                }
                let data = span(at.saturating_add(skip), header.data_len()?);
                let rest = content.get(data.start..).unwrap_or_default();
                if rest.len() < data.length {
                    return Err(Error::Truncated(format!(
                        "the file ends in the middle of an array: {} of {} bytes are there",
                        rest.len(),
                        data.length
                    )));
                }
                machine.advance(skip.saturating_add(data.length as u64));
                let raw = Node::Raw(Box::new((header, data)));
                machine.domain_mut().nodes.replace(wrapper, raw);
            }
            Step::Event(Follows::Pickle { wrapper }) => {
                let at = machine.position();
                let outer = std::mem::take(machine.domain_mut());
                let (mut inner, array, end) = stream(outer, at, false)?;
                let array = inner
                    .nodes
                    .all
                    .get_mut(array as usize)
                    .map_or(Node::Unknown, |place| {
                        std::mem::replace(place, Node::Unknown)
                    });
                inner.nodes.replace(wrapper, array);
                *machine.domain_mut() = inner;
                machine.advance(end - at);
            }
        }
    }
    let end = machine.position();
    let mut reader = machine.into_domain();
    match reader.nodes.result.take() {
        Some(root) => Ok((reader, root, end)),
        None => Err(Error::malformed(end, "a pickle without a value")),
    }
}
