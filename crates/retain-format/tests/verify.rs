//! What real libraries write is safe; what does harm is not; and nothing makes the verifier panic.

mod pickles {
    pub(crate) mod honest;
    pub(crate) mod hostile;
}

use pickles::honest::HONEST;
use pickles::hostile::HOSTILE;
use proptest::collection::vec;
use proptest::prelude::*;
use retain_format::verify::{
    Budgets, Format, NameVerdict, Policy, Report, Slice, Stream, Verdict, verify,
};

fn scan(bytes: &[u8]) -> Report {
    verify(Slice::new(bytes), &Policy::default()).unwrap()
}

fn honest(name: &str) -> &'static [u8] {
    HONEST.iter().find(|(each, _)| *each == name).unwrap().1
}

#[test]
fn what_libraries_write_is_safe() {
    for (name, bytes) in HONEST {
        let report = scan(bytes);
        assert_eq!(report.verdict, Verdict::Safe, "{name}: {report:#?}");
        assert_eq!(report.bytes, bytes.len() as u64, "{name}");
    }
}

#[test]
fn what_does_harm_is_not() {
    for (name, bytes) in HOSTILE {
        let report = scan(bytes);
        let wanted = match name.split_once('-') {
            Some(("trick", _)) => matches!(report.verdict, Verdict::Unsafe | Verdict::Damaged),
            _ => report.verdict != Verdict::Safe,
        };
        assert!(wanted, "{name}: {report:#?}");
    }
}

