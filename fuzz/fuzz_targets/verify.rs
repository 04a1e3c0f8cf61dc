#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retain_fuzz::verify(bytes));
