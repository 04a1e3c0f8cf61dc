//! Arguments in the order of the function's signature, so that each call has one spelling.

use std::ffi::c_int;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use smallvec::{SmallVec, smallvec};

use crate::arguments::{Arguments, Key};
use crate::callable::Call;
use crate::compare::{Likeness, items, settle};
use crate::object::Obj;

type Pointer = *mut ffi::PyObject;

/// A signature, in the order in which arguments are kept.
pub(crate) struct Binder {
    parameters: Vec<Parameter>,
    /// Parameters that take no keyword.
    positional_only: usize,
    /// Parameters that can be given by position.
    positional: usize,
    /// What becomes of further positional arguments.
    rest: Rest,
    /// What becomes of further keyword arguments.
    named_rest: Rest,
    /// A call that gives each parameter by position is kept as it stands.
    straight: bool,
    /// Some parameter is ignored.
    ignores: bool,
}

#[derive(Clone)]
struct Parameter {
    name: Obj,
    default: Option<Obj>,
    ignored: bool,
}

/// Signatures with no more parameters than this are bound on the stack.
pub(crate) const ROOM: usize = 8;

/// What becomes of arguments that no parameter takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Refused,
    Ignored,
    Kept,
}

/// The arguments of one call, bound.
#[derive(Default)]
pub(crate) struct BoundArguments {
    values: SmallVec<[Pointer; 8]>,
    /// The names of the last values.
    names: Option<Obj>,
    /// Those of the values that are kept alive by nobody else.
    owned: SmallVec<[Obj; 1]>,
}

impl BoundArguments {
    /// A lone argument that stands for all of them.
    pub(crate) fn lone(object: Obj) -> Self {
        Self {
            values: SmallVec::from_slice(&[object.as_ptr()]),
            names: None,
            owned: smallvec![object],
        }
    }

    pub(crate) fn value(&self, position: usize) -> Option<Pointer> {
        self.values.get(position).copied()
    }

    /// The name of an argument that was passed by keyword and has no parameter of its own.
    pub(crate) fn keyword(&self, py: Python<'_>, position: usize) -> Option<String> {
        let names = self.names.as_ref()?.bind(py).cast::<PyTuple>().ok()?;
        let place = (position + names.len()).checked_sub(self.values.len())?;
        Some(names.get_item(place).ok()?.to_string())
    }

    /// Lets another object stand for an argument.
    pub(crate) fn replace(&mut self, position: usize, object: Obj) {
        self.values[position] = object.as_ptr();
        self.owned.push(object);
    }

    /// The values, and the names of the last of them: a tuple.
    pub(crate) fn parts(&self) -> (&[Pointer], Option<&Obj>) {
        (&self.values, self.names.as_ref())
    }

    pub(crate) fn view(&self, likeness: Likeness) -> Arguments<'_> {
        let names = self.names.as_ref().map_or(ptr::null_mut(), Obj::as_ptr);
        // SAFETY: the values are alive as long as the call they were given in, which outlives `self`, or are owned.
        unsafe { Arguments::new(&self.values, names, likeness) }
    }
}

impl Binder {
    /// The parameters: name, whether there is a default, and the default, and whether it is ignored.
    pub(crate) fn new(
        parameters: Vec<(Bound<'_, PyAny>, Option<Bound<'_, PyAny>>, bool)>,
        positional_only: usize,
        positional: usize,
        rest: Rest,
        named_rest: Rest,
    ) -> Self {
        let mut straight = positional == parameters.len();
        let mut ignores = false;
        let mut kept = Vec::with_capacity(parameters.len());
        for (name, default, ignored) in parameters {
            straight &= !ignored;
            ignores |= ignored;
            kept.push(Parameter {
                name: name.into(),
                default: default.map(Obj::from),
                ignored,
            });
        }
        Self {
            parameters: kept,
            positional_only,
            positional,
            rest,
            named_rest,
            straight,
            ignores,
        }
    }

    /// Whether the first argument by position has a parameter of its own, which can be a method's instance.
    pub(crate) fn takes_instance(&self) -> bool {
        self.positional > 0
    }

