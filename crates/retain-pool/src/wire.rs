//! Frames: what a supervisor and a worker say to one another, as bytes.
//!
//! A frame is a head of 8 bytes (length of the rest, kind, number of regions), a fixed part by kind, the regions, and
//! the bytes. All numbers are little-endian. File descriptors travel beside, in order.

use crate::error::Error;

const HEAD: usize = 8;
const REGION: usize = 48;
const MAX_REGIONS: usize = u16::MAX as usize;

/// A region of a segment, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) segment: u64,
    pub(crate) size: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) number: u64,
    /// Whether the segment itself comes with it.
    pub(crate) with_fd: bool,
}

/// The regions of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Regions<'a>(&'a [u8]);

impl<'a> Regions<'a> {
    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Region> + 'a {
        self.0.chunks_exact(REGION).map(|chunk| {
            let number = |at: usize| u64::from_le_bytes(word(chunk, at * 8));
            Region {
                segment: number(0),
                size: number(1),
                offset: number(2),
                len: number(3),
                number: number(4),
                with_fd: number(5) == 1,
            }
        })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// The first of all, with the slots and the outbox.
    Welcome { memory_limit: u64 },
    /// A run begins.
    Begin(u32, Cargo<'a>),
    /// What tasks of a run refer to.
    Define(u32, u32, Cargo<'a>),
    /// It is not referred to again.
    Forget(u32, u32),
    /// No task of the run comes again.
    End(u32),
    /// A task: its sequence, its run, its definition or 0.
    Task(u64, u32, u32, Cargo<'a>),
    /// The worker is to leave.
    Stop,
    /// These regions are used no more.
    Returned(&'a [u8]),
    /// These segments are used no more.
    Dropped(&'a [u8]),
    /// The worker serves.
    Ready,
    /// A task ended.
    Answer(Ending, Cargo<'a>),
    /// A task emitted something: its sequence, and what kind of thing.
    Output(u64, u8, &'a [u8]),
}

/// When and how a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) sequence: u64,
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
    /// 0 if not measured.
    pub(crate) rss: u64,
    pub(crate) failed: bool,
}

/// Bytes and regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cargo<'a> {
    pub(crate) regions: Regions<'a>,
    pub(crate) bytes: &'a [u8],
}

const WELCOME: u8 = 1;
const BEGIN: u8 = 2;
const DEFINE: u8 = 3;
const FORGET: u8 = 4;
const END: u8 = 5;
const TASK: u8 = 6;
const STOP: u8 = 7;
const RETURNED: u8 = 8;
const DROPPED: u8 = 9;
const READY: u8 = 10;
const ANSWER: u8 = 11;
const OUTPUT: u8 = 12;

/// The numbers that a list holds.
pub(crate) fn numbers(list: &[u8]) -> impl Iterator<Item = u64> {
    list.chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(word(chunk, 0)))
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// Whether a frame with so many regions can be.
pub(crate) fn fits(regions: usize, bytes: usize) -> bool {
    regions <= MAX_REGIONS
        && u32::try_from(bytes).is_ok_and(|bytes| {
            bytes
                .checked_add(u32::try_from(regions * REGION + 64).unwrap_or(u32::MAX))
                .is_some()
        })
}

/// Puts a frame behind what is in `out`. The frame must [fit](fits).
fn put(out: &mut Vec<u8>, kind: u8, fixed: &[&[u8]], regions: &[Region], bytes: &[u8]) {
    let length =
        fixed.iter().map(|part| part.len()).sum::<usize>() + regions.len() * REGION + bytes.len();
    debug_assert!(fits(regions.len(), bytes.len()));
    out.reserve(HEAD + length);
    #[expect(clippy::cast_possible_truncation, reason = "frames are made to fit")]
    {
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&[kind, 0]);
        out.extend_from_slice(&(regions.len() as u16).to_le_bytes());
    }
    for part in fixed {
        out.extend_from_slice(part);
    }
    for region in regions {
        for number in [
            region.segment,
            region.size,
            region.offset,
            region.len,
            region.number,
            u64::from(region.with_fd),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

pub(crate) fn welcome(out: &mut Vec<u8>, memory_limit: u64) {
    put(out, WELCOME, &[&memory_limit.to_le_bytes()], &[], &[]);
}

pub(crate) fn begin(out: &mut Vec<u8>, run: u32, regions: &[Region], bytes: &[u8]) {
    put(out, BEGIN, &[&run.to_le_bytes()], regions, bytes);
}

pub(crate) fn define(out: &mut Vec<u8>, run: u32, id: u32, regions: &[Region], bytes: &[u8]) {
    put(
        out,
        DEFINE,
        &[&run.to_le_bytes(), &id.to_le_bytes()],
        regions,
        bytes,
    );
}

pub(crate) fn forget(out: &mut Vec<u8>, run: u32, id: u32) {
    put(
        out,
        FORGET,
        &[&run.to_le_bytes(), &id.to_le_bytes()],
        &[],
        &[],
    );
}

pub(crate) fn end(out: &mut Vec<u8>, run: u32) {
    put(out, END, &[&run.to_le_bytes()], &[], &[]);
}

pub(crate) fn task(
    out: &mut Vec<u8>,
    sequence: u64,
    run: u32,
    definition: u32,
    regions: &[Region],
    bytes: &[u8],
) {
    let fixed: [&[u8]; 3] = [
        &sequence.to_le_bytes(),
        &run.to_le_bytes(),
        &definition.to_le_bytes(),
    ];
    put(out, TASK, &fixed, regions, bytes);
}

pub(crate) fn stop(out: &mut Vec<u8>) {
    put(out, STOP, &[], &[], &[]);
}

pub(crate) fn returned(out: &mut Vec<u8>, regions: &[u64]) {
    put(out, RETURNED, &[], &[], &list(regions));
}

pub(crate) fn dropped(out: &mut Vec<u8>, segments: &[u64]) {
    put(out, DROPPED, &[], &[], &list(segments));
}

pub(crate) fn ready(out: &mut Vec<u8>) {
    put(out, READY, &[], &[], &[]);
}

pub(crate) fn answer(out: &mut Vec<u8>, ending: Ending, regions: &[Region], bytes: &[u8]) {
    let fixed: [&[u8]; 5] = [
        &ending.sequence.to_le_bytes(),
        &ending.started_ns.to_le_bytes(),
        &ending.ended_ns.to_le_bytes(),
        &ending.rss.to_le_bytes(),
        &[u8::from(ending.failed)],
    ];
    put(out, ANSWER, &fixed, regions, bytes);
}

pub(crate) fn output(out: &mut Vec<u8>, sequence: u64, kind: u8, bytes: &[u8]) {
    put(out, OUTPUT, &[&sequence.to_le_bytes(), &[kind]], &[], bytes);
}

fn list(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// The first frame of `bytes` and how long it is; `None` if there is more to come of it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Error> {
    let Some((length, kind, regions)) = head(bytes) else {
        return Ok(None);
    };
    let Some(body) = bytes.get(HEAD..HEAD + length) else {
        // What is no frame is known as such before more of it is waited for.
        return if (WELCOME..=OUTPUT).contains(&kind) {
            Ok(None)
        } else {
            Err(Error::Protocol("a frame of unknown kind"))
        };
    };
    Ok(Some((frame(kind, regions, body)?, HEAD + length)))
}

/// How long the first frame of `bytes` is, if that can be told.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    head(bytes).map(|(length, _, _)| HEAD + length)
}

fn head(bytes: &[u8]) -> Option<(usize, u8, usize)> {
    let head: &[u8; HEAD] = bytes.first_chunk()?;
    let length = u32::from_le_bytes(word(head, 0)) as usize;
    Some((
        length,
        head[4],
        usize::from(u16::from_le_bytes(word(head, 6))),
    ))
}

fn frame(kind: u8, regions: usize, body: &[u8]) -> Result<Frame<'_>, Error> {
    let fixed = match kind {
        WELCOME | DEFINE | FORGET => 8,
        BEGIN | END => 4,
        TASK => 16,
        STOP | RETURNED | DROPPED | READY => 0,
        ANSWER => 33,
        OUTPUT => 9,
        _ => return Err(Error::Protocol("a frame of unknown kind")),
    };
    let (fixed, rest) = body
        .split_at_checked(fixed)
        .ok_or(Error::Protocol("a frame that is too short"))?;
    let (regions, bytes) = rest
        .split_at_checked(regions * REGION)
        .ok_or(Error::Protocol("a frame that is too short for its regions"))?;
    let cargo = Cargo {
        regions: Regions(regions),
        bytes,
    };
    let small = |at: usize| u32::from_le_bytes(word(fixed, at));
    let large = |at: usize| u64::from_le_bytes(word(fixed, at));
    Ok(match kind {
        WELCOME => Frame::Welcome {
            memory_limit: large(0),
        },
        BEGIN => Frame::Begin(small(0), cargo),
        DEFINE => Frame::Define(small(0), small(4), cargo),
        FORGET => Frame::Forget(small(0), small(4)),
        END => Frame::End(small(0)),
        TASK => Frame::Task(large(0), small(8), small(12), cargo),
        STOP => Frame::Stop,
        RETURNED => Frame::Returned(bytes),
        DROPPED => Frame::Dropped(bytes),
        READY => Frame::Ready,
        ANSWER => Frame::Answer(
            Ending {
                sequence: large(0),
                started_ns: large(8),
                ended_ns: large(16),
                rss: large(24),
                failed: fixed.get(32) == Some(&1),
            },
            cargo,
        ),
        _ => Frame::Output(large(0), fixed.get(8).copied().unwrap_or(0), bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_put_is_parsed() {
        let region = Region {
            segment: 1,
            size: 2,
            offset: 3,
            len: 4,
            number: 5,
            with_fd: true,
        };
        let mut out = Vec::new();
        task(&mut out, 7, 8, 9, &[region, region], b"abc");
        let Some((Frame::Task(7, 8, 9, cargo), length)) = parse(&out).unwrap() else {
            panic!("no task");
        };
        assert_eq!(length, out.len());
        assert_eq!(cargo.bytes, b"abc");
        assert_eq!(
            cargo.regions.iter().collect::<Vec<_>>(),
            vec![region, region]
        );
        for cut in 0..out.len() {
            assert_eq!(parse(&out[..cut]).unwrap(), None);
        }
    }

    proptest! {
        #[test]
        fn any_answer_comes_back_as_it_was(
            sequence: u64, started_ns: u64, ended_ns: u64, rss: u64, failed: bool,
            bytes: Vec<u8>, behind: Vec<u8>,
        ) {
            let ending = Ending { sequence, started_ns, ended_ns, rss, failed };
            let mut out = Vec::new();
            answer(&mut out, ending, &[], &bytes);
            let length = out.len();
            out.extend(behind);
            let cargo = Cargo { regions: Regions(&[]), bytes: &bytes };
            prop_assert_eq!(parse(&out).unwrap(), Some((Frame::Answer(ending, cargo), length)));
        }

        #[test]
        fn garbage_is_a_frame_an_error_or_waited_for(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
