//! Arrays of ndarray.

#![cfg(feature = "ndarray")]

use ndarray::{Array, Array1, Array2, ArrayView, ShapeBuilder, s};
use retain_key::{Encoder, KeyHasher, digest};

#[test]
fn an_array_is_its_type_shape_order_and_bytes() {
    let array = Array2::from_shape_vec((2, 3), (0..6).map(f64::from).collect()).unwrap();
    let mut hasher = KeyHasher::new();
    hasher.object("array", |hasher| {
        hasher.object("numpy.dtype", |hasher| hasher.str("<f8"));
        hasher.tuple(|hasher| {
            hasher.integer(2);
            hasher.integer(3);
        });
        hasher.str("C");
        let bytes: Vec<u8> = array.iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.bytes(&bytes);
    });
    if cfg!(target_endian = "little") {
        assert_eq!(digest(&array), hasher.finish());
    }
    let other = Array2::from_shape_vec((3, 2), (0..6).map(f64::from).collect()).unwrap();
    assert_ne!(digest(&array), digest(&other));
    assert_ne!(digest(&array), digest(&array.mapv(f64::to_bits)));
}

fn cell((row, column): (usize, usize)) -> i64 {
    i64::try_from(row * 10 + column).unwrap()
}

#[test]
fn memory_order_counts_and_strides_do_not() {
    for length in [4, 4_000] {
        let array = Array2::from_shape_fn((length, 6), cell);
        let fortran = Array2::from_shape_fn((length, 6).f(), cell);
        assert_ne!(digest(&array), digest(&fortran));
        assert_eq!(digest(&array), digest(&array.view()));
        assert_eq!(
            digest(&fortran),
            digest(&array.t().as_standard_layout().to_owned().reversed_axes())
        );
        let strided = array.slice(s![..;-1, ..;2]);
        assert_eq!(digest(&strided), digest(&strided.as_standard_layout()));
    }
}

#[test]
fn arrays_without_elements_and_without_dimensions_have_a_digest() {
    let empty: Array1<u8> = Array::zeros(0);
    let lone = ndarray::arr0(1_u8);
    assert_ne!(digest(&empty), digest(&lone));
    assert_ne!(digest(&lone), digest(&ndarray::arr1(&[1_u8])));
    assert_eq!(
        digest(&lone),
        digest(&ArrayView::from_shape((), &[1_u8]).unwrap())
    );
}
