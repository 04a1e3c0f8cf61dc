//! What can be wrong with a file.

use std::io;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file ends before its value does.
    #[error("{0}")]
    Truncated(String),
    /// The bytes are not what they are said to be.
    #[error("{what} (at byte {offset})")]
    Malformed {
        /// Where in the uncompressed stream.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A checksum does not match.
    #[error("{0}")]
    Corrupt(String),
    /// A version, codec or layout that this version of retain does not know.
    #[error("{0}")]
    Unsupported(String),
    /// A limit that the caller set was reached.
    #[error("{0}")]
    Budget(String),
    /// There is no value of this name in the file.
    #[error("{0}")]
    Missing(String),
    /// The value is of another type than the one asked for.
    #[error("{0}")]
    Type(String),
    /// The file is not signed, or not by the expected key.
    #[error("{0}")]
    Signature(String),
}

impl Error {
    /// A [`Error::Malformed`] at `offset`.
    pub fn malformed(offset: u64, what: impl Into<String>) -> Self {
        Self::Malformed {
            offset,
            what: what.into(),
        }
    }
}
