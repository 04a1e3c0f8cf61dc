//! Keys of arguments that cannot be hashed: they are told apart by their content.

use pyo3::prelude::*;
use retain_key::Digest;

use crate::identity::{Failure, Options, digest_of};
use crate::object::Obj;

/// Stands for an object in a key: equal for objects of equal content, whatever becomes of them later.
#[pyclass(frozen, module = "retain._retain")]
pub(crate) struct Content {
    digest: Digest,
    /// The name of the object's type.
    kind: Obj,
}

impl Content {
    /// The content of `object` as it is now.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Result<Obj, Failure> {
        let digested = digest_of(object, Options::default())?;
        let content = Self {
            digest: digested.digest,
            kind: object.get_type().qualname()?.into(),
        };
        match Bound::new(object.py(), content) {
            Ok(content) => Ok(content.into()),
            Err(error) => Err(error.into()),
        }
    }
}

#[pymethods]
impl Content {
    fn __hash__(&self) -> u64 {
        self.digest
            .as_bytes()
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast_exact::<Self>()
            .is_ok_and(|other| other.get().digest == self.digest)
    }

    /// The digest of the object, as `retain.hash` returns it.
    #[getter]
    fn digest(&self) -> String {
        self.digest.to_string()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "<content of a {}: {}>",
            self.kind.bind(py),
            &self.digest()[..16]
        )
    }
}
