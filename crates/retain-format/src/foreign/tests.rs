use proptest::prelude::*;

use super::*;

/// What a stream is made of.
#[derive(Debug, Clone)]
enum Part {
    /// Opcodes that an unpickler is to have as they are.
    Opcodes(Vec<u8>),
    /// A FRAME of this length.
    Frame(u64),
    /// The data of an array, padding and all.
    Array(Vec<u8>),
    /// A pickle in the place of an array's data.
    Pickle(Vec<u8>),
    /// A buffer of retain's behind its padding.
    Buffer(Vec<u8>, bool),
}

use Part::{Array, Buffer, Frame, Opcodes, Pickle};

fn bytes(parts: &[Part]) -> Vec<u8> {
    let mut stream = Vec::new();
    for part in parts {
        match part {
            Opcodes(bytes) | Array(bytes) | Pickle(bytes) => stream.extend(bytes),
            Frame(length) => {
                stream.push(op::FRAME);
                stream.extend(length.to_le_bytes());
            }
            Buffer(bytes, read_only) => {
                stream.push(if *read_only {
                    op::BINBYTES8
                } else {
                    op::BYTEARRAY8
                });
                stream.extend((bytes.len() as u64).to_le_bytes());
                stream.extend(bytes);
            }
        }
    }
    stream
}

/// What an unpickler is to be handed, but for the pickles in arrays' places.
fn opcodes(parts: &[Part]) -> Vec<u8> {
    let mut stream = Vec::new();
    for part in parts {
        match part {
            Opcodes(bytes) => stream.extend(bytes),
            Frame(_) => {}
            Array(_) | Pickle(_) => stream.push(op::BINPERSID),
            Buffer(..) => stream.push(op::NEXT_BUFFER),
        }
    }
    stream
}

/// A wrapper with its state, of which only joblib's caller makes sense.
fn wrapper(protocol: u8, class: &str) -> Vec<u8> {
    let module = match class {
        "NumpyArrayWrapper" => "joblib.numpy_pickle",
        _ => "joblib.numpy_pickle_compat",
    };
    let global = format!("c{module}\n{class}\n").into_bytes();
    let reconstructor = b"ccopy_reg\n_reconstructor\n(";
    match protocol {
        0 => [
            reconstructor,
            &global[..],
            b"c__builtin__\nobject\nNtR(dVshape\n(I2\ntsb",
        ]
        .concat(),
        1 => [
            reconstructor,
            &global[..],
            b"c__builtin__\nobject\nNtR}X\x05\0\0\0shape(K\x02tsb",
        ]
        .concat(),
        2 | 3 => [&global[..], b")\x81}X\x05\0\0\0shapeK\x02\x85sb"].concat(),
        _ => {
            let mut stream = Vec::new();
            for text in [module, class] {
                stream.extend([op::SHORT_BINUNICODE, u8::try_from(text.len()).unwrap()]);
                stream.extend(text.bytes());
                stream.push(op::MEMOIZE);
            }
            stream.extend(b"\x93)\x81\x94}\x94\x8c\x05shapeK\x02\x85sb");
            stream
        }
    }
}

/// A list of two arrays, whose data look like opcodes, and a text.
fn joblibs(protocol: u8) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut head = Vec::new();
    if protocol >= 2 {
        head.extend([op::PROTO, protocol]);
    }
    head.extend(b"(l");
    parts.push(Opcodes(head));
    let frame = |parts: &mut Vec<Part>| {
        if protocol >= 4 {
            // As joblib has it: a frame ends with the wrapper.
            parts.push(Frame(wrapper(protocol, "NumpyArrayWrapper").len() as u64));
        }
    };
    frame(&mut parts);
    parts.push(Opcodes(wrapper(protocol, "NumpyArrayWrapper")));
    parts.push(Array(b"\x04\xff\xff\xff\xff..((RRbb\x95\xff".to_vec()));
    parts.push(Opcodes(b"a".to_vec()));
    frame(&mut parts);
    parts.push(Opcodes(wrapper(protocol, "NumpyArrayWrapper")));
    parts.push(Array(vec![op::STOP; 300]));
    parts.push(Opcodes(
        [b"aX\x2c\x01\0\0", [b'x'; 300].as_slice(), b"aVend\na."].concat(),
    ));
    parts
}

