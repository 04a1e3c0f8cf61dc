//! Any bytes as a `.npy` header: what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retain_format::npy::Header;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, start)) = Header::parse(bytes) {
        assert!(start <= bytes.len());
        let written = header.encode().expect("what was read can be written");
        assert_eq!(Header::parse(&written).expect("and read").0, header);
    }
});
