//! Names for values that lead to a cycle.
//!
//! A value that contains itself cannot be encoded part by part: that would never end. What it *is* is the infinite
//! tree that it unfolds to, so two nodes are the same value iff they are bisimilar. Copies and sharing do not matter:
//! after `a = [a]`, the lists `a`, `[a]` and `b = [[b]]` are one value.
//!
//! [`names`] finds the values in three steps:
//!
//! 1. The classes of bisimilar nodes ([`Partition`]). With one node for each, the graph is as small as it can be, and
//!    is a function of the values alone: how often a value was copied is forgotten.
//! 2. Its strongly connected components ([`components`]), each after those that it leads to. It must be those of the
//!    small graph: in the one that was given, a node before a cycle can be the same value as one on it.
//! 3. The name of a node that is on no cycle is a hash of its label and of its children's names. A component with a
//!    cycle is written down as a table: its nodes in an order that depends on nothing but the graph (`Partition`
//!    again: in a graph without equals it numbers all nodes), each with its label, the names of the children outside
//!    and the numbers of those inside. A node's name is a hash of the table and of its number.
//!
//! Equal values have equal names, since they lead to the same small graph and nothing else is looked at. Equal names
//! belong to equal values, unless BLAKE3 fails: what was hashed is then equal, both times a label with names or both
//! times a table, by the words it begins with. The names in it belong to equal values, since they are of components
//! further down. So two tables' numbers pair up nodes which have equal labels and whose children are equal or again
//! pairs. That is a bisimulation.

use std::cmp::Reverse;
use std::ops::Range;

use blake3::Hasher;

#[cfg(test)]
mod tests;

/// A value, apart from its children.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// A digest of all else that there is to the value: its type, children that lead to no cycle, the slots' meaning.
    pub(crate) label: [u8; 32],
    /// In any order.
    pub(crate) edges: Vec<Edge>,
}

/// What a node says of one of its children.
///
/// The slot tells the children apart: in a sequence it is the position. Those in the same slot are a multiset: in a set
/// they all are in slot 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) slot: u32,
    /// An index into the nodes.
    pub(crate) target: u32,
}

/// The name of each node's value: the same in whichever graph and wherever in it the value is met.
///
/// All nodes that lead to a cycle, and to one another, are to be given in one call: only then can a node before a cycle
/// be found to be one on it. The nodes need not be connected, nor be on a cycle.
pub(crate) fn names(nodes: &[Node]) -> Vec<[u8; 32]> {
    let partition = Partition::of(nodes);
    let values = partition.quotient(nodes);
    let mut names = vec![None; values.len()];
    let mut place = vec![0; values.len()];
    let targets = |node: &Node| node.edges.iter().map(|edge| edge.target).collect();
    let edges: Vec<Vec<u32>> = values.iter().map(targets).collect();
    for component in components(&edges) {
        for (&node, index) in component.iter().zip(0..) {
            place[node as usize] = index;
        }
        let members: Vec<Node> = (component.iter())
            .map(|&node| member(&values[node as usize], &names, &place))
            .collect();
        let own = match members.as_slice() {
            [Node { label, edges }] if edges.is_empty() => vec![*label],
            members => cycle_names(members),
        };
        for (&node, name) in component.iter().zip(own) {
            names[node as usize] = Some(name);
        }
    }
    (partition.cell_of.iter())
        .map(|&class| names[class as usize].expect("each node is in a component"))
        .collect()
}

/// A node within its component: the children outside, which have their names already, become part of the label.
fn member(node: &Node, names: &[Option<[u8; 32]>], place: &[u32]) -> Node {
    let mut outside = Vec::new();
    let mut edges = Vec::new();
    for &Edge { slot, target } in &node.edges {
        match names[target as usize] {
            Some(name) => outside.push((slot, name)),
            None => edges.push(Edge {
                slot,
                target: place[target as usize],
            }),
        }
    }
    outside.sort_unstable();
    let mut label = Hasher::new();
    label.update(b"retain-key 1 node\n").update(&node.label);
    for (slot, name) in outside {
        label.update(&slot.to_le_bytes()).update(&name);
    }
    Node {
        label: label.finalize().into(),
        edges,
    }
}