/// A `Read` that gives a few bytes at a time.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.1).min(self.0.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Read a stream whose data are known, as an unpickler and its caller would; what the unpickler gets, and how many bytes
/// of the input were read.
fn unpickle<R: Read>(
    mut foreign: Foreign<R>,
    parts: &[Part],
    peeks: bool,
) -> Result<(Vec<u8>, Foreign<R>), Error> {
    let mut handed = Vec::new();
    let mut data = parts
        .iter()
        .filter(|part| matches!(part, Array(_) | Pickle(_) | Buffer(..)));
    loop {
        let piece = foreign.fill()?.to_vec();
        if piece.is_empty() {
            assert!(foreign.ended());
            return Ok((handed, foreign));
        }
        handed.extend(&piece);
        let pauses = piece == [op::BINPERSID] || piece == [op::NEXT_BUFFER];
        if !(pauses && peeks) {
            foreign.consume(piece.len());
        }
        let Some(pause) = foreign.arrive() else {
            continue;
        };
        assert!(pauses);
        assert!(
            foreign.fill()?.is_empty(),
            "nothing before the data are read"
        );
        match data.next().unwrap() {
            Array(bytes) => {
                assert!(matches!(pause, Pause::Array(_)));
                let (mut front, mut back) = (
                    vec![0; bytes.len() / 3],
                    vec![0; bytes.len() - bytes.len() / 3],
                );
                foreign.read_raw(&mut front)?;
                foreign.read_raw(&mut back)?;
                assert_eq!([front, back].concat(), *bytes);
            }
            Pickle(bytes) => {
                let begin = foreign.position();
                foreign.enter()?;
                let mut inner: Vec<u8> = Vec::new();
                while !foreign.ended() {
                    let piece = foreign.fill()?;
                    inner.extend(piece);
                    let length = piece.len();
                    foreign.consume(length);
                }
                foreign.leave()?;
                assert_eq!(inner, *bytes);
                assert_eq!(foreign.position(), begin + bytes.len() as u64);
            }
            Buffer(bytes, read_only) => {
                let expected = Pause::Buffer {
                    length: bytes.len() as u64,
                    read_only: *read_only,
                };
                assert_eq!(pause, expected);
                let mut got = vec![0; bytes.len()];
                foreign.read_raw(&mut got)?;
                assert_eq!(got, *bytes);
                assert!(foreign.read_raw(&mut [0]).is_err(), "not beyond the buffer");
            }
            Opcodes(_) | Frame(_) => unreachable!(),
        }
        foreign.resume()?;
    }
}

/// However the bytes come in, an unpickler is handed the same; and each cut is noticed.
fn check(parts: &[Part]) {
    let (stream, expected) = (bytes(parts), opcodes(parts));
    for (drop, ahead) in [
        (1, CHUNK),
        (3, 0),
        (7, 16),
        (64, 64),
        (usize::MAX, 0),
        (usize::MAX, CHUNK),
    ] {
        for peeks in [false, true] {
            let foreign = Foreign::new(Drops(&stream, drop)).read_ahead(ahead);
            let (handed, foreign) = unpickle(foreign, parts, peeks).unwrap();
            assert_eq!(handed, expected, "{drop} at a time, {ahead} ahead");
            assert_eq!(foreign.position(), stream.len() as u64);
        }
    }
    for end in 0..stream.len() {
        for ahead in [0, 50] {
            let foreign = Foreign::new(Drops(&stream[..end], 11)).read_ahead(ahead);
            let cut = unpickle(foreign, parts, false).map(|(handed, _)| handed);
            assert!(
                matches!(cut, Err(Error::Truncated(_))),
                "cut at {end}: {cut:?}"
            );
        }
        // An end that is known is for lengths that are not to be believed; it is not looked at for each byte.
        let limits = Limits {
            end: end as u64,
            ..Limits::default()
        };
        let foreign = Foreign::new(&stream[..]).limited(limits).read_ahead(50);
        match unpickle(foreign, parts, false) {
            Ok((handed, _)) => assert_eq!(handed, expected),
            Err(error) => assert!(
                matches!(error, Error::Truncated(_)),
                "limited to {end}: {error}"
            ),
        }
    }
}

