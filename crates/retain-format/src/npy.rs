//! numpy's `.npy` files, versions 1.0 to 3.0: the header before an array's bytes.
//!
//! The header is a Python literal, of which this reads what numpy writes and nothing else: whoever lets Python read it
//! pays for what a stranger put there.

mod descr;
pub(crate) mod literal;
#[cfg(test)]
mod tests;

use std::io::Read;

use crate::error::Error;
pub use descr::{Descr, Field};
use literal::Literal;

/// What every `.npy` file starts with.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// Data starts on multiples of this in files that are written.
const ALIGNMENT: usize = 64;
/// Far beyond what the widest table needs.
const LONGEST_HEADER: usize = 1 << 20;
/// numpy has no arrays of more dimensions.
const MOST_DIMENSIONS: usize = 64;
/// numpy leaves room for the first dimension to grow to this many digits.
const GROWTH_DIGITS: usize = 21;

/// What the bytes of an array mean.
///
/// ```
/// use retain_format::npy::{Descr, Header};
///
/// let header = Header {
///     descr: Descr::Plain("<f8".into()),
///     fortran_order: false,
///     shape: vec![2, 3],
/// };
/// let bytes = header.encode()?;
/// assert_eq!(bytes.len() % 64, 0);
/// assert_eq!(Header::parse(&bytes)?, (header.clone(), bytes.len()));
/// assert_eq!(header.data_len()?, 48);
/// # Ok::<(), retain_format::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The type of the elements.
    pub descr: Descr,
    /// Whether the first index varies fastest.
    pub fortran_order: bool,
    /// The length of each dimension.
    pub shape: Vec<u64>,
}

fn malformed(what: impl Into<String>) -> Error {
    Error::malformed(0, format!("not a valid .npy header: {}", what.into()))
}

fn truncated() -> Error {
    Error::Truncated("the file ends in the middle of its .npy header".into())
}

