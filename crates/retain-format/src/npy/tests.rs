use proptest::prelude::*;

use super::{Descr, Field, Header};
use crate::error::Error;

/// A header as numpy lays it out.
fn written(version: u8, text: &str, total: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    if version == 1 {
        bytes.extend(u16::try_from(total - 10).unwrap().to_le_bytes());
    } else {
        bytes.extend(u32::try_from(total - 12).unwrap().to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// What numpy 2 wrote: the version, the header's length with its padding, that of the data, and the header.
const NUMPY: [(u8, usize, u64, &str); 9] = [
    (
        1,
        128,
        48,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }",
    ),
    (
        1,
        128,
        2,
        "{'descr': '>i2', 'fortran_order': False, 'shape': (), }",
    ),
    (
        1,
        128,
        60,
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 5), }",
    ),
    (
        1,
        128,
        84,
        "{'descr': '<U3', 'fortran_order': False, 'shape': (7,), }",
    ),
    (
        1,
        128,
        0,
        "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (0, 4), }",
    ),
    (
        1,
        192,
        112,
        "{'descr': [('a', '<f4', (2, 3)), (('t', 'b'), '|S5'), ('', '|V3'), ('c', [('d', '|b1'), ('', '|V7'), \
         ('e', '<c16')])], 'fortran_order': False, 'shape': (2,), }",
    ),
    (
        3,
        128,
        8,
        "{'descr': [('ü€', '<i8')], 'fortran_order': False, 'shape': (1,), }",
    ),
    (
        1,
        128,
        9,
        r#"{'descr': [("it's", '<i8'), ('a"b\'c\\', '|u1')], 'fortran_order': False, 'shape': (1,), }"#,
    ),
    (
        1,
        128,
        8,
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    ),
];

#[test]
fn headers_of_numpy_are_read_and_written_alike() {
    for (version, total, data, text) in NUMPY {
        let bytes = written(version, text, total);
        let (header, start) = Header::parse(&[&bytes, b"data".as_slice()].concat()).unwrap();
        assert_eq!(start, total);
        assert_eq!(header.data_len().unwrap(), data, "{text}");
        assert_eq!(header.encode().unwrap(), bytes, "{text}");
        assert_eq!(header.descr.has_objects(), text.contains("'|O'"));
        for cut in 0..total {
            assert!(
                matches!(Header::parse(&bytes[..cut]), Err(Error::Truncated(_))),
                "{cut}"
            );
        }
    }
}

#[test]
fn other_spellings_mean_the_same() {
    let expected = Header {
        descr: Descr::Plain("<i4".into()),
        fortran_order: false,
        shape: vec![10],
    };
    for text in [
        "{'shape': (10L,), 'fortran_order': False, 'descr': '<i4'}",
        "{\"descr\":\"<i4\",\"fortran_order\":False,\"shape\":(10,)}",
        " { 'descr' : '\\x3ci4' ,\n'fortran_order': False, 'shape': ( 10 , ) , } ",
    ] {
        for version in [1, 2, 3] {
            let bytes = written(version, text, 128);
            assert_eq!(Header::parse(&bytes).unwrap().0, expected);
        }
    }
}

#[test]
fn a_wide_record_needs_version_2() {
    let field = |index: u32| Field {
        title: None,
        name: format!("column{index}"),
        descr: Descr::Plain("<f8".into()),
        shape: Vec::new(),
    };
    let header = Header {
        descr: Descr::Record((0..4000).map(field).collect()),
        fortran_order: false,
        shape: vec![1],
    };
    let bytes = header.encode().unwrap();
    assert_eq!(bytes[6..8], [2, 0]);
    assert_eq!(bytes.len() % 64, 0);
    assert_eq!(Header::parse(&bytes).unwrap(), (header, bytes.len()));
}

#[test]
fn hostile_headers_are_refused() {
    let deep = format!("{{'descr': {}", "[".repeat(100_000));
    let zero = "{'descr': '|u1', 'fortran_order': False, 'shape': ";
    for text in [
        "",
        "{}",
        "[]",
        "None",
        "{'descr': '<f8', 'fortran_order': False}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': [1]}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1.0,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 3,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} + {}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}\0",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0)}",
        "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': 'f8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f7', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<é8', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<i8[ns]', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<M8[', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '<f8', (1,), 2)], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a',)], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '<f8', (4294967296, 4294967296))], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8",
        "{'descr': '<f\\q8'",
        &deep,
        &format!("{zero}{})}}", "(1, ".to_owned() + &"1, ".repeat(64)),
    ] {
        let bytes = written(2, text, 12 + text.len() + 1);
        assert!(
            matches!(Header::parse(&bytes), Err(Error::Malformed { .. })),
            "{text}"
        );
    }
}

#[test]
fn other_files_versions_and_lengths_are_told_apart() {
    let good = written(1, NUMPY[0].3, 128);
    let mut other = good.clone();
    other[0] = 0x92;
    assert!(matches!(
        Header::parse(&other),
        Err(Error::Malformed { .. })
    ));
    for version in [[0, 0], [1, 1], [4, 0]] {
        let mut other = good.clone();
        other[6..8].copy_from_slice(&version);
        assert!(matches!(Header::parse(&other), Err(Error::Unsupported(_))));
    }
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert!(matches!(Header::parse(&long), Err(Error::Budget(_))));
}

fn any_descr() -> impl Strategy<Value = Descr> {
    let plain = prop::sample::select(vec![
        "<f8",
        ">i4",
        "|u1",
        "|S0",
        "<U7",
        "<m8[25us]",
        "|V3",
        "|b1",
    ])
    .prop_map(|text| Descr::Plain(text.into()));
    plain.prop_recursive(3, 12, 4, |inner| {
        let field = (
            prop::option::of(any::<String>()),
            any::<String>(),
            inner,
            prop::collection::vec(0_u64..4, 0..3),
        );
        prop::collection::vec(field, 0..4).prop_map(|fields| {
            let field = |(title, name, descr, shape)| Field {
                title,
                name,
                descr,
                shape,
            };
            Descr::Record(fields.into_iter().map(field).collect())
        })
    })
}

proptest! {
    #[test]
    fn any_header_comes_back(
        descr in any_descr(),
        fortran_order: bool,
        shape in prop::collection::vec(0_u64..1000, 0..5),
    ) {
        let header = Header { descr, fortran_order, shape };
        let bytes = header.encode().unwrap();
        prop_assert_eq!(Header::parse(&bytes).unwrap(), (header, bytes.len()));
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(text in "\\PC*", at in 0_usize..100, c: char) {
        let _ = Header::parse(&written(3, &text, 12 + text.len() + 1));
        let mut changed: Vec<char> = NUMPY[5].3.chars().collect();
        let at = at % changed.len();
        changed[at] = c;
        let text: String = changed.into_iter().collect();
        let _ = Header::parse(&written(3, &text, 12 + text.len() + 1));
    }
}
