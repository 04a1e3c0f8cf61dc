//! The Python face of retain: the extension module `retain._retain`.

mod arguments;
mod binder;
mod callable;
mod compare;
mod ending;
mod keeper;
mod lock;
mod lru_cache;
mod mapping;
mod memo;
mod memoize;
mod method;
mod object;
mod ticket;

/// The compiled part of retain.
#[pyo3::pymodule(gil_used = false)]
mod _retain {
    #[pymodule_export]
    use super::lru_cache::lru_cache_wrapper;
    #[pymodule_export]
    use super::mapping::CacheBase;
    #[pymodule_export]
    use super::memoize::memoize_wrapper;
}
