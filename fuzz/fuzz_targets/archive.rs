//! Any bytes, opened as a file and read in full: no panic, and no array that is larger than the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retain_format::archive::{Archive, Value};

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

fuzz_target!(|bytes: &[u8]| {
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
});
