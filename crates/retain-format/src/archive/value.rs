//! A value of a file, for its users.

use std::borrow::Cow;

use super::nodes::{Id, Node};
use super::notes::Notes;
use super::numpy::{self, Data};
use super::{Archive, Array, ArrayInfo, Element, path};
use crate::error::Error;
use crate::npy::Descr;

/// A value of a file.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    archive: &'a Archive,
    id: Id,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A longer integer.
    LongInt,
    /// A float.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes or a bytearray.
    Bytes(Cow<'a, [u8]>),
    /// A tuple.
    Tuple,
    /// A list.
    List,
    /// A set or a frozenset.
    Set,
    /// A dict.
    Dict,
    /// An array of numpy's.
    Array,
    /// A class or a function, by its name.
    Global {
        /// Its module.
        module: &'a str,
        /// Its name in the module.
        name: &'a str,
    },
    /// An object, by the class or the function that makes it.
    Object {
        /// The module of it.
        module: &'a str,
        /// Its name in the module.
        name: &'a str,
    },
    /// Something that is not in the file.
    Unknown,
}

impl<'a> Value<'a> {
    pub(super) fn new(archive: &'a Archive, id: Id) -> Self {
        Self { archive, id }
    }

    fn notes(self) -> Notes<'a> {
        Notes::new(&self.archive.nodes, &self.archive.content)
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind<'a> {
        let notes = self.notes();
        let text = || notes.text(self.id).map(Kind::Text);
        let bytes = || notes.bytes(self.id).map(Kind::Bytes);
        match notes.node(self.id) {
            Node::None => Kind::None,
            Node::Bool(value) => Kind::Bool(*value),
            Node::Int(value) => Kind::Int(*value),
            Node::Huge => Kind::LongInt,
            Node::Float(value) => Kind::Float(*value),
            Node::Text(_) | Node::String(_) | Node::Str(_) | Node::Octets(_) => {
                text().or_else(bytes).unwrap_or(Kind::Unknown)
            }
            Node::Bytes(_) => bytes().unwrap_or(Kind::Unknown),
            Node::Tuple(_) => Kind::Tuple,
            Node::List(_) => Kind::List,
            Node::Set(_) => Kind::Set,
            Node::Dict(_) => Kind::Dict,
            Node::Global(names) => Kind::Global {
                module: &names.0,
                name: &names.1,
            },
            Node::Raw(_) => Kind::Array,
            Node::Object(_) if numpy::is_array(notes, self.id) => Kind::Array,
            Node::Object(object) => bytes().unwrap_or_else(|| {
                let (module, name) = path::class(notes, object);
                Kind::Object { module, name }
            }),
            Node::Unknown => Kind::Unknown,
        }
    }

    /// The items of a tuple, list or set, or of an array of objects; those appended to an object. Empty for others.
    pub fn items(self) -> impl Iterator<Item = Value<'a>> {
        let notes = self.notes();
        let items = match notes.node(self.id) {
            Node::Tuple(items) => items,
            Node::List(items) | Node::Set(items) => items.as_slice(),
            Node::Object(object) => match numpy::array(notes, self.id) {
                Some(Ok(found)) => match found.data {
                    Data::Items(items) => items,
                    Data::Bytes(_) => &[],
                },
                _ => object.items.as_slice(),
            },
            _ => &[],
        };
        items.iter().map(move |&id| Value::new(self.archive, id))
    }

    /// The keys and values of a dict; the attributes and entries of an object. Empty for others.
    pub fn entries(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let pairs = path::entries(self.notes(), self.id);
        pairs.into_iter().map(move |[key, value]| {
            (
                Value::new(self.archive, key),
                Value::new(self.archive, value),
            )
        })
    }

    /// The elements, where it is an array of `T`.
    ///
    /// # Errors
    ///
    /// [`Error::Type`] where it is not; [`Error::Malformed`] where the file is damaged.
    pub fn array<T: Element>(self) -> Result<Array<'a, T>, Error> {
        let mismatch = |found: &str| Error::Type(format!("not an array of {}: {found}", T::CODE));
        let found = numpy::array(self.notes(), self.id)
            .ok_or_else(|| mismatch(&format!("{:?}", self.kind())))??;
        let header = found.header;
        let (Descr::Plain(text), Data::Bytes(bytes)) = (&header.descr, found.data) else {
            return Err(mismatch(&format!("its elements are {:?}", header.descr)));
        };
        let Some(order @ ("<" | ">" | "|" | "=")) = text.strip_suffix(T::CODE) else {
            return Err(mismatch(&format!("its elements are {text}")));
        };
        let foreign = if cfg!(target_endian = "little") {
            ">"
        } else {
            "<"
        };
        let swapped = order == foreign;
        let shape = header.shape.iter().map(|&length| {
            usize::try_from(length).map_err(|_| mismatch("it is larger than the memory"))
        });
        Ok(Array {
            shape: shape.collect::<Result<_, _>>()?,
            fortran_order: header.fortran_order,
            data: match bytes {
                Cow::Borrowed(bytes) => T::view(bytes, swapped),
                Cow::Owned(bytes) => Cow::Owned(T::view(&bytes, swapped).into_owned()),
            },
        })
    }

    /// Type and shape, where it is an array.
    #[must_use]
    pub fn array_info(self) -> Option<ArrayInfo> {
        if !numpy::is_array(self.notes(), self.id) {
            return None;
        }
        let header = numpy::array(self.notes(), self.id)?.ok()?.header;
        Some(ArrayInfo {
            path: String::new(),
            descr: header.descr,
            shape: header.shape,
            fortran_order: header.fortran_order,
        })
    }

    /// The value at a path from here.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where there is none.
    pub fn get(self, path: &str) -> Result<Value<'a>, Error> {
        path::find_from(self.archive, self.id, path).map(|id| Value::new(self.archive, id))
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if it is one of 64 bits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self.kind() {
            Kind::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The float, if it is one.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        match self.kind() {
            Kind::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if it is some.
    #[must_use]
    pub fn as_bytes(self) -> Option<Cow<'a, [u8]>> {
        match self.kind() {
            Kind::Bytes(value) => Some(value),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Value").field(&self.kind()).finish()
    }
}