#[test]
fn arrays_in_all_protocols() {
    for protocol in 0..=5 {
        check(&joblibs(protocol));
    }
}

#[test]
fn an_array_alone_and_one_without_data() {
    for data in [&b""[..], b"\x01\xff", b"."] {
        check(&[
            Opcodes(wrapper(4, "NumpyArrayWrapper")),
            Array(data.to_vec()),
            Opcodes(b".".to_vec()),
        ]);
    }
}

#[test]
fn an_array_of_objects_is_a_pickle_of_its_own() {
    // What is a wrapper by its name inside of it is not joblib's doing.
    let inner = [
        b"\x80\x05(l".as_slice(),
        &wrapper(5, "NumpyArrayWrapper"),
        b"aK\x01h\x00a.",
    ]
    .concat();
    check(&[
        Opcodes(b"\x80\x04(l".to_vec()),
        Opcodes(wrapper(4, "NumpyArrayWrapper")),
        Pickle(inner),
        Opcodes(b"a".to_vec()),
        Opcodes(wrapper(4, "NumpyArrayWrapper")),
        Array(b"\x01\xff.".to_vec()),
        Opcodes(b"a.".to_vec()),
    ]);
}

#[test]
fn old_wrappers_have_no_data_here() {
    for class in ["NDArrayWrapper", "ZNDArrayWrapper"] {
        for protocol in [0, 2, 3] {
            check(&[
                Opcodes(wrapper(protocol, class)),
                Array(Vec::new()),
                Opcodes(b".".to_vec()),
            ]);
        }
    }
}

fn padded(length: u8) -> Vec<u8> {
    let mut padding = b"retain\xb5\0".to_vec();
    padding.resize(usize::from(length), 0);
    [&[op::SHORT_BINBYTES, length][..], &padding, &[op::POP]].concat()
}

#[test]
fn buffers_of_retain() {
    check(&[
        Opcodes(b"\x80\x05(l".to_vec()),
        Opcodes(padded(8)),
        Buffer(vec![op::STOP; 100], false),
        Opcodes(b"a".to_vec()),
        Opcodes(padded(71)),
        Buffer(b"xyz".to_vec(), true),
        Opcodes(b"aC\x03abc0\x8e\x03\0\0\0\0\0\0\0abc0.".to_vec()),
    ]);
}

#[test]
fn what_is_not_wanted_is_passed_over() {
    let parts = joblibs(4);
    let stream = bytes(&parts);
    let by_reading = |stream: &[u8]| skip_all(Foreign::new(Drops(stream, 5)).read_ahead(8), &parts);
    let by_seeking = |stream: &[u8]| {
        skip_all(
            Foreign::seekable(io::Cursor::new(stream)).read_ahead(8),
            &parts,
        )
    };
    assert_eq!(by_reading(&stream).unwrap(), opcodes(&parts));
    assert_eq!(by_seeking(&stream).unwrap(), opcodes(&parts));
    for end in 0..stream.len() {
        assert!(
            matches!(by_reading(&stream[..end]), Err(Error::Truncated(_))),
            "{end}"
        );
        assert!(
            matches!(by_seeking(&stream[..end]), Err(Error::Truncated(_))),
            "{end}"
        );
    }
}

fn skip_all<R: Read>(mut foreign: Foreign<R>, parts: &[Part]) -> Result<Vec<u8>, Error> {
    let mut handed = Vec::new();
    let mut data = parts.iter().filter_map(|part| match part {
        Array(bytes) => Some(bytes.len() as u64),
        _ => None,
    });
    while !foreign.ended() {
        let piece = foreign.fill()?.to_vec();
        handed.extend(&piece);
        foreign.consume(piece.len());
        if foreign.arrive().is_some() {
            foreign.skip_raw(data.next().unwrap())?;
            foreign.resume()?;
        }
    }
    Ok(handed)
}

