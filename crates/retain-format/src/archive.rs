//! The arrays and plain data of a file, from Rust alone.
//!
//! Nothing of a file is run: its opcodes are taken down as notes, arrays and data are found in them, and objects of classes
//! are shown as what they were made from.

mod element;
mod lines;
mod nodes;
mod notes;
mod numpy;
mod path;
mod value;

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::checksum;
use crate::codec::Codec;
use crate::error::Error;
use crate::npy::{self, Descr};
use crate::read_at::ReadAt;
use crate::seekable::Seekable;
use crate::stored::Stored;

pub use element::Element;
use nodes::{Id, Nodes};
pub use value::{Kind, Value};

/// The bytes of the uncompressed stream.
enum Content {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A file of retain, of joblib or of pickle, or a `.npy` file, compressed or not, open for reading.
///
/// Values are named by their path: `x` is the entry of a dict or the attribute of an object, `[3]` an item of a list,
/// `model.layers[0].weights` what is reached through several, and the empty path the whole. Keys that are no names are
/// written as Python writes them: `['a key']`, `[-1]`.
///
/// ```
/// use retain_format::archive::Archive;
///
/// // pickle.dumps({"epochs": 7, "loss": numpy.array([0.5, 0.25])}, protocol=5)
/// # let file = tempfile::NamedTempFile::new()?;
/// # let path = file.path();
/// # std::fs::write(path, b"\x80\x05}(\x8c\x06epochsK\x07\x8c\x04loss\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93(\
/// #     \x96\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0?\0\0\0\0\0\0\xd0?\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02f8\x89\x88\x87R\
/// #     (K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbK\x02\x85\x8c\x01CtRu.")?;
/// let archive = Archive::open(path)?;
/// assert_eq!(archive.get("epochs")?.as_i64(), Some(7));
/// let loss = archive.array::<f64>("loss")?;
/// assert_eq!(loss.shape, [2]);
/// assert_eq!(*loss.data, [0.5, 0.25]);
/// # Ok::<(), retain_format::Error>(())
/// ```
pub struct Archive {
    content: Content,
    nodes: Nodes,
    root: Id,
}

/// An array that a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its path.
    pub path: String,
    /// The type of its elements.
    pub descr: Descr,
    /// The length of each dimension.
    pub shape: Vec<u64>,
    /// Whether the first index varies fastest.
    pub fortran_order: bool,
}

