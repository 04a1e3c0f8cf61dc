//! What a folder costs: `cargo bench -p retain-store -- [ENTRIES ...]`, 1,000 and 1,000,000 if none are named.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use retain_store::{Body, Folder, Key, Layout, New, Options};

fn main() {
    let mut counts: Vec<u64> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    if counts.is_empty() {
        counts = vec![1_000, 1_000_000];
    }
    for count in counts {
        if let Err(error) = measure(count) {
            println!("{error}");
        }
    }
}

fn key(number: u64) -> Key {
    let mut arguments = [0; 32];
    let mut state = number;
    for part in arguments.chunks_mut(8) {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    Key {
        version: [7; 32],
        arguments,
    }
}

fn put(folder: &Folder, number: u64) -> Result<Duration, retain_store::Error> {
    let new = New {
        key: key(number),
        function: "module.function",
        cost: Duration::from_millis(3),
        lives: None,
        about: b"{\"input_args\": {\"x\": \"1\"}}",
    };
    let start = Instant::now();
    folder.put(&new, Body::Bytes(&[b'x'; 100]))?;
    Ok(start.elapsed())
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        micros(times[((times.len() - 1) as f64 * share) as usize])
    };
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let mean = times.iter().map(|time| micros(*time)).sum::<f64>() / times.len() as f64;
    println!(
        "  {what:24} median {:7.1} us  mean {mean:7.1}  p99 {:7.1}  p99.9 {:7.1}  max {:9.1}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn size(path: &Path) -> u64 {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .fold(0, |sum, item| {
            let path = item.path();
            sum + if path.is_dir() {
                size(&path)
            } else {
                item.metadata().map_or(0, |state| state.len())
            }
        })
}

fn measure(count: u64) -> Result<(), retain_store::Error> {
    println!("{count} entries of 100 bytes");
    let place = std::env::temp_dir().join(format!("retain-bench-{}", std::process::id()));
    let _ = fs::remove_dir_all(&place);
    let options = |max_items| Options {
        layout: Layout::Indexed,
        max_items,
        ..Options::default()
    };
    let folder = Folder::open(&place, &options(None))?;
    let times = (0..count)
        .map(|number| put(&folder, number))
        .collect::<Result<_, _>>()?;
    tell("put", times);
    drop(folder);
    std::thread::sleep(Duration::from_secs(1));
    println!("  {:24} {:7.1} bytes an entry", "disk", {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let each = size(&place) as f64 / count as f64;
        each
    });
    let start = Instant::now();
    let folder = Folder::open(&place, &options(None))?;
    folder.get(&key(0))?;
    println!(
        "  {:24} {:7.1} us",
        "open and first get",
        start.elapsed().as_secs_f64() * 1e6
    );
    let sample: Vec<u64> = (0..100_000u64)
        .map(|step| step.wrapping_mul(7_919_993) % count)
        .collect();
    let get = |folder: &Folder, offset: u64| -> Result<Vec<Duration>, retain_store::Error> {
        sample
            .iter()
            .map(|number| {
                let key = key(number + offset);
                let start = Instant::now();
                let found = folder.get(&key)?;
                let time = start.elapsed();
                assert_eq!(found.is_some(), offset == 0);
                Ok(time)
            })
            .collect()
    };
    tell("get, cold", get(&folder, 0)?);
    tell("get", get(&folder, 0)?);
    tell("get of what is not there", get(&folder, count)?);
    let start = Instant::now();
    folder.functions()?;
    println!(
        "  {:24} {:7.1} us",
        "functions",
        start.elapsed().as_secs_f64() * 1e6
    );
    drop(folder);
    let folder = Folder::open(&place, &options(Some(count)))?;
    let times = (count..count + 100_000)
        .map(|number| put(&folder, number))
        .collect::<Result<_, _>>()?;
    tell("put at the limit", times);
    folder.flush()?;
    let _ = fs::remove_dir_all(&place);
    Ok(())
}
