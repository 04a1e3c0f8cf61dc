//! What holds for every codec, and what other implementations wrote.

use std::io::{self, ErrorKind, Read, Write};

use proptest::prelude::*;

use super::Codec;

fn compress(codec: Codec, level: Option<i32>, content: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = codec.encoder(&mut packed, level).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap();
    packed
}

/// Reads to the end in steps of `step` bytes, but no more than `most` bytes: a test must not fill the memory.
fn read_in_steps(codec: Codec, packed: &[u8], step: usize, most: usize) -> io::Result<Vec<u8>> {
    let mut decoder = codec.decoder(packed)?;
    let (mut plain, mut piece) = (Vec::new(), vec![0; step]);
    loop {
        let read = decoder.read(&mut piece)?;
        if read == 0 || plain.len() > most {
            return Ok(plain);
        }
        plain.extend_from_slice(&piece[..read]);
    }
}

fn decompress(codec: Codec, packed: &[u8]) -> io::Result<Vec<u8>> {
    read_in_steps(codec, packed, 1 << 16, usize::MAX)
}

/// Content that compresses somewhat, without a random generator: text-like runs between noise.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::with_capacity(length + 16);
    while content.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        content.extend(state.to_le_bytes());
        content.extend(b"retained");
    }
    content.truncate(length);
    content
}

#[test]
fn names_and_extensions_lead_back() {
    for codec in Codec::ALL {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert!(codec.extension().starts_with('.'));
        assert!(codec.levels().contains(&codec.default_level()));
        assert_eq!(Codec::detect(&compress(codec, None, b"x")), Some(codec));
    }
    assert_eq!(Codec::from_name("snappy"), None);
    for plain in [
        &b""[..],
        b"\x80\x05",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"]q\x00.",
    ] {
        assert_eq!(Codec::detect(plain), None);
    }
}

#[test]
fn every_size_comes_back() {
    for codec in Codec::ALL {
        // A fast level: the sizes are the matter here.
        let least = (*codec.levels().start()).max(0);
        for length in [
            0,
            1,
            2,
            100,
            65_535,
            65_536,
            65_537,
            1 << 20,
            (1 << 20) + 1,
            1_300_003,
        ] {
            let content = sample(length);
            let packed = compress(codec, Some(least), &content);
            assert!(
                decompress(codec, &packed).unwrap() == content,
                "{codec:?} {length}"
            );
        }
    }
}

#[test]
fn every_level_comes_back() {
    let content = sample(100_000);
    for codec in Codec::ALL {
        let levels = if codec == Codec::Zstd {
            -7..=22
        } else {
            codec.levels()
        };
        for level in levels {
            let packed = compress(codec, Some(level), &content);
            assert!(
                decompress(codec, &packed).unwrap() == content,
                "{codec:?} {level}"
            );
        }
        for level in [*codec.levels().start() - 1, *codec.levels().end() + 1] {
            let Err(error) = codec.encoder(io::sink(), Some(level)) else {
                panic!("{codec:?} took level {level}");
            };
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(codec.name()));
        }
    }
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let content = sample(1_200_000);
    for codec in Codec::ALL {
        let at_once = compress(codec, Some(1), &content);
        let mut in_pieces = Vec::new();
        let mut encoder = codec.encoder(&mut in_pieces, Some(1)).unwrap();
        for piece in content.chunks(70_001) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap();
        assert!(at_once == in_pieces, "{codec:?}");
    }
    // No name and no time.
    assert_eq!(compress(Codec::Gzip, None, b"x")[3..8], [0; 5]);
}

