//! Looking at the notes of a stream.

use std::borrow::Cow;

use super::nodes::{Id, Node, Nodes, Object, Span};

/// The notes, and the content that they point into.
#[derive(Clone, Copy)]
pub(super) struct Notes<'a> {
    pub(super) nodes: &'a Nodes,
    content: &'a [u8],
}

impl<'a> Notes<'a> {
    pub(super) fn new(nodes: &'a Nodes, content: &'a [u8]) -> Self {
        Self { nodes, content }
    }

    pub(super) fn node(self, id: Id) -> &'a Node {
        self.nodes.get(id)
    }

    pub(super) fn span(self, span: Span) -> Option<&'a [u8]> {
        self.content.get(span.start..)?.get(..span.length)
    }

    /// A text, or a str of Python 2 that is one. Halves of surrogate pairs, which Python allows, become U+FFFD.
    pub(super) fn text(self, id: Id) -> Option<Cow<'a, str>> {
        match self.node(id) {
            Node::Text(span) => self.span(*span).map(String::from_utf8_lossy),
            Node::String(text) => Some(Cow::Borrowed(text)),
            Node::Str(span) => std::str::from_utf8(self.span(*span)?)
                .ok()
                .map(Cow::Borrowed),
            Node::Octets(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            _ => None,
        }
    }

    /// Bytes, a bytearray or a str of Python 2, also as earlier protocols spell them.
    pub(super) fn bytes(self, id: Id) -> Option<Cow<'a, [u8]>> {
        match self.node(id) {
            Node::Bytes(span) | Node::Str(span) => self.span(*span).map(Cow::Borrowed),
            Node::Octets(bytes) => Some(Cow::Borrowed(bytes)),
            Node::Object(object) => match (self.global(object.class)?, self.arguments(object)) {
                (("_codecs", "encode"), &[text, encoding])
                    if self.text(encoding).is_some_and(|name| name == "latin1") =>
                {
                    let text = self.text(text)?;
                    let bytes: Option<Vec<u8>> =
                        text.chars().map(|c| u8::try_from(c).ok()).collect();
                    bytes.map(Cow::Owned)
                }
                (("builtins" | "__builtin__", "bytes" | "bytearray"), []) => {
                    Some(Cow::Borrowed(&[]))
                }
                // Nothing is nested here, except by a stranger who wants the stack to end.
                (("builtins" | "__builtin__", "bytearray"), &[inner]) => match self.node(inner) {
                    Node::Bytes(span) => self.span(*span).map(Cow::Borrowed),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn int(self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// As protocol 0 and 1 write it, too.
    pub(super) fn truth(self, id: Id) -> Option<bool> {
        match self.node(id) {
            Node::Bool(value) => Some(*value),
            Node::Int(value) => Some(*value != 0),
            _ => None,
        }
    }

    pub(super) fn tuple(self, id: Id) -> Option<&'a [Id]> {
        match self.node(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn global(self, id: Id) -> Option<(&'a str, &'a str)> {
        match self.node(id) {
            Node::Global(names) => Some((&names.0, &names.1)),
            _ => None,
        }
    }

    pub(super) fn arguments(self, object: &Object) -> &'a [Id] {
        self.tuple(object.arguments).unwrap_or_default()
    }

    /// The value of a text key among keys and values in turn.
    pub(super) fn entry(self, entries: &[Id], key: &str) -> Option<Id> {
        // Of equal keys, the last one counts.
        entries
            .as_chunks::<2>()
            .0
            .iter()
            .rev()
            .find(|[found, _]| self.text(*found).is_some_and(|found| found == key))
            .map(|[_, value]| *value)
    }
}
