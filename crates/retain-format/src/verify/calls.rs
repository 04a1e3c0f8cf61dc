//! Which rule decides on a call, a new object, a state.

use super::arena::{Holder, Kind, Value};
use super::domain::{Reason, Verifier, refuse};
use super::hashes::Hash;
use super::names::Rule;

impl Verifier<'_> {
    /// The call of a name that a rule knows.
    pub(super) fn call(
        &mut self,
        rule: Rule,
        callable: Value,
        _arguments: Value,
        args: &[Value],
    ) -> Result<Value, Reason> {
        match rule {
            Rule::Dtype => self.dtype_call(args),
            Rule::StringDtype => self.string_dtype(args),
            Rule::Rebuild => self.reconstruct(args),
            Rule::FromBuffer => self.over_bytes(args),
            Rule::Scalar => self.scalar(args),
            Rule::Value if self.array_class(callable) == Some(true) => self.matrix(args),
            Rule::Masked => self.masked(args),
            Rule::BitGenerator | Rule::Generator | Rule::RandomState | Rule::SeedSequence => {
                self.random_call(rule, args)
            }
            Rule::ArrowAlias
            | Rule::ArrowType(_)
            | Rule::ArrowBuffer
            | Rule::ArrowArray
            | Rule::ArrowChunked => {
                for &arg in args {
                    self.arena.freeze(arg);
                }
                self.arrow_call(rule, args)
            }
            Rule::PandasType(_)
            | Rule::Stored
            | Rule::NewIndex
            | Rule::Block
            | Rule::Manager
            | Rule::Timestamp
            | Rule::Timedelta
            | Rule::Period
            | Rule::Interval
            | Rule::NaT
            | Rule::Offset => self.pandas_call(rule, callable, args),
            Rule::Reconstructor => match *args {
                // What protocols 0 and 1 make of a new object without arguments.
                [class, base, Value::None] if self.is_global(base, "builtins", &["object"]) => {
                    match self.rule_of(class) {
                        Some(rule) => self.new_of(rule),
                        None if class == Value::Unknown => Ok(Value::Unknown),
                        None => self.reconstruct_trusted(class),
                    }
                }
                _ => refuse("an object with a base of its own"),
            },
            _ => self.stdlib_call(rule, callable, args),
        }
    }

    /// `copyreg._reconstructor(class, object, None)` of a class that is trusted.
    fn reconstruct_trusted(&mut self, class: Value) -> Result<Value, Reason> {
        use crate::domain::Domain;
        match class {
            Value::Global(_) => {
                let nothing = self
                    .empty(0, crate::opcode::EMPTY_TUPLE)
                    .map_err(|error| error.to_string())?;
                self.new_object(0, class, nothing, None)
                    .map_err(|error| error.to_string().into())
            }
            _ => refuse("an object of no class"),
        }
    }

    /// A new object, made without arguments, of a class that a rule knows.
    pub(super) fn new_of(&mut self, rule: Rule) -> Result<Value, Reason> {
        match rule {
            Rule::Uuid => Ok(self.object(Kind::Uuid, false, true, 0, Value::None)),
            Rule::Wrapper => Ok(self.object(Kind::Wrapper, false, false, 0, Value::None)),
            Rule::Sparse(format) => {
                Ok(self.object(Kind::Sparse, false, false, format.into(), Value::None))
            }
            _ => self.pandas_new(rule),
        }
    }

    /// The state of an object of a class that a rule knows.
    pub(super) fn build_of(&mut self, instance: Value, state: Value) -> Result<(), Reason> {
        let Some(&object) = self.arena.object(instance) else {
            return refuse("no object");
        };
        match object.kind {
            Kind::BitGenerator | Kind::Generator | Kind::RandomState | Kind::SeedSequence => {
                return self.random_build(instance, object, state);
            }
            Kind::PandasType if object.built => return self.cached_type(object.extent, state),
            _ if object.built => return refuse("a state set on what has one, or can have none"),
            Kind::Sparse => return self.sparse_build(instance, object.extent, state),
            Kind::Frame | Kind::Manager | Kind::PandasType | Kind::PandasArray => {
                return self.pandas_build(instance, state);
            }
            Kind::Uuid => {
                let hash = self.uuid_build(state)?;
                self.hashed(instance, hash);
            }
            Kind::Namespace => {
                if self.arena.entries(state).is_none() {
                    return refuse("a namespace whose state is no dict of names");
                }
                // Each name gets a place in a dict of the object's own.
                let entries = self.arena.member_count(state, Holder::Dict).unwrap_or(0);
                self.charge(u64::from(entries) * 56 + 256);
                let depth = self.arena.depth(state).saturating_add(1);
                if let Some(object) = self.arena.object_mut(instance) {
                    object.depth = depth;
                }
                self.set_built(instance, 0, state);
                return Ok(());
            }
            Kind::Random => self.mersenne_build(state)?,
            Kind::Masked => return self.masked_build(instance, state),
            _ => return refuse("a state set on what can have none"),
        }
        self.set_built(instance, 0, Value::None);
        Ok(())
    }

    fn uuid_build(&self, state: Value) -> Result<Hash, Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a UUID whose state is no dict");
        };
        let mut hash = Hash::Any;
        for (key, value) in entries {
            match (key, value) {
                (b"int", Value::Int(0..) | Value::BigInt(..=16, false, _)) => {
                    hash = self.number_hash(value);
                }
                (b"is_safe", Value::Int(0 | -1)) => {}
                _ => return refuse("a UUID that is no number"),
            }
        }
        Ok(hash)
    }

    /// The state of `random.Random`: a version, 625 integers, and a float or nothing.
    fn mersenne_build(&self, state: Value) -> Result<(), Reason> {
        let Some([Value::Int(3), words, Value::None | Value::Float(_)]) =
            self.arena.tuple_of::<3>(state)
        else {
            return refuse("a random generator whose state is of another version");
        };
        let good = self.arena.tuple(words).is_some_and(|words| {
            words.len() == 625
                && words
                    .iter()
                    .all(|&word| matches!(word, Value::Int(word) if (0..1 << 32).contains(&word)))
        });
        if !good {
            return refuse("a random generator whose state is not 625 words");
        }
        Ok(())
    }
}
