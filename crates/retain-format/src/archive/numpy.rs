//! Arrays and their types, as numpy and joblib pickle them.

use std::borrow::Cow;

use super::nodes::{Follows, Id, Node, Object};
use super::notes::Notes;
use crate::error::Error;
use crate::npy::{Descr, Field, Header};

/// Types of types of types: deeper ones are nobody's data.
const DEEPEST: u32 = 32;

/// An array that was found.
pub(super) struct Found<'a> {
    pub(super) header: Header,
    pub(super) data: Data<'a>,
}

pub(super) enum Data<'a> {
    Bytes(Cow<'a, [u8]>),
    /// Python objects.
    Items(&'a [Id]),
}

fn broken(what: &str) -> Error {
    Error::malformed(0, format!("an array of numpy's {what}"))
}

enum Maker {
    Reconstruct,
    FromBuffer,
    Scalar,
}

fn maker(notes: Notes<'_>, object: &Object) -> Option<Maker> {
    let (module, name) = notes.global(object.class)?;
    if !module.starts_with("numpy.") {
        return None;
    }
    match name {
        "_reconstruct" => Some(Maker::Reconstruct),
        "_frombuffer" => Some(Maker::FromBuffer),
        "scalar" => Some(Maker::Scalar),
        _ => None,
    }
}

/// Whether a value is an array.
pub(super) fn is_array(notes: Notes<'_>, id: Id) -> bool {
    match notes.node(id) {
        Node::Raw(_) => true,
        Node::Object(object) => {
            matches!(
                maker(notes, object),
                Some(Maker::Reconstruct | Maker::FromBuffer)
            )
        }
        _ => false,
    }
}

/// The array, or the scalar of numpy's, that a value is; `None` where it is none.
pub(super) fn array(notes: Notes<'_>, id: Id) -> Option<Result<Found<'_>, Error>> {
    match notes.node(id) {
        Node::Raw(raw) => {
            let (header, span) = &**raw;
            let bytes = notes.span(*span).unwrap_or_default();
            Some(Ok(Found {
                header: header.clone(),
                data: Data::Bytes(Cow::Borrowed(bytes)),
            }))
        }
        Node::Object(object) => {
            let maker = maker(notes, object)?;
            Some(made(notes, object, &maker))
        }
        _ => None,
    }
}

fn made<'a>(notes: Notes<'a>, object: &Object, maker: &Maker) -> Result<Found<'a>, Error> {
    let arguments = notes.arguments(object);
    let (descr, shape, fortran_order, data) = match maker {
        Maker::FromBuffer => {
            let &[data, descr, shape, order] = arguments else {
                return Err(broken("without buffer, type, shape and order"));
            };
            let fortran = notes.text(order).is_some_and(|order| order == "F");
            (descr, shape_of(notes, shape)?, fortran, data)
        }
        Maker::Scalar => {
            let &[descr, data] = arguments else {
                return Err(broken("with one element, without its value"));
            };
            (descr, Vec::new(), false, data)
        }
        Maker::Reconstruct => {
            let state = object.state.and_then(|state| notes.tuple(state));
            // Very old files lack the version.
            let (&[_, shape, descr, order, data] | &[shape, descr, order, data]) =
                state.unwrap_or_default()
            else {
                return Err(broken("without its state"));
            };
            let fortran = notes.truth(order).unwrap_or_default();
            (descr, shape_of(notes, shape)?, fortran, data)
        }
    };
    let header = Header {
        descr: descr_of(notes, descr, 0)?,
        shape,
        fortran_order,
    };
    let data = if let Some(bytes) = notes.bytes(data) {
        if header.descr.has_objects() || bytes.len() as u64 != header.data_len()? {
            return Err(broken("whose bytes do not fit its type and shape"));
        }
        Data::Bytes(bytes)
    } else if let Node::List(items) = notes.node(data) {
        if !header.descr.has_objects() || items.len() as u64 != header.elements()? {
            return Err(broken("whose elements do not fit its type and shape"));
        }
        Data::Items(items)
    } else if matches!(maker, Maker::Scalar) && header.descr.has_objects() {
        Data::Items(&[])
    } else {
        return Err(broken("without its elements"));
    };
    Ok(Found { header, data })
}

fn shape_of(notes: Notes<'_>, id: Id) -> Result<Vec<u64>, Error> {
    let items = match notes.node(id) {
        Node::Int(_) => std::slice::from_ref(&id),
        _ => notes.tuple(id).ok_or_else(|| broken("without a shape"))?,
    };
    if items.len() > 64 {
        return Err(broken("with more dimensions than numpy knows"));
    }
    items
        .iter()
        .map(|&item| {
            let length = notes
                .int(item)
                .and_then(|length| u64::try_from(length).ok());
            length.ok_or_else(|| broken("with a shape that is none"))
        })
        .collect()
}

/// The type that a pickled dtype stands for.
fn descr_of(notes: Notes<'_>, id: Id, depth: u32) -> Result<Descr, Error> {
    let unknown = || broken("of a type that is none of numpy's");
    let Node::Object(object) = notes.node(id) else {
        return Err(unknown());
    };
    if notes.global(object.class) != Some(("numpy", "dtype")) || depth > DEEPEST {
        return Err(unknown());
    }
    let code = notes
        .arguments(object)
        .first()
        .and_then(|&code| notes.text(code));
    let code = code.ok_or_else(unknown)?;
    let state = object
        .state
        .and_then(|state| notes.tuple(state))
        .unwrap_or_default();
    let part = |index: usize| {
        state
            .get(index)
            .copied()
            .filter(|&id| !matches!(notes.node(id), Node::None))
    };
    if let Some(names) = part(3).and_then(|names| notes.tuple(names)) {
        let Some(Node::Dict(fields)) = part(4).map(|fields| notes.node(fields)) else {
            return Err(unknown());
        };
        let size = part(5)
            .and_then(|size| notes.int(size))
            .and_then(|size| u64::try_from(size).ok());
        return record(notes, names, fields, size.ok_or_else(unknown)?, depth);
    }
    let order = part(1)
        .and_then(|order| notes.text(order))
        .unwrap_or(Cow::Borrowed("|"));
    let code = if code == "bool" {
        Cow::Borrowed("b1")
    } else {
        code
    };
    let mut text = format!("{order}{code}");
    if code.starts_with('O') {
        text = "|O".into();
    }
    if let Some(unit) = part(8).and_then(|metadata| unit(notes, metadata)) {
        text.push_str(&unit);
    }
    let descr = Descr::Plain(text);
    // What has no size is no type; `has_objects` and the rest rely on it.
    descr.item_size().map(|_| descr).ok_or_else(unknown)
}

