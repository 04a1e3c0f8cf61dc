//! Any bytes, decompressed by the codec they look like: an end or an error, and the same in pieces as at once.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use retain_format::Codec;

const MOST: u64 = 1 << 22;

fn read(codec: Codec, bytes: &[u8], step: usize) -> Result<Vec<u8>, std::io::ErrorKind> {
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

fuzz_target!(|bytes: &[u8]| {
    let Some(codec) = Codec::detect(bytes) else {
        return;
    };
    let at_once = read(codec, bytes, 1 << 21);
    let in_pieces = read(codec, bytes, 1000);
    assert_eq!(at_once.is_ok(), in_pieces.is_ok());
    if let (Ok(at_once), Ok(in_pieces)) = (at_once, in_pieces) {
        assert!(at_once == in_pieces);
    }
});
