//! Why a store did not do what it was asked to.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened, read or written to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The folder holds a store that this version of retain does not know.
    #[error("{0}")]
    Unsupported(String),
    /// Others could have put entries there.
    #[error("{0}")]
    Untrusted(String),
    /// The index is damaged.
    #[error("{0}")]
    Corrupt(String),
    /// A signal arrived while it was waited for somebody; begin anew once it is handled.
    #[error("interrupted by a signal")]
    Interrupted,
}
