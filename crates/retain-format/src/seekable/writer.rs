//! Writing frames on several threads.

use std::io::{self, Write};

use zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

use super::table;
use crate::blocks::{BlockCoder, Blocks};
use crate::codec::Encoder;

/// A writer of zstd frames of 1 MiB of content each, followed by their seek table.
///
/// Frames are compressed on up to eight threads, which start once there is more than one of them. The file is the same
/// whatever their number.
///
/// ```
/// use retain_format::{Encoder, ReadAt, Seekable, seekable::Framed};
/// use std::io::Write;
///
/// let mut file = Vec::new();
/// let mut writer = Box::new(Framed::new(&mut file, 3));
/// writer.write_all(&[7; 3_000_000])?;
/// writer.finish()?;
///
/// let content = Seekable::open(file)?.expect("it has a seek table");
/// let mut some = [0; 5];
/// content.read_exact_at(&mut some, 2_000_000)?;
/// assert_eq!(some, [7; 5]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Framed<W> {
    blocks: Blocks<W, ToFrame>,
}

impl<W: Write + Send> Framed<W> {
    /// Writes to `output` with a zstd level; levels beyond zstd's are taken for the nearest.
    pub fn new(output: W, level: i32) -> Self {
        Self {
            blocks: Blocks::new(output, move || ToFrame::new(level)),
        }
    }

    /// Chooses the number of threads, at most eight; otherwise it is that of the processors this process may use.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self {
            blocks: self.blocks.with_threads(threads),
        }
    }
}

impl<W> std::fmt::Debug for Framed<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framed").finish_non_exhaustive()
    }
}

impl<W: Write + Send> Write for Framed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.blocks.write(bytes)?;
        Ok(bytes.len())
    }

    /// Flushes the output. Content that does not fill a frame stays here until more comes or the stream is ended.
    fn flush(&mut self) -> io::Result<()> {
        self.blocks.flush()
    }
}

impl<W: Write + Send> Encoder for Framed<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.blocks.finish()?;
        self.blocks.guarded(|blocks| {
            if blocks.sink.written.is_empty() {
                // A file without any frame is none for some readers.
                blocks.encode_here(&[])?;
            }
            let table = table::encode(&blocks.sink.written)?;
            blocks.sink.output.write_all(&table)?;
            blocks.flush()
        })
    }
}

/// Compresses one frame.
struct ToFrame(CCtx<'static>);

fn refused(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(format!("zstd: {}", get_error_name(code)))
}

impl ToFrame {
    fn new(level: i32) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ChecksumFlag(true),
        ] {
            context.set_parameter(parameter).map_err(refused)?;
        }
        Ok(Self(context))
    }
}

impl BlockCoder for ToFrame {
    fn encode(&mut self, block: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        into.reserve_exact(compress_bound(block.len()));
        self.0.compress2(into, block).map_err(refused)?;
        Ok(())
    }
}
