//! The encoder of values that contain themselves.

use std::collections::HashMap;
use std::fmt;

use crate::cycle::{self, Edge, components, names};
use crate::encoder::{Encoder, Shape};
use crate::write::{self, INLINE};
use crate::{Digest, tag};

/// Takes a value that may contain itself, whole, and tells its [`Digest`] then.
///
/// A value that does not contain itself has the digest that [`KeyHasher`](crate::KeyHasher) gives it. Values that lead to
/// a cycle are told apart by what can be seen from each, however far one follows the cycle: a list that holds itself is
/// equal to a list that holds such a list. Their code is the tag `11` and a name. The name is a hash of the smallest graph
/// that unfolds to the same values, in an order that depends on nothing but the graph.
///
/// # Examples
/// ```
/// use retain_key::{Encoder, Graph, Shape};
///
/// let mut graph = Graph::new();
/// let list = graph.begin(Shape::List).expect("known from its beginning");
/// graph.integer(1);
/// graph.again(list); // The list is its own second item.
/// graph.end(false);
/// assert_eq!(graph.finish().to_string().len(), 64);
/// ```
pub struct Graph {
    nodes: Vec<Node>,
    /// The values that are begun, and the items that those are in.
    open: Vec<u32>,
}

/// A value that was met before.
#[derive(Clone, Copy, Debug)]
pub struct Met(u32);

/// A value with parts, or an item of a set or map.
#[derive(Default)]
struct Node {
    /// `None` for an item, and for the root.
    shape: Option<Shape>,
    /// The codes of the plain parts, one after the other.
    codes: Vec<u8>,
    /// The other parts: where they are between those codes, and which.
    parts: Vec<(usize, u32)>,
}

/// The node that stands for no value: its one part is the value.
const ROOT: u32 = 0;

/// Stands for a part that leads to a cycle.
const HOLE: u8 = 0xff;

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 values with parts")
}

impl Graph {
    /// A graph of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            open: vec![0],
        }
    }

    fn top(&mut self) -> &mut Node {
        let top = self.open.last().copied().unwrap_or(0);
        &mut self.nodes[top as usize]
    }

    /// Refers to a node from the value that is begun.
    fn refer(&mut self, to: u32) {
        let top = self.top();
        let place = top.codes.len();
        top.parts.push((place, to));
    }

    fn open(&mut self, shape: Option<Shape>) -> u32 {
        let node = number(self.nodes.len());
        self.refer(node);
        self.nodes.push(Node {
            shape,
            ..Node::default()
        });
        self.open.push(node);
        node
    }

    fn end_item(&mut self) {
        if self.top().shape.is_none() && self.open.len() > 1 {
            self.open.pop();
        }
    }

    /// The digest of the value that was taken.
    ///
    /// # Panics
    /// If a value is begun and not ended.
    #[must_use]
    pub fn finish(self) -> Digest {
        assert!(
            self.open.len() == 1,
            "a value was begun and not ended: call end() for each begin()"
        );
        let mut codes = vec![Vec::new(); self.nodes.len()];
        // Where each value that leads to a cycle is among those that do.
        let mut places = HashMap::new();
        let mut cyclic = Vec::new();
        let edges: Vec<Vec<u32>> = self
            .nodes
            .iter()
            .map(|node| node.parts.iter().map(|(_, part)| *part).collect())
            .collect();
        for component in components(&edges) {
            let leads = |node: u32| {
                let parts = &edges[node as usize];
                parts
                    .iter()
                    .any(|part| *part == node || places.contains_key(part))
            };
            match component[..] {
                [ROOT] => {}
                [alone] if !leads(alone) => {
                    codes[alone as usize] = self.nodes[alone as usize].code(&codes);
                }
                _ => {
                    for member in component {
                        places.insert(member, number(cyclic.len()));
                        cyclic.push(member);
                    }
                }
            }
        }
        let place = |part| places.get(&part).copied();
        let nodes: Vec<_> = cyclic
            .iter()
            .map(|node| self.nodes[*node as usize].on_cycle(&codes, place))
            .collect();
        for (node, name) in cyclic.iter().zip(names(&nodes)) {
            let code = &mut codes[*node as usize];
            code.push(tag::CYCLE);
            code.extend_from_slice(&name);
        }
        Digest::of_code(&self.nodes[ROOT as usize].code(&codes))
    }
}

impl Node {
    fn is_ordered(&self) -> bool {
        self.shape.is_none_or(Shape::is_ordered)
    }

    /// The codes of the parts in order, as far as there are any yet.
    fn in_order(
        &self,
        codes: &[Vec<u8>],
        mut on_part: impl FnMut(&mut Vec<u8>, u32, &[u8]),
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.codes.len());
        let mut from = 0;
        for &(place, part) in &self.parts {
            out.extend_from_slice(&self.codes[from..place]);
            on_part(&mut out, part, &codes[part as usize]);
            from = place;
        }
        out.extend_from_slice(&self.codes[from..]);
        out
    }

    /// The code of a value on no cycle, all parts of which have theirs.
    fn code(&self, codes: &[Vec<u8>]) -> Vec<u8> {
        let mut code: Vec<u8> = self.shape.map(Shape::tag).into_iter().collect();
        if self.is_ordered() {
            code.extend(self.in_order(codes, |out, _, code| out.extend_from_slice(code)));
        } else {
            let mut items: Vec<&[u8]> = self
                .parts
                .iter()
                .map(|(_, item)| &codes[*item as usize][..])
                .collect();
            items.sort_unstable();
            code.extend(items.concat());
        }
        if self.shape.is_some() {
            code.push(tag::END);
        }
        if code.len() > INLINE {
            let digest = blake3::hash(&code);
            write::digest(&mut code, 0, &digest);
            if self.shape.is_none() {
                code[0] = tag::ITEM;
            }
        }
        code
    }

    /// What the algorithm on cycles is told of a value that leads to one: all parts that do not, and which ones do.
    fn on_cycle(&self, codes: &[Vec<u8>], place: impl Fn(u32) -> Option<u32>) -> cycle::Node {
        let mut edges = Vec::new();
        let mut label = vec![self.shape.map_or(tag::ITEM, Shape::tag)];
        if self.is_ordered() {
            label.extend(self.in_order(codes, |out, part, code| match place(part) {
                Some(target) => {
                    let slot = number(edges.len());
                    edges.push(Edge { slot, target });
                    out.push(HOLE);
                }
                None => out.extend_from_slice(code),
            }));
        } else {
            let mut items = Vec::new();
            for &(_, item) in &self.parts {
                match place(item) {
                    Some(target) => edges.push(Edge { slot: 0, target }),
                    None => items.push(&codes[item as usize][..]),
                }
            }
            items.sort_unstable();
            label.extend(items.concat());
        }
        cycle::Node {
            label: blake3::hash(&label).into(),
            edges,
        }
    }
}

impl Encoder for Graph {
    type Known = Met;

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.top().codes
    }

    fn written(&mut self) {}

    fn begin(&mut self, shape: Shape) -> Option<Met> {
        Some(Met(self.open(Some(shape))))
    }

    fn item(&mut self) {
        self.end_item();
        self.open(None);
    }

    fn end(&mut self, _again: bool) -> Option<Met> {
        self.end_item();
        self.open.pop().map(Met)
    }

    fn again(&mut self, known: Met) {
        self.refer(known.0);
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Graph")
            .field("values", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
