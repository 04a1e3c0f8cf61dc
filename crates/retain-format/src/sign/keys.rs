//! Keys, and how they are written down.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use ed25519_compact::{KeyPair, Seed, Signature};

use crate::error::Error;

const PUBLIC_PREFIX: &str = "retain-public-key:";
const SECRET_PREFIX: &str = "retain-secret-key:";

/// Signs files. Keep it to yourself.
///
/// ```
/// use retain_format::sign::{PublicKey, SecretKey};
///
/// let key = SecretKey::generate()?;
/// let line = key.public().to_string();
/// assert!(line.starts_with("retain-public-key:"));
/// assert_eq!(line.parse::<PublicKey>().ok(), Some(key.public()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(KeyPair);

/// Tells whether a file was signed by the owner of the [`SecretKey`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The 32 bytes behind a prefix.
fn from_line(line: &str, prefix: &str, what: &str) -> Result<[u8; 32], Error> {
    let bad = || {
        Error::Signature(format!(
            "not a {what} key: it is `{prefix}` and 64 hexadecimal digits"
        ))
    };
    let digits = line.trim().strip_prefix(prefix).ok_or_else(bad)?;
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(bad());
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let digit = |at: usize| pair.get(at).and_then(|&c| char::from(c).to_digit(16));
        let (high, low) = digit(0).zip(digit(1)).ok_or_else(bad)?;
        *byte = u8::try_from(high << 4 | low).map_err(|_| bad())?;
    }
    Ok(bytes)
}

impl SecretKey {
    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    ///
    /// Where the system has none.
    pub fn generate() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Self::from_seed(seed))
    }

    /// The key of 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(KeyPair::from_seed(Seed::new(seed)))
    }

    /// The key that others check signatures with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.pk)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        *self.0.sk.sign(message, None)
    }

    /// The line of text that [`parse`](Self::from_str) reads. It is the secret.
    #[must_use]
    pub fn to_secret_line(&self) -> String {
        format!("{SECRET_PREFIX}{}", to_hex(&*self.0.sk.seed()))
    }

    /// Writes the key to a new file that its owner alone may read.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists): a key is never overwritten; what the system reports otherwise.
    pub fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        writeln!(file, "{}", self.to_secret_line())?;
        file.sync_all()
    }

    /// Reads a key that [`write_new`](Self::write_new) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Signature`] for any other file; what the system reports.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        // A key is one short line: another file, of whatever size, is not read into memory.
        match File::open(path)?.take(1024).read_to_string(&mut text) {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error.into()),
            _ => text.parse(),
        }
    }
}

impl FromStr for SecretKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        from_line(line, SECRET_PREFIX, "secret").map(Self::from_seed)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// The key of these 32 bytes. Bytes that are no key verify nothing.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519_compact::PublicKey::new(self.0)
            .verify(message, &Signature::new(*signature))
            .is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self, Error> {
        from_line(line, PUBLIC_PREFIX, "public").map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", to_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}
