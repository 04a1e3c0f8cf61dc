//! What a caller lets a file do.

use std::time::Duration;

/// What is granted to a file, and how much of anything it may take.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Names that may be used though no rule knows them: `"package.module.Class"` for exactly that, or `"package"` for all
    /// that lives in this package or module and below it. A grant of a package trusts every function in it with any
    /// arguments. The modules with which anything can be done (`os`, `builtins`, `subprocess` and their like) are only
    /// granted name by name.
    pub trusted: Vec<String>,
    /// Limits.
    pub budgets: Budgets,
    /// Whether something may follow STOP. Else whatever does is a reason to refuse the file.
    pub trailing: bool,
}

/// Limits on what a file takes, while it is verified and while it is loaded later.
#[derive(Debug, Clone, Copy)]
pub struct Budgets {
    /// Bytes of the stream, decompressed.
    pub bytes: u64,
    /// Opcodes.
    pub opcodes: u64,
    /// Values on the stack at a time.
    pub stack: usize,
    /// Values in the memo.
    pub memo: usize,
    /// How deep values lie in one another.
    pub depth: u32,
    /// Bytes that loading allocates, estimated.
    pub allocation: u64,
    /// Bytes that loading allocates for each byte of the stream, beyond the first 64 MiB.
    pub expansion: u64,
    /// How long verifying may take.
    pub time: Duration,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            bytes: 1 << 36,
            opcodes: 1 << 32,
            stack: 1 << 26,
            memo: 1 << 28,
            depth: 2_000,
            allocation: 1 << 37,
            expansion: 256,
            time: Duration::from_secs(600),
        }
    }
}

/// Modules with which anything can be done, sorted: never part of a grant of a package, and no stranger's data need them.
#[rustfmt::skip]
const POWERFUL: &[&str] = &[
    "__builtin__", "__main__", "_ctypes", "_imp", "_io", "_pickle", "_posixsubprocess", "_thread", "_winapi",
    "ast", "asyncio", "bdb", "builtins", "cloudpickle", "code", "codecs", "codeop", "commands", "concurrent",
    "copyreg", "ctypes", "dill", "distutils", "doctest", "exec", "faulthandler", "ftplib", "functools", "gc",
    "glob", "http", "imp", "importlib", "inspect", "io", "linecache", "logging", "marshal", "mmap",
    "multiprocessing", "nt", "operator", "os", "pdb", "pickle", "pip", "pkgutil", "platform", "posix",
    "posixpath", "profile", "pty", "pydoc", "requests", "resource", "runpy", "shelve", "shutil", "signal",
    "site", "smtplib", "socket", "socketserver", "ssl", "subprocess", "sys", "tempfile", "test", "threading",
    "timeit", "trace", "types", "urllib", "urllib2", "venv", "weakref", "webbrowser", "zipfile", "zipimport",
];

/// Whether a module is one with which anything can be done.
pub(super) fn is_powerful(module: &str) -> bool {
    let top = module.split('.').next().unwrap_or(module);
    POWERFUL.binary_search(&top).is_ok()
}

impl Policy {
    /// Whether `module` and `name` are granted.
    pub(super) fn grants(&self, module: &str, name: &str) -> bool {
        let powerful = is_powerful(module);
        self.trusted.iter().any(|grant| {
            let exact = grant
                .strip_prefix(module)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest == name);
            let package = || {
                !powerful
                    && !name.contains('.')
                    && !module.split('.').any(|part| part.starts_with("__"))
                    && module
                        .strip_prefix(grant.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            exact || package()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(grant: &str) -> Policy {
        Policy {
            trusted: vec![grant.to_owned()],
            ..Policy::default()
        }
    }

    #[test]
    fn a_package_is_granted_with_all_below_it() {
        let sklearn = policy("sklearn");
        assert!(sklearn.grants("sklearn.tree._tree", "Tree"));
        assert!(sklearn.grants("sklearn", "Tree"));
        assert!(!sklearn.grants("sklearn2", "Tree"));
        assert!(!sklearn.grants("sklearn.tree", "np.load"));
        assert!(!sklearn.grants("os", "system"));
        assert!(!sklearn.grants("sklearn.__main__", "Tree"));
    }

    #[test]
    fn a_name_is_granted_exactly() {
        let tree = policy("sklearn.tree._tree.Tree");
        assert!(tree.grants("sklearn.tree._tree", "Tree"));
        assert!(!tree.grants("sklearn.tree._tree", "Trees"));
        assert!(!tree.grants("sklearn.tree", "_tree"));
    }

    #[test]
    fn powerful_modules_are_not_granted_as_a_whole() {
        assert!(!policy("os").grants("os", "system"));
        assert!(!policy("os").grants("os.path", "join"));
        assert!(policy("os.getcwd").grants("os", "getcwd"));
        assert!(POWERFUL.is_sorted());
    }
}
