//! Passes on the interpreter's version flags (`Py_3_12`, `Py_GIL_DISABLED` …) as `cfg`s.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
