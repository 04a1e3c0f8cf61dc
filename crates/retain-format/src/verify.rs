//! What a stranger's file does, found out without running it.
//!
//! [`verify`] takes a pickle's opcodes one by one and makes, in place of objects, notes of what they would be. It knows by
//! name what numpy, pandas, scipy, Arrow and the standard library write for data, and checks the arguments of each call:
//! what it accepts, CPython's unpickler turns into data, and runs nothing but the functions that the report names. It
//! imports nothing and needs no Python.
//!
//! A file is only as safe as the bytes that were verified: they have to be the ones that are loaded.
//!
//! What it does not promise:
//!
//! - Who trusts a package trusts it with any arguments. Compiled code often believes its state: the trees of a forest are
//!   indices that nothing checks.
//! - Numbers can be chosen whose hashes collide; a dict of a million of them takes Python hours to build. Budgets for bytes
//!   and a time limit around the loading are the caller's answer.
//! - What has to be looked at (the offsets of Arrow's texts, the codes of categories, the indices of sparse matrices) has to
//!   lie in memory as it is. In protocols 0 to 2, which write bytes as texts, only arrays of up to 256 bytes do.
//!
//! ```
//! use retain_format::verify::{Policy, Slice, Verdict, verify};
//!
//! let report = verify(Slice::new(b"cos\nsystem\n(Vtrue\ntR."), &Policy::default())?;
//! assert_eq!(report.verdict, Verdict::Unsafe);
//! assert_eq!(report.globals[0].module, "os");
//! # Ok::<(), retain_format::Error>(())
//! ```

mod arena;
mod array;
mod arrow;
mod blocks;
mod calls;
mod contents;
mod domain;
mod dtype;
mod globals;
mod hashes;
mod input;
mod joblib;
mod names;
mod pandas;
mod paths;
mod plan;
mod policy;
mod python2;
mod random;
mod report;
mod seeking;
mod sparse;
mod stdlib;
mod tables;
mod text;

pub use input::{Input, Slice, Stream};
pub use plan::{Plan, Planned};
pub use policy::{Budgets, Policy};
pub use report::{ArrayInfo, Format, GlobalUse, NameVerdict, Refusal, Report, Verdict};
pub use seeking::Seeking;

use crate::Error;
use crate::domain::is_text;
use crate::machine::{Limits, Machine, Step};
use crate::opcode as op;
use arena::Value;
use domain::{Raw, Verifier};

/// How retain's own head begins, behind PROTO.
const HEAD: &[u8] = b"\x80\x05C\x20retain\x00\x01";

/// Find out what a pickle does: a plain one, one with joblib's arrays in it, or one of retain's.
///
/// # Errors
///
/// If reading fails. All else that can be wrong with a file is in the report.
pub fn verify<'a>(mut input: impl Input<'a>, policy: &Policy) -> Result<Report, Error> {
    let memory = input.memory();
    let budgets = &policy.budgets;
    let limits = Limits {
        opcodes: budgets.opcodes,
        stack: budgets
            .stack
            .min(usize::try_from(budgets.allocation / 16).unwrap_or(usize::MAX)),
        memo: budgets.memo,
        line: usize::try_from(budgets.bytes.min(1 << 30)).unwrap_or(usize::MAX),
        end: input.length().unwrap_or(u64::MAX),
    };
    let retain = input.fill(HEAD.len())?.starts_with(HEAD);
    let mut machine = Machine::new(Verifier::new(policy, memory), limits);
    let outcome = drive(&mut machine, &mut input, policy);
    let (bytes, opcodes) = (machine.position(), machine.opcodes());
    let mut domain = machine.into_domain();
    let mut damage = None;
    let mut over = false;
    match outcome {
        Ok(()) => {}
        Err(Error::Io(error)) => return Err(Error::Io(error)),
        Err(error @ Error::Budget(_)) => {
            over = true;
            domain.refused(bytes, error.to_string());
        }
        Err(error) => damage = Some(error.to_string()),
    }
    let arrays = paths::arrays(&domain);
    let globals: Vec<_> = std::mem::take(&mut domain.names)
        .into_iter()
        .map(|name| GlobalUse {
            module: name.module,
            name: name.qualified,
            written: name.written,
            count: name.count,
            verdict: name.verdict,
            reason: name.reason,
        })
        .collect();
    let unsafe_names = globals
        .iter()
        .any(|name| name.verdict == NameVerdict::Refused);
    let verdict = if over || unsafe_names || !domain.refusals.is_empty() {
        Verdict::Unsafe
    } else if damage.is_some() {
        Verdict::Damaged
    } else if globals
        .iter()
        .any(|name| name.verdict == NameVerdict::NeedsTrust)
    {
        Verdict::NeedsTrust
    } else {
        Verdict::Safe
    };
    Ok(Report {
        format: match (retain, domain.joblib) {
            (true, _) => Format::Retain,
            (_, true) => Format::Joblib,
            _ => Format::Pickle,
        },
        protocol: domain.protocol,
        opcodes,
        bytes,
        allocation: domain.allocated,
        arrays,
        globals,
        plan: domain.plan,
        refusals: domain.refusals,
        more_refusals: domain.more_refusals,
        damage,
        verdict,
    })
}

