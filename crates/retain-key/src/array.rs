//! The identity of ndarray's arrays: that of numpy's of the same elements, shape and order.

use bytemuck::NoUninit;
use ndarray::{ArrayBase, Data, Dimension};

use crate::{Encoder, Key, KeyHasher, Large};

/// A number that arrays hold, as numpy calls it.
pub trait Element: NoUninit {
    /// numpy's name of the type, with the byte order, as `<f8`.
    const DTYPE: &'static str;
}

macro_rules! elements {
    ($($type:ty: $little:literal $big:literal),*) => {$(
        impl Element for $type {
            const DTYPE: &'static str = if cfg!(target_endian = "little") { $little } else { $big };
        }
    )*};
}

elements!(
    i8: "|i1" "|i1", u8: "|u1" "|u1", i16: "<i2" ">i2", u16: "<u2" ">u2", i32: "<i4" ">i4", u32: "<u4" ">u4",
    i64: "<i8" ">i8", u64: "<u8" ">u8", f32: "<f4" ">f4", f64: "<f8" ">f8"
);

/// By element type, shape, order and bytes. An array that is neither in the order of C nor of Fortran is as its copy in
/// the order of C.
impl<A: Element, S: Data<Elem = A>, D: Dimension> Key for ArrayBase<S, D> {
    fn key(&self, hasher: &mut KeyHasher) {
        let (order, elements) = if let Some(elements) = self.as_slice() {
            ("C", Some(elements))
        } else {
            // Of an array in the order of Fortran, the transposed one is in that of C, with the same memory.
            let fortran = self.t().is_standard_layout();
            let elements = self.as_slice_memory_order().filter(|_| fortran);
            (if fortran { "F" } else { "C" }, elements)
        };
        hasher.object("array", |hasher| {
            hasher.object("numpy.dtype", |hasher| hasher.str(A::DTYPE));
            hasher.tuple(|hasher| {
                for length in self.shape() {
                    length.key(hasher);
                }
            });
            hasher.str(order);
            match elements.map(bytemuck::cast_slice::<A, u8>) {
                Some(bytes) => write(bytes, hasher),
                None => write_scattered(self.iter(), self.len() * size_of::<A>(), hasher),
            }
        });
    }
}

fn write(bytes: &[u8], hasher: &mut KeyHasher) {
    if bytes.len() < Large::LEAST {
        hasher.bytes(bytes);
    } else {
        hasher.digested(Large::bytes(bytes));
    }
}

fn write_scattered<'a, A: Element>(
    elements: impl Iterator<Item = &'a A>,
    length: usize,
    hasher: &mut KeyHasher,
) {
    let bytes = elements.map(|element| bytemuck::bytes_of(element));
    if length < Large::LEAST {
        hasher.bytes(&bytes.collect::<Vec<_>>().concat());
        return;
    }
    let mut large = Large::pieces(false, length);
    let mut gathered = Vec::with_capacity(1 << 16);
    for element in bytes {
        gathered.extend_from_slice(element);
        if gathered.len() > (1 << 16) - 64 {
            large.update(&gathered);
            gathered.clear();
        }
    }
    large.update(&gathered);
    hasher.digested(large.finish());
}
