//! How much memory a worker has and may have.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much memory this process has.
#[derive(Debug)]
pub(super) struct Memory {
    statm: Option<File>,
    measured_ns: u64,
    /// It is read again after so long: with a limit more often, as it is to be noticed before the next task.
    every_ns: u64,
}

impl Memory {
    /// Limits the private memory of this process, if `limit` is not 0.
    pub(super) fn new(limit: u64) -> io::Result<Self> {
        if limit != 0 {
            use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
            let maximum = getrlimit(Resource::Data).maximum;
            let new = Rlimit {
                current: Some(maximum.map_or(limit, |most| most.min(limit))),
                maximum,
            };
            setrlimit(Resource::Data, new)?;
        }
        Ok(Self {
            statm: File::open("/proc/self/statm").ok(),
            measured_ns: 0,
            every_ns: if limit == 0 { 50_000_000 } else { 1_000_000 },
        })
    }

    /// How many bytes are resident; 0 if that was measured just now, or cannot be.
    pub(super) fn resident(&mut self, now_ns: u64) -> u64 {
        if now_ns.saturating_sub(self.measured_ns) < self.every_ns {
            return 0;
        }
        self.measured_ns = now_ns;
        let mut text = [0; 128];
        let length = self
            .statm
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok());
        let pages = length
            .and_then(|length| str::from_utf8(text.get(..length)?).ok())
            .and_then(|text| text.split(' ').nth(1))
            .and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }
}
