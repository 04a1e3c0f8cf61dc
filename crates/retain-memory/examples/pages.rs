//! A cache of pages: bounded by their bytes, with an end to each, and a word at each farewell.
//!
//! Run as `cargo run -p retain-memory --example pages`.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use retain_memory::{BuildError, Cache};

/// Stands for a request over the network.
fn fetch(path: &str) -> Result<Arc<str>, String> {
    match path.strip_prefix('/') {
        Some(name) => Ok(name.repeat(40).into()),
        None => Err(format!("{path:?} is no path")),
    }
}

fn main() -> Result<(), BuildError> {
    // A shared string is cheap to clone out of the cache, however long it is.
    let pages: Cache<String, Arc<str>> = Cache::builder()
        .max_weight(600)
        .weigher(|path: &String, body: &Arc<str>| (path.len() + body.len()) as u64)
        .time_to_live(Duration::from_millis(100))
        .on_evict(|path, _, cause| println!("  {path} left: {cause:?}"))
        .build()?;

    for path in ["/index", "/news", "/index", "/about", "/index", "nowhere"] {
        match pages.try_get_or_insert_with(path.to_string(), || fetch(path)) {
            Ok(body) => println!("{path}: {} bytes", body.len()),
            Err(error) => println!("{path}: {error}"),
        }
    }
    println!("{} pages of {} bytes are kept", pages.len(), pages.weight());

    thread::sleep(Duration::from_millis(120));
    println!("later, /index is there: {}", pages.get("/index").is_some());
    let stats = pages.stats();
    println!(
        "{} hits, {} misses, {} evictions",
        stats.hits, stats.misses, stats.evictions
    );
    Ok(())
}
