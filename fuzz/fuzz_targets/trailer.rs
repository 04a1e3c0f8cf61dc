//! A retain file whose head, trailer and length are the fuzzer's, with the checksums that make them believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retain_format::{Head, Stored, Trailer, Window};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"retain\xff\x01";

fn read(file: &[u8]) {
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

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
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
    read(&file);
});
