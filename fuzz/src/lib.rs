//! What is fuzzed: any bytes at all must neither panic, nor hang, nor take memory beyond the budget.

use retain_format::machine::{Limits, Machine, Step};
use retain_format::verify::{self, Budgets, Policy, Slice, Stream, Verdict};
use retain_format::wrappers::{Found, Wrappers};

/// What loading a file may allocate, while it is fuzzed.
pub const ALLOCATION: u64 = 1 << 24;

/// The machine, under the domain that finds joblib's arrays, fed at once and in pieces: both have to end alike.
pub fn machine(bytes: &[u8]) {
    let whole = run(bytes, usize::MAX);
    let size = usize::from(bytes.first().copied().unwrap_or(1)) % 13 + 1;
    assert_eq!(whole, run(bytes, size), "in pieces of {size}");
}

/// Where the machine ends, and how: 0 at STOP, 1 where there is no more, 2 in an error.
fn run(bytes: &[u8], size: usize) -> (u64, u64, u8) {
    let mut machine = Machine::new(Wrappers::default(), Limits::default());
    let (mut from, mut to) = (0, size.min(bytes.len()));
    loop {
        let piece = bytes.get(from..to).unwrap_or_default();
        let Ok((taken, step)) = machine.run(piece) else {
            return (0, 0, 2);
        };
        from += taken;
        match step {
            Step::Stop => return (machine.position(), machine.opcodes(), 0),
            Step::More { .. } if to == bytes.len() => {
                return (machine.position(), machine.opcodes(), 1);
            }
            Step::More { .. } => to = to.saturating_add(size).min(bytes.len()),
            Step::Event(Found::Array(_)) => {
                // The data of an array of eight bytes.
                let data = (bytes.len() - from).min(8);
                machine.advance(data as u64);
                from += data;
                to = to.max(from);
            }
            Step::Event(Found::Frame(_)) | Step::Payload { .. } => {}
        }
    }
}

/// The verifier, over memory and over a stream. Both have to find the same, but for what only memory can tell.
pub fn verify(bytes: &[u8]) -> bool {
    let policy = Policy {
        trusted: vec!["sklearn".to_owned()],
        budgets: Budgets {
            allocation: ALLOCATION,
            ..Budgets::default()
        },
        trailing: false,
    };
    let whole = verify::verify(Slice::new(bytes), &policy).expect("memory can be read");
    let streamed = verify::verify(Stream::new(bytes), &policy).expect("memory can be read");
    if streamed.verdict == Verdict::Safe {
        assert_eq!(whole.verdict, Verdict::Safe, "safe as a stream, but not in memory");
    }
    whole.verdict == Verdict::Safe
}
