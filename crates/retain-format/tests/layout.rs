//! What the splicer writes is read back, and damage to it is found.

use proptest::prelude::*;
use retain_format::opcode::{
    APPEND, BININT1, BYTEARRAY8, EMPTY_LIST, FRAME, NEXT_BUFFER, POP, PROTO, READONLY_BUFFER,
    SHORT_BINUNICODE, STOP,
};
use retain_format::verify::{Policy, Slice, Verdict, verify};
use retain_format::{
    ALIGNMENT, Buffer, Error, Fed, HEAD_LEN, Head, Splicer, Stored, Trailer, Window,
};

/// One part of a made-up value, as a pickler of protocol 5 would write it.
#[derive(Debug, Clone)]
enum Part {
    Number(u8),
    Text(Vec<u8>),
    InBand(Vec<u8>),
    Buffer { data: Vec<u8>, writable: bool },
}

fn part() -> impl Strategy<Value = Part> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        any::<u8>().prop_map(Part::Number),
        bytes(200).prop_map(Part::Text),
        bytes(3000).prop_map(Part::InBand),
        (bytes(20_000), any::<bool>()).prop_map(|(data, writable)| Part::Buffer { data, writable }),
    ]
}

fn opcodes(parts: &[Part], framed: bool) -> Vec<u8> {
    let mut stream = vec![PROTO, 5, EMPTY_LIST];
    for part in parts {
        if framed {
            stream.push(FRAME);
            stream.extend(9u64.to_le_bytes());
        }
        match part {
            Part::Number(number) => stream.extend([BININT1, *number]),
            Part::Text(text) => {
                stream.extend([SHORT_BINUNICODE, u8::try_from(text.len()).unwrap()]);
                stream.extend(text);
            }
            Part::InBand(data) => {
                stream.push(BYTEARRAY8);
                stream.extend((data.len() as u64).to_le_bytes());
                stream.extend(data);
            }
            Part::Buffer { writable, .. } => {
                stream.push(NEXT_BUFFER);
                if !writable {
                    stream.push(READONLY_BUFFER);
                }
            }
        }
        stream.push(APPEND);
    }
    stream.push(STOP);
    stream
}

/// The file of `parts`, whose opcodes arrive in portions.
fn written(parts: &[Part], portion: usize, framed: bool, base: u64, known: bool) -> Vec<u8> {
    let mut splicer = Splicer::new(Vec::new(), base).unwrap();
    let mut buffers = parts.iter().filter_map(|part| match part {
        Part::Buffer { data, writable } => Some((data, *writable)),
        _ => None,
    });
    for mut portion in opcodes(parts, framed).chunks(portion) {
        while splicer.feed(&mut portion).unwrap() == Fed::Buffer {
            let (data, writable) = buffers.next().unwrap();
            splicer.buffer(writable, data).unwrap();
        }
    }
    let (mut file, finished) = splicer.finish("a test").unwrap();
    assert_eq!(file.len() as u64, finished.len);
    if known {
        file[..HEAD_LEN].copy_from_slice(&finished.head.encode());
    }
    file
}

/// The opcodes without FRAMEs and padding, and the buffers.
fn read(file: &Vec<u8>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
    let mut stored = Stored::open(file)?.unwrap_or_else(|_| panic!("no retain file"));
    stored.check_skeleton()?;
    let mut stream = Vec::new();
    let mut skeleton = stored.skeleton();
    loop {
        let filled = skeleton.fill(&stored)?;
        let count = filled.len().min(1000);
        stream.extend_from_slice(&filled[..count]);
        if count == 0 {
            break;
        }
        skeleton.consume(count);
    }
    let mut window = Window::new();
    let mut buffers = Vec::new();
    for (index, buffer) in stored.buffers().iter().enumerate() {
        let mut data = vec![0; usize::try_from(buffer.len).unwrap()];
        stored.read_buffer(&mut window, index, &mut data)?;
        buffers.push(data);
    }
    Ok((stream, buffers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(
        parts in prop::collection::vec(part(), 0..20),
        portion in 1usize..5000,
        framed: bool,
        known: bool,
        base in 0u64..1000,
    ) {
        let file = written(&parts, portion, framed, base, known);
        prop_assert_eq!(&file, &written(&parts, usize::MAX, false, base, known), "however the opcodes arrive");
        let (_, buffers) = read(&file).unwrap();
        let expected: Vec<Vec<u8>> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Buffer { data, .. } => Some(data.clone()),
                _ => None,
            })
            .collect();
        prop_assert_eq!(buffers, expected);
        let stored = Stored::open(&file).unwrap().unwrap_or_else(|_| panic!("no retain file"));
        for buffer in stored.buffers() {
            prop_assert_eq!((base + buffer.offset) % ALIGNMENT, 0);
        }
    }

    #[test]
    fn every_damage_is_found(
        parts in prop::collection::vec(part(), 1..6),
        known: bool,
        place: prop::sample::Index,
        change in 1u8..=255,
        cut: bool,
    ) {
        let whole = written(&parts, 4096, true, 0, known);
        let mut file = whole.clone();
        let place = place.index(file.len());
        if cut {
            file.truncate(place);
        } else {
            file[place] ^= change;
        }
        match Stored::open(&file) {
            // The head no longer says that it is retain's: some other reader's turn.
            Ok(Err(_)) => prop_assert!(place < HEAD_LEN),
            Ok(Ok(_)) => prop_assert!(read(&file).is_err()),
            Err(_) => {}
        }
    }
}

