//! The Python face of retain: the extension module `retain._retain`.

#![allow(
    clippy::inline_always,
    reason = "a hit is one straight run of code, as measured by bench/hits.py"
)]

mod arguments;
mod binder;
mod buffer;
mod callable;
mod compare;
mod compute;
mod content;
mod delayed;
mod ending;
mod files;
mod guards;
mod identity;
mod keeper;
mod known;
mod lock;
mod lru_cache;
mod mapping;
mod memo;
mod memoize;
mod memory;
mod method;
mod methods;
mod object;
#[cfg(unix)]
mod pool;
mod resolved;
mod ticket;

/// The compiled part of retain.
#[pyo3::pymodule(gil_used = false)]
mod _retain {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    /// Refuses interpreters that the compiled part is not made for.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // SAFETY: a module is made by an attached thread.
        let id =
            unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
        if id != 0 {
            return Err(PyImportError::new_err(
                "retain keeps its types once per process and cannot be used in a subinterpreter",
            ));
        }
        let sys = module.py().import("sys")?;
        let digit: u32 = sys
            .getattr("int_info")?
            .getattr("bits_per_digit")?
            .extract()?;
        if digit != 30 {
            return Err(PyImportError::new_err(format!(
                "retain reads integers with digits of 30 bits, but this interpreter has digits of {digit}"
            )));
        }
        Ok(())
    }

    /// Tells that this process is the child of a fork: computations of the parent's threads are not waited for, and
    /// what it has open is not used.
    #[pyfunction]
    fn after_fork_in_child() {
        retain_memory::after_fork_in_child();
        retain_store::after_fork_in_child();
        #[cfg(unix)]
        retain_pool::after_fork_in_child();
    }

    #[pymodule_export]
    use super::content::Content;
    #[pymodule_export]
    use super::delayed::delayed;
    #[pymodule_export]
    use super::files::{Block, Reader, Reducer, Sink, Strided};
    #[pymodule_export]
    use super::files::{generate_key, scan_block, scan_file};
    #[pymodule_export]
    use super::identity::{At, Raw, digest, forget_handlers, hash};
    #[pymodule_export]
    use super::known::{digest_of, identity};
    #[pymodule_export]
    use super::lru_cache::lru_cache_wrapper;
    #[pymodule_export]
    use super::mapping::CacheBase;
    #[pymodule_export]
    use super::memoize::memoize_wrapper;
    #[pymodule_export]
    use super::memory::{
        Address, Held, Lead, Missed, Owner, Recall, Recalling, Store, Tier, is_immutable,
    };
    #[cfg(unix)]
    #[pymodule_export]
    use super::pool::{Pool, Run, ZygoteServer, emit, note_fork, work, write};
}