impl Header {
    /// The header that `bytes` start with, and where the data start.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] where there are too few bytes, [`Error::Malformed`] where they are no header,
    /// [`Error::Unsupported`] for an unknown version, [`Error::Budget`] for one of more than 1 MiB.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let mut rest = bytes;
        let header = Self::read(&mut rest)?;
        Ok((header, bytes.len() - rest.len()))
    }

    /// Reads a header, and not a byte more.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and those of `input`.
    pub fn read(input: &mut impl Read) -> Result<Self, Error> {
        let mut take = |into: &mut [u8]| {
            input.read_exact(into).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => truncated(),
                _ => error.into(),
            })
        };
        let mut start = [0; 8];
        take(&mut start)?;
        let [magic @ .., major, minor] = start;
        if magic != MAGIC {
            return Err(malformed("it does not start as one"));
        }
        let length = match (major, minor) {
            (1, 0) => {
                let mut length = [0; 2];
                take(&mut length)?;
                usize::from(u16::from_le_bytes(length))
            }
            (2 | 3, 0) => {
                let mut length = [0; 4];
                take(&mut length)?;
                usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
            }
            _ => {
                return Err(Error::Unsupported(format!(
                    "version {major}.{minor} of the .npy format"
                )));
            }
        };
        if length > LONGEST_HEADER {
            return Err(Error::Budget(format!("a .npy header of {length} bytes")));
        }
        let mut text = vec![0; length];
        take(&mut text)?;
        let text = if major == 3 {
            String::from_utf8(text).map_err(|_| malformed("it is not UTF-8"))?
        } else {
            text.into_iter().map(char::from).collect()
        };
        Self::from_text(&text)
    }

    fn from_text(text: &str) -> Result<Self, Error> {
        let entries = literal::parse_dict(text).map_err(malformed)?;
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        for (key, value) in entries {
            let again = match key.as_str() {
                "descr" => descr
                    .replace(Descr::from_literal(value).map_err(malformed)?)
                    .is_some(),
                "fortran_order" => match value {
                    Literal::Bool(value) => fortran_order.replace(value).is_some(),
                    _ => return Err(malformed("fortran_order is neither True nor False")),
                },
                "shape" => shape.replace(shape_of(value)?).is_some(),
                _ => return Err(malformed(format!("it has a key {key:?}"))),
            };
            if again {
                return Err(malformed(format!("it has the key {key:?} twice")));
            }
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                let header = Self {
                    descr,
                    fortran_order,
                    shape,
                };
                header.data_len()?;
                Ok(header)
            }
            _ => Err(malformed(
                "one of descr, fortran_order and shape is missing",
            )),
        }
    }

    /// The number of elements.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where 63 bits do not hold it.
    pub fn elements(&self) -> Result<u64, Error> {
        product(&self.shape)
    }

    /// The length of the data in bytes; that of the pointers, which no file holds, for objects.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where 63 bits do not hold it.
    pub fn data_len(&self) -> Result<u64, Error> {
        // The size of an element is that of one that exists, also if there are none.
        let size = self.descr.item_size().ok_or_else(too_large)?;
        self.elements()?
            .checked_mul(size)
            .filter(|&length| i64::try_from(length).is_ok())
            .ok_or_else(too_large)
    }

    /// The header's bytes, as numpy writes them: in the lowest version that can hold it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a header that could not be read back.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        self.data_len()?;
        let mut text = String::from("{'descr': ");
        self.descr.write(&mut text);
        text.push_str(if self.fortran_order {
            ", 'fortran_order': True, 'shape': "
        } else {
            ", 'fortran_order': False, 'shape': "
        });
        literal::write_tuple(&self.shape, &mut text);
        text.push_str(", }");
        let grows = if self.fortran_order {
            self.shape.last()
        } else {
            self.shape.first()
        };
        if let Some(length) = grows {
            let digits = length.to_string().len();
            text.extend(std::iter::repeat_n(
                ' ',
                GROWTH_DIGITS.saturating_sub(digits),
            ));
        }

        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let (wide_version, text) = match latin {
            Some(latin) => (2, latin),
            None => (3, text.into_bytes()),
        };
        let padded = |start: usize| {
            let total = (start + text.len() + 1).next_multiple_of(ALIGNMENT);
            (total, total - start)
        };
        let mut bytes = MAGIC.to_vec();
        let (total, length) = padded(10);
        let total = match u16::try_from(length) {
            Ok(length) if wide_version == 2 => {
                bytes.extend([1, 0]);
                bytes.extend(length.to_le_bytes());
                total
            }
            _ => {
                let (total, length) = padded(12);
                if length > LONGEST_HEADER {
                    return Err(malformed("it is too long"));
                }
                bytes.extend([wide_version, 0]);
                bytes.extend(
                    u32::try_from(length)
                        .map_err(|_| too_large())?
                        .to_le_bytes(),
                );
                total
            }
        };
        bytes.extend(text);
        bytes.resize(total.saturating_sub(1), b' ');
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn too_large() -> Error {
    malformed("the array would be larger than any memory")
}

/// The product of a shape's lengths, all of which must fit where there is a zero among them, too: numpy's rule.
pub(crate) fn product(shape: &[u64]) -> Result<u64, Error> {
    let mut product = 1_u64;
    for &length in shape.iter().filter(|&&length| length != 0) {
        product = product
            .checked_mul(length)
            .filter(|&product| i64::try_from(product).is_ok())
            .ok_or_else(too_large)?;
    }
    Ok(if shape.contains(&0) { 0 } else { product })
}

fn shape_of(value: Literal) -> Result<Vec<u64>, Error> {
    let Literal::Tuple(items) = value else {
        return Err(malformed("the shape is no tuple"));
    };
    if items.len() > MOST_DIMENSIONS {
        return Err(malformed("the shape has more dimensions than numpy knows"));
    }
    items
        .into_iter()
        .map(|item| match item {
            Literal::Int(length) => Ok(length),
            _ => Err(malformed("the shape holds something that is no length")),
        })
        .collect()
}
