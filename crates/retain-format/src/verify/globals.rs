//! The names that a stream imports.

use super::arena::{Kind, Object, Value};
use super::domain::{Name, Verifier};
use super::hashes::Hash;
use super::names::{Rule, rule};
use super::policy::is_powerful;
use super::report::NameVerdict;
use super::{python2, text};

/// Whether a loader sees one of joblib's stand-ins for an array in this name, whatever is trusted.
fn is_wrapper(module: &str, name: &str) -> bool {
    matches!(
        module.strip_prefix("sklearn.externals.").unwrap_or(module),
        "joblib.numpy_pickle" | "joblib.numpy_pickle_compat"
    ) && matches!(
        name,
        "NumpyArrayWrapper" | "NDArrayWrapper" | "ZNDArrayWrapper"
    )
}

impl Verifier<'_> {
    /// Whether the value is one of these names of a module.
    pub(super) fn is_global(&self, value: Value, module: &str, names: &[&str]) -> bool {
        match value {
            Value::Global(number) => self.names.get(number as usize).is_some_and(|name| {
                name.module == module && names.contains(&name.qualified.as_str())
            }),
            _ => false,
        }
    }

    /// The rule of a global.
    pub(super) fn rule_of(&self, value: Value) -> Option<Rule> {
        match value {
            Value::Global(number) => self.names.get(number as usize)?.rule,
            _ => None,
        }
    }

    pub(super) fn name_of(&self, value: Value) -> Option<&Name> {
        match value {
            Value::Global(number) => self.names.get(number as usize),
            _ => None,
        }
    }

    pub(super) fn named(&mut self, at: u64, module: &[u8], name: &[u8]) -> Value {
        if let Some(&number) = self.by_name.get(&(module.to_vec(), name.to_vec())) {
            if let Some(entry) = self.names.get_mut(number as usize) {
                entry.count += 1;
                if entry.verdict == NameVerdict::Refused {
                    return Value::Unknown;
                }
            }
            return Value::Global(number);
        }
        let key = (module.to_vec(), name.to_vec());
        let (Some(module), Some(name)) = (text::dotted(module), text::dotted(name)) else {
            return self.refused(
                at,
                format!(
                    "a global of a name that no module has: {:?} {:?}",
                    String::from_utf8_lossy(module.get(..module.len().min(80)).unwrap_or_default()),
                    String::from_utf8_lossy(name.get(..name.len().min(80)).unwrap_or_default()),
                ),
            );
        };
        if self.names.len() >= 10_000 {
            return self.refused(at, "a file with too many names");
        }
        let mut written = None;
        let (mut module, mut name) = (module, name);
        if self.protocol < 3
            && let (m, n) = python2::renamed(module, name)
            && (m, n) != (module, name)
        {
            written = Some((module.to_owned(), name.to_owned()));
            (module, name) = (m, n);
        }
        let rule = rule(module, name);
        let private = name
            .split('.')
            .any(|part| part.starts_with("__") && !part.starts_with("__pyx_unpickle_"));
        let (verdict, reason) = if is_wrapper(module, name) && rule.is_none() {
            (
                NameVerdict::Refused,
                "an array in another file, or a layout of joblib's that is not verified",
            )
        } else if rule.is_some() {
            (NameVerdict::Allowed, "a rule checks how it is used")
        } else if name.contains('.') && self.protocol < 4 {
            (NameVerdict::Refused, "a name with a dot, before protocol 4")
        } else if !private && self.policy.grants(module, name) {
            (NameVerdict::Trusted, "trusted by the caller")
        } else if private {
            (NameVerdict::Refused, "a name that is not public")
        } else if is_powerful(module) {
            (
                NameVerdict::Refused,
                "anything can be done with this module",
            )
        } else if name.contains('.') {
            (NameVerdict::Refused, "a name within a name")
        } else {
            (NameVerdict::NeedsTrust, "no rule knows it")
        };
        let (module, name) = (module.to_owned(), name.to_owned());
        if verdict == NameVerdict::Refused {
            self.refused(at, format!("{module}.{name}: {reason}"));
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(Name {
            module,
            qualified: name,
            written,
            count: 1,
            verdict,
            reason,
            rule,
        });
        self.by_name.insert(key, number);
        if verdict == NameVerdict::Refused {
            return Value::Unknown;
        }
        Value::Global(number)
    }

    /// Whether the value stands for a name that nobody knows.
    pub(super) fn is_untrusted(&self, value: Value) -> bool {
        value == Value::Unknown
            || self
                .name_of(value)
                .is_some_and(|name| name.verdict == NameVerdict::NeedsTrust)
    }

    pub(super) fn is_trusted(&self, value: Value) -> bool {
        self.name_of(value)
            .is_some_and(|name| name.verdict == NameVerdict::Trusted)
    }

    /// An object of a trusted class.
    pub(super) fn trusted_object(&mut self, parts: Value) -> Value {
        let depth = self.arena.depth(parts).saturating_add(1);
        self.arena.new_object(Object {
            kind: Kind::Trusted,
            built: true,
            hashable: true,
            hash: Hash::Apart,
            frozen: false,
            depth,
            extent: 0,
            detail: Value::None,
            parts,
        })
    }
}