/// The names of the nodes of a component with a cycle, no two of which are the same value.
fn cycle_names(members: &[Node]) -> Vec<[u8; 32]> {
    let partition = Partition::of(members);
    let mut table = Hasher::new();
    table.update(b"retain-key 1 component\n");
    for node in partition.quotient(members) {
        table
            .update(&node.label)
            .update(&number(node.edges.len()).to_le_bytes());
        for Edge { slot, target } in node.edges {
            table
                .update(&slot.to_le_bytes())
                .update(&target.to_le_bytes());
        }
    }
    let table = table.finalize();
    let name = |number: &u32| {
        let mut name = Hasher::new();
        name.update(b"retain-key 1 member\n")
            .update(table.as_bytes())
            .update(&number.to_le_bytes());
        name.finalize().into()
    };
    partition.cell_of.iter().map(name).collect()
}

/// The strongly connected components of a graph, each after those that it leads to.
///
/// This is Tarjan's algorithm without recursion: a graph may be deeper than any stack.
pub(crate) fn components(edges: &[Vec<u32>]) -> Vec<Vec<u32>> {
    const UNSEEN: u32 = u32::MAX - 1;
    const CLOSED: u32 = u32::MAX;
    let mut components = Vec::new();
    // The nodes that were seen but whose component is not closed, as they were met; and for each of them the earliest
    // place there that it is known to lead to.
    let mut open: Vec<u32> = Vec::new();
    let mut reach = vec![UNSEEN; edges.len()];
    // The nodes whose edges are being followed: node, its place in `open`, edges followed.
    let mut path: Vec<(u32, u32, usize)> = Vec::new();

    for root in 0..number(edges.len()) {
        let mut next = (reach[root as usize] == UNSEEN).then_some(root);
        loop {
            if let Some(node) = next.take() {
                let place = number(open.len());
                reach[node as usize] = place;
                open.push(node);
                path.push((node, place, 0));
            }
            let Some((node, place, followed)) = path.last_mut() else {
                break;
            };
            let (node, place) = (*node as usize, *place);
            if let Some(&target) = edges[node].get(*followed) {
                *followed += 1;
                match reach[target as usize] {
                    UNSEEN => next = Some(target),
                    known => reach[node] = reach[node].min(known),
                }
                continue;
            }
            path.pop();
            if reach[node] == place {
                let component = open.split_off(place as usize);
                for &member in &component {
                    reach[member as usize] = CLOSED;
                }
                components.push(component);
            }
            if let Some(&(parent, ..)) = path.last() {
                reach[parent as usize] = reach[parent as usize].min(reach[node]);
            }
        }
    }
    components
}

/// The nodes in cells: two nodes share a cell iff they are bisimilar.
///
/// It starts with a cell for each label, and goes on in rounds. In each, a cell is split by what became of its
/// members' children: all but the largest part become new cells, and the parents of those who moved are looked at in
/// the next round. So a node moves only into a cell of at most half the size, hence O(log n) times, and only edges to
/// nodes that moved are looked at: O(m log n) edges in all, however many rounds there are. (After Hopcroft's
/// minimization of automata.)
///
/// Numbers of cells are given in an order that depends on labels, slots, sizes and numbers that were given before, but
/// never on the indices of nodes. So if no two nodes are bisimilar, their cells' numbers say which node is which.
struct Partition {
    cell_of: Vec<u32>,
    /// The cells' ranges of `order`.
    cells: Vec<Range<usize>>,
    /// The nodes, cell by cell.
    order: Vec<u32>,
    /// Where in `order` each node is.
    place: Vec<usize>,
    /// Those who moved in this round.
    moved: Vec<u32>,
}

/// That the child in `slot` moved to `cell`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    slot: u32,
    cell: u32,
}