/// The elements of an array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a, T: Clone> {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// Whether the first index varies fastest in `data`.
    pub fortran_order: bool,
    /// All elements: borrowed from the file where they lie there as this machine has them.
    pub data: Cow<'a, [T]>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens a file. Plain files are mapped into memory; compressed ones are decompressed into it, whole.
    ///
    /// While the archive is open, a plain file must not be written to or cut, as with everything that maps files: replace
    /// a file instead, as retain does.
    ///
    /// # Errors
    ///
    /// What opening and reading report; the errors of [`from_bytes`](Self::from_bytes).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_within(path, u64::MAX)
    }

    /// Opens a file whose content is at most `most` bytes long: a compressed file of a stranger could otherwise fill all
    /// memory.
    ///
    /// # Errors
    ///
    /// [`Error::Budget`] for a longer one, and as [`open`](Self::open).
    pub fn open_within(path: impl AsRef<Path>, most: u64) -> Result<Self, Error> {
        let file = File::open(path)?;
        // A directory opens well, and cannot be mapped.
        if !file.metadata()?.is_file() {
            return Err(Error::Unsupported("it is no regular file".into()));
        }
        let length = ReadAt::len(&file);
        let mut prefix = [0; 8];
        let known = usize::try_from(length.min(8)).unwrap_or(8);
        file.read_exact_at(prefix.split_at_mut(known).0, 0)?;
        let content = if let Some(codec) = Codec::detect(prefix.split_at(known).0) {
            Content::Owned(decompress(file, codec, most)?)
        } else if length == 0 {
            Content::Owned(Vec::new())
        } else {
            if length > most {
                return Err(too_long(most));
            }
            // SAFETY: the mapping is read-only and private to this value. That nobody writes to the file or cuts it
            // meanwhile is asked of the caller, as no system can guarantee it.
            Content::Mapped(unsafe { Mmap::map(&file) }?)
        };
        Self::new(content)
    }

    /// Reads a file whose bytes are in memory. Compressed ones are decompressed.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Malformed`], [`Error::Corrupt`] and [`Error::Unsupported`] for bytes that are no
    /// whole file of a known kind.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(match Codec::detect(&bytes) {
            Some(codec) => Content::Owned(decompress(bytes, codec, u64::MAX)?),
            None => Content::Owned(bytes),
        })
    }

    fn new(content: Content) -> Result<Self, Error> {
        if content.starts_with(&npy::MAGIC) {
            let (header, start) = npy::Header::parse(&content)?;
            let length = usize::try_from(header.data_len()?).unwrap_or(usize::MAX);
            let held = content.len().saturating_sub(start);
            if held < length {
                return Err(Error::Truncated(format!(
                    "the file ends in the middle of its array: {held} of {length} bytes are there"
                )));
            }
            let (nodes, root) = Nodes::of_array(header, start, length)?;
            return Ok(Self {
                content,
                nodes,
                root,
            });
        }
        if content.is_empty() {
            return Err(Error::Truncated("the file is empty".into()));
        }
        if let Ok(mut stored) = Stored::open(&*content)? {
            stored.check_skeleton()?;
        }
        let (nodes, root) = nodes::read(&content)?;
        Ok(Self {
            content,
            nodes,
            root,
        })
    }

    /// The whole value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value::new(self, self.root)
    }

    /// The value at a path.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where there is none.
    pub fn get(&self, path: &str) -> Result<Value<'_>, Error> {
        path::find(self, path).map(|id| Value::new(self, id))
    }

    /// The elements of the array at a path: borrowed where they lie in the file as this machine has them, copied where they
    /// are of the other byte order or lie at an odd address.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where there is no value, [`Error::Type`] where it is no array of `T`; the errors of a damaged
    /// file.
    pub fn array<T: Element>(&self, path: &str) -> Result<Array<'_, T>, Error> {
        self.get(path)?.array()
    }

    /// All arrays that are reached from the whole value, each once.
    #[must_use]
    pub fn arrays(&self) -> Vec<ArrayInfo> {
        path::arrays(self)
    }

    /// Reads every array of a retain file and compares it with its checksum. `false` where the file has no checksums, since
    /// retain did not write it. All else of a retain file is compared as it is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for the first array that was damaged.
    pub fn check(&self) -> Result<bool, Error> {
        let Ok(stored) = Stored::open(&*self.content)? else {
            return Ok(false);
        };
        let buffers = stored.buffers();
        for (index, buffer) in buffers.iter().enumerate() {
            let start = usize::try_from(buffer.offset).unwrap_or(usize::MAX);
            let length = usize::try_from(buffer.len).unwrap_or(usize::MAX);
            let bytes = self.bytes(start, length).ok_or_else(|| {
                Error::Truncated(format!(
                    "the file ends in array {} of {}",
                    index + 1,
                    buffers.len()
                ))
            })?;
            if buffer.checksum != checksum::UNKNOWN && buffer.checksum != checksum::of(bytes) {
                return Err(Error::Corrupt(format!(
                    "the checksum of array {} of {} does not match: the file was damaged after it was written",
                    index + 1,
                    buffers.len()
                )));
            }
        }
        Ok(true)
    }

    fn bytes(&self, start: usize, length: usize) -> Option<&[u8]> {
        self.content.get(start..)?.get(..length)
    }
}

fn too_long(most: u64) -> Error {
    Error::Budget(format!("the file's content is longer than {most} bytes"))
}

/// Explains what a codec's reader found.
fn unreadable(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Truncated(error.to_string()),
        std::io::ErrorKind::InvalidData => Error::Corrupt(error.to_string()),
        _ => error.into(),
    }
}

/// The whole content, by several threads where it has a seek table.
fn decompress(source: impl ReadAt, codec: Codec, most: u64) -> Result<Vec<u8>, Error> {
    if codec == Codec::Zstd
        && let Some(seekable) = Seekable::open(&source).map_err(unreadable)?
    {
        let length = seekable.len();
        if length > most {
            return Err(too_long(most));
        }
        // A table may promise what its frames do not hold: memory is taken as they prove it.
        let mut content = Vec::new();
        let step = 64 << 20;
        while (content.len() as u64) < length {
            let at = content.len();
            let next = usize::try_from(length).map_or(at + step, |length| length.min(at + step));
            content.resize(next, 0);
            let into = content.split_at_mut(at).1;
            seekable
                .read_exact_at(into, at as u64)
                .map_err(unreadable)?;
        }
        return Ok(content);
    }
    let mut content = Vec::new();
    let mut decoder = codec.decoder(FromStart { source, at: 0 })?;
    let limit = most.saturating_add(1);
    (&mut decoder)
        .take(limit)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > most {
        return Err(too_long(most));
    }
    Ok(content)
}

/// Reads a source from its start.
struct FromStart<S> {
    source: S,
    at: u64,
}

impl<S: ReadAt> Read for FromStart<S> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.len().saturating_sub(self.at);
        let size = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        self.source
            .read_exact_at(into.split_at_mut(size).0, self.at)?;
        self.at += size as u64;
        Ok(size)
    }
}