    /// The same signature with the first parameter, a method's instance, left out of the key.
    pub(crate) fn of_method(&self) -> Self {
        let mut parameters = self.parameters.clone();
        if let Some(instance) = parameters.first_mut() {
            instance.ignored = true;
        }
        Self {
            parameters,
            straight: false,
            ignores: true,
            ..*self
        }
    }

    /// Whether a call with so many arguments, all by position, is kept as it stands.
    #[inline]
    pub(crate) fn is_straight(&self, positional: usize) -> bool {
        self.straight
            && (positional == self.positional
                || (positional > self.positional && self.rest == Rest::Kept))
    }

    /// The call's arguments laid out in `room`, where that takes no more than finding the names and filling in
    /// defaults; `None` is no answer yet.
    #[inline]
    pub(crate) fn lay_out<'a>(
        &self,
        call: Call,
        room: &'a mut [Pointer; ROOM],
    ) -> Option<&'a [Pointer]> {
        let given = call.values();
        let slots = room.get_mut(..self.parameters.len())?;
        if self.ignores || given.len() > self.positional {
            return None;
        }
        slots[..given.len()].copy_from_slice(given);
        let (names, values) = call.named();
        if !names.is_null() {
            // SAFETY: a vectorcall's names are a tuple.
            for (&name, &value) in unsafe { items(names) }.iter().zip(values) {
                let mut by_keyword = self.parameters[self.positional_only..].iter();
                let position = by_keyword.position(|parameter| parameter.name.as_ptr() == name)?;
                let slot = &mut slots[self.positional_only + position];
                if !slot.is_null() {
                    return None;
                }
                *slot = value;
            }
        }
        for (slot, parameter) in slots.iter_mut().zip(&self.parameters).skip(given.len()) {
            if slot.is_null() {
                *slot = parameter.default.as_ref()?.as_ptr();
            }
        }
        Some(slots)
    }

    /// As [`lay_out`](Self::lay_out), of arguments by keyword in a dict.
    ///
    /// # Safety
    /// `named` is a dict, and this thread attached.
    #[cfg(not(Py_GIL_DISABLED))]
    pub(crate) unsafe fn lay_out_dict<'a>(
        &self,
        given: &[Pointer],
        named: Pointer,
        room: &'a mut [Pointer; ROOM],
    ) -> Option<&'a [Pointer]> {
        let slots = room.get_mut(..self.parameters.len())?;
        if self.ignores || given.len() > self.positional {
            return None;
        }
        slots[..given.len()].copy_from_slice(given);
        let (mut place, mut name, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: says the caller; nothing runs meanwhile that could change the dict.
        while unsafe { ffi::PyDict_Next(named, &raw mut place, &raw mut name, &raw mut value) } != 0
        {
            let mut by_keyword = self.parameters[self.positional_only..].iter();
            let position = by_keyword.position(|parameter| parameter.name.as_ptr() == name)?;
            let slot = &mut slots[self.positional_only + position];
            if !slot.is_null() {
                return None;
            }
            *slot = value;
        }
        for (slot, parameter) in slots.iter_mut().zip(&self.parameters).skip(given.len()) {
            if slot.is_null() {
                *slot = parameter.default.as_ref()?.as_ptr();
            }
        }
        Some(slots)
    }

    /// The call's arguments; `None` if they do not fit the signature.
    pub(crate) fn bind(&self, py: Python<'_>, call: Call) -> Option<BoundArguments> {
        let mut slots: SmallVec<[Pointer; 8]> =
            SmallVec::from_elem(ptr::null_mut(), self.parameters.len());
        let given = call.values();
        let (by_position, further) = given.split_at(given.len().min(self.positional));
        slots[..by_position.len()].copy_from_slice(by_position);
        if !further.is_empty() && self.rest == Rest::Refused {
            return None;
        }
        let (names, values) = call.named();
        let mut extra: SmallVec<[(Pointer, Pointer); 4]> = SmallVec::new();
        let names = if names.is_null() {
            &[]
        } else {
            // SAFETY: a vectorcall's names are a tuple.
            unsafe { items(names) }
        };
        for (&name, &value) in names.iter().zip(values) {
            match self.position_of(name) {
                Some(position) if slots[position].is_null() => slots[position] = value,
                Some(_) => return None,
                None if self.named_rest == Rest::Refused => return None,
                None => extra.push((name, value)),
            }
        }
        let mut bound = BoundArguments::default();
        for (slot, parameter) in slots.iter().zip(&self.parameters) {
            let value = match &parameter.default {
                Some(default) if slot.is_null() => default.as_ptr(),
                _ if slot.is_null() => return None,
                _ => *slot,
            };
            if !parameter.ignored {
                bound.values.push(value);
            }
        }
        if self.rest == Rest::Kept {
            bound.values.extend_from_slice(further);
        }
        if self.named_rest == Rest::Kept && !extra.is_empty() {
            // The order of keywords is not part of the call.
            // SAFETY: both names are live objects of type `str`.
            extra.sort_by(|(a, _), (b, _)| unsafe { ffi::PyUnicode_Compare(*a, *b) }.cmp(&0));
            // SAFETY: the names are alive as long as the call.
            let names = extra
                .iter()
                .map(|(name, _)| unsafe { Bound::from_borrowed_ptr(py, *name) });
            bound.names = Some(PyTuple::new(py, names.collect::<Vec<_>>()).ok()?.into());
            bound.values.extend(extra.iter().map(|(_, value)| *value));
        }
        Some(bound)
    }

    /// The names of the parameters that are kept, in their order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Obj> {
        let kept = self
            .parameters
            .iter()
            .filter(|parameter| !parameter.ignored);
        kept.map(|parameter| &parameter.name)
    }

    /// Whether further arguments by position are kept, and further ones by keyword.
    pub(crate) fn keeps_rests(&self) -> (bool, bool) {
        (self.rest == Rest::Kept, self.named_rest == Rest::Kept)
    }

    fn position_of(&self, name: Pointer) -> Option<usize> {
        let by_keyword = &self.parameters[self.positional_only..];
        // Names are interned: nearly always one pointer comparison tells.
        let same = by_keyword
            .iter()
            .position(|parameter| parameter.name.as_ptr() == name);
        same.or_else(|| {
            by_keyword.iter().position(|parameter| {
                settle(parameter.name.as_ptr(), name, Likeness::Equal) == Some(true)
            })
        })
        .map(|position| position + self.positional_only)
    }

    /// The name of the argument that is kept at `position`.
    pub(crate) fn name_of(&self, py: Python<'_>, position: usize) -> Option<String> {
        self.kept()
            .nth(position)
            .map(|name| name.bind(py).to_string())
    }

    /// Stored arguments by name; further positional ones under `"*"`.
    pub(crate) fn describe<'py>(&self, py: Python<'py>, key: &Key) -> PyResult<Bound<'py, PyDict>> {
        let described = PyDict::new(py);
        let (values, names) = key.parts();
        // SAFETY: the key keeps its values alive.
        let mut values = values
            .as_slice()
            .iter()
            .map(|value| unsafe { Bound::from_borrowed_ptr(py, *value) })
            .collect::<Vec<_>>()
            .into_iter();
        for parameter in self
            .parameters
            .iter()
            .filter(|parameter| !parameter.ignored)
        {
            if let Some(value) = values.next() {
                described.set_item(parameter.name.bind(py), value)?;
            }
        }
        let names = if names.is_null() {
            &[]
        } else {
            // SAFETY: a key's names are a tuple.
            unsafe { items(names) }
        };
        let further = values.len() - names.len();
        if further > 0 {
            described.set_item(
                "*",
                PyTuple::new(py, values.by_ref().take(further).collect::<Vec<_>>())?,
            )?;
        }
        for (&name, value) in names.iter().zip(values) {
            // SAFETY: the key keeps the names alive.
            described.set_item(unsafe { Bound::from_borrowed_ptr(py, name) }, value)?;
        }
        Ok(described)
    }

    pub(crate) fn traverse(&self, visit: &mut impl FnMut(Pointer) -> c_int) -> c_int {
        let defaults = self
            .parameters
            .iter()
            .filter_map(|parameter| parameter.default.as_ref());
        let mut visits = defaults.map(|default| visit(default.as_ptr()));
        visits.find(|status| *status != 0).unwrap_or(0)
    }
}
