//! pandas' tables and what they are made of.
//!
//! A table is blocks of arrays, each with the numbers of the columns in it. pandas writes to memory at these numbers, and
//! reads categories at codes, without a look at their range: so each block has to be as long as the index, the blocks'
//! columns have to be all columns, each once, and each code has to have its category.

use super::arena::{Holder, Kind, Value, truth};
use super::domain::{Reason, Verifier, refuse};
use super::names::Rule;

/// The `extent` of a type of pandas'.
pub(super) const TEXT: i64 = 1;
pub(super) const CATEGORY: i64 = 2;
pub(super) const ZONED: i64 = 3;
pub(super) const PERIOD: i64 = 4;
pub(super) const MASKED: i64 = 5;
pub(super) const ARROW: i64 = 6;
pub(super) const PLAIN: i64 = 7;

/// The `extent` of an array whose state is to be set.
const STORED: [&str; 6] = [
    "DatetimeArray",
    "TimedeltaArray",
    "PeriodArray",
    "Categorical",
    "StringArray",
    "NumpyExtensionArray",
];
pub(super) const ARROW_STORED: i64 = 20;
pub(super) const MASKED_STORED: i64 = 21;

impl Verifier<'_> {
    /// A new object of one of pandas' classes.
    pub(super) fn pandas_new(&mut self, rule: Rule) -> Result<Value, Reason> {
        Ok(match rule {
            Rule::Frame(axes) => self.object(Kind::Frame, false, false, axes.into(), Value::None),
            Rule::SingleManager => self.object(Kind::Manager, false, false, 1, Value::None),
            Rule::PandasType(kind) => {
                let kind = i64::from(kind);
                let whole = kind == MASKED;
                // The hash of categories is that of each of them.
                let hashable = kind != CATEGORY;
                self.object(Kind::PandasType, whole, hashable, kind, Value::None)
            }
            Rule::ArrowStored => {
                self.object(Kind::PandasArray, false, false, ARROW_STORED, Value::None)
            }
            Rule::MaskedArray(code) => self.object(
                Kind::PandasArray,
                false,
                false,
                MASKED_STORED,
                Value::Int(code.into()),
            ),
            _ => return refuse("what is not made so"),
        })
    }

    /// The call of something of pandas'.
    pub(super) fn pandas_call(
        &mut self,
        rule: Rule,
        callable: Value,
        args: &[Value],
    ) -> Result<Value, Reason> {
        for &arg in args {
            self.arena.freeze(arg);
        }
        match (rule, args) {
            (Rule::PandasType(1), _) => {
                let storage = args.first().and_then(|&storage| self.arena.text(storage));
                let missing = args.get(1).is_none_or(|&missing| {
                    matches!(missing, Value::Float(_))
                        || self.rule_of(missing) == Some(Rule::Missing)
                });
                if !matches!(storage, Some(b"python" | b"pyarrow")) || !missing || args.len() > 2 {
                    return refuse("a type of texts of an unknown storage");
                }
                Ok(self.object(Kind::PandasType, true, true, TEXT, Value::None))
            }
            (Rule::PandasType(4), &[name])
                if self.arena.text(name).is_some_and(|name| name.len() < 40)
                    || self.arena.built(name, Kind::Offset).is_some() =>
            {
                Ok(self.object(Kind::PandasType, true, true, PERIOD, Value::None))
            }
            (Rule::Stored, &[class, Value::Int(_), Value::None]) => {
                let code = STORED.iter().position(|name| {
                    self.is_global(class, "pandas.arrays", &[name])
                        || self.is_global(class, "pandas", &[name])
                        || [
                            "pandas.core.arrays.datetimes",
                            "pandas.core.arrays.timedeltas",
                            "pandas.core.arrays.period",
                            "pandas.core.arrays.categorical",
                            "pandas.core.arrays.string_",
                            "pandas.core.arrays.numpy_",
                        ]
                        .iter()
                        .any(|module| self.is_global(class, module, &[name]))
                });
                let old = self.is_global(class, "pandas.core.arrays.numpy_", &["PandasArray"]);
                let Some(code) = code.or(old.then_some(5)) else {
                    return refuse("an array of an unknown class");
                };
                let code = i64::try_from(code).unwrap_or(0);
                Ok(self.object(Kind::PandasArray, false, false, code, Value::None))
            }
            (Rule::NewIndex, &[class, state]) => self.index(class, state),
            (Rule::Block, &[values, places, Value::Int(2)]) => self.block(values, places),
            (Rule::Manager, &[blocks, axes]) => self.manager(blocks, axes),
            (
                Rule::Timestamp,
                &[Value::Int(_), freq, zone] | &[Value::Int(_), freq, zone, Value::Int(7..=10)],
            ) => {
                let zoned = zone == Value::None || self.arena.built(zone, Kind::Zone).is_some();
                let steady = freq == Value::None || self.arena.built(freq, Kind::Offset).is_some();
                if !zoned || !steady {
                    return refuse("no time");
                }
                Ok(self.object(Kind::Data, true, true, 0, Value::None))
            }
            (Rule::Timedelta, &[Value::Int(_)] | &[Value::Int(_), Value::Int(7..=10)])
            | (Rule::NaT, &[Value::None]) => {
                Ok(self.object(Kind::Data, true, true, 0, Value::None))
            }
            (Rule::Period, &[Value::None, freq, Value::Int(_)])
                if self.arena.built(freq, Kind::Offset).is_some() =>
            {
                Ok(self.object(Kind::Data, true, true, 0, Value::None))
            }
            (Rule::Interval, &[left, right, closed]) => {
                let number = |value| match value {
                    Value::Int(_) | Value::Float(_) => true,
                    _ => self.arena.built(value, Kind::Data).is_some(),
                };
                let known = matches!(
                    self.arena.text(closed),
                    Some(b"left" | b"right" | b"both" | b"neither")
                );
                if !number(left) || !number(right) || !known {
                    return refuse("no interval");
                }
                let interval = self.object(Kind::Data, true, true, 0, Value::None);
                let parts = [left, right, closed];
                let hash = self.parts_hash(&parts);
                self.hashed(interval, hash);
                Ok(interval)
            }
            (Rule::Offset, _) => {
                let plain = args.iter().all(|&arg| {
                    matches!(arg, Value::None | Value::Bool(_))
                        || matches!(arg, Value::Int(number) if number.unsigned_abs() < 1 << 31)
                        || self.arena.built(arg, Kind::Delta).is_some()
                });
                if !plain || args.len() > 6 {
                    return refuse(format!(
                        "an offset of other arguments: {}",
                        self.arena.describe(callable)
                    ));
                }
                Ok(self.object(Kind::Offset, true, true, 0, Value::None))
            }
            _ => refuse("other arguments"),
        }
    }

    /// The state of an object of one of pandas' classes.
    pub(super) fn pandas_build(&mut self, instance: Value, state: Value) -> Result<(), Reason> {
        let Some(&object) = self.arena.object(instance) else {
            return refuse("no object");
        };
        self.arena.freeze(state);
        match object.kind {
            Kind::Frame => {
                self.frame_state(object.extent, state)?;
                self.set_built(instance, object.extent, state);
            }
            Kind::Manager => {
                self.single_state(state)?;
                self.set_built(instance, 1, state);
            }
            Kind::PandasType => {
                let count = self.type_state(object.extent, state)?;
                self.set_built(instance, object.extent, Value::Int(count));
            }
            Kind::PandasArray => {
                let (length, values) = match object.extent {
                    ARROW_STORED => self.arrow_stored(state)?,
                    MASKED_STORED => self.masked_state(object.detail, state)?,
                    code => self.stored_state(code, state)?,
                };
                self.set_built(instance, length, values);
            }
            _ => return refuse("a state set on what can have none"),
        }
        Ok(())
    }

    /// What pandas 1 kept in the types of masked arrays.
    pub(super) fn cached_type(&mut self, kind: i64, state: Value) -> Result<(), Reason> {
        self.arena.freeze(state);
        let cache = self
            .arena
            .entries(state)
            .and_then(|entries| match *entries.as_slice() {
                [(b"_cache", cache)] => self.arena.entries(cache),
                _ => None,
            });
        let plain = cache.is_some_and(|cache| {
            cache.iter().all(|&(key, value)| match key {
                b"numpy_dtype" => self.arena.dtype(value).is_some(),
                b"kind" => self.arena.text(value).is_some(),
                b"itemsize" => super::arena::size(value).is_some(),
                _ => false,
            })
        });
        if kind != MASKED || !plain {
            return refuse("a state set on a type that has one, or can have none");
        }
        Ok(())
    }

    /// The state of a type; for one of categories, how many there are.
    fn type_state(&self, kind: i64, state: Value) -> Result<i64, Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a type whose state is no dict");
        };
        let mut count = 0;
        for (key, value) in entries {
            let good = match (kind, key) {
                (CATEGORY, b"categories") => {
                    count = self
                        .arena
                        .built(value, Kind::Index)
                        .map_or(-1, |index| index.extent);
                    count >= 0
                }
                (CATEGORY, b"ordered") => value == Value::None || truth(value).is_some(),
                (ZONED, b"unit") => {
                    matches!(self.arena.text(value), Some(b"s" | b"ms" | b"us" | b"ns"))
                }
                (ZONED, b"tz") => self.arena.built(value, Kind::Zone).is_some(),
                (PERIOD, b"freq") => self.arena.built(value, Kind::Offset).is_some(),
                (TEXT, b"storage") => {
                    matches!(self.arena.text(value), Some(b"python" | b"pyarrow"))
                }
                (ARROW, b"_storage" | b"storage") => self.arena.text(value) == Some(b"pyarrow"),
                (ARROW, b"pyarrow_dtype") => self.arena.built(value, Kind::ArrowType).is_some(),
                (PLAIN, b"_dtype") => self.arena.dtype(value).is_some(),
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "a type with an impossible {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        Ok(count)
    }

    fn is_cache(&self, value: Value) -> bool {
        self.arena.entries(value).is_some_and(|entries| {
            entries.iter().all(|&(key, value)| match key {
                b"dtype" => {
                    self.arena.built(value, Kind::PandasType).is_some()
                        || self.arena.dtype(value).is_some()
                }
                b"unit" => self.arena.text(value).is_some(),
                _ => false,
            })
        })
    }

    /// The state of an array over numpy's: `(type, values)` or `(values, type)`, and perhaps attributes.
    fn stored_state(&self, code: i64, state: Value) -> Result<(i64, Value), Reason> {
        let (first, second, attributes) = match self.arena.tuple(state) {
            Some(&[first, second]) => (first, second, None),
            Some(&[first, second, attributes]) => (first, second, Some(attributes)),
            _ => return refuse("an array of pandas' of another state"),
        };
        let (of, values) = if self.arena.array(second).is_some() {
            (first, second)
        } else {
            (second, first)
        };
        if let Some(attributes) = attributes {
            let good = self.arena.entries(attributes).is_some_and(|entries| {
                entries.iter().all(|&(key, value)| match key {
                    b"_cache" => self.is_cache(value),
                    b"_readonly" => matches!(value, Value::Bool(_)),
                    b"_freq" | b"freq" => {
                        value == Value::None || self.arena.built(value, Kind::Offset).is_some()
                    }
                    _ => false,
                })
            });
            if !good {
                return refuse("an array of pandas' with unknown attributes");
            }
        }
        let Some((array, dtype)) = self.arena.array(values) else {
            return refuse("an array of pandas' over no array");
        };
        let kind = self
            .arena
            .built(of, Kind::PandasType)
            .map(|of| (of.extent, of.detail));
        let numpy = self.arena.dtype(of).map(|(_, dtype)| dtype);
        let flat = array.shape.len == 1;
        let timed = matches!(dtype.unit.as_slice(), b"s" | b"ms" | b"us" | b"ns");
        let good = match code {
            0 | 1 => {
                let letter = if code == 0 { b'M' } else { b'm' };
                let same = numpy.is_some_and(|of| of.code == letter && of.unit == dtype.unit);
                let zoned = code == 0 && matches!(kind, Some((ZONED, _)));
                dtype.code == letter
                    && timed
                    && !dtype.big_endian
                    && array.shape.len <= 2
                    && (same || zoned)
            }
            2 => matches!(kind, Some((PERIOD, _))) && dtype.is(b'i', 8) && flat,
            3 => {
                let Some((CATEGORY, Value::Int(count))) = kind else {
                    return refuse("a categorical of no categories");
                };
                if !flat || !self.integers(values, |code| (-1..count).contains(&code))? {
                    return refuse("a categorical with codes that have no category");
                }
                true
            }
            4 => matches!(kind, Some((TEXT, _))) && dtype.code == b'O' && flat,
            _ => matches!(kind, Some((PLAIN, _))) && (dtype.is_raw() || dtype.code == b'O') && flat,
        };
        if !good || array.shape.len == 0 {
            return refuse("an array of pandas' over one of another type");
        }
        Ok((i64::try_from(array.count).unwrap_or(i64::MAX), values))
    }

    fn arrow_stored(&self, state: Value) -> Result<(i64, Value), Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("an array of pandas' whose state is no dict");
        };
        let mut found = None;
        let mut of = None;
        for (key, value) in entries {
            let good = match key {
                b"_pa_array" | b"_data" => {
                    found = self.arrow_length(value);
                    found.is_some()
                }
                b"_dtype" => {
                    of = self
                        .arena
                        .built(value, Kind::PandasType)
                        .map(|of| of.extent);
                    matches!(of, Some(TEXT | ARROW))
                }
                b"_cache" => self.is_cache(value),
                b"_readonly" => matches!(value, Value::Bool(_)),
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "an array of pandas' with an impossible {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        match found {
            Some((length, text)) if text || of == Some(ARROW) => Ok((length, Value::None)),
            _ => refuse("an array of pandas' over no array of Arrow's"),
        }
    }

    fn masked_state(&self, code: Value, state: Value) -> Result<(i64, Value), Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("an array of pandas' whose state is no dict");
        };
        let find = |name: &[u8]| {
            entries
                .iter()
                .find(|&&(key, _)| key == name)
                .and_then(|&(_, value)| self.arena.array(value))
        };
        let plain = entries.iter().all(|&(key, value)| match key {
            b"_data" | b"_mask" => true,
            b"_dtype" => self.arena.built(value, Kind::PandasType).is_some(),
            b"_cache" => self.is_cache(value),
            b"_readonly" => matches!(value, Value::Bool(_)),
            _ => false,
        });
        let (Some((data, of)), Some((mask, mask_of))) = (find(b"_data"), find(b"_mask")) else {
            return refuse("an array of pandas' without data and mask");
        };
        let fits = match code {
            Value::Int(0) => matches!(of.code, b'i' | b'u'),
            Value::Int(1) => of.code == b'f',
            _ => of.code == b'b',
        };
        if !plain
            || !fits
            || of.big_endian
            || mask_of.code != b'b'
            || data.shape.len != 1
            || mask.shape.len != 1
            || data.count != mask.count
        {
            return refuse("an array of pandas' whose mask is not of its data");
        }
        Ok((i64::try_from(data.count).unwrap_or(i64::MAX), Value::None))
    }

    /// The sizes of an array, of numpy's or pandas'.
    pub(super) fn sizes_of(&self, values: Value) -> Option<Vec<u64>> {
        if let Some((array, dtype)) = self.arena.array(values) {
            // pandas has no elements of bytes or of no size, but converts them one by one.
            let raw = dtype.is_raw() && !matches!(dtype.code, b'S' | b'U' | b'V') && dtype.size > 0;
            let plain = raw || dtype.code == b'O';
            return plain.then(|| self.arena.sizes(array));
        }
        let object = self.arena.built(values, Kind::PandasArray)?;
        match self.arena.array(object.detail) {
            Some((array, _)) => Some(self.arena.sizes(array)),
            None => Some(vec![u64::try_from(object.extent).ok()?]),
        }
    }

    /// `_new_Index(class, state)` and its like.
    fn index(&mut self, class: Value, state: Value) -> Result<Value, Reason> {
        let Some(name) = self.class_name(class) else {
            return refuse("an index of no class");
        };
        let Some(entries) = self.arena.entries(state) else {
            return refuse("an index whose state is no dict");
        };
        let find = |name: &[u8]| {
            let found = entries.iter().find(|&&(key, _)| key == name);
            found.map(|&(_, value)| value)
        };
        let range = name == "RangeIndex";
        let multi = name == "MultiIndex";
        for &(key, value) in &entries {
            let good = match key {
                b"name" => self.arena.hash_cost(value) > 0,
                b"freq" => value == Value::None || self.arena.built(value, Kind::Offset).is_some(),
                b"tz" => value == Value::None || self.arena.built(value, Kind::Zone).is_some(),
                b"start" | b"stop" | b"step" => {
                    range && matches!(value, Value::Int(value) if value.unsigned_abs() < 1 << 62)
                }
                b"levels" | b"codes" | b"sortorder" | b"names" => multi,
                b"data" => !range && !multi,
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "an index with an impossible {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        let length = if range {
            let (Some(Value::Int(start)), Some(Value::Int(stop)), Some(Value::Int(stride))) =
                (find(b"start"), find(b"stop"), find(b"step"))
            else {
                return refuse("a range without its ends");
            };
            let (start, stop, stride) = (i128::from(start), i128::from(stop), i128::from(stride));
            let span = if stride > 0 {
                stop - start
            } else {
                start - stop
            };
            if stride == 0 {
                return refuse("a range of no step");
            }
            let length = (span.max(0) + stride.abs() - 1) / stride.abs();
            i64::try_from(length).map_err(|_| "a range that is too long")?
        } else if multi {
            self.multi(
                find(b"levels"),
                find(b"codes"),
                find(b"sortorder"),
                find(b"names"),
            )?
        } else {
            let data = find(b"data").unwrap_or(Value::None);
            match self.arena.built(data, Kind::Index) {
                Some(index) => index.extent,
                None => match self.sizes_of(data).as_deref() {
                    Some(&[length]) => i64::try_from(length).unwrap_or(i64::MAX),
                    _ => return refuse("an index of no array of one dimension"),
                },
            }
        };
        Ok(self.object(Kind::Index, true, false, length, state))
    }

    fn class_name(&self, class: Value) -> Option<&'static str> {
        const CLASSES: [&str; 10] = [
            "Index",
            "RangeIndex",
            "MultiIndex",
            "DatetimeIndex",
            "TimedeltaIndex",
            "PeriodIndex",
            "CategoricalIndex",
            "Int64Index",
            "UInt64Index",
            "Float64Index",
        ];
        const MODULES: [&str; 10] = [
            "pandas",
            "pandas.core.indexes.base",
            "pandas.core.indexes.range",
            "pandas.core.indexes.multi",
            "pandas.core.indexes.datetimes",
            "pandas.core.indexes.timedeltas",
            "pandas.core.indexes.period",
            "pandas.core.indexes.category",
            "pandas.core.indexes.numeric",
            "pandas.indexes.base",
        ];
        CLASSES.into_iter().find(|name| {
            MODULES
                .iter()
                .any(|module| self.is_global(class, module, &[name]))
        })
    }

    fn multi(
        &self,
        levels: Option<Value>,
        codes: Option<Value>,
        order: Option<Value>,
        names: Option<Value>,
    ) -> Result<i64, Reason> {
        let list = |value: Option<Value>| {
            let value = value?;
            self.arena
                .members(value, Holder::List)
                .map(Iterator::collect::<Vec<_>>)
                .or_else(|| self.arena.tuple(value).map(<[Value]>::to_vec))
        };
        let (Some(levels), Some(codes), Some(names)) = (list(levels), list(codes), list(names))
        else {
            return refuse("an index of several levels without them");
        };
        if levels.is_empty()
            || levels.len() > 256
            || levels.len() != codes.len()
            || levels.len() != names.len()
        {
            return refuse("an index of several levels of another number of codes");
        }
        if !matches!(order, None | Some(Value::None | Value::Int(0..=64)))
            || !names.iter().all(|&name| self.arena.hash_cost(name) > 0)
        {
            return refuse("an index of several levels with impossible names");
        }
        let mut length = None;
        for (&level, &code) in levels.iter().zip(&codes) {
            let Some(level) = self.arena.built(level, Kind::Index) else {
                return refuse("an index of several levels, one of which is none");
            };
            let count = self.integer_count(code);
            if count.is_none() || *length.get_or_insert(count) != count {
                return refuse("an index of several levels with codes of different lengths");
            }
            let extent = level.extent;
            if !self.integers(code, |code| (-1..extent).contains(&code))? {
                return refuse("an index of several levels with codes that have no value");
            }
        }
        Ok(length
            .flatten()
            .and_then(|length| i64::try_from(length).ok())
            .unwrap_or(0))
    }

    /// The state of a table or a series: a dict of its attributes.
    fn frame_state(&self, axes: i64, state: Value) -> Result<(), Reason> {
        let Some(entries) = self.arena.entries(state) else {
            return refuse("a table whose state is no dict");
        };
        let mut whole = false;
        for (key, value) in entries {
            let good = match key {
                b"_mgr" => {
                    whole = self
                        .arena
                        .built(value, Kind::Manager)
                        .is_some_and(|manager| manager.extent == axes);
                    whole
                }
                b"_typ" => matches!(self.arena.text(value), Some(b"dataframe" | b"series")),
                b"_metadata" => self
                    .arena
                    .members(value, Holder::List)
                    .is_some_and(|mut names| {
                        names.all(|name| {
                            self.arena.text(name) == Some(b"_name")
                                || self.arena.text(name) == Some(b"name")
                        })
                    }),
                b"attrs" | b"_attrs" => self.arena.members(value, Holder::Dict).is_some(),
                b"_flags" => self.arena.entries(value).is_some_and(|entries| {
                    entries.iter().all(|&(key, value)| {
                        key == b"allows_duplicate_labels" && truth(value).is_some()
                    })
                }),
                b"_name" | b"name" => self.arena.hash_cost(value) > 0,
                _ => false,
            };
            if !good {
                return refuse(format!(
                    "a table with an impossible {}",
                    String::from_utf8_lossy(key)
                ));
            }
        }
        if !whole {
            return refuse("a table without blocks");
        }
        Ok(())
    }
}