#[test]
fn a_stream_cut_anywhere_is_truncated() {
    for codec in Codec::ALL {
        for content in [sample(0), sample(300), vec![7; 5000]] {
            let packed = compress(codec, None, &content);
            for cut in 0..packed.len() {
                match decompress(codec, &packed[..cut]) {
                    Err(error) => {
                        assert_eq!(
                            error.kind(),
                            ErrorKind::UnexpectedEof,
                            "{codec:?} {cut}: {error}"
                        );
                        assert!(error.to_string().contains(codec.name()), "{error}");
                    }
                    // The seek table is no part of what a reader from the start needs.
                    Ok(plain) => assert!(codec == Codec::Zstd && plain == content, "{cut}"),
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing_that_is_checked() {
    let content = sample(120);
    for codec in Codec::ALL {
        let packed = compress(codec, Some(1), &content);
        for at in 0..packed.len() {
            // Those that take long to begin are asked once for each byte.
            let slow = matches!(codec, Codec::Bz2 | Codec::Xz | Codec::Lzma);
            for bit in if slow { at % 8..at % 8 + 1 } else { 0..8 } {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                match read_in_steps(codec, &damaged, 4096, 1 << 22) {
                    Err(error) => assert!(
                        matches!(
                            error.kind(),
                            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                        ),
                        "{codec:?} {at} {bit}: {error:?}"
                    ),
                    // The .lzma format has no checksum.
                    Ok(plain) => {
                        assert!(
                            plain == content || codec == Codec::Lzma,
                            "{codec:?} {at} {bit}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn members_in_a_row_read_as_one() {
    let (first, second) = (sample(70_000), sample(10));
    for codec in Codec::ALL {
        let mut packed = compress(codec, None, &first);
        packed.extend(compress(codec, None, b""));
        packed.extend(compress(codec, None, &second));
        let read = decompress(codec, &packed);
        if matches!(codec, Codec::Zlib | Codec::Lzma) {
            assert_eq!(
                read.unwrap_err().kind(),
                ErrorKind::InvalidData,
                "{codec:?}"
            );
        } else {
            assert!(
                read.unwrap() == [first.clone(), second.clone()].concat(),
                "{codec:?}"
            );
        }
    }
}

#[test]
fn other_bytes_behind_are_refused() {
    let content = sample(1000);
    for codec in Codec::ALL {
        for behind in [&b"x"[..], b"\0", b"more than one byte", b".", &[0; 100]] {
            let mut packed = compress(codec, None, &content);
            packed.extend_from_slice(behind);
            let error = decompress(codec, &packed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{codec:?}: {error}");
        }
    }
}

#[test]
fn another_codec_is_no_way_to_read() {
    let content = sample(1000);
    for writer in Codec::ALL {
        let packed = compress(writer, None, &content);
        for reader in Codec::ALL {
            if reader != writer {
                let error = decompress(reader, &packed).unwrap_err();
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                    ),
                    "{writer:?} {reader:?} {error:?}"
                );
            }
        }
    }
}

/// Gives one byte at a time, with interruptions.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = into.len().min(1);
        self.0.read(&mut into[..most])
    }
}

#[test]
fn slow_input_and_small_reads_are_no_matter() {
    let content = sample(5000);
    for codec in Codec::ALL {
        let packed = compress(codec, None, &content);
        let mut plain = Vec::new();
        let mut decoder = codec.decoder(Trickle(&packed, false)).unwrap();
        let mut one = [0; 1];
        while decoder.read(&mut one).unwrap() == 1 {
            plain.push(one[0]);
        }
        assert!(plain == content, "{codec:?}");
        assert_eq!(decoder.read(&mut one).unwrap(), 0);
    }
}

/// Takes some bytes, then none.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_never_forgotten() {
    let content = sample(3_000_000);
    for codec in Codec::ALL {
        for room in [0, 10, 50_000] {
            let mut encoder = codec.encoder(Full(room), Some(1)).unwrap();
            let mut first = None;
            for piece in content.chunks(400_000) {
                let written = encoder.write_all(piece).err();
                assert!(first.is_none() || written.is_some(), "{codec:?}");
                first = first.or(written);
            }
            let last = encoder.finish().unwrap_err();
            let first = first.unwrap_or(last);
            assert_eq!(first.kind(), ErrorKind::StorageFull, "{codec:?} {room}");
        }
    }
}

#[test]
fn an_encoder_that_is_dropped_writes_no_end() {
    for codec in Codec::ALL {
        let mut packed = Vec::new();
        let mut encoder = codec.encoder(&mut packed, None).unwrap();
        encoder.write_all(&sample(1_500_000)).unwrap();
        drop(encoder);
        match decompress(codec, &packed) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{codec:?}"),
            // Whole frames in a row are a stream; without its table, and shorter.
            Ok(plain) => assert!(codec == Codec::Zstd && plain.len() < 1_500_000),
        }
    }
}

#[test]
fn a_header_that_asks_for_much_memory_gets_none() {
    // A dictionary of 4 GiB.
    let mut lzma = compress(Codec::Lzma, None, b"x");
    lzma[1..5].copy_from_slice(&[0xff; 4]);
    let error = decompress(Codec::Lzma, &lzma).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
    // A window of 2 GiB: no single segment, exponent 21.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let error = decompress(Codec::Zstd, &zstd).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Written by CPython's zlib, gzip, bz2 and lzma, by python-lz4 (as it does by default, and with all checksums) and by
/// python-zstandard.
#[test]
fn what_other_writers_wrote_is_read() {
    let content = b"retain, retained, retaining. ".repeat(9);
    let written = [
        (
            Codec::Zlib,
            "785e2b4a2d49ccccd3512802d3a9293056665eba1e5470f84b02005d6f5e27",
        ),
        (
            Codec::Gzip,
            "1f8b08000500000000ff2b4a2d49ccccd3512802d3a9293056665eba1e5470f84b0200c32761fb05010000",
        ),
        (
            Codec::Bz2,
            "425a6839314159265359fe50c07a0000699180400526a114002000508069a680a54468d34cc651b8d47b1ca5b8ee394b \
             11f231188e11ca5aa5f8bb9229c28487f28603d0",
        ),
        (
            Codec::Xz,
            "fd377a585a000004e6d6b4460200210116000000742fe5a3e0010400195d0039194aee97ea2f6165b4490e9702654980 \
             d038dca5b3b4cc0000000000c9c5324e2ba4cd8f0001358502000000aab5ed44b1c467fb020000000004595a",
        ),
        (
            Codec::Lzma,
            "5d00008000ffffffffffffffff0039194aee97ea2f6165b4490e9702654980d038dca5b5dabbc3fffee70c00",
        ),
        (
            Codec::Lz4,
            "04224d186840050100000000000037240000008272657461696e2c2008002465640a0043696e672e15000413000f1d00 \
             c250696e672e2000000000",
        ),
        (
            Codec::Lz4,
            "04224d187440bd240000008272657461696e2c2008002465640a0043696e672e15000413000f1d00c250696e672e2031 \
             d71b1f00000000b4296df5",
        ),
        (
            Codec::Zstd,
            "28b52ffd600500f500007072657461696e2c206564696e672e050057a028d8240067262d046f285c",
        ),
    ];
    for (codec, packed) in written {
        let packed = unhex(packed);
        assert_eq!(Codec::detect(&packed), Some(codec));
        assert_eq!(decompress(codec, &packed).unwrap(), content, "{codec:?}");
        for cut in 0..packed.len() {
            let error = decompress(codec, &packed[..cut]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{codec:?} {cut}");
        }
    }
}

/// A frame of linked blocks, as python-lz4 writes them by default: made by hand, so that references cross the blocks.
#[test]
fn linked_lz4_blocks_refer_to_earlier_ones() {
    let content = sample(400_000);
    let descriptor = [0b0100_0000, 4 << 4];
    let mut packed = vec![0x04, 0x22, 0x4d, 0x18, descriptor[0], descriptor[1]];
    packed.push(super::lz4::descriptor_check(&descriptor));
    let mut start = 0;
    // Blocks shorter and longer than the window of 64 KiB must slide it alike.
    for length in [100, 65_536, 40_000, 40_000, 65_536, 65_536, 1, 65_536]
        .into_iter()
        .cycle()
    {
        let end = (start + length).min(content.len());
        let before = &content[start.saturating_sub(65_536)..start];
        let block = &content[start..end];
        let mut out = vec![0; lz4_flex::block::get_maximum_output_size(block.len())];
        let size = lz4_flex::block::compress_into_with_dict(block, &mut out, before).unwrap();
        if size < block.len() {
            packed.extend(u32::try_from(size).unwrap().to_le_bytes());
            packed.extend(&out[..size]);
        } else {
            packed.extend((u32::try_from(block.len()).unwrap() | 1 << 31).to_le_bytes());
            packed.extend(block);
        }
        start = end;
        if start == content.len() {
            break;
        }
    }
    packed.extend([0; 4]);
    for step in [1000, 65_536, 1 << 20] {
        assert!(read_in_steps(Codec::Lz4, &packed, step, usize::MAX).unwrap() == content);
    }
}

/// Each block of five bytes could be made to cost the four MiB that its frame allows.
#[test]
fn tiny_blocks_in_a_frame_of_large_ones_are_quick() {
    for flags in [0b0100_0000, 0b0110_0000] {
        let descriptor = [flags, 7 << 4];
        let mut packed = vec![0x04, 0x22, 0x4d, 0x18, descriptor[0], descriptor[1]];
        packed.push(super::lz4::descriptor_check(&descriptor));
        for _ in 0..100_000 {
            packed.extend([1, 0, 0, 0x80, b'x']);
        }
        packed.extend([0; 4]);
        assert!(decompress(Codec::Lz4, &packed).unwrap() == vec![b'x'; 100_000]);
    }
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(&Codec::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_content_comes_back(
        codec in any_codec(),
        content in prop::collection::vec(any::<u8>(), 0..5000),
        repeat in 1_usize..40,
        write in 1_usize..70_000,
        read in 1_usize..70_000,
    ) {
        let content = content.repeat(repeat);
        let mut packed = Vec::new();
        let mut encoder = codec.encoder(&mut packed, Some(1)).unwrap();
        for piece in content.chunks(write) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap();
        prop_assert!(read_in_steps(codec, &packed, read, usize::MAX).unwrap() == content);
    }

    #[test]
    fn any_bytes_end_in_an_error_or_an_end(
        codec in any_codec(),
        keep in 0_usize..20,
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = compress(codec, None, b"some content of a file");
        bytes.truncate(keep);
        bytes.extend(noise);
        let _ = read_in_steps(codec, &bytes, 4096, 1 << 24);
    }
}

#[test]
fn a_reader_that_failed_fails_again() {
    for codec in Codec::ALL {
        let mut packed = Vec::new();
        let mut encoder = codec.encoder(&mut packed, None).unwrap();
        encoder.write_all(&[7; 5000]).unwrap();
        encoder.finish().unwrap();
        let middle = packed.len() / 2;
        packed.truncate(middle);
        let mut decoder = codec.decoder(&packed[..]).unwrap();
        let first = std::io::copy(&mut decoder, &mut std::io::sink()).unwrap_err();
        for _ in 0..3 {
            let again = decoder.read(&mut [0; 100]).unwrap_err();
            assert_eq!(again.kind(), first.kind(), "{}", codec.name());
        }
    }
}