/// A global, by lines.
fn line_name(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// Something from the memo.
fn get(index: u32) -> Vec<u8> {
    let mut opcodes = vec![b'j'];
    opcodes.extend(index.to_le_bytes());
    opcodes
}

fn exceeds(bytes: &[u8]) {
    let report = scan(bytes);
    assert_eq!(report.verdict, Verdict::Unsafe, "{report:?}");
}

#[test]
fn containers_that_are_taken_apart_recursively_are_no_deeper_than_is_known() {
    for (class, item, add) in [("deque", "", "a"), ("defaultdict", "N", "s")] {
        let mut file = [b"\x80\x04".to_vec(), line_name("collections", class)].concat();
        file.extend(b"\x940");
        for _ in 0..10_000 {
            file.extend(b"h\0)R\x940");
        }
        for index in 1..10_000 {
            let (one, other) = (get(index), get(index + 1));
            file.extend([&one[..], item.as_bytes(), &other, add.as_bytes(), b"0"].concat());
        }
        file.extend([get(1), b".".to_vec()].concat());
        exceeds(&file);
    }
    // As the pickler writes them: whole before they are put into another.
    let name = line_name("collections", "defaultdict");
    let list = line_name("builtins", "list");
    let nested = [&name[..], &list, b"\x85R(K\x01](K\x02K\x03eK\x04]u."].concat();
    assert_eq!(scan(&nested).verdict, Verdict::Safe);
}

#[test]
fn comparing_keys_is_part_of_the_budget() {
    // Two equal frozensets of frozensets: each level is compared twice.
    let tower = |start: u32| {
        let mut file = b"(K\x01\x91\x94".to_vec();
        for level in start..start + 40 {
            file.extend(
                [
                    b"(".to_vec(),
                    get(level),
                    get(level),
                    b"\x85\x91\x94".to_vec(),
                ]
                .concat(),
            );
        }
        file
    };
    let keys = [
        b"1}".to_vec(),
        get(40),
        b"Ns".to_vec(),
        get(81),
        b"Ns.".to_vec(),
    ]
    .concat();
    exceeds(
        &[
            b"\x80\x05(".to_vec(),
            tower(0),
            b"1(".to_vec(),
            tower(41),
            keys,
        ]
        .concat(),
    );
}

/// A set of `keys`, each of which follows from its number.
fn set(keys: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut file = b"\x80\x05\x8f(".to_vec();
    keys.for_each(|key| file.extend(key));
    file.extend(b"\x90.");
    file
}

/// An integer of more than eight bytes.
fn long(value: u128) -> Vec<u8> {
    [&[0x8a, 17], &value.to_le_bytes()[..], &[0]].concat()
}

#[test]
fn keys_of_one_hash_are_part_of_the_budget() {
    let modulus = (1u128 << 61) - 1;
    let many = 0u128..20_000;
    exceeds(&set(many.clone().map(|each| long(modulus * (each + 4096)))));
    // Tuples whose items have one hash each.
    exceeds(&set(many.clone().map(|each| {
        let items = (0..15).map(|bit| long(1 + modulus * (4096 + (each >> bit & 1))));
        [b"(".to_vec(), items.flatten().collect(), b"t".to_vec()].concat()
    })));
    let uuids = many.clone().map(|each| {
        let number = long(modulus * (each + 4096));
        [
            line_name("uuid", "UUID"),
            b")\x81}X\x03\0\0\0int".to_vec(),
            number,
            b"sb".to_vec(),
        ]
        .concat()
    });
    exceeds(&set(uuids));
    let decimals = many.clone().map(|each| {
        let text = (modulus * each).to_string();
        let text = [&[0x8c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [line_name("decimal", "Decimal"), text, b"\x85R".to_vec()].concat()
    });
    exceeds(&set(decimals));
    let complexes = many.clone().map(|each| {
        let small = [&b"J"[..], &i32::try_from(each).unwrap().to_le_bytes()].concat();
        let real = f64::from(i32::try_from(20_000 - each).unwrap()) * 1_000_003.0;
        let real = [&b"G"[..], &real.to_be_bytes()].concat();
        [
            line_name("builtins", "complex"),
            real,
            small,
            b"\x86R".to_vec(),
        ]
        .concat()
    });
    exceeds(&set(complexes));
    // What is not chosen to be of one hash is as fast as ever.
    let honest = set(many
        .clone()
        .map(|each| long((1 << 90) + each * each * 7919)));
    assert_eq!(scan(&honest).verdict, Verdict::Safe);
    let pairs = set(many.map(|each| {
        let name = each.to_string();
        let name = [&[0x8c, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        [name, long(each), b"\x86".to_vec()].concat()
    }));
    assert_eq!(scan(&pairs).verdict, Verdict::Safe);
}

#[test]
fn attributes_are_part_of_the_budget() {
    let mut file = [b"\x80\x05".to_vec(), line_name("types", "SimpleNamespace")].concat();
    file.extend(b"\x940}(");
    for index in 0..900 {
        file.extend(
            format!("\u{8c}\u{4}k{index:03}N")
                .chars()
                .map(|each| u8::try_from(u32::from(each)).unwrap()),
        );
    }
    file.extend(b"u\x940](");
    file.extend(b"h\0)Rh\x01b".repeat(20_000));
    file.extend(b"e.");
    exceeds(&file);
}

#[test]
fn looking_at_members_is_part_of_the_budget() {
    let mut file = b"\x80\x05](".to_vec();
    file.extend(b"K\x01".repeat(50_000));
    file.extend(b"Ne\x940");
    file.extend(
        [
            line_name("array", "array"),
            b"\x940X\x01\0\0\0b\x940".to_vec(),
        ]
        .concat(),
    );
    let before = file.len();
    file.extend(b"h\x01h\x02h\0\x86R0".repeat(20_000));
    file.extend(b"N.");
    let report = scan(&file);
    assert_eq!(report.verdict, Verdict::Unsafe);
    // It ends early.
    assert!(
        report.refusals.len() as u64 + report.more_refusals < 200,
        "{before}"
    );
}

#[test]
fn elements_of_no_size_are_part_of_the_budget() {
    let judge = |count: &[u8]| {
        let dtype = [
            &line_name("numpy", "dtype")[..],
            b"X\x02\0\0\0S0\x89\x88\x87R(K\x03X\x01\0\0\0|NNNK\0K\x01K\0tb",
        ]
        .concat();
        let file = [
            &b"\x80\x05"[..],
            &line_name("numpy._core.multiarray", "_reconstruct"),
            &line_name("numpy", "ndarray"),
            b"K\0\x85C\x01b\x87R(K\x01",
            count,
            b"\x85",
            &dtype,
            b"\x89C\0tb.",
        ]
        .concat();
        scan(&file).verdict
    };
    assert_eq!(judge(b"K\x05"), Verdict::Safe);
    assert_eq!(judge(b"J\0\xe1\xf5\x05"), Verdict::Unsafe);
}

#[test]
fn a_file_that_is_cut_short_is_damaged() {
    for (name, bytes) in HONEST {
        for end in (0..bytes.len()).step_by(7) {
            let verdict = scan(&bytes[..end]).verdict;
            assert!(verdict != Verdict::Safe, "{name} up to {end}");
        }
    }
}

#[test]
fn a_stream_is_judged_as_memory_is() {
    for (name, bytes) in HONEST.iter().chain(HOSTILE) {
        let streamed = verify(Stream::new(*bytes), &Policy::default()).unwrap();
        let whole = scan(bytes);
        // What has to be looked at again lies in memory only.
        let blind = streamed
            .refusals
            .iter()
            .any(|refusal| refusal.reason.contains("cannot be looked at"));
        assert!(
            (streamed.verdict == Verdict::Safe) == (whole.verdict == Verdict::Safe) || blind,
            "{name}: {streamed:#?}"
        );
    }
}

#[test]
fn all_that_is_wanted_is_told_at_once() {
    let report =
        scan(b"(cpackage.module\nfirst\n(tRcpackage.module\nsecond\n)\x81}bcos\nsystem\n(VX\ntRt.");
    assert_eq!(report.verdict, Verdict::Unsafe);
    let wanted: Vec<_> = report.wanted().map(|name| name.name.as_str()).collect();
    assert_eq!(wanted, ["first", "second"]);
    assert_eq!(report.refusals.len(), 1);
    assert_eq!(report.globals[2].verdict, NameVerdict::Refused);
}

#[test]
fn what_is_trusted_may_be_called_with_what_is_verified() {
    let policy = Policy {
        trusted: vec!["package".into()],
        ..Policy::default()
    };
    let judge = |bytes: &[u8]| verify(Slice::new(bytes), &policy).unwrap().verdict;
    assert_eq!(
        judge(b"cpackage.module\nClass\n(K\x01tR}(Vkey\nK\x02ub."),
        Verdict::Safe
    );
    assert_eq!(
        judge(b"cpackage.module\nClass\n)\x81N}(V__class__\nK\x02u\x86b."),
        Verdict::Unsafe
    );
    assert_eq!(
        judge(
            b"cpackage.module\nClass\n)\x81Nccollections\nOrderedDict\n)R(V__class__\nK\x02u\x86b."
        ),
        Verdict::Unsafe
    );
    assert_eq!(
        judge(b"cpackage.module\nClass\n}(Vkey\nK\x02ub."),
        Verdict::Unsafe
    );
    assert_eq!(
        judge(b"cpackage.module\nClass\n(cos\nsystem\ntR."),
        Verdict::Unsafe
    );
    assert_eq!(
        judge(b"cpackage.module\nClass\n(cother\nthing\ntR."),
        Verdict::NeedsTrust
    );
}

#[test]
fn arrays_are_listed_with_their_paths() {
    let report = scan(honest("jd_S.jl5"));
    assert_eq!(report.format, Format::Joblib);
    let paths: Vec<_> = report
        .arrays
        .iter()
        .map(|array| array.path.as_str())
        .collect();
    assert_eq!(paths, ["x", "y[0]", "o"]);
    let array = &report.arrays[0];
    assert_eq!(
        (array.dtype.as_str(), array.shape.as_slice(), array.object),
        ("S2", &[2][..], false)
    );
    let start = usize::try_from(array.offset.unwrap()).unwrap();
    assert_eq!(&honest("jd_S.jl5")[start..start + 4], b"abc\0");
    assert!(report.arrays[2].object);
}

#[test]
fn retain_s_own_layout_is_safe() {
    let mut file = b"\x80\x05C\x20retain\0\x01".to_vec();
    file.extend([0; 24]);
    file.extend(b"0]C\x0aretain\xb5\0\0\x000\x96\x03\0\0\0\0\0\0\0abca");
    file.extend(b"\x8e\x04\0\0\0\0\0\0\0tail0.");
    let report = scan(&file);
    assert_eq!(
        (report.verdict, report.format),
        (Verdict::Safe, Format::Retain)
    );
    file.push(b'N');
    assert_eq!(scan(&file).verdict, Verdict::Unsafe);
    let policy = Policy {
        trailing: true,
        ..Policy::default()
    };
    let report = verify(Slice::new(&file), &policy).unwrap();
    assert_eq!(
        (report.verdict, report.bytes),
        (Verdict::Safe, file.len() as u64 - 1)
    );
}

#[test]
fn budgets_hold() {
    let judge = |budgets: Budgets, bytes: &[u8]| {
        let policy = Policy {
            budgets,
            ..Policy::default()
        };
        let report = verify(Slice::new(bytes), &policy).unwrap();
        assert_eq!(report.verdict, Verdict::Unsafe, "{report:?}");
    };
    let budgets = Budgets::default();
    judge(
        Budgets {
            opcodes: 3,
            ..budgets
        },
        b"NNN00.",
    );
    judge(Budgets { memo: 1, ..budgets }, b"N\x94\x94.");
    judge(
        Budgets {
            stack: 2,
            ..budgets
        },
        b"NNN00.",
    );
    judge(
        Budgets {
            bytes: 4,
            ..budgets
        },
        b"NN0NN00.",
    );
    judge(
        Budgets {
            depth: 5,
            ..budgets
        },
        b"]]]]]]aaaaa.",
    );
    judge(
        Budgets {
            allocation: 100,
            ..budgets
        },
        b"]]]]]]aaaaa.",
    );
    judge(
        Budgets {
            time: std::time::Duration::ZERO,
            ..budgets
        },
        &b"]".repeat(50_000),
    );
}

/// Opcodes with arguments that may fit.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let simple: Vec<u8> =
        b"(.012NRabdelost}]u)\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94".to_vec();
    let piece = prop_oneof![
        4 => prop::sample::select(simple).prop_map(|opcode| vec![opcode]),
        1 => any::<u8>().prop_map(|value| vec![b'K', value]),
        1 => (0u8..8).prop_map(|index| vec![b'h', index]),
        1 => (0u8..8).prop_map(|index| vec![b'q', index]),
        1 => prop::sample::select(vec![
            &b"cnumpy\ndtype\n"[..], b"cnumpy\nndarray\n", b"cbuiltins\nset\n", b"ccollections\ndeque\n",
            b"cnumpy.core.multiarray\n_reconstruct\n", b"cpandas\nDataFrame\n", b"X\x02\0\0\0f8", b"C\x01b", b"I5\n",
            b"J\xff\xff\xff\xff", b"ccopyreg\n_reconstructor\n", b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n",
        ]).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..3),
    ];
    vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_soup_of_opcodes_is_survived(bytes in soup()) {
        let report = scan(&bytes);
        let streamed = verify(Stream::new(&bytes[..]), &Policy::default()).unwrap();
        prop_assert_eq!(report.verdict == Verdict::Safe, streamed.verdict == Verdict::Safe);
    }

    #[test]
    fn real_pickles_that_were_altered_are_survived(
        which in 0..HONEST.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = HONEST[which].1.to_vec();
        for (place, value, how) in changes {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = value,
                1 => bytes.insert(place, value),
                _ => bytes[place] ^= 1 << (value % 8),
            }
        }
        let report = scan(&bytes);
        prop_assert!(report.allocation < 1 << 40 || report.verdict != Verdict::Safe);
    }
}
