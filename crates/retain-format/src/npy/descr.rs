//! The type of an array's elements, as headers tell it.

use super::literal::{Literal, write_text, write_tuple};

/// The type of an array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Descr {
    /// One value: the order of its bytes, its kind and its size, as in `<f8`.
    Plain(String),
    /// A record of fields. Gaps between them are fields whose name is empty.
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// A further name, for people.
    pub title: Option<String>,
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub descr: Descr,
    /// The shape, where the field is an array in itself; otherwise empty.
    pub shape: Vec<u64>,
}

/// The size in bytes that a plain type tells of.
fn plain_size(text: &str) -> Option<u64> {
    let mut chars = text.chars();
    if !matches!(chars.next()?, '<' | '>' | '|' | '=') {
        return None;
    }
    let kind = chars.next()?;
    let rest = chars.as_str();
    let digits = rest.split('[').next().unwrap_or_default();
    let unit = rest.get(digits.len()..).unwrap_or_default();
    let has_unit = unit.len() > 2 && unit.ends_with(']') && unit.is_ascii();
    if !(unit.is_empty() || matches!(kind, 'm' | 'M') && has_unit) {
        return None;
    }
    // numpy writes objects without their size.
    if kind == 'O' && digits.is_empty() {
        return Some(8);
    }
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let size: u64 = digits.parse().ok()?;
    let known = match kind {
        'b' => size == 1,
        'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
        'f' => matches!(size, 2 | 4 | 8 | 12 | 16),
        'c' => matches!(size, 8 | 16 | 24 | 32),
        'm' | 'M' | 'O' => size == 8,
        'S' | 'U' | 'V' | 'a' => size <= u64::from(u32::MAX / 4),
        _ => false,
    };
    match kind {
        _ if !known => None,
        'U' => Some(size * 4),
        _ => Some(size),
    }
}

impl Descr {
    /// The size of one element in bytes; `None` where it is larger than any.
    #[must_use]
    pub fn item_size(&self) -> Option<u64> {
        match self {
            Self::Plain(text) => plain_size(text),
            Self::Record(fields) => fields.iter().try_fold(0_u64, |sum, field| {
                let count = super::product(&field.shape).ok()?;
                sum.checked_add(count.checked_mul(field.descr.item_size()?)?)
            }),
        }
    }

    /// Whether the elements, or parts of them, are Python objects: their bytes are a pickle, and not data.
    #[must_use]
    pub fn has_objects(&self) -> bool {
        match self {
            Self::Plain(text) => text.get(1..2) == Some("O"),
            Self::Record(fields) => fields.iter().any(|field| field.descr.has_objects()),
        }
    }

    pub(super) fn from_literal(value: Literal) -> Result<Self, String> {
        match value {
            Literal::Text(text) if plain_size(&text).is_some() => Ok(Self::Plain(text)),
            Literal::Text(text) => Err(format!("{text:?} is no type")),
            Literal::List(fields) => fields
                .into_iter()
                .map(field)
                .collect::<Result<_, _>>()
                .map(Self::Record),
            _ => Err("descr is neither a text nor a list".into()),
        }
    }

    pub(super) fn write(&self, into: &mut String) {
        match self {
            Self::Plain(text) => write_text(text, into),
            Self::Record(fields) => {
                into.push('[');
                for (index, field) in fields.iter().enumerate() {
                    into.push_str(if index == 0 { "(" } else { ", (" });
                    match &field.title {
                        None => write_text(&field.name, into),
                        Some(title) => {
                            into.push('(');
                            write_text(title, into);
                            into.push_str(", ");
                            write_text(&field.name, into);
                            into.push(')');
                        }
                    }
                    into.push_str(", ");
                    field.descr.write(into);
                    if !field.shape.is_empty() {
                        into.push_str(", ");
                        write_tuple(&field.shape, into);
                    }
                    into.push(')');
                }
                into.push(']');
            }
        }
    }
}

fn field(value: Literal) -> Result<Field, String> {
    let wrong = || String::from("a field is no tuple of a name, a type and perhaps a shape");
    let Literal::Tuple(parts) = value else {
        return Err(wrong());
    };
    let mut parts = parts.into_iter();
    let (title, name) = match parts.next() {
        Some(Literal::Text(name)) => (None, name),
        Some(Literal::Tuple(names)) => match <[Literal; 2]>::try_from(names) {
            Ok([Literal::Text(title), Literal::Text(name)]) => (Some(title), name),
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    };
    let descr = Descr::from_literal(parts.next().ok_or_else(wrong)?)?;
    let shape = match parts.next() {
        None => Vec::new(),
        Some(Literal::Int(length)) => vec![length],
        Some(shape) => super::shape_of(shape).map_err(|error| error.to_string())?,
    };
    if parts.next().is_some() {
        return Err(wrong());
    }
    Ok(Field {
        title,
        name,
        descr,
        shape,
    })
}
