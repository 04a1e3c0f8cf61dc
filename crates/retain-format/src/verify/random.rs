//! numpy's random generators.
//!
//! Their states are indices into tables, and are believed: they are checked here.

use super::arena::{Kind, Object, Value, truth};
use super::domain::{Reason, Verifier, refuse};
use super::names::Rule;

/// The bit generators, by number.
const GENERATORS: [&str; 5] = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"];

impl Verifier<'_> {
    /// The call of something that makes a generator.
    pub(super) fn random_call(&mut self, rule: Rule, args: &[Value]) -> Result<Value, Reason> {
        match rule {
            Rule::SeedSequence => match *args {
                [class, Value::Int(_), Value::None]
                    if self.is_global(class, "numpy.random.bit_generator", &["SeedSequence"])
                        || self.is_global(
                            class,
                            "numpy.random._bit_generator",
                            &["SeedSequence"],
                        ) =>
                {
                    Ok(self.object(Kind::SeedSequence, false, false, 0, Value::None))
                }
                _ => refuse("a seed of other arguments"),
            },
            Rule::BitGenerator => {
                let &[class] = args else {
                    return refuse("not one argument");
                };
                let Some(number) = self.bit_generator(class) else {
                    return refuse("an unknown bit generator");
                };
                Ok(self.object(Kind::BitGenerator, false, false, number, Value::None))
            }
            _ => {
                let whole = args
                    .first()
                    .is_some_and(|&bits| self.arena.built(bits, Kind::BitGenerator).is_some());
                // numpy 1 named the bit generator, and set the state of what holds it.
                let named = args
                    .first()
                    .filter(|&&name| self.arena.text(name).is_some())
                    .and_then(|&name| self.bit_generator(name));
                let maker = args
                    .get(1)
                    .is_none_or(|&maker| self.rule_of(maker) == Some(Rule::BitGenerator));
                let known = named.is_some_and(|number| number == 0 || rule == Rule::Generator);
                if !(whole || known) || !maker || args.len() > 2 {
                    return refuse("a generator of no bit generator whose state is set");
                }
                if let (Rule::Generator, Some(number)) = (rule, named) {
                    return Ok(self.object(Kind::Generator, false, true, number, Value::None));
                }
                if rule == Rule::Generator {
                    return Ok(self.object(Kind::Generator, true, true, 0, Value::None));
                }
                Ok(self.object(Kind::RandomState, false, true, 0, Value::None))
            }
        }
    }

    fn bit_generator(&self, class: Value) -> Option<i64> {
        let place = |name: &[u8]| GENERATORS.iter().position(|known| known.as_bytes() == name);
        let found = match self.arena.text(class) {
            Some(name) => place(name),
            None => [
                ("numpy.random._mt19937", 0),
                ("numpy.random._pcg64", 1),
                ("numpy.random._pcg64", 2),
                ("numpy.random._philox", 3),
                ("numpy.random._sfc64", 4),
            ]
            .iter()
            .find(|&&(module, number)| {
                GENERATORS
                    .get(number)
                    .is_some_and(|name| self.is_global(class, module, &[name]))
            })
            .map(|&(_, number)| number),
        };
        found.and_then(|number| i64::try_from(number).ok())
    }

    pub(super) fn random_build(
        &mut self,
        instance: Value,
        object: Object,
        state: Value,
    ) -> Result<(), Reason> {
        if object.built {
            return refuse("a generator whose state is set twice");
        }
        match object.kind {
            Kind::SeedSequence => self.seed_state(state)?,
            Kind::RandomState => self.bits_state(0, state, true)?,
            _ => {
                let mut bits = state;
                if let Some([first, seed]) = self.arena.tuple_of::<2>(state) {
                    if seed != Value::None && self.arena.built(seed, Kind::SeedSequence).is_none() {
                        return refuse("a bit generator with an unknown seed");
                    }
                    bits = first;
                }
                self.bits_state(object.extent, bits, false)?;
            }
        }
        self.set_built(instance, object.extent, Value::None);
        Ok(())
    }

    fn seed_state(&self, state: Value) -> Result<(), Reason> {
        let Some([entropy, Value::Int(0..), pool, size, spawn]) = self.arena.tuple_of::<5>(state)
        else {
            return refuse("a seed of another state");
        };
        let whole =
            |value: Value| matches!(value, Value::Int(0..) | Value::BigInt(..=4096, false, _));
        let words = |value: Value| {
            self.arena
                .tuple(value)
                .is_some_and(|words| words.iter().copied().all(whole))
                || self
                    .arena
                    .members(value, super::arena::Holder::List)
                    .is_some_and(|mut words| words.all(whole))
        };
        let (Value::Int(size), Some((pool, dtype))) = (size, self.arena.array(pool)) else {
            return refuse("a seed of no pool");
        };
        let fits = dtype.is(b'u', 4)
            && pool.shape.len == 1
            && u64::try_from(size) == Ok(pool.count)
            && (4..=1024).contains(&pool.count);
        let seeded = entropy == Value::None || whole(entropy) || words(entropy);
        if !fits || !seeded || !words(spawn) {
            return refuse("a seed of an impossible state");
        }
        Ok(())
    }

    /// The state of a bit generator, or of a `RandomState` with its own.
    fn bits_state(&self, number: i64, state: Value, legacy: bool) -> Result<(), Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a bit generator whose state is no dict");
        };
        let word = |value: Value, width: u32| match value {
            Value::Int(value) => value >= 0 && (width >= 63 || value >> width == 0),
            Value::BigInt(bytes, false, _) => bytes <= width / 8,
            _ => false,
        };
        let table = |value: Value, size: u64, length: u64| {
            self.arena.array(value).is_some_and(|(array, dtype)| {
                dtype.is(b'u', size) && array.shape.len == 1 && array.count == length
            })
        };
        let mut inner = None;
        for (key, value) in entries {
            let good = match key {
                b"bit_generator" => {
                    self.arena.text(value).is_some() && self.bit_generator(value) == Some(number)
                }
                b"state" => {
                    inner = self.arena.entries(value);
                    inner.is_some()
                }
                b"has_uint32" => truth(value).is_some(),
                b"uinteger" => word(value, 32),
                b"buffer" => number == 3 && table(value, 8, 4),
                b"buffer_pos" => number == 3 && matches!(value, Value::Int(0..=4)),
                b"has_gauss" => legacy && truth(value).is_some(),
                b"gauss" => legacy && matches!(value, Value::Float(_)),
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "a bit generator with an impossible {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        let Some(inner) = inner else {
            return refuse("a bit generator without a state");
        };
        let needed: &[&[u8]] = match number {
            0 => &[b"key", b"pos"],
            1 | 2 => &[b"state", b"inc"],
            3 => &[b"counter", b"key"],
            _ => &[b"state"],
        };
        let good = inner.len() == needed.len()
            && inner.iter().all(|&(key, value)| match (number, key) {
                (0, b"key") => table(value, 4, 624),
                (0, b"pos") => matches!(value, Value::Int(0..=624)),
                (1 | 2, b"state" | b"inc") => word(value, 128),
                (3, b"counter") | (4, b"state") => table(value, 8, 4),
                (3, b"key") => table(value, 8, 2),
                _ => false,
            });
        if !good {
            return refuse("a bit generator of an impossible state");
        }
        Ok(())
    }
}