/// The unit of dates and times: `[ns]`, `[25us]`.
fn unit(notes: Notes<'_>, metadata: Id) -> Option<String> {
    let unit = notes.tuple(*notes.tuple(metadata)?.get(1)?)?;
    let &[name, count, ..] = unit else {
        return None;
    };
    let name = notes.bytes(name).or_else(|| {
        let name = notes.text(name)?;
        Some(Cow::Owned(name.into_owned().into_bytes()))
    })?;
    let name = std::str::from_utf8(&name).ok()?;
    match (name, notes.int(count)?) {
        ("generic", _) => Some(String::new()),
        (name, 1) => Some(format!("[{name}]")),
        (name, count) => Some(format!("[{count}{name}]")),
    }
}

fn record(
    notes: Notes<'_>,
    names: &[Id],
    fields: &[Id],
    size: u64,
    depth: u32,
) -> Result<Descr, Error> {
    let unknown = || broken("of records whose fields are not in order");
    let gap = |length: u64| Field {
        title: None,
        name: String::new(),
        descr: Descr::Plain(format!("|V{length}")),
        shape: Vec::new(),
    };
    let mut list = Vec::with_capacity(names.len());
    let mut end = 0_u64;
    for &name in names {
        let name = notes.text(name).ok_or_else(unknown)?.into_owned();
        let value = notes
            .entry(fields, &name)
            .and_then(|value| notes.tuple(value));
        let Some(&[dtype, offset, ref title @ ..]) = value else {
            return Err(unknown());
        };
        let offset = notes
            .int(offset)
            .and_then(|offset| u64::try_from(offset).ok());
        let skipped = offset
            .and_then(|offset| offset.checked_sub(end))
            .ok_or_else(unknown)?;
        if skipped > 0 {
            list.push(gap(skipped));
            end = end.saturating_add(skipped);
        }
        let (dtype, shape) = subarray(notes, dtype)?;
        let field = Field {
            title: title
                .first()
                .and_then(|&title| notes.text(title))
                .map(Cow::into_owned),
            name,
            descr: descr_of(notes, dtype, depth + 1)?,
            shape,
        };
        let one = Descr::Record(vec![field]);
        end = end.saturating_add(one.item_size().ok_or_else(unknown)?);
        if let Descr::Record(fields) = one {
            list.extend(fields);
        }
    }
    match size.checked_sub(end) {
        None => return Err(unknown()),
        Some(0) => {}
        Some(rest) => list.push(gap(rest)),
    }
    Ok(Descr::Record(list))
}

/// The element type and the shape of a field that is an array in itself.
fn subarray(notes: Notes<'_>, dtype: Id) -> Result<(Id, Vec<u64>), Error> {
    if let Node::Object(object) = notes.node(dtype)
        && let Some(state) = object.state.and_then(|state| notes.tuple(state))
        && let Some(&[base, shape]) = state.get(2).and_then(|&pair| notes.tuple(pair))
    {
        return Ok((base, shape_of(notes, shape)?));
    }
    Ok((dtype, Vec::new()))
}

/// What follows a BUILD, if `instance` is what joblib puts in front of the bytes of an array.
pub(super) fn follows(
    notes: Notes<'_>,
    at: u64,
    instance: Id,
    state: Id,
) -> Result<Option<Follows>, Error> {
    let Node::Object(object) = notes.node(instance) else {
        return Ok(None);
    };
    let class = match notes.global(object.class) {
        // As protocols 0 and 1 make objects.
        Some(("copyreg" | "copy_reg", "_reconstructor")) => notes
            .arguments(object)
            .first()
            .and_then(|&class| notes.global(class)),
        class => class,
    };
    if !matches!(
        class,
        Some((
            "joblib.numpy_pickle" | "sklearn.externals.joblib.numpy_pickle",
            "NumpyArrayWrapper"
        ))
    ) {
        return Ok(None);
    }
    let Node::Dict(state) = notes.node(state) else {
        return Err(Error::malformed(
            at,
            "an array of joblib's without its state",
        ));
    };
    let part = |key| {
        notes
            .entry(state, key)
            .ok_or_else(|| Error::malformed(at, format!("an array of joblib's without its {key}")))
    };
    let descr = descr_of(notes, part("dtype")?, 0)?;
    if descr.has_objects() {
        return Ok(Some(Follows::Pickle { wrapper: instance }));
    }
    let header = Header {
        descr,
        fortran_order: notes.text(part("order")?).is_some_and(|order| order == "F"),
        shape: shape_of(notes, part("shape")?)?,
    };
    header.data_len()?;
    let alignment = notes.entry(state, "numpy_array_alignment_bytes");
    Ok(Some(Follows::Raw {
        wrapper: instance,
        header,
        padded: alignment.is_some_and(|alignment| !matches!(notes.node(alignment), Node::None)),
    }))
}
