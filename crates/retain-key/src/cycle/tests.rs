use std::cmp::Ordering::{Equal, Greater};
use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Edge, Node, components, names};

/// A node whose children's order counts.
fn list(label: u8, targets: &[u32]) -> Node {
    let edges = (0..).zip(targets);
    let edges = edges.map(|(slot, &target)| Edge { slot, target });
    Node {
        label: [label; 32],
        edges: edges.collect(),
    }
}

/// A node whose children's order does not count.
fn set(label: u8, targets: &[u32]) -> Node {
    let edges = targets.iter().map(|&target| Edge { slot: 0, target });
    Node {
        label: [label; 32],
        edges: edges.collect(),
    }
}

/// The class of each node, by splitting all classes at once until none splits.
fn bisimilar(nodes: &[Node]) -> Vec<usize> {
    let mut class = vec![0; nodes.len()];
    let mut count = 1;
    loop {
        let mut known = HashMap::new();
        let next: Vec<usize> = nodes
            .iter()
            .map(|node| {
                let edges = node.edges.iter();
                let mut children: Vec<_> = edges
                    .map(|edge| (edge.slot, class[edge.target as usize]))
                    .collect();
                children.sort_unstable();
                let fresh = known.len();
                *known.entry((node.label, children)).or_insert(fresh)
            })
            .collect();
        class = next;
        if known.len() == count {
            return class;
        }
        count = known.len();
    }
}

fn union(graphs: &[Vec<Node>]) -> Vec<Node> {
    let mut all: Vec<Node> = Vec::new();
    for graph in graphs {
        let offset = u32::try_from(all.len()).unwrap();
        for node in graph {
            let mut node = node.clone();
            node.edges.iter_mut().for_each(|edge| edge.target += offset);
            all.push(node);
        }
    }
    all
}

/// Fails unless the nodes, each named within its own graph, are named by their classes.
fn assert_named_by_value(graphs: &[Vec<Node>]) {
    let names = graphs.iter().flat_map(|graph| names(graph));
    let mut of_class = BTreeMap::new();
    for (class, name) in bisimilar(&union(graphs)).into_iter().zip(names) {
        let known = of_class.entry(class).or_insert(name);
        assert_eq!(*known, name, "equal values have different names");
    }
    let different: HashSet<_> = of_class.values().collect();
    assert_eq!(
        different.len(),
        of_class.len(),
        "different values have the same name"
    );
}

