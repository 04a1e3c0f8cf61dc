//! Keys for signatures.

use pyo3::prelude::*;
use retain_format::sign::SecretKey;

use super::faults::system;

/// Makes a key: its secret line and its public line.
#[pyfunction]
pub(crate) fn generate_key(py: Python<'_>) -> PyResult<(String, String)> {
    let key = SecretKey::generate().map_err(|error| system(py, error, None))?;
    Ok((key.to_secret_line(), key.public().to_string()))
}
