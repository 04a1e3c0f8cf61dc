//! Any bytes as a zstd file with a seek table: never content that reading from the start would not give.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use retain_format::{Codec, ReadAt, Seekable};

fuzz_target!(|bytes: &[u8]| {
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
});
