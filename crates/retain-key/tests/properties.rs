//! Equal values have equal digests, others have others, however they are written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use retain_key::{Digest, Encoder, Graph, Key, KeyHasher, Large, Shape, digest};

/// A value of any structure.
#[derive(Clone, Debug)]
enum Tree {
    None,
    Boolean(bool),
    Integer(i64),
    Long(Vec<u8>),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Self>),
    List(Vec<Self>),
    Set(Vec<Self>),
    FrozenSet(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Object(String, Vec<Self>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::None),
        any::<bool>().prop_map(Tree::Boolean),
        prop_oneof![-2..3_i64, any::<i64>()].prop_map(Tree::Integer),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Tree::Long),
        any::<f64>().prop_map(|value| Tree::Float(value.to_bits())),
        "[a-c]{0,3}|.{0,300}".prop_map(Tree::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            many().prop_map(Tree::Tuple),
            many().prop_map(Tree::List),
            many().prop_map(Tree::Set),
            many().prop_map(Tree::FrozenSet),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Tree::Map),
            ("[a-b]{1,2}", many()).prop_map(|(name, parts)| Tree::Object(name, parts)),
        ]
    })
}

fn write<E: Encoder>(tree: &Tree, encoder: &mut E) {
    let mut parts = |shape: Shape, name: Option<&str>, parts: &[&Tree], each: usize| {
        encoder.begin(shape);
        if let Some(name) = name {
            encoder.str(name);
        }
        for (position, part) in parts.iter().enumerate() {
            if !shape.is_ordered() && position % each == 0 {
                encoder.item();
            }
            write(part, encoder);
        }
        encoder.end(false);
    };
    match tree {
        Tree::None => encoder.none(),
        Tree::Boolean(value) => encoder.boolean(*value),
        Tree::Integer(value) => encoder.integer(*value),
        Tree::Long(digits) => encoder.long_integer(digits),
        Tree::Float(bits) => encoder.f64(f64::from_bits(*bits)),
        Tree::Text(text) => encoder.str(text),
        Tree::Bytes(bytes) => encoder.bytes(bytes),
        Tree::Tuple(items) => parts(Shape::Tuple, None, &items.iter().collect::<Vec<_>>(), 1),
        Tree::List(items) => parts(Shape::List, None, &items.iter().collect::<Vec<_>>(), 1),
        Tree::Set(items) => parts(Shape::Set, None, &items.iter().collect::<Vec<_>>(), 1),
        Tree::FrozenSet(items) => {
            parts(Shape::FrozenSet, None, &items.iter().collect::<Vec<_>>(), 1);
        }
        Tree::Map(pairs) => {
            let flat: Vec<_> = pairs.iter().flat_map(|(key, value)| [key, value]).collect();
            parts(Shape::Map, None, &flat, 2);
        }
        Tree::Object(name, items) => {
            parts(
                Shape::Object,
                Some(name),
                &items.iter().collect::<Vec<_>>(),
                1,
            );
        }
    }
}

fn of_tree(tree: &Tree) -> Digest {
    let mut hasher = KeyHasher::new();
    write(tree, &mut hasher);
    hasher.finish()
}

fn of_graph(tree: &Tree) -> Digest {
    let mut graph = Graph::new();
    write(tree, &mut graph);
    graph.finish()
}

/// One text for each value: what the encoding must not confuse.
fn canonical(tree: &Tree) -> String {
    let join = |name: &str, mut parts: Vec<String>, sort: bool| {
        if sort {
            parts.sort();
        }
        format!("{name}[{}]", parts.join(","))
    };
    let all = |items: &[Tree]| items.iter().map(canonical).collect::<Vec<_>>();
    match tree {
        Tree::Integer(value) => format!("i{value}"),
        Tree::Long(digits) => {
            let mut bytes = [digits
                .last()
                .map_or(0, |top| if top & 0x80 == 0 { 0 } else { 0xff });
                16];
            bytes[..digits.len()].copy_from_slice(digits);
            format!("i{}", i128::from_le_bytes(bytes))
        }
        Tree::None | Tree::Boolean(_) | Tree::Float(_) | Tree::Text(_) | Tree::Bytes(_) => {
            format!("{tree:?}")
        }
        Tree::Tuple(items) => join("tuple", all(items), false),
        Tree::List(items) => join("list", all(items), false),
        Tree::Set(items) => join("set", all(items), true),
        Tree::FrozenSet(items) => join("frozen", all(items), true),
        Tree::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{}:{}", canonical(key), canonical(value)));
            join("map", pairs.collect(), true)
        }
        Tree::Object(name, items) => join(&format!("object {name}"), all(items), false),
    }
}

