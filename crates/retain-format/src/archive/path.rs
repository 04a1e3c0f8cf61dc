//! How values are named, and finding them.

use std::collections::HashSet;

use super::nodes::{Id, Node, Object};
use super::notes::Notes;
use super::numpy::{self, Data};
use super::{Archive, ArrayInfo, Value};
use crate::error::Error;
use crate::npy::literal;

/// A step from a value to one within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// An attribute, or an entry whose key is this text.
    Name(String),
    /// An item, or an entry whose key is this integer.
    Number(i64),
}

fn missing(path: &str, why: &str) -> Error {
    Error::Missing(format!("there is no value {path:?} in the file: {why}"))
}

/// The steps of a path.
fn parts(path: &str) -> Result<Vec<Part>, Error> {
    let wrong = || missing(path, "it is written in another way than `a.b[0]['c d']`");
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (part, after) = if inside.starts_with(['\'', '"']) {
                let (text, after) = literal::parse_text(inside).ok_or_else(wrong)?;
                (Part::Name(text), after)
            } else {
                let (number, _) = inside.split_once(']').ok_or_else(wrong)?;
                let after = inside.get(number.len()..).ok_or_else(wrong)?;
                (Part::Number(number.parse().map_err(|_| wrong())?), after)
            };
            parts.push(part);
            rest = after.strip_prefix(']').ok_or_else(wrong)?;
            continue;
        }
        let name = match rest.strip_prefix('.') {
            Some(name) if !parts.is_empty() => name,
            None if parts.is_empty() => rest,
            _ => return Err(wrong()),
        };
        let length = name.find(['.', '[']).unwrap_or(name.len());
        let (name, after) = name.split_at(length);
        if name.is_empty() {
            return Err(wrong());
        }
        parts.push(Part::Name(name.into()));
        rest = after;
    }
    Ok(parts)
}

pub(super) fn find(archive: &Archive, path: &str) -> Result<Id, Error> {
    find_from(archive, archive.root, path)
}

pub(super) fn find_from(archive: &Archive, from: Id, path: &str) -> Result<Id, Error> {
    let notes = Notes::new(&archive.nodes, &archive.content);
    parts(path)?.into_iter().try_fold(from, |here, part| {
        step(notes, here, &part).ok_or_else(|| {
            let kind = Value::new(archive, here).kind();
            let what = match part {
                Part::Name(name) => format!("no {name:?}"),
                Part::Number(number) => format!("no item {number}"),
            };
            missing(path, &format!("{kind:?} has {what}"))
        })
    })
}

/// The class of an object, or what makes it.
pub(super) fn class<'a>(notes: Notes<'a>, object: &Object) -> (&'a str, &'a str) {
    let made_by = notes.global(object.class);
    let given = || notes.global(*notes.arguments(object).first()?);
    match made_by {
        // Python's way of making an instance of the class that is the first argument.
        Some(("copyreg" | "copy_reg", "_reconstructor" | "__newobj__")) => given().or(made_by),
        _ => made_by,
    }
    .unwrap_or(("", "?"))
}