/// Run the machine to the end of the input.
fn drive<'a>(
    machine: &mut Machine<Verifier<'_>>,
    input: &mut impl Input<'a>,
    policy: &Policy,
) -> Result<(), Error> {
    while let Some(raw) = stream(machine, input, policy)? {
        let start = machine.position();
        pass_array(machine, input, policy, raw)?;
        let end = machine.position();
        machine.domain_mut().plan.array(start, end);
    }
    let end = machine.position();
    machine.domain_mut().plan.end(end);
    if !policy.trailing && !input.fill(1)?.is_empty() {
        let end = machine.position();
        machine
            .domain_mut()
            .refused(end, "bytes behind the end of the pickle");
    }
    Ok(())
}

/// Run the machine to STOP, or to the raw bytes of an array.
fn stream<'a>(
    machine: &mut Machine<Verifier<'_>>,
    input: &mut impl Input<'a>,
    policy: &Policy,
) -> Result<Option<Raw>, Error> {
    let mut at_least = 1;
    let mut seen = 0;
    loop {
        let piece = input.fill(at_least)?;
        let length = piece.len();
        let (taken, step) = machine.run(piece)?;
        input.consume(taken);
        if machine.position() > policy.budgets.bytes {
            return Err(Error::Budget(format!(
                "the file is longer than {} bytes",
                policy.budgets.bytes
            )));
        }
        match step {
            Step::Stop => return Ok(None),
            Step::Event(raw) => return Ok(Some(raw)),
            Step::More { at_least: more } => {
                // No more came than what was too little the last time.
                if taken == 0 && length <= seen {
                    return Err(machine.truncated());
                }
                seen = length - taken;
                at_least = more;
                if length == taken && at_least == 1 && input.fill(1)?.is_empty() {
                    return Err(machine.truncated());
                }
                continue;
            }
            Step::Payload { opcode, length, .. } => {
                debug_assert!(!is_text(opcode) && opcode != op::BINSTRING);
                pass(machine, input, policy, length)?;
            }
        }
        (at_least, seen) = (1, 0);
    }
}

/// Pass over `length` bytes.
fn pass<'a>(
    machine: &mut Machine<Verifier<'_>>,
    input: &mut impl Input<'a>,
    policy: &Policy,
    length: u64,
) -> Result<(), Error> {
    if length > policy.budgets.bytes.saturating_sub(machine.position()) {
        return Err(Error::Budget(format!(
            "the file is longer than {} bytes",
            policy.budgets.bytes
        )));
    }
    let passed = input.skip(length)?;
    machine.advance(passed);
    if passed < length {
        return Err(machine.truncated());
    }
    Ok(())
}

/// Pass over the bytes of one of joblib's arrays.
fn pass_array<'a>(
    machine: &mut Machine<Verifier<'_>>,
    input: &mut impl Input<'a>,
    policy: &Policy,
    raw: Raw,
) -> Result<(), Error> {
    let at = machine.position();
    if raw.object {
        return nested(machine, input, policy, raw);
    }
    if raw.padded {
        let Some(&padding) = input.fill(17)?.first() else {
            return Err(machine.truncated());
        };
        let expected = 16 - (at + 1) % 16;
        if u64::from(padding) != expected {
            machine
                .domain_mut()
                .refused(at, "an array of joblib's that is not padded to 16 bytes");
            return Err(Error::malformed(
                at,
                "where the array's bytes begin is not known",
            ));
        }
        pass(machine, input, policy, 1 + u64::from(padding))?;
    }
    let start = machine.position();
    if let Some(array) = machine.domain_mut().arena.array_mut(raw.array) {
        array.data = Some(start);
    }
    pass(machine, input, policy, raw.nbytes)
}

/// The pickle of an array of objects, within joblib's.
fn nested<'a>(
    machine: &mut Machine<Verifier<'_>>,
    input: &mut impl Input<'a>,
    policy: &Policy,
    raw: Raw,
) -> Result<(), Error> {
    let outer = machine.enter();
    let at = machine.position();
    let domain = machine.domain_mut();
    // Names are renamed by protocol.
    domain.by_name.clear();
    let kept = (domain.protocol, domain.unbuilt, domain.result);
    (domain.start, domain.nested, domain.protocol, domain.unbuilt) = (at, true, 0, 0);
    let ended = stream(machine, input, policy);
    let domain = machine.domain_mut();
    let made = domain.result;
    (domain.protocol, domain.unbuilt, domain.result) = kept;
    (domain.nested, domain.frame_end) = (false, 0);
    domain.by_name.clear();
    machine.leave(outer);
    if ended?.is_some() {
        return Err(Error::malformed(at, "an array within an array"));
    }
    let domain = machine.domain_mut();
    let (said, made) = (domain.arena.array(raw.array), domain.arena.array(made));
    let same = match (said, made) {
        (Some((said, said_type)), Some((made, made_type))) => {
            said_type.object
                && said_type.code == made_type.code
                && said_type.size == made_type.size
                && domain.arena.sizes(said) == domain.arena.sizes(made)
        }
        _ => false,
    };
    let inside = made.map(|(made, _)| (made.members, made.depth));
    if !same && domain.refusals.is_empty() {
        domain.refused(
            at,
            "an array of objects that is not the one that was announced",
        );
    }
    if let Some((members, depth)) = inside {
        if let Some(array) = domain.arena.array_mut(raw.array) {
            array.members = members;
            array.depth = depth;
        }
        // It has been noted twice: as the wrapper and as itself.
        domain.arrays.pop();
    }
    Ok(())
}

const _: () = assert!(size_of::<Value>() == 16);

#[cfg(test)]
mod tests;
