//! Reading any range, on several threads.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, available_parallelism};

use zstd_safe::{DCtx, get_error_name};

use super::frame::is_one;
use super::table::{self, Frame, Table};
use crate::read_at::ReadAt;

/// As in writing.
const MOST_THREADS: usize = 8;

/// The content of a zstd file that has a seek table.
pub struct Seekable<S> {
    source: S,
    table: Table,
    /// The content of the frame of which a part was read last: reads of small pieces in a row decompress it once.
    recent: Mutex<Option<(u64, Vec<u8>)>>,
    /// Decompressors at rest.
    idle: Mutex<Vec<Decoder>>,
}

impl<S> std::fmt::Debug for Seekable<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seekable")
            .field("frames", &self.table.frames.len())
            .field("content", &self.table.content)
            .finish_non_exhaustive()
    }
}

struct Decoder {
    context: DCtx<'static>,
    packed: Vec<u8>,
}

/// A frame, and the whole of its place in the destination.
struct Job<'d> {
    frame: Frame,
    into: &'d mut [u8],
}

fn damaged(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("damaged zstd data: {why}"),
    )
}

impl Decoder {
    fn new() -> io::Result<Self> {
        Ok(Self {
            context: DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?,
            packed: Vec::new(),
        })
    }

    /// Decompresses `frame`, whose content must fill `into`.
    fn decode(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        frame: Frame,
        into: &mut [u8],
    ) -> io::Result<()> {
        let length = usize::try_from(frame.packed).map_err(io::Error::other)?;
        let lying = source.bytes().and_then(|bytes| {
            let start = usize::try_from(frame.at).ok()?;
            bytes.get(start..)?.get(..length)
        });
        let packed = if let Some(packed) = lying {
            packed
        } else {
            // Bounded by the file's length: the table's sums were compared with it.
            self.packed.resize(length, 0);
            source.read_exact_at(&mut self.packed, frame.at)?;
            self.packed.as_slice()
        };
        let wanted = into.len();
        let found = self
            .context
            .decompress(into, packed)
            .map_err(|code| damaged(get_error_name(code)))?;
        if found == wanted {
            Ok(())
        } else {
            Err(damaged("a frame is shorter than the seek table says"))
        }
    }
}

impl<S: ReadAt> Seekable<S> {
    /// Finds and checks the seek table. `None` where there is none, or one that tells of other frames than the file has:
    /// such a file is read from its start, with [`Codec::Zstd`](crate::codec::Codec::Zstd).
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a table that does not fit the file; those of `source`.
    pub fn open(source: S) -> io::Result<Option<Self>> {
        let Some(table) = table::find(&source)? else {
            return Ok(None);
        };
        for &frame in &table.frames {
            if !is_one(&source, frame)? {
                return Ok(None);
            }
        }
        let seekable = Self {
            source,
            table,
            recent: Mutex::new(None),
            idle: Mutex::new(Vec::new()),
        };
        // Nothing is ever read from these: a table that hides content must be found out here.
        for &frame in seekable
            .table
            .frames
            .iter()
            .filter(|frame| frame.plain == 0)
        {
            let mut decoder = seekable.decoder()?;
            decoder.decode(&seekable.source, frame, &mut [])?;
            seekable.rest(decoder);
        }
        Ok(Some(seekable))
    }

    /// What it reads from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The number of frames.
    pub fn frames(&self) -> usize {
        self.table.frames.len()
    }

    fn decoder(&self) -> io::Result<Decoder> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.map_or_else(Decoder::new, Ok)
    }

    fn rest(&self, decoder: Decoder) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_THREADS {
            idle.push(decoder);
        }
    }

    /// Copies a part of a frame's content that starts `skip` bytes into it.
    fn read_part(&self, frame: Frame, skip: usize, into: &mut [u8]) -> io::Result<()> {
        let mut recent = self
            .recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if recent.as_ref().is_none_or(|(at, _)| *at != frame.at) {
            let mut content = recent.take().map(|(_, old)| old).unwrap_or_default();
            content.resize(usize::try_from(frame.plain).map_err(io::Error::other)?, 0);
            let mut decoder = self.decoder()?;
            decoder.decode(&self.source, frame, &mut content)?;
            self.rest(decoder);
            recent = Some((frame.at, content));
        }
        if let Some((_, content)) = &recent {
            let part = content
                .get(skip..)
                .and_then(|content| content.get(..into.len()))
                .ok_or_else(|| damaged("a frame is shorter than the seek table says"))?;
            into.copy_from_slice(part);
        }
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = recent;
        Ok(())
    }

    fn run(&self, jobs: &Mutex<std::vec::IntoIter<Job<'_>>>) -> io::Result<()> {
        let mut decoder = self.decoder()?;
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(Job { frame, into }) = job else {
                break;
            };
            if let Err(error) = decoder.decode(&self.source, frame, into) {
                // The others need not go on.
                jobs.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .by_ref()
                    .for_each(drop);
                return Err(error);
            }
        }
        self.rest(decoder);
        Ok(())
    }

    fn run_all(&self, jobs: Vec<Job<'_>>) -> io::Result<()> {
        let threads = available_parallelism()
            .map_or(1, usize::from)
            .min(MOST_THREADS)
            .min(jobs.len());
        let jobs = Mutex::new(jobs.into_iter());
        if threads <= 1 {
            return self.run(&jobs);
        }
        thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads)
                .filter_map(|_| {
                    thread::Builder::new()
                        .name("retain-decompress".into())
                        .spawn_scoped(scope, || self.run(&jobs))
                        .ok()
                })
                .collect();
            let mut outcome = self.run(&jobs);
            for helper in helpers {
                let theirs = helper
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the decompressor panicked")));
                outcome = outcome.and(theirs);
            }
            outcome
        })
    }
}

impl<S: ReadAt> ReadAt for Seekable<S> {
    fn len(&self) -> u64 {
        self.table.content
    }

    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset
            .checked_add(into.len() as u64)
            .filter(|&end| end <= self.table.content)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the zstd data ends before the bytes that were asked for",
                )
            })?;
        let frames = &self.table.frames;
        let first = frames.partition_point(|frame| frame.start + u64::from(frame.plain) <= offset);
        let mut whole = Vec::new();
        let mut rest = into;
        let mut position = offset;
        for &frame in frames.iter().skip(first) {
            if position >= end || rest.is_empty() {
                break;
            }
            let skip = usize::try_from(position - frame.start).map_err(io::Error::other)?;
            let plain = usize::try_from(frame.plain).map_err(io::Error::other)?;
            let here = (plain - skip.min(plain)).min(rest.len());
            let (into, after) = rest.split_at_mut(here);
            rest = after;
            position += here as u64;
            if here == plain {
                if here > 0 {
                    whole.push(Job { frame, into });
                }
            } else {
                self.read_part(frame, skip, into)?;
            }
        }
        self.run_all(whole)
    }
}