fn shuffled(tree: &Tree, random: &mut impl FnMut(usize) -> usize) -> Tree {
    let mut all = |items: &[Tree], unordered: bool| {
        let mut items: Vec<_> = items.iter().map(|item| shuffled(item, random)).collect();
        if unordered {
            for place in (1..items.len()).rev() {
                items.swap(place, random(place + 1));
            }
        }
        items
    };
    match tree {
        Tree::Tuple(items) => Tree::Tuple(all(items, false)),
        Tree::List(items) => Tree::List(all(items, false)),
        Tree::Object(name, items) => Tree::Object(name.clone(), all(items, false)),
        Tree::Set(items) => Tree::Set(all(items, true)),
        Tree::FrozenSet(items) => Tree::FrozenSet(all(items, true)),
        Tree::Map(pairs) => {
            let mut pairs = pairs.clone();
            for place in (1..pairs.len()).rev() {
                pairs.swap(place, random(place + 1));
            }
            Tree::Map(pairs)
        }
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn the_order_of_members_does_not_count(tree in trees(), seed: u64) {
        let mut state = seed;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        prop_assert_eq!(of_tree(&tree), of_tree(&shuffled(&tree, &mut random)));
    }

    #[test]
    fn digests_are_equal_if_and_only_if_values_are(a in trees(), b in trees()) {
        prop_assert_eq!(of_tree(&a) == of_tree(&b), canonical(&a) == canonical(&b));
    }

    #[test]
    fn graphs_and_trees_of_one_value_have_one_digest(tree in trees()) {
        prop_assert_eq!(of_tree(&tree), of_graph(&tree));
    }

    #[test]
    fn a_part_that_comes_again_is_as_if_it_were_written_again(tree in trees(), times in 1_usize..4) {
        let mut twice = KeyHasher::new();
        twice.begin(Shape::List);
        for _ in 0..=times {
            twice.begin(Shape::Tuple);
            write(&tree, &mut twice);
            twice.end(false);
        }
        twice.end(false);
        let mut again = KeyHasher::new();
        again.begin(Shape::List);
        again.begin(Shape::Tuple);
        write(&tree, &mut again);
        let known = again.end(true).unwrap();
        for _ in 0..times {
            again.again(known);
        }
        again.end(false);
        prop_assert_eq!(twice.finish(), again.finish());
    }

    #[test]
    fn bytes_apart_are_as_bytes_in_place(content in prop::collection::vec(any::<u8>(), Large::LEAST..5_000), cut: u16) {
        let cut = usize::from(cut) % content.len();
        let mut pieces = Large::pieces(false, content.len());
        pieces.update(&content[..cut]);
        pieces.update(&content[cut..]);
        let mut apart = KeyHasher::new();
        apart.digested(pieces.finish());
        prop_assert_eq!(apart.finish(), digest(&content));
        let mut whole = KeyHasher::new();
        whole.digested(Large::bytes(&content));
        prop_assert_eq!(whole.finish(), digest(&content));
    }
}

fn all_differ(digests: &[Digest]) {
    let distinct: HashSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn types_are_told_apart() {
    all_differ(&[
        digest(&()),
        digest(&false),
        digest(&true),
        digest(&0),
        digest(&1),
        digest(&0.0),
        digest(&-0.0),
        digest(&0.0_f32),
        digest(&f64::NAN),
        digest(&'a'),
        digest("a"),
        digest(""),
        digest(b"a"),
        digest(&[0_u16; 0]),
        digest(b""),
        digest(&(1,)),
        digest(&[1]),
        digest(&BTreeSet::from([1])),
        digest(&BTreeMap::from([(1, 1)])),
        digest(&Some(1)),
        digest(&Some(())),
        digest(&Some(Some(()))),
        digest(&Ok::<_, i32>(1)),
        digest(&Err::<i32, _>(1)),
        digest(&Duration::from_secs(1)),
        digest(&(SystemTime::UNIX_EPOCH + Duration::from_secs(1))),
        digest(&(SystemTime::UNIX_EPOCH - Duration::from_secs(1))),
        digest(std::path::Path::new("a")),
    ]);
}

#[test]
fn what_holds_a_value_does_not_count() {
    let value = vec![1_i64, 2];
    let same = [
        digest(&value),
        digest(&[1_u16, 2]),
        digest(&[1_i128, 2]),
        digest(&VecDeque::from([1, 2])),
        digest(&LinkedList::from([1, 2])),
        digest(&Rc::new(value.clone())),
        digest(&Box::new(&value)),
    ];
    assert!(same.iter().all(|digest| *digest == same[0]));
    assert_eq!(
        digest(&HashMap::from([(1, "a"), (2, "b")])),
        digest(&BTreeMap::from([(2, "b"), (1, "a")]))
    );
    assert_eq!(digest(&u64::MAX), digest(&i128::from(u64::MAX)));
    assert_ne!(digest(&u64::MAX), digest(&-1));
}

#[test]
fn boundaries_count() {
    all_differ(&[
        digest(&["ab", "c"]),
        digest(&["a", "bc"]),
        digest(&["abc"]),
        digest(&(("a", "b"), "c")),
        digest(&("a", ("b", "c"))),
        digest(&("a", "b", "c")),
        digest(&BTreeMap::from([("a", "b")])),
        digest(&BTreeSet::from(["a", "b"])),
    ]);
}

#[test]
fn a_million_levels_are_no_matter() {
    fn nested(encoder: &mut impl Encoder) {
        for _ in 0..1_000_000 {
            encoder.begin(Shape::List);
        }
        for _ in 0..1_000_000 {
            encoder.end(false);
        }
    }
    let (mut hasher, mut graph) = (KeyHasher::new(), Graph::new());
    nested(&mut hasher);
    nested(&mut graph);
    assert_eq!(hasher.finish(), graph.finish());
}

/// `build` writes a value that contains itself.
fn cyclic(build: impl FnOnce(&mut Graph)) -> Digest {
    let mut graph = Graph::new();
    build(&mut graph);
    graph.finish()
}

#[test]
fn a_cycle_is_what_it_unfolds_to() {
    let own = cyclic(|graph| {
        let list = graph.begin(Shape::List).unwrap();
        graph.again(list);
        graph.end(false);
    });
    let wrapped = cyclic(|graph| {
        graph.begin(Shape::List);
        let list = graph.begin(Shape::List).unwrap();
        graph.again(list);
        graph.end(false);
        graph.end(false);
    });
    let two = cyclic(|graph| {
        let outer = graph.begin(Shape::List).unwrap();
        graph.begin(Shape::List);
        graph.again(outer);
        graph.end(false);
        graph.end(false);
    });
    let tuple = cyclic(|graph| {
        let outer = graph.begin(Shape::List).unwrap();
        graph.begin(Shape::Tuple);
        graph.again(outer);
        graph.end(false);
        graph.end(false);
    });
    assert_eq!(own, wrapped);
    assert_eq!(own, two);
    assert_ne!(own, tuple);
}

#[test]
fn the_order_of_members_on_a_cycle_does_not_count() {
    let map = |keys: [&'static str; 3]| {
        cyclic(|graph| {
            let map = graph.begin(Shape::Map).unwrap();
            for key in keys {
                graph.item();
                graph.str(key);
                graph.begin(Shape::List);
                graph.str(key);
                graph.again(map);
                graph.end(false);
            }
            graph.end(false);
        })
    };
    assert_eq!(map(["a", "b", "c"]), map(["c", "a", "b"]));
    assert_ne!(map(["a", "b", "c"]), map(["a", "b", "d"]));
}

#[test]
#[should_panic(expected = "begun and not ended")]
fn a_value_must_be_ended() {
    let mut hasher = KeyHasher::new();
    hasher.begin(Shape::List);
    let _ = hasher.finish();
}

struct Twice;

impl Key for Twice {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.object("Twice", |hasher| {
            1.key(hasher);
            1.key(hasher);
        });
    }
}

#[test]
fn a_type_writes_its_own_key() {
    assert_eq!(digest(&Twice), digest(&&Twice));
    assert_ne!(digest(&Twice), digest(&(1, 1)));
}