#[test]
fn nothing_behind_the_stream_is_read_where_none_may_be() {
    let parts = joblibs(5);
    let stream = [bytes(&parts), b"something else".to_vec()].concat();
    let foreign = Foreign::new(&stream[..]).read_ahead(0);
    let (_, foreign) = unpickle(foreign, &parts, false).unwrap();
    assert!(foreign.unread().is_empty());
    assert_eq!(foreign.into_inner(), b"something else");
    let (_, foreign) = unpickle(Foreign::new(&stream[..]), &parts, false).unwrap();
    assert_eq!(foreign.unread(), b"something else");
}

#[test]
fn an_array_that_ends_early_is_named() {
    let parts = joblibs(4);
    let stream = bytes(&parts);
    let error = unpickle(Foreign::new(&stream[..stream.len() - 400]), &parts, false)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("in the middle of array 2"),
        "{error}"
    );
}

#[test]
fn ids_of_the_stream_itself_are_told_from_ours() {
    let stream = [
        b"K\x01Q0".as_slice(),
        &wrapper(4, "NumpyArrayWrapper"),
        b".",
    ]
    .concat();
    let mut foreign = Foreign::new(&stream[..]);
    assert!(foreign.fill().unwrap().starts_with(b"K\x01Q"));
    assert_eq!(foreign.arrive(), None);
    assert!(foreign.read_raw(&mut [0]).is_err());
    assert!(foreign.resume().is_err());
    assert!(foreign.enter().is_err());
    assert!(foreign.leave().is_err());
}

#[test]
fn a_length_alone_takes_no_memory() {
    for stream in [
        &b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"[..],
        b"\x8d\0\0\0\0\0\x01\0\0",
        b"X\xff\xff\xff\xffabc",
    ] {
        let mut foreign = Foreign::new(stream);
        let error = loop {
            match foreign.fill() {
                Ok(piece) => {
                    let length = piece.len();
                    foreign.consume(length);
                }
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, Error::Truncated(_) | Error::Malformed { .. }),
            "{error}"
        );
        assert!(foreign.data.capacity() <= 4 * CHUNK);
    }
}

#[test]
fn errors_of_a_decompressor_keep_their_kind() {
    struct Fails(io::ErrorKind);
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    let head = wrapper(4, "NumpyArrayWrapper");
    for kind in [
        io::ErrorKind::InvalidData,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::Other,
    ] {
        let expect = |error: &Error| match kind {
            io::ErrorKind::InvalidData => assert!(matches!(error, Error::Corrupt(_))),
            io::ErrorKind::UnexpectedEof => assert!(matches!(error, Error::Truncated(_))),
            _ => assert!(matches!(error, Error::Io(_))),
        };
        expect(&Foreign::new(Fails(kind)).fill().unwrap_err());
        let mut foreign = Foreign::new(head.chain(Fails(kind)));
        let length = foreign.fill().unwrap().len();
        foreign.consume(length);
        assert_eq!(foreign.fill().unwrap(), [op::BINPERSID]);
        assert!(foreign.arrive().is_some());
        expect(&foreign.read_raw(&mut [0]).unwrap_err());
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic_or_run_for_ever(
        mut stream in prop::collection::vec(any::<u8>(), 0..400),
        protocol in 0..6_u8,
        at in any::<prop::sample::Index>(),
        ahead in prop::sample::select(vec![0, 1, 50, CHUNK]),
    ) {
        // Noise in the middle of something that makes sense.
        let sense = bytes(&joblibs(protocol));
        let cut = at.index(sense.len());
        stream = [&sense[..cut], &stream, &sense[cut..]].concat();
        let mut foreign = Foreign::new(&stream[..]).read_ahead(ahead);
        let mut handed = 0;
        while let Ok(piece) = foreign.fill() {
            let length = piece.len();
            if length == 0 {
                break;
            }
            handed += length;
            foreign.consume(length);
            match foreign.arrive() {
                Some(Pause::Array(_)) if length % 2 == 0 && foreign.enter().is_err() => break,
                Some(_) if foreign.read_raw(&mut [0; 5]).is_err() || foreign.resume().is_err() => break,
                _ => {}
            }
            prop_assert!(handed <= stream.len() + 10);
        }
    }
}