/// Few labels and few children, so that many nodes are alike.
fn graph(
    most: usize,
    children: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = Vec<Node>> {
    let node = (0..8_u8, any::<bool>(), vec(any::<Index>(), children));
    vec(node, 1..=most).prop_map(|nodes| {
        let count = nodes.len();
        let node = |(label, ordered, targets): (u8, bool, Vec<Index>)| {
            let targets: Vec<u32> = targets
                .iter()
                .map(|target| u32::try_from(target.index(count)).unwrap())
                .collect();
            let label = label / 7;
            if ordered {
                list(label, &targets)
            } else {
                set(label, &targets)
            }
        };
        nodes.into_iter().map(node).collect()
    })
}

/// The same with all nodes on one cycle, besides whatever else they lead to.
fn connected(most: usize) -> impl Strategy<Value = Vec<Node>> {
    graph(most, 0..=2).prop_map(|mut nodes| {
        let count = u32::try_from(nodes.len()).unwrap();
        for (node, index) in nodes.iter_mut().zip(1..) {
            let target = index % count;
            node.edges.push(Edge { slot: 0, target });
        }
        nodes
    })
}

/// Some copies of each node, in any order, with edges in any order that lead to any of the copies; and of which node
/// each is a copy.
fn unshared(nodes: Vec<Node>) -> impl Strategy<Value = (Vec<Node>, Vec<usize>)> {
    let edges: usize = nodes.iter().map(|node| node.edges.len()).sum();
    let copies: Vec<usize> = (0..nodes.len()).collect();
    let order =
        vec(0..nodes.len(), 0..=nodes.len()).prop_map(move |more| [copies.clone(), more].concat());
    let picks = vec((any::<Index>(), any::<u8>()), 2 * edges + 1);
    (order.prop_shuffle(), picks).prop_map(move |(order, picks)| {
        let mut copies = vec![Vec::new(); nodes.len()];
        for (copy, &node) in (0..).zip(&order) {
            copies[node].push(copy);
        }
        let mut picks = picks.iter().cycle();
        let copy = |&node: &usize| {
            let mut copy = nodes[node].clone();
            for edge in &mut copy.edges {
                edge.target = *picks.next().unwrap().0.get(&copies[edge.target as usize]);
            }
            copy.edges.sort_by_cached_key(|_| picks.next().unwrap().1);
            copy
        };
        (order.iter().map(copy).collect(), order)
    })
}

proptest! {
    #[test]
    fn names_are_equal_iff_the_values_are(
        sparse in graph(8, 0..=2),
        wide in graph(6, 1..=4),
        functional in graph(30, 1..=1),
        dense in graph(30, 2..=2),
        cycle in connected(8),
        long in connected(40),
    ) {
        assert_named_by_value(&[sparse, wide, functional, dense, cycle, long]);
    }

    #[test]
    fn copies_and_numbering_do_not_matter(
        (nodes, (copies, order)) in prop_oneof![graph(30, 0..=3), graph(30, 2..=2), connected(30)]
            .prop_flat_map(|nodes| (Just(nodes.clone()), unshared(nodes)))
    ) {
        let names_of_nodes = names(&nodes);
        for (name, node) in names(&copies).into_iter().zip(order) {
            prop_assert_eq!(name, names_of_nodes[node]);
        }
    }

    #[test]
    fn components_are_what_leads_to_one_another(nodes in graph(20, 0..=2)) {
        let leads: Vec<HashSet<u32>> = (0..).zip(&nodes).map(|(start, _)| {
            let mut seen = HashSet::from([start]);
            let mut open = vec![start];
            while let Some(node) = open.pop() {
                let targets = nodes[node as usize].edges.iter().map(|edge| edge.target);
                open.extend(targets.filter(|&target| seen.insert(target)));
            }
            seen
        }).collect();
        let targets = |node: &Node| node.edges.iter().map(|edge| edge.target).collect();
        let found = components(&nodes.iter().map(targets).collect::<Vec<_>>());
        let mut place = vec![None; nodes.len()];
        for (index, component) in found.iter().enumerate() {
            for &node in component {
                prop_assert_eq!(place[node as usize].replace(index), None, "in two components");
            }
        }
        for from in 0..nodes.len() {
            for &to in &leads[from] {
                let together = leads[to as usize].contains(&u32::try_from(from).unwrap());
                let (from, to) = (place[from].unwrap(), place[to as usize].unwrap());
                prop_assert_eq!(from.cmp(&to), if together { Equal } else { Greater });
            }
        }
    }
}

/// All graphs of up to three nodes of one label with up to two children each.
#[test]
fn no_small_value_is_mistaken_for_another() {
    let mut graphs = Vec::new();
    for count in 1..=3_u32 {
        let mut kinds = vec![list(0, &[])];
        for a in 0..count {
            kinds.push(list(0, &[a]));
            for b in 0..count {
                kinds.push(list(0, &[a, b]));
                if a <= b {
                    kinds.push(set(0, &[a, b]));
                }
            }
        }
        let mut some = vec![vec![]];
        for _ in 0..count {
            let longer = |graph: &Vec<Node>| {
                let graph = graph.clone();
                (kinds.iter()).map(move |kind| [graph.clone(), vec![kind.clone()]].concat())
            };
            some = some.iter().flat_map(longer).collect();
        }
        graphs.extend(some);
    }
    assert_named_by_value(&graphs);
}

#[test]
fn a_node_before_a_cycle_can_be_one_on_it() {
    let alone = names(&[list(0, &[0])])[0];
    // b = [a], where a = [a].
    assert_eq!(names(&[list(0, &[1]), list(0, &[1])]), [alone; 2]);
    // a = [b], where b = [a].
    assert_eq!(names(&[list(0, &[1]), list(0, &[0])]), [alone; 2]);
    // Two components: b = (b, a), where a = (a, a).
    let both = names(&[list(0, &[0, 1]), list(0, &[1, 1])]);
    assert_eq!(both[0], both[1]);
    assert_ne!(both[0], alone);
}

#[test]
fn children_in_a_slot_count_without_their_order() {
    let (one, two) = (list(1, &[]), list(2, &[]));
    let name = |node: Node| names(&[node, one.clone(), two.clone()])[0];
    assert_eq!(name(set(0, &[0, 1, 2])), name(set(0, &[2, 1, 0])));
    assert_ne!(name(set(0, &[0, 1, 2])), name(list(0, &[0, 1, 2])));
    assert_ne!(name(list(0, &[0, 1, 2])), name(list(0, &[0, 2, 1])));
    assert_ne!(name(set(0, &[0, 1])), name(set(0, &[0, 1, 1])));
}

/// A change of these names must raise the version of the encoding.
#[test]
fn names_never_change() {
    let digest = |nodes: &[Node]| blake3::hash(names(nodes).as_flattened()).to_string();
    let few = [
        list(0, &[0]),
        list(1, &[2, 3]),
        set(2, &[1, 1, 2]),
        list(3, &[0]),
    ];
    assert_eq!(
        digest(&few),
        "3bc58875dfcd194bcf11d41c77a3f17474c98fc063480368a55df1b79d04edd6"
    );
    let alike: Vec<Node> = (0..20)
        .map(|node| {
            let targets = [(7 * node + 3) % 20, (node * node + 1) % 20];
            if node % 3 == 0 {
                set(0, &targets)
            } else {
                list(0, &targets)
            }
        })
        .collect();
    assert_eq!(
        digest(&alike),
        "8cb42acce27a0c3847ac4ab8a7e6c1875e637aad75ca2dcb211c56c3639ddc3a"
    );
}

/// Equal nodes, each with its neighbours on both sides. The rounds are as many as the nodes.
fn line(count: u32) -> Vec<Node> {
    (0..count)
        .map(|node| {
            let neighbour = |slot, target| Edge { slot, target };
            let before = node.checked_sub(1).map(|before| neighbour(0, before));
            let after = (node + 1 < count).then(|| neighbour(1, node + 1));
            Node {
                label: [0; 32],
                edges: before.into_iter().chain(after).collect(),
            }
        })
        .collect()
}

const MANY: u32 = if cfg!(debug_assertions) {
    20_000
} else {
    100_000
};

fn count_different(nodes: &[Node]) -> usize {
    names(nodes).iter().collect::<HashSet<_>>().len()
}

#[test]
fn long_lines_and_rings_are_named() {
    let ring: Vec<Node> = (0..MANY)
        .map(|node| list(0, &[(node + MANY - 1) % MANY, (node + 1) % MANY]))
        .collect();
    assert_eq!(count_different(&ring), 1);
    assert_eq!(count_different(&line(MANY)), MANY as usize);
}

#[test]
fn a_long_line_whose_nodes_are_in_a_list_is_named() {
    let mut nodes = line(MANY);
    for node in &mut nodes {
        node.edges.push(Edge {
            slot: 2,
            target: MANY,
        });
    }
    nodes.push(list(1, &(0..MANY).collect::<Vec<_>>()));
    nodes.push(set(1, &(0..MANY).collect::<Vec<_>>()));
    assert_eq!(count_different(&nodes), MANY as usize + 2);
}

#[test]
fn components_are_found_in_a_graph_deeper_than_the_stack() {
    const DEEP: u32 = 1_000_000;
    let found = |last: Option<u32>| {
        let mut edges: Vec<Vec<u32>> = (1..DEEP).map(|next| vec![next]).collect();
        edges.push(last.into_iter().collect());
        components(&edges)
    };
    assert_eq!(found(Some(0)).len(), 1);
    assert_eq!(found(Some(DEEP - 2)).len(), DEEP as usize - 1);
    let line: Vec<_> = (0..DEEP).rev().map(|node| vec![node]).collect();
    assert!(found(None) == line);
}
