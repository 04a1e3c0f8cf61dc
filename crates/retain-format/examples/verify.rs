//! Verifies files, and tells what is found and how long it took: `cargo run --release --example verify FILE...`.
//!
//! With `--trust NAME` before the files, a package or name is trusted; with `--repeat N`, each file is verified so often.

use std::time::Instant;

use retain_format::verify::{Policy, Slice, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut policy = Policy::default();
    let mut repeat = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--trust" => policy.trusted.extend(arguments.next()),
            "--repeat" => repeat = arguments.next().unwrap_or_default().parse()?,
            file => {
                let bytes = std::fs::read(file)?;
                let mut best = f64::INFINITY;
                let mut report = verify(Slice::new(&bytes), &policy)?;
                for _ in 0..repeat {
                    let start = Instant::now();
                    report = verify(Slice::new(&bytes), &policy)?;
                    best = best.min(start.elapsed().as_secs_f64());
                }
                #[expect(clippy::cast_precision_loss, reason = "for display")]
                let each = best * 1e9 / report.opcodes as f64;
                println!(
                    "{file}: {:?} ({:?}, {} opcodes, {:.3} ms, {each:.1} ns each)",
                    report.verdict,
                    report.format,
                    report.opcodes,
                    best * 1e3
                );
                if std::env::var_os("NAMES").is_some() {
                    for name in &report.globals {
                        let (module, name) = match &name.written {
                            Some((module, name)) => (module, name),
                            None => (&name.module, &name.name),
                        };
                        println!("    names {module} {name}");
                    }
                }
                for refusal in report.refusals.iter().take(4) {
                    println!("    {refusal}");
                }
                for name in report.wanted() {
                    println!("    wants {}.{}", name.module, name.name);
                }
                if let Some(damage) = &report.damage {
                    println!("    {damage}");
                }
                if std::env::var_os("ARRAYS").is_some() {
                    for array in &report.arrays {
                        println!("    {array:?}");
                    }
                }
            }
        }
    }
    Ok(())
}
