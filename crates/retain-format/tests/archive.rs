//! Reading from Rust what Python wrote. `archive/make.py` wrote the files.

use std::borrow::Cow;
use std::path::PathBuf;

use retain_format::archive::{Archive, Kind};
use retain_format::npy::Descr;
use retain_format::{Codec, Encoder, Error};

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "archive", name]
        .iter()
        .collect()
}

fn files() -> impl Iterator<Item = (String, Archive)> {
    let pickles = (0..6).map(|protocol| format!("pickle{protocol}.pkl"));
    let others = ["joblib.joblib", "retain.pkl"].map(String::from);
    pickles.chain(others).map(|name| {
        let archive = Archive::open(path(&name)).unwrap();
        (name, archive)
    })
}

#[test]
fn arrays_of_every_layout_are_read() {
    for (name, archive) in files() {
        let x = archive.array::<f64>("x").unwrap();
        assert_eq!(
            (x.shape.as_slice(), x.fortran_order),
            (&[2, 3][..], false),
            "{name}"
        );
        assert_eq!(*x.data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let coef = archive.array::<f32>("model.coef").unwrap();
        assert_eq!(
            (coef.shape.as_slice(), coef.fortran_order),
            (&[2, 3][..], true),
            "{name}"
        );
        assert_eq!(*coef.data, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let flags = archive.array::<bool>("flags").unwrap();
        assert_eq!(*flags.data, [true, false, true]);
        let empty = archive.array::<i64>("['a key']").unwrap();
        assert_eq!((empty.shape.as_slice(), empty.data.len()), (&[0, 4][..], 0));
        let scalar = archive.array::<i32>("[10]").unwrap();
        assert_eq!((scalar.shape.len(), &*scalar.data), (0, &[7][..]));
        assert_eq!(*archive.array::<u8>("objects[0]").unwrap().data, [0, 1, 2]);
        assert_eq!(
            *archive.array::<f32>("objects[2].deep").unwrap().data,
            [0.5]
        );
        assert_eq!(
            *archive.array::<u8>("circle[1][1][0]").unwrap().data,
            [0, 1, 2]
        );
        assert_eq!(
            *archive.array::<i8>("ordered.first").unwrap().data,
            [-1],
            "{name}"
        );
    }
}

#[test]
fn what_lies_plain_is_not_copied() {
    let archive = Archive::open(path("joblib.joblib")).unwrap();
    // joblib puts arrays on multiples of 16.
    let x = archive.array::<f64>("x").unwrap();
    assert!(matches!(x.data, Cow::Borrowed(_)));
    // Of the other byte order.
    let coef = archive.array::<f32>("model.coef").unwrap();
    assert!(matches!(coef.data, Cow::Owned(_)));
}

#[test]
fn files_of_retain_are_checked() {
    let bytes = std::fs::read(path("retain.pkl")).unwrap();
    let archive = Archive::open(path("retain.pkl")).unwrap();
    assert!(matches!(
        archive.array::<f64>("x").unwrap().data,
        Cow::Borrowed(_)
    ));
    assert!(archive.check().unwrap());
    assert!(
        !Archive::open(path("joblib.joblib"))
            .unwrap()
            .check()
            .unwrap()
    );
    let mut of_arrays = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        // Damage to an array is found when it is asked for; all else when the file is opened. A head that is none any
        // more leaves a pickle of the same value.
        let Ok(archive) = Archive::from_bytes(damaged) else {
            continue;
        };
        let checked = archive.check();
        of_arrays += usize::from(checked.is_err());
        let same = || *archive.array::<f64>("x").unwrap().data == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(checked.is_err() || at < 37 && same(), "{at}");
    }
    let (x, record) = (48, 48);
    assert!(of_arrays >= x + record, "{of_arrays}");
}

#[test]
fn slots_are_attributes() {
    for (name, archive) in files() {
        let weights = archive.array::<[f64; 2]>("model.slotted.weights").unwrap();
        assert_eq!(*weights.data, [[1.0, 2.0], [3.0, -4.0]], "{name}");
    }
}

#[test]
fn all_arrays_are_listed_once() {
    for (name, archive) in files() {
        let mut paths: Vec<String> = archive.arrays().into_iter().map(|info| info.path).collect();
        paths.sort();
        let mut expected = vec![
            "['a key']",
            "[10]",
            "flags",
            "model.coef",
            "model.slotted.weights",
            "objects",
            "objects[0]",
            "ordered.first",
            "record",
            "x",
        ];
        // The array in the objects and in the list is one in a pickle; joblib writes it twice.
        if name == "joblib.joblib" {
            expected.insert(2, "circle[0]");
        }
        assert_eq!(paths, expected, "{name}");
        for info in archive.arrays() {
            let value = archive.get(&info.path).unwrap();
            assert_eq!(value.kind(), Kind::Array);
            assert_eq!(value.array_info().unwrap().shape, info.shape);
        }
    }
}

#[test]
fn records_are_told_with_their_gaps() {
    for (name, archive) in files() {
        let info = archive.get("record").unwrap().array_info().unwrap();
        let Descr::Record(fields) = info.descr else {
            panic!("{name}");
        };
        let shown: Vec<(&str, &Descr)> = fields
            .iter()
            .map(|field| (field.name.as_str(), &field.descr))
            .collect();
        let plain = |text: &str| Descr::Plain(text.into());
        assert_eq!(
            shown,
            [
                ("a", &plain("<i2")),
                ("", &plain("|V6")),
                ("when", &plain("<M8[25us]")),
                ("b", &plain("<f4")),
            ]
        );
        assert_eq!(fields[3].shape, [2]);
        assert!(matches!(
            archive.array::<f32>("record"),
            Err(Error::Type(_))
        ));
    }
}

#[test]
fn plain_data_are_read() {
    for (name, archive) in files() {
        let plain = archive.get("plain").unwrap();
        assert_eq!(plain.kind(), Kind::List);
        let items: Vec<_> = plain
            .items()
            .map(retain_format::archive::Value::kind)
            .collect();
        assert_eq!(items.len(), 11);
        assert_eq!(
            items[..8],
            [
                Kind::Int(1),
                Kind::Int(-2),
                Kind::Float(2.5),
                Kind::None,
                Kind::Bool(true),
                Kind::Bool(false),
                Kind::Text("text é €".into()),
                Kind::Bytes(Cow::Borrowed(b"\0bytes\xff")),
            ],
            "{name}"
        );
        assert_eq!(archive.get("plain[8][0]").unwrap().as_i64(), Some(1 << 40));
        assert_eq!(archive.get("plain[8][1]").unwrap().kind(), Kind::LongInt);
        assert_eq!(
            archive.get("model.name").unwrap().as_text().unwrap(),
            "a model"
        );
        assert_eq!(archive.get("long").unwrap().as_text().unwrap().len(), 300);
        assert_eq!(archive.root().entries().count(), 11);
        let Kind::Object { module, name } = archive.get("model").unwrap().kind() else {
            panic!("{name}");
        };
        assert_eq!((module, name), ("types", "SimpleNamespace"));
        assert_eq!(
            archive
                .get("model")
                .unwrap()
                .get("name")
                .unwrap()
                .as_text()
                .unwrap(),
            "a model"
        );
    }
}

#[test]
fn what_is_not_there_is_told() {
    let archive = Archive::open(path("pickle5.pkl")).unwrap();
    for path in [
        "y",
        "x.y",
        "plain[11]",
        "plain[-1]",
        "plain.first",
        "model.other",
        "x[0]",
        "[0]",
    ] {
        assert!(
            matches!(archive.get(path), Err(Error::Missing(_))),
            "{path}"
        );
    }
    for path in [
        ".",
        ".x",
        "x.",
        "x..y",
        "[",
        "[]",
        "[x]",
        "['x",
        "['x'",
        "[1",
        "plain[0]x",
        "[99999999999999999999]",
    ] {
        assert!(
            matches!(archive.get(path), Err(Error::Missing(_))),
            "{path}"
        );
    }
    for path in ["plain", "long", "objects", "", "model"] {
        assert!(
            matches!(archive.array::<f64>(path), Err(Error::Type(_))),
            "{path}"
        );
    }
    assert!(matches!(archive.array::<f32>("x"), Err(Error::Type(_))));
    assert!(matches!(archive.array::<i64>("x"), Err(Error::Type(_))));
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    // {"a": {"b": array}, "a": {}}, which no pickler writes.
    let bytes = std::fs::read(path("pickle4.pkl")).unwrap();
    let body = bytes[11..].strip_suffix(b".").unwrap();
    let whole = [b"\x80\x04}(X\x01\0\0\0a", body, b"X\x01\0\0\0a}u."].concat();
    let archive = Archive::from_bytes(whole).unwrap();
    assert!(archive.arrays().is_empty());
    assert_eq!(archive.get("a").unwrap().kind(), Kind::Dict);
    assert!(archive.get("a.x").is_err());
}

#[test]
fn npy_files_are_archives_of_one_array() {
    let archive = Archive::open(path("array.npy")).unwrap();
    let array = archive.array::<f32>("").unwrap();
    assert_eq!(
        (array.shape.as_slice(), array.fortran_order),
        (&[2, 3][..], true)
    );
    assert_eq!(*array.data, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(archive.arrays()[0].path, "");
    let bytes = std::fs::read(path("array.npy")).unwrap();
    let cut = Archive::from_bytes(bytes[..bytes.len() - 1].to_vec());
    assert!(matches!(cut, Err(Error::Truncated(_))));
}

fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder: Box<dyn Encoder> = codec.encoder(&mut packed, None).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap();
    packed
}

#[test]
fn compressed_files_are_read_and_bounded() {
    let bytes = std::fs::read(path("joblib.joblib")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for codec in Codec::ALL {
        let file = folder.path().join(codec.name());
        std::fs::write(&file, compressed(codec, &bytes)).unwrap();
        let archive = Archive::open(&file).unwrap();
        assert_eq!(
            archive.array::<f64>("x").unwrap().data.len(),
            6,
            "{codec:?}"
        );
        let most = bytes.len() as u64;
        assert!(Archive::open_within(&file, most).is_ok());
        assert!(
            matches!(Archive::open_within(&file, most - 1), Err(Error::Budget(_))),
            "{codec:?}"
        );
        let whole = std::fs::read(&file).unwrap();
        let cut = Archive::from_bytes(whole[..whole.len() / 2].to_vec());
        assert!(matches!(cut, Err(Error::Truncated(_))), "{codec:?} {cut:?}");
    }
}

#[test]
fn files_that_are_cut_or_are_none_are_refused() {
    assert!(matches!(
        Archive::from_bytes(Vec::new()),
        Err(Error::Truncated(_))
    ));
    assert!(matches!(
        Archive::open(path("")),
        Err(Error::Unsupported(_) | Error::Io(_))
    ));
    assert!(matches!(Archive::open(path("none")), Err(Error::Io(_))));
    assert!(matches!(
        Archive::from_bytes(b"no pickle".to_vec()),
        Err(Error::Malformed { .. } | Error::Truncated(_))
    ));
    for name in ["pickle0.pkl", "pickle5.pkl", "joblib.joblib"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for cut in 0..bytes.len() {
            assert!(
                Archive::from_bytes(bytes[..cut].to_vec()).is_err(),
                "{name} {cut}"
            );
        }
        let longer = [&bytes, &b"."[..]].concat();
        assert!(matches!(
            Archive::from_bytes(longer),
            Err(Error::Malformed { .. })
        ));
    }
}

#[test]
fn damaged_files_give_errors_or_other_values_and_no_panic() {
    for name in ["pickle0.pkl", "pickle2.pkl", "pickle5.pkl", "joblib.joblib"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for (at, change) in (0..bytes.len()).zip([1, 0x20, 0x80, 0xff].into_iter().cycle()) {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            let Ok(archive) = Archive::from_bytes(damaged) else {
                continue;
            };
            for info in archive.arrays() {
                if let Ok(value) = archive.get(&info.path) {
                    let _ = value.array::<f64>();
                }
            }
            let _ = archive.root().entries().count();
        }
    }
}
