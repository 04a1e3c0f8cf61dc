//! The types of Rust that elements of arrays are read as.

use std::borrow::Cow;

mod sealed {
    pub trait Sealed {}
}

/// A type of Rust that the elements of an array may have: integers, `f32` and `f64`, `bool`, and `[f32; 2]` and `[f64; 2]`
/// for complex numbers.
pub trait Element: Clone + sealed::Sealed + 'static {
    /// The kind, and the size in bytes, as numpy's types name them.
    #[doc(hidden)]
    const CODE: &'static str;

    /// The elements that `bytes` hold.
    #[doc(hidden)]
    fn view(bytes: &[u8], swapped: bool) -> Cow<'_, [Self]>;
}

macro_rules! numbers {
    ($($type:ty, $code:literal;)*) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const CODE: &'static str = $code;

            fn view(bytes: &[u8], swapped: bool) -> Cow<'_, [Self]> {
                if !swapped && let Ok(elements) = bytemuck::try_cast_slice(bytes) {
                    return Cow::Borrowed(elements);
                }
                let element = |chunk: &[u8]| {
                    let mut bytes = [0; size_of::<$type>()];
                    bytes.copy_from_slice(chunk);
                    if swapped {
                        bytes.reverse();
                    }
                    <$type>::from_ne_bytes(bytes)
                };
                Cow::Owned(bytes.chunks_exact(size_of::<$type>()).map(element).collect())
            }
        }
    )*};
}

numbers! {
    i8, "i1"; i16, "i2"; i32, "i4"; i64, "i8";
    u8, "u1"; u16, "u2"; u32, "u4"; u64, "u8";
    f32, "f4"; f64, "f8";
}

macro_rules! complex {
    ($($part:ty, $code:literal;)*) => {$(
        impl sealed::Sealed for [$part; 2] {}

        impl Element for [$part; 2] {
            const CODE: &'static str = $code;

            fn view(bytes: &[u8], swapped: bool) -> Cow<'_, [Self]> {
                if !swapped && let Ok(elements) = bytemuck::try_cast_slice(bytes) {
                    return Cow::Borrowed(elements);
                }
                let parts = <$part>::view(bytes, swapped);
                Cow::Owned(parts.as_chunks::<2>().0.to_vec())
            }
        }
    )*};
}

complex! { f32, "c8"; f64, "c16"; }

impl sealed::Sealed for bool {}

impl Element for bool {
    const CODE: &'static str = "b1";

    fn view(bytes: &[u8], _swapped: bool) -> Cow<'_, [Self]> {
        // Not every byte is a bool of Rust.
        Cow::Owned(bytes.iter().map(|&byte| byte != 0).collect())
    }
}
