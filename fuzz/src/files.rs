//! The readers of files: whatever the bytes, an end or an error, and memory within bounds.

use std::io::{ErrorKind, Read};

use retain_format::archive::Value;
use retain_format::npy::Header;
use retain_format::{Archive, Codec, Head, ReadAt, Seekable, Stored, Trailer, Window};
use xxhash_rust::xxh3::xxh3_64;

fn look(value: Value<'_>, depth: u32, left: &mut u32) {
    if depth > 20 || *left == 0 {
        return;
    }
    *left -= 1;
    let _ = format!("{:?}", value.kind());
    for item in value.items().take(20) {
        look(item, depth + 1, left);
    }
    for (key, item) in value.entries().take(20) {
        look(key, depth + 1, left);
        look(item, depth + 1, left);
    }
}

/// Any bytes, opened as a file and read in full: no panic, and no array that is larger than the file.
pub fn archive(bytes: &[u8]) {
    // Compressed files have a target of their own.
    if retain_format::Codec::detect(bytes).is_some() {
        return;
    }
    let Ok(archive) = Archive::from_bytes(bytes.to_vec()) else {
        return;
    };
    look(archive.root(), 0, &mut 1000);
    let _ = archive.check();
    for info in archive.arrays() {
        let value = archive.get(&info.path).expect("what is listed is found");
        for length in [
            value.array::<f64>().map(|array| array.data.len() * 8),
            value.array::<bool>().map(|array| array.data.len()),
            value.array::<[f32; 2]>().map(|array| array.data.len() * 8),
        ] {
            assert!(length.unwrap_or_default() <= bytes.len());
        }
    }
}

/// What is read of a stream: bombs have no end.
const MOST: u64 = 1 << 22;

fn decompress(codec: Codec, bytes: &[u8], step: usize) -> Result<Vec<u8>, ErrorKind> {
    let mut plain = Vec::new();
    let mut decoder = codec
        .decoder(bytes)
        .map_err(|error| error.kind())?
        .take(MOST);
    let mut piece = vec![0; step];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(plain),
            Ok(count) => plain.extend_from_slice(&piece[..count]),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return Err(error.kind());
            }
        }
    }
}

/// Any bytes, decompressed by the codec they look like: an end or an error, and the same in pieces as at once.
pub fn codecs(bytes: &[u8]) {
    let Some(codec) = Codec::detect(bytes) else {
        return;
    };
    let at_once = decompress(codec, bytes, 1 << 21);
    let in_pieces = decompress(codec, bytes, 1000);
    assert_eq!(at_once.is_ok(), in_pieces.is_ok());
    if let (Ok(at_once), Ok(in_pieces)) = (at_once, in_pieces) {
        assert!(at_once == in_pieces);
    }
}

/// Any bytes as a `.npy` header: what is read is written and read again.
pub fn npy(bytes: &[u8]) {
    if let Ok((header, start)) = Header::parse(bytes) {
        assert!(start <= bytes.len());
        let written = header.encode().expect("what was read can be written");
        assert_eq!(Header::parse(&written).expect("and read").0, header);
    }
}

/// Any bytes as a zstd file with a seek table: never content that reading from the start would not give.
pub fn seek_table(bytes: &[u8]) {
    // So that entries are found without guessing magic numbers: the input is frames, and the lengths to tell of them.
    let Some((&count, rest)) = bytes.split_first() else {
        return;
    };
    let entries = usize::from(count % 8) * 8;
    if rest.len() < entries {
        return;
    }
    let (lengths, frames) = rest.split_at(entries);
    let mut file = frames.to_vec();
    file.extend(0x184d_2a5e_u32.to_le_bytes());
    file.extend((entries as u32 + 9).to_le_bytes());
    file.extend(lengths);
    file.extend(u32::from(count % 8).to_le_bytes());
    file.push(if count >= 128 { 0x80 } else { 0 });
    file.extend(0x8f92_eab1_u32.to_le_bytes());
    let Ok(Some(seekable)) = Seekable::open(file.as_slice()) else {
        return;
    };
    let length = seekable.len();
    if length > 1 << 20 {
        return;
    }
    let mut content = vec![0; length as usize];
    if seekable.read_exact_at(&mut content, 0).is_ok() {
        let mut decoder = Codec::Zstd.decoder(file.as_slice()).expect("memory");
        let mut plain = Vec::new();
        if decoder.read_to_end(&mut plain).is_ok() {
            assert!(plain == content);
        }
        let mut part = vec![0; content.len() / 2];
        seekable
            .read_exact_at(&mut part, length / 4)
            .expect("a part of what was read");
        assert!(part == content[(length / 4) as usize..][..part.len()]);
    }
}

const MAGIC: &[u8; 8] = b"retain\xff\x01";

fn read_stored(file: &[u8]) {
    let Ok(Ok(mut stored)) = Stored::open(file) else {
        return;
    };
    let _ = stored.check_skeleton();
    let mut skeleton = stored.skeleton();
    let mut taken = 0;
    while let Ok(bytes) = skeleton.fill(&stored) {
        if bytes.is_empty() || taken > file.len() * 2 {
            break;
        }
        let count = bytes.len();
        taken += count;
        skeleton.consume(count);
    }
    let mut window = Window::new();
    for (index, buffer) in stored.buffers().iter().enumerate() {
        // No buffer lies outside of the file, so this is all the memory that a reader needs.
        let length = usize::try_from(buffer.len).expect("a length in the file");
        assert!(length <= file.len());
        let _ = stored.read_buffer(&mut window, index, &mut vec![0; length]);
    }
}

/// A retain file whose head, trailer and length are the fuzzer's, with the checksums that make them believed.
pub fn trailer(bytes: &[u8]) {
    read_stored(bytes);
    let Some((numbers, rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let (body_length, trailer) = (usize::from(numbers[0]) * 4, usize::from(numbers[1]));
    if rest.len() < body_length {
        return;
    }
    let (body, fields) = rest.split_at(body_length);
    let record_length = 8 + fields.len() + 24;
    let offset = 37 + body.len() + 9;
    let head = Head {
        trailer: if trailer == 0 {
            0
        } else {
            (offset + trailer - 1) as u64
        },
        buffers: numbers[2].into(),
    };
    let mut record = MAGIC.to_vec();
    record.extend(fields);
    // Of each MiB, and then of these.
    let sum = xxh3_64(&xxh3_64(&record).to_le_bytes());
    record.extend(sum.to_le_bytes());
    record.extend((record_length as u64).to_le_bytes());
    record.extend(MAGIC);
    let _ = Trailer::parse(&record, u64::from(numbers[3]) << 4);

    let mut file = head.encode().to_vec();
    file.extend(body);
    file.push(0x8e);
    file.extend((record_length as u64).to_le_bytes());
    file.extend(record);
    file.extend(b"0.");
    read_stored(&file);
}
