//! The identity of Rust's own types.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::Wrapping;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{Digest, Encoder, KeyHasher, Shape};

/// A value with an identity that outlives the process.
///
/// Unlike `Hash`, it is the same on every machine and in every version of this crate with the same
/// [`VERSION`](crate::VERSION), and wide enough to stand for the value.
///
/// # Examples
/// ```
/// use retain_key::{Key, KeyHasher, digest};
///
/// struct Query {
///     table: String,
///     limit: u32,
/// }
///
/// impl Key for Query {
///     fn key(&self, hasher: &mut KeyHasher) {
///         hasher.object("Query", |hasher| {
///             self.table.key(hasher);
///             self.limit.key(hasher);
///         });
///     }
/// }
///
/// let query = |limit| Query { table: "users".into(), limit };
/// assert_eq!(digest(&query(5)), digest(&query(5)));
/// assert_ne!(digest(&query(5)), digest(&query(6)));
/// ```
pub trait Key {
    /// Writes this value: exactly one.
    fn key(&self, hasher: &mut KeyHasher);

    /// Writes a list of such values, for types whose lists have a form of their own.
    #[doc(hidden)]
    fn list(values: &[Self], hasher: &mut KeyHasher)
    where
        Self: Sized,
    {
        sequence(Shape::List, values, hasher);
    }
}

/// Who `value` is.
///
/// # Examples
/// ```
/// use retain_key::digest;
///
/// assert_eq!(digest("one"), digest(&String::from("one")));
/// assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
/// assert_ne!(digest(&1), digest(&1.0));
/// ```
#[must_use]
pub fn digest<K: Key + ?Sized>(value: &K) -> Digest {
    let mut hasher = KeyHasher::new();
    value.key(&mut hasher);
    hasher.finish()
}

fn sequence<'a, K: Key + 'a>(
    shape: Shape,
    values: impl IntoIterator<Item = &'a K>,
    hasher: &mut KeyHasher,
) {
    hasher.begin(shape);
    for value in values {
        if !shape.is_ordered() {
            hasher.item();
        }
        value.key(hasher);
    }
    hasher.end(false);
}

fn map<'a, K: Key + 'a, V: Key + 'a>(
    pairs: impl IntoIterator<Item = (&'a K, &'a V)>,
    hasher: &mut KeyHasher,
) {
    hasher.begin(Shape::Map);
    for (key, value) in pairs {
        hasher.item();
        key.key(hasher);
        value.key(hasher);
    }
    hasher.end(false);
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Key for $type {
            fn key(&self, hasher: &mut KeyHasher) {
                match i64::try_from(*self) {
                    Ok(value) => hasher.integer(value),
                    Err(_) => {
                        // One byte more tells that the highest bit is no sign.
                        let mut digits = self.to_le_bytes().to_vec();
                        #[allow(unused_comparisons, reason = "of unsigned types too")]
                        digits.push(if *self < 0 { 0xff } else { 0 });
                        hasher.long_integer(&digits);
                    }
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u16, u32, u64, u128, usize);

/// A byte is the integer of its value; several are bytes.
impl Key for u8 {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.integer((*self).into());
    }

    fn list(values: &[Self], hasher: &mut KeyHasher) {
        hasher.bytes(values);
    }
}

macro_rules! plain {
    ($($type:ty: $method:ident),*) => {$(
        impl Key for $type {
            fn key(&self, hasher: &mut KeyHasher) {
                hasher.$method(*self);
            }
        }
    )*};
}

plain!(bool: boolean, f32: f32, f64: f64, char: char);

impl Key for () {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.none();
    }
}

impl Key for str {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.str(self);
    }
}

impl Key for String {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.str(self);
    }
}

impl<K: Key> Key for [K] {
    fn key(&self, hasher: &mut KeyHasher) {
        K::list(self, hasher);
    }
}

