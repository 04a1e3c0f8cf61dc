//! Where the arrays are in the value.

use super::arena::{Holder, Node, Value};
use super::domain::Verifier;
use super::report::ArrayInfo;

/// No more values than that are looked at for a path.
const ENOUGH: usize = 1 << 20;

/// All arrays of the stream, with paths for those that are part of the value.
pub(super) fn arrays(verifier: &Verifier<'_>) -> Vec<ArrayInfo> {
    let arena = &verifier.arena;
    let mut paths = vec![None; verifier.arrays.len()];
    if !paths.is_empty() {
        let numbers: std::collections::HashMap<u32, usize> = verifier
            .arrays
            .iter()
            .enumerate()
            .filter_map(|(place, &array)| match array {
                Value::Node(number) => Some((number, place)),
                _ => None,
            })
            .collect();
        walk(verifier, |number, path| {
            if let Some(slot) = numbers.get(&number).and_then(|&place| paths.get_mut(place)) {
                *slot = Some(path);
            }
        });
    }
    verifier
        .arrays
        .iter()
        .zip(paths)
        .filter_map(|(&value, path)| {
            let (array, dtype) = arena.array(value)?;
            Some(ArrayInfo {
                path: path.unwrap_or_default(),
                dtype: dtype.name(),
                shape: arena.sizes(array),
                order: if array.fortran { 'F' } else { 'C' },
                offset: array.data,
                nbytes: array.count.saturating_mul(dtype.size),
                object: dtype.object,
            })
        })
        .collect()
}

/// A value to be looked at: how it is reached from which other.
struct Step {
    value: Value,
    parent: usize,
    name: Part,
}

#[derive(Clone, Copy)]
enum Part {
    Root,
    Index(usize),
    Key(Value),
    Attribute(Value),
    /// What is no part of the path: the state of an object, the arguments it was made with.
    Inside,
}

/// Visit the arrays that can be reached, each once.
fn walk(verifier: &Verifier<'_>, mut visit: impl FnMut(u32, String)) {
    let arena = &verifier.arena;
    let mut seen = vec![false; arena.node_count()];
    let mut steps = vec![Step {
        value: verifier.result,
        parent: 0,
        name: Part::Root,
    }];
    let mut left = verifier.arrays.len();
    let mut next = 0;
    // Long keys in deep paths of many arrays would be far longer than the file.
    let mut spelled = 0;
    while let Some(&Step { value, .. }) = steps.get(next) {
        let here = next;
        next += 1;
        let Value::Node(number) = value else {
            continue;
        };
        match seen.get_mut(number as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let mut push = |value: Value, name: Part| {
            if steps.len() < ENOUGH && matches!(value, Value::Node(_)) {
                steps.push(Step {
                    value,
                    parent: here,
                    name,
                });
            }
        };
        let attributes = |steps: &mut dyn FnMut(Value, Part), state: Value| {
            let Some(mut members) = arena.members(state, Holder::Dict) else {
                steps(state, Part::Inside);
                return;
            };
            while let (Some(key), Some(value)) = (members.next(), members.next()) {
                steps(value, Part::Attribute(key));
            }
        };
        match arena.get(value) {
            Some(&Node::Tuple { items, .. }) => {
                for (index, &item) in arena.span(items).iter().enumerate() {
                    push(item, Part::Index(index));
                }
            }
            Some(&Node::Holder { what, .. }) => {
                let members = arena.members(value, what).into_iter().flatten();
                if matches!(what, Holder::Dict | Holder::Mapping | Holder::DefaultDict) {
                    let mut members = members;
                    while let (Some(key), Some(value)) = (members.next(), members.next()) {
                        push(value, Part::Key(key));
                    }
                } else {
                    for (index, item) in members.enumerate() {
                        push(item, Part::Index(index));
                    }
                }
            }
            Some(Node::Object(_)) => {
                if let Some(object) = arena.object(value) {
                    attributes(&mut push, object.parts);
                }
            }
            Some(Node::Array(_)) => {
                let members = arena
                    .raw_array(value)
                    .map_or(Value::None, |array| array.members);
                let mut path = String::new();
                if spelled < 1 << 23 {
                    spell(verifier, &steps, here, &mut path);
                    spelled += path.len();
                }
                visit(number, path);
                left = left.saturating_sub(1);
                if left == 0 {
                    return;
                }
                for (index, item) in arena
                    .members(members, Holder::List)
                    .into_iter()
                    .flatten()
                    .enumerate()
                {
                    if matches!(item, Value::Node(_)) && steps.len() < ENOUGH {
                        steps.push(Step {
                            value: item,
                            parent: here,
                            name: Part::Index(index),
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

/// Write how a value is reached.
fn spell(verifier: &Verifier<'_>, steps: &[Step], at: usize, path: &mut String) {
    use std::fmt::Write as _;
    let mut parts = Vec::new();
    let mut here = at;
    while let Some(step) = steps.get(here) {
        parts.push(step.name);
        if here == 0 || parts.len() > 200 {
            break;
        }
        here = step.parent;
    }
    for &part in parts.iter().rev() {
        if path.len() > 1000 {
            path.push('…');
            break;
        }
        match part {
            Part::Root | Part::Inside => {}
            Part::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
            Part::Attribute(name) | Part::Key(name) => {
                let text = verifier
                    .arena
                    .text(name)
                    .and_then(|text| std::str::from_utf8(text).ok())
                    .filter(|text| {
                        super::text::dotted(text.as_bytes()).is_some() && !text.contains('.')
                    });
                match text {
                    Some(text) if path.is_empty() => path.push_str(text),
                    Some(text) => {
                        let _ = write!(path, ".{text}");
                    }
                    None => {
                        let _ = write!(path, "[{}]", verifier.arena.describe(name));
                    }
                }
            }
        }
    }
}