#[test]
fn opcodes_stay_as_they_are() {
    let parts = [
        Part::Number(7),
        Part::Text(b"abc".to_vec()),
        Part::InBand(vec![0; 300]),
    ];
    let file = written(&parts, 4, true, 0, true);
    let (stream, _) = read(&file).unwrap();
    let value = opcodes(&parts, false);
    let (value, stop) = value.split_at(value.len() - 1);
    let trailer = stream.strip_prefix(value).unwrap();
    assert!(
        trailer.len() <= 75 && trailer.ends_with(&[POP, STOP]),
        "{trailer:?}"
    );
    assert_eq!(stop, [STOP]);
}

#[test]
fn a_large_buffer_is_hashed_and_read_in_pieces() {
    let data: Vec<u8> = (0..11_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
    let parts = [Part::Buffer {
        data: data.clone(),
        writable: true,
    }];
    let file = written(&parts, 4096, true, 0, true);
    let (_, buffers) = read(&file).unwrap();
    assert!(buffers == [data.clone()]);
    for place in [HEAD_LEN + 200, 5_000_000, 11_000_000] {
        let mut damaged = file.clone();
        damaged[place] ^= 1;
        let error = read(&damaged).unwrap_err();
        assert!(error.to_string().contains("array 1 of 1"), "{error}");
    }
    // Written in two halves, which are hashed differently.
    let mut splicer = Splicer::new(Vec::new(), 0).unwrap();
    let stream = opcodes(&parts, false);
    let mut rest = &stream[..];
    assert_eq!(splicer.feed(&mut rest).unwrap(), Fed::Buffer);
    splicer.begin_buffer(true, data.len() as u64).unwrap();
    splicer.buffer_bytes(&data[..5_000_001]).unwrap();
    splicer.buffer_bytes(&data[5_000_001..]).unwrap();
    splicer.end_buffer().unwrap();
    assert_eq!(splicer.feed(&mut rest).unwrap(), Fed::All);
    let (halves, finished) = splicer.finish("a test").unwrap();
    assert!(halves[HEAD_LEN..] == file[HEAD_LEN..]);
    assert_eq!(finished.head, Head::parse(&file).unwrap().unwrap());
}

#[test]
fn a_pickler_that_misbehaves_is_told() {
    for stream in [
        &[PROTO, 4, STOP][..],
        &[PROTO, 5, READONLY_BUFFER, STOP],
        &[PROTO, 5, b'!', STOP],
        &[PROTO, 5, b'I', b'1', b'\n', STOP],
        &[PROTO, 5, STOP, STOP, b'N'],
    ] {
        let mut splicer = Splicer::new(Vec::new(), 0).unwrap();
        assert!(
            matches!(splicer.feed(&mut &*stream), Err(Error::Malformed { .. })),
            "{stream:?}"
        );
    }
    let mut splicer = Splicer::new(Vec::new(), 0).unwrap();
    splicer.feed(&mut &[PROTO, 5, b'N'][..]).unwrap();
    assert!(splicer.finish("a test").is_err());
}

#[test]
fn what_is_no_retain_file_is_given_back() {
    for bytes in [
        &b""[..],
        b"\x80\x05N.",
        &[0; 100],
        b"\x80\x05C\x20nothing of ours in these 32 bytes at all, is there0N.",
    ] {
        assert!(Stored::open(bytes).unwrap().is_err());
    }
}

#[test]
fn an_index_that_lies_is_found_by_who_verified_the_stream() {
    let parts = [
        Part::Buffer {
            data: vec![1; 1000],
            writable: true,
        },
        Part::InBand(vec![2; 3000]),
        Part::Buffer {
            data: vec![3; 500],
            writable: false,
        },
    ];
    let honest = written(&parts, usize::MAX, false, 0, true);
    let head = Head::parse(&honest).unwrap().unwrap();
    let (trailer, at) = Trailer::read(&honest, head).unwrap();
    let at = usize::try_from(at).unwrap();
    // The same file with another index, all of whose checksums are right.
    let check = |buffers: &[Buffer]| {
        let told = Trailer {
            buffers: buffers.to_vec(),
            ..trailer.clone()
        };
        let mut file = honest.clone();
        let record = told.encode();
        file.splice(at..file.len() - 2, record.iter().copied());
        let len = at - 8;
        file[len..at].copy_from_slice(&(record.len() as u64).to_le_bytes());
        let head = Head {
            buffers: buffers.len() as u64,
            ..head
        };
        file[..HEAD_LEN].copy_from_slice(&head.encode());
        let report = verify(Slice::new(&file), &Policy::default()).unwrap();
        assert_eq!(report.verdict, Verdict::Safe, "{report:?}");
        let Ok(stored) = Stored::open(&file)? else {
            panic!("no retain file");
        };
        stored.check_plan(&report.plan)
    };
    let [first, second] = *trailer.buffers.as_slice() else {
        panic!("two buffers");
    };
    check(&[first, second]).unwrap();
    // Whose bytes stay among the opcodes.
    check(&[first]).unwrap();
    let within = Buffer {
        offset: first.offset + 64,
        len: first.len - 64,
        ..first
    };
    let shorter = Buffer {
        len: first.len - 1,
        ..first
    };
    let longer = Buffer {
        len: first.len + 1,
        ..first
    };
    let sealed = Buffer {
        writable: false,
        ..first
    };
    let opened = Buffer {
        writable: true,
        ..second
    };
    let across = Buffer {
        len: second.offset + second.len - first.offset,
        ..first
    };
    for lie in [
        &[within, second][..],
        &[shorter, second],
        &[longer, second],
        &[sealed, second],
        &[first, opened],
        &[across],
    ] {
        assert!(matches!(check(lie), Err(Error::Corrupt(_))), "{lie:?}");
    }
}