/// Keys and values of a dict; attributes and entries of an object.
pub(super) fn entries(notes: Notes<'_>, id: Id) -> Vec<[Id; 2]> {
    let pairs = |ids: &[Id]| ids.as_chunks::<2>().0.to_vec();
    let dict = |id: Id| match notes.node(id) {
        Node::Dict(entries) => pairs(entries),
        _ => Vec::new(),
    };
    match notes.node(id) {
        Node::Dict(entries) => pairs(entries),
        Node::Object(object) => {
            let mut all = pairs(&object.entries);
            if let Some(state) = object.state {
                all.extend(dict(state));
                // Attributes in a dict, and those in slots.
                if let Some(&[attributes, slots]) = notes.tuple(state) {
                    all.extend(dict(attributes));
                    all.extend(dict(slots));
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

/// What is inside of a value in a fixed order.
fn numbered(notes: Notes<'_>, id: Id) -> &[Id] {
    match notes.node(id) {
        Node::Tuple(items) => items,
        Node::List(items) | Node::Set(items) => items,
        Node::Object(object) => {
            if let Some(Ok(found)) = numpy::array(notes, id) {
                return match found.data {
                    Data::Items(items) => items,
                    Data::Bytes(_) => &[],
                };
            }
            if !object.items.is_empty() {
                return &object.items;
            }
            match object.state.map(|state| notes.node(state)) {
                Some(Node::Tuple(items)) => items,
                Some(Node::List(items)) => items,
                _ => notes.arguments(object),
            }
        }
        _ => &[],
    }
}

fn step(notes: Notes<'_>, here: Id, part: &Part) -> Option<Id> {
    let entry = |matches: &dyn Fn(Id) -> bool| {
        let found = entries(notes, here)
            .into_iter()
            .rev()
            .find(|[key, _]| matches(*key));
        found.map(|[_, value]| value)
    };
    match part {
        Part::Name(name) => entry(&|key| notes.text(key).is_some_and(|key| key == name.as_str())),
        Part::Number(number) => usize::try_from(*number)
            .ok()
            .and_then(|index| numbered(notes, here).get(index).copied())
            .or_else(|| entry(&|key| notes.int(key) == Some(*number))),
    }
}

/// Whether a name stands in a path as it is.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// How a value was reached.
struct Reached {
    id: Id,
    parent: usize,
    part: Option<Part>,
}

fn spell(reached: &[Reached], at: usize) -> String {
    use std::fmt::Write as _;
    let mut parts = Vec::new();
    let mut here = at;
    while let Some(Reached {
        parent,
        part: Some(part),
        ..
    }) = reached.get(here)
    {
        parts.push(part);
        here = *parent;
    }
    let mut path = String::new();
    for part in parts.into_iter().rev() {
        match part {
            Part::Number(number) => {
                let _ = write!(path, "[{number}]");
            }
            Part::Name(name) if is_plain(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Part::Name(name) => {
                path.push('[');
                literal::write_text(name, &mut path);
                path.push(']');
            }
        }
    }
    path
}

/// What entries and attributes are named. Of equal keys the last one counts, and items come before entries.
fn named(notes: Notes<'_>, id: Id) -> Vec<(Part, Id)> {
    let items = numbered(notes, id).len();
    let mut taken = HashSet::new();
    let mut named = Vec::new();
    for [key, id] in entries(notes, id).into_iter().rev() {
        let part = match (notes.text(key), notes.int(key)) {
            (Some(name), _) => Part::Name(name.into_owned()),
            (None, Some(number)) if usize::try_from(number).is_ok_and(|index| index < items) => {
                continue;
            }
            (None, Some(number)) => Part::Number(number),
            // Keys of other kinds cannot be named.
            _ => continue,
        };
        if taken.insert(part.clone()) {
            named.push((part, id));
        }
    }
    named.reverse();
    named
}

/// All arrays, those nearest to the root first.
pub(super) fn arrays(archive: &Archive) -> Vec<ArrayInfo> {
    let notes = Notes::new(&archive.nodes, &archive.content);
    let mut seen = vec![false; archive.nodes.len()];
    let mut reached = vec![Reached {
        id: archive.root,
        parent: 0,
        part: None,
    }];
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(&Reached { id, .. }) = reached.get(next) {
        let here = next;
        next += 1;
        match seen.get_mut(id as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        if let Some(info) = Value::new(archive, id).array_info() {
            found.push(ArrayInfo {
                path: spell(&reached, here),
                ..info
            });
        }
        let holds_more = |id: Id| {
            matches!(
                notes.node(id),
                Node::Tuple(_)
                    | Node::List(_)
                    | Node::Set(_)
                    | Node::Dict(_)
                    | Node::Object(_)
                    | Node::Raw(_)
            )
        };
        for (part, id) in named(notes, id) {
            if holds_more(id) {
                reached.push(Reached {
                    id,
                    parent: here,
                    part: Some(part),
                });
            }
        }
        if numpy::is_array(notes, id) && !matches!(notes.node(id), Node::Object(_)) {
            continue;
        }
        for (index, &id) in numbered(notes, id).iter().enumerate() {
            if holds_more(id)
                && let Ok(number) = i64::try_from(index)
            {
                reached.push(Reached {
                    id,
                    parent: here,
                    part: Some(Part::Number(number)),
                });
            }
        }
    }
    found
}