impl<K: Key, const N: usize> Key for [K; N] {
    fn key(&self, hasher: &mut KeyHasher) {
        K::list(self, hasher);
    }
}

impl<K: Key> Key for Vec<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        K::list(self, hasher);
    }
}

impl<K: Key> Key for VecDeque<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        sequence(Shape::List, self, hasher);
    }
}

impl<K: Key> Key for LinkedList<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        sequence(Shape::List, self, hasher);
    }
}

impl<K: Key, S> Key for HashSet<K, S> {
    fn key(&self, hasher: &mut KeyHasher) {
        sequence(Shape::Set, self, hasher);
    }
}

impl<K: Key> Key for BTreeSet<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        sequence(Shape::Set, self, hasher);
    }
}

impl<K: Key, V: Key, S> Key for HashMap<K, V, S> {
    fn key(&self, hasher: &mut KeyHasher) {
        map(self, hasher);
    }
}

impl<K: Key, V: Key> Key for BTreeMap<K, V> {
    fn key(&self, hasher: &mut KeyHasher) {
        map(self, hasher);
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Key),+> Key for ($($name,)+) {
            #[allow(non_snake_case, reason = "a part is named as its type")]
            fn key(&self, hasher: &mut KeyHasher) {
                let ($($name,)+) = self;
                hasher.tuple(|hasher| {
                    $($name.key(hasher);)+
                });
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);

macro_rules! pointers {
    ($($type:ty),*) => {$(
        impl<K: Key + ?Sized> Key for $type {
            fn key(&self, hasher: &mut KeyHasher) {
                (**self).key(hasher);
            }
        }
    )*};
}

pointers!(&K, &mut K, Box<K>, Rc<K>, Arc<K>);

impl<K: Key + ToOwned + ?Sized> Key for Cow<'_, K> {
    fn key(&self, hasher: &mut KeyHasher) {
        (**self).key(hasher);
    }
}

/// Nothing is `()`; something says so, so that `Some(None)` is not `None`.
impl<K: Key> Key for Option<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        match self {
            None => hasher.none(),
            Some(value) => hasher.object("Some", |hasher| value.key(hasher)),
        }
    }
}

impl<K: Key, E: Key> Key for Result<K, E> {
    fn key(&self, hasher: &mut KeyHasher) {
        match self {
            Ok(value) => hasher.object("Ok", |hasher| value.key(hasher)),
            Err(error) => hasher.object("Err", |hasher| error.key(hasher)),
        }
    }
}

impl<K: Key> Key for Wrapping<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        self.0.key(hasher);
    }
}

impl<K: ?Sized> Key for PhantomData<K> {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.none();
    }
}

impl Key for Duration {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.object("Duration", |hasher| {
            self.as_secs().key(hasher);
            self.subsec_nanos().key(hasher);
        });
    }
}

/// By its distance from the Unix epoch.
impl Key for SystemTime {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.object("SystemTime", |hasher| {
            match self.duration_since(Self::UNIX_EPOCH) {
                Ok(after) => (1, after).key(hasher),
                Err(error) => (-1, error.duration()).key(hasher),
            }
        });
    }
}

/// By its characters: one file can have many paths, and one path name different files.
impl Key for Path {
    fn key(&self, hasher: &mut KeyHasher) {
        hasher.object("Path", |hasher| {
            hasher.bytes(self.as_os_str().as_encoded_bytes());
        });
    }
}

impl Key for PathBuf {
    fn key(&self, hasher: &mut KeyHasher) {
        self.as_path().key(hasher);
    }
}

macro_rules! addresses {
    ($($type:ty: $name:literal),*) => {$(
        impl Key for $type {
            fn key(&self, hasher: &mut KeyHasher) {
                hasher.object($name, |hasher| hasher.str(&self.to_string()));
            }
        }
    )*};
}

addresses!(Ipv4Addr: "IpAddr", Ipv6Addr: "IpAddr", IpAddr: "IpAddr", SocketAddr: "SocketAddr");