impl Partition {
    fn of(nodes: &[Node]) -> Self {
        let parents = Parents::of(nodes);
        let mut this = Self::by_label(nodes);
        // Each round's moves by parent, and the parents: cell, node, range of `moves`. Members of one cell differ iff
        // their moves do: before, they were equal, and each new cell is part of one old one. So children that stayed
        // need not be looked at, however many there are, nor parents that are alone in their cell.
        let mut moves: Vec<(u32, Move)> = Vec::new();
        let mut active: Vec<(u32, u32, Range<usize>)> = Vec::new();
        while !this.moved.is_empty() {
            moves.clear();
            for node in this.moved.drain(..) {
                let cell = this.cell_of[node as usize];
                for &(parent, slot) in parents.of_node(node) {
                    if this.cells[this.cell_of[parent as usize] as usize].len() > 1 {
                        moves.push((parent, Move { slot, cell }));
                    }
                }
            }
            moves.sort_unstable();

            active.clear();
            let mut start = 0;
            for same in moves.chunk_by(|a, b| a.0 == b.0) {
                let (parent, end) = (same[0].0, start + same.len());
                active.push((this.cell_of[parent as usize], parent, start..end));
                start = end;
            }
            let moves_of = |range: &Range<usize>| moves[range.clone()].iter().map(|(_, step)| step);
            active.sort_unstable_by(|(a, _, x), (b, _, y)| {
                a.cmp(b).then_with(|| moves_of(x).cmp(moves_of(y)))
            });
            for run in active.chunk_by(|a, b| a.0 == b.0) {
                let parts = run.chunk_by(|(_, _, x), (_, _, y)| moves_of(x).eq(moves_of(y)));
                this.split(
                    run[0].0,
                    parts.map(|part| part.iter().map(|&(_, node, _)| node)),
                );
            }
        }
        this
    }

    fn by_label(nodes: &[Node]) -> Self {
        let mut order: Vec<u32> = (0..number(nodes.len())).collect();
        let label = |node: u32| &nodes[node as usize].label;
        order.sort_unstable_by_key(|&node| label(node));
        let mut this = Self {
            cell_of: vec![0; nodes.len()],
            cells: Vec::new(),
            place: vec![0; nodes.len()],
            moved: order.clone(),
            order: Vec::new(),
        };
        for cell in order.chunk_by(|&a, &b| label(a) == label(b)) {
            let start = this.order.len();
            for &node in cell {
                this.place[node as usize] = this.order.len();
                this.cell_of[node as usize] = number(this.cells.len());
                this.order.push(node);
            }
            this.cells.push(start..this.order.len());
        }
        this
    }

    /// Splits a cell into the parts that are given and the rest. The largest one, the first of them, stays.
    fn split(&mut self, cell: u32, parts: impl Iterator<Item = impl Iterator<Item = u32>>) {
        let Range { start, end } = self.cells[cell as usize];
        let mut ranges = vec![];
        let mut done = start;
        for part in parts {
            let start = done;
            for node in part {
                let (here, other) = (self.place[node as usize], self.order[done]);
                self.order.swap(here, done);
                self.place[other as usize] = here;
                self.place[node as usize] = done;
                done += 1;
            }
            ranges.push(start..done);
        }
        if done < end {
            ranges.push(done..end);
        }
        let largest = (0..ranges.len()).max_by_key(|&part| (ranges[part].len(), Reverse(part)));
        self.cells[cell as usize] = ranges.remove(largest.expect("at least one part"));
        for range in ranges {
            for &node in &self.order[range.clone()] {
                self.cell_of[node as usize] = number(self.cells.len());
                self.moved.push(node);
            }
            self.cells.push(range);
        }
    }

    /// The graph with one node for each cell, in their order. The edges are sorted.
    fn quotient(&self, nodes: &[Node]) -> Vec<Node> {
        let merged = |cell: &Range<usize>| {
            let node = &nodes[self.order[cell.start] as usize];
            let edge = |&Edge { slot, target }: &Edge| Edge {
                slot,
                target: self.cell_of[target as usize],
            };
            let mut edges: Vec<Edge> = node.edges.iter().map(edge).collect();
            edges.sort_unstable();
            Node {
                label: node.label,
                edges,
            }
        };
        self.cells.iter().map(merged).collect()
    }
}

/// The edges, backwards.
struct Parents {
    /// Where in `edges` each node's begin, and the end.
    starts: Vec<usize>,
    /// Parent and slot.
    edges: Vec<(u32, u32)>,
}

impl Parents {
    fn of(nodes: &[Node]) -> Self {
        let all = || {
            (0..)
                .zip(nodes)
                .flat_map(|(parent, node)| node.edges.iter().map(move |edge| (parent, edge)))
        };
        let mut starts = vec![0; nodes.len() + 1];
        all().for_each(|(_, edge)| starts[edge.target as usize] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut edges = vec![(0, 0); sum];
        for (parent, edge) in all() {
            let start = &mut starts[edge.target as usize];
            *start -= 1;
            edges[*start] = (parent, edge.slot);
        }
        Self { starts, edges }
    }

    fn of_node(&self, node: u32) -> &[(u32, u32)] {
        &self.edges[self.starts[node as usize]..self.starts[node as usize + 1]]
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 nodes")
}
