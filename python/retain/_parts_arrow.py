"""
The parts of pyarrow's types: arrays, tables, schemas, types, scalars.

What counts is the type and the values, and not how they lie in memory: how a column is cut into chunks, which part of a
larger buffer it is, what lies below a missing value, in which order a dictionary has its entries and where runs end.
Values come in batches of as many rows, so that chunks do not matter and little memory is taken.
"""

from __future__ import annotations

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]  # some versions say that they are typed
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]

from retain._retain import At, Raw

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from retain._parts import Parts, PartsOf

_BATCH = 65_536


def find(base: type, kind: type) -> PartsOf | None:  # noqa: ARG001  # as the other modules have it
    """Return what gives the parts of instances of the type `base`; see `handler`."""
    return next((parts for known, parts in _TABLE if issubclass(base, known)), None)


def content(chunks: Iterable[Any]) -> Iterator[object]:
    """Yield the values of consecutive arrays of a type, the same however they are cut."""
    for batch in _batches(chunks):
        yield from _values(batch)


def _batches(chunks: Iterable[Any]) -> Iterator[Any]:
    pieces: list[Any] = []
    room = _BATCH
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            piece = chunk.slice(start, room)
            start += len(piece)
            room -= len(piece)
            pieces.append(piece)
            if room == 0:
                yield _joined(pieces)
                pieces, room = [], _BATCH
    if pieces:
        yield _joined(pieces)


def _joined(pieces: list[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    if pa.types.is_dictionary(pieces[0].type):
        pieces = [_decoded(piece) for piece in pieces]
    return pa.concat_arrays(pieces)


def _values(values: Any) -> Iterator[object]:
    """Yield the values of an array: which are there, unless all are, and what they are."""
    kind = values.type
    plain = _PLAIN.get(kind.id)
    if plain is not None:
        yield from _values(plain(values))
    elif isinstance(values, pa.ExtensionArray):
        yield from _values(values.storage)
    elif isinstance(values, pa.UnionArray):
        yield from _of_union(values)
    elif not pa.types.is_null(kind):
        if values.null_count:
            present = values.is_valid()
            yield from _flags(present)
        else:
            present = None
            yield None
        yield from _of_kind(values, present)


def _of_kind(values: Any, present: Any) -> Iterator[object]:
    kind = values.type
    if isinstance(values, pa.StructArray):
        for field in values.flatten():
            yield from _values(field)
    elif pa.types.is_nested(kind):
        if not pa.types.is_fixed_size_list(kind):
            yield from _fixed(_without_nulls(pc.list_value_length(values), 0), 8 if _is_large(kind) else 4)
        inner = values.flatten()
        yield len(inner)
        yield from _values(inner)
    elif pa.types.is_boolean(kind):
        yield from _flags(_without_nulls(values, False))
    elif _is_binary(kind):
        values = _without_nulls(values, "" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else b"")
        yield from _variable(values)
    else:
        yield from _fixed(_zeroed(values, present), kind.bit_width // 8)


def _without_nulls(values: Any, instead: object) -> Any:
    return values.fill_null(instead) if values.null_count else values


def _zeroed(values: Any, present: Any) -> Any:
    if present is None:
        return values
    width = values.type.bit_width
    if width in _INTEGERS:
        return values.view(_INTEGERS[width]).fill_null(0)
    return values.view(pa.binary(width // 8)).fill_null(bytes(width // 8))


_INTEGERS = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def _flags(flags: Any) -> Iterator[object]:
    # A byte for each, as the last bits of a bitmap are whatever was there.
    yield from _fixed(flags.cast(pa.uint8()), 1)


def _fixed(values: Any, width: int) -> Iterator[object]:
    data = values.buffers()[1]
    start = values.offset * width
    yield b"" if data is None else Raw(memoryview(data)[start : start + len(values) * width])


def _variable(values: Any) -> Iterator[object]:
    large = _is_large(values.type)
    yield from _fixed(pc.binary_length(values), 8 if large else 4)
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        yield b""
        return
    places = memoryview(offsets).cast("q" if large else "i")
    yield Raw(memoryview(data)[places[values.offset] : places[values.offset + len(values)]])


def _is_binary(kind: Any) -> bool:
    return kind.id in _BINARIES


def _is_large(kind: Any) -> bool:
    return kind.id in _LARGE


def _of_union(values: Any) -> Iterator[object]:
    # From the buffers: `type_codes` and `offsets` of a slice are those of the first values of the whole.
    buffers = values.buffers()
    codes = pa.Array.from_buffers(pa.int8(), len(values), [None, buffers[1]], offset=values.offset)
    yield from _fixed(codes, 1)
    for place, code in enumerate(values.type.type_codes):
        chosen = pc.equal(codes, pa.scalar(code, pa.int8()))
        field = values.field(place)
        if values.type.mode == "dense":
            places = pa.Array.from_buffers(pa.int32(), len(values), [None, buffers[2]], offset=values.offset)
            yield from _values(field.take(places.filter(chosen)))
        else:
            yield from _values(field.filter(chosen))


def _decoded(values: Any) -> Any:
    return values.dictionary.take(values.indices)


def _map_as_list(values: Any) -> Any:
    entries = pa.struct([values.type.key_field, values.type.item_field])
    return values.cast(pa.list_(pa.field("entries", entries, nullable=False)))


# Layouts that are another one in disguise.
_PLAIN: dict[int, Callable[[Any], Any]] = {
    pa.lib.Type_BINARY_VIEW: lambda values: values.cast(pa.large_binary()),
    pa.lib.Type_DICTIONARY: _decoded,
    pa.lib.Type_MAP: _map_as_list,
    pa.lib.Type_RUN_END_ENCODED: pc.run_end_decode,
    pa.lib.Type_STRING_VIEW: lambda values: values.cast(pa.large_string()),
}
_BINARIES = {
    pa.lib.Type_BINARY,
    pa.lib.Type_LARGE_BINARY,
    pa.lib.Type_LARGE_STRING,
    pa.lib.Type_STRING,
}
_LARGE = {
    pa.lib.Type_LARGE_BINARY,
    pa.lib.Type_LARGE_LIST,
    pa.lib.Type_LARGE_LIST_VIEW,
    pa.lib.Type_LARGE_STRING,
}


def _array(values: Any) -> Iterator[object]:
    yield "pyarrow.Array"
    yield values.type
    yield len(values)
    yield from content((values,))


def _chunked(values: Any) -> Iterator[object]:
    yield "pyarrow.ChunkedArray"
    yield values.type
    yield len(values)
    yield from content(values.iterchunks())


def _scalar(value: Any) -> Iterator[object]:
    yield "pyarrow.Scalar"
    yield value.type
    if isinstance(value, pa.ExtensionScalar):
        value = value.value
    if value is None or not value.is_valid:
        yield None
    else:
        told = [*content((pa.repeat(value, 1),))]
        yield from told
        if len(told) == 1:
            # A struct without fields: all that was told of it is what is told of a missing one.
            yield True


def _table(name: str) -> PartsOf:
    def parts(table: Any) -> Iterator[object]:
        yield name
        yield At(".schema", table.schema)
        yield table.num_rows
        for label, column in zip(table.schema.names, table.columns, strict=True):
            yield At(f"[{label!r}]", column)

    return parts


def _schema(schema: Any) -> Parts:
    return "pyarrow.Schema", list(schema), schema.metadata


def _field(field: Any) -> Parts:
    return "pyarrow.Field", field.name, field.type, field.nullable, field.metadata


def _type(kind: Any) -> Parts:
    if isinstance(kind, pa.BaseExtensionType):
        told = getattr(kind, "__arrow_ext_serialize__", None)
        return "pyarrow.DataType", kind.extension_name, kind.storage_type, str(kind) if told is None else told()
    if isinstance(kind, pa.DictionaryType):
        return "pyarrow.DataType", "dictionary", kind.index_type, kind.value_type, kind.ordered
    if not kind.num_fields:
        return "pyarrow.DataType", str(kind)
    # What each of them is called, without what str() says of the fields, which is not all.
    name = type(kind).__name__.removesuffix("Type")
    extra = [getattr(kind, attribute, None) for attribute in ("list_size", "keys_sorted", "mode", "type_codes")]
    return "pyarrow.DataType", name, [kind.field(place) for place in range(kind.num_fields)], extra


def _buffer(buffer: Any) -> Parts:
    return "pyarrow.Buffer", Raw(buffer)


_TABLE: tuple[tuple[type, PartsOf], ...] = (
    (pa.ChunkedArray, _chunked),
    (pa.Array, _array),
    (pa.Scalar, _scalar),
    (pa.Table, _table("pyarrow.Table")),
    (pa.RecordBatch, _table("pyarrow.RecordBatch")),
    (pa.Schema, _schema),
    (pa.Field, _field),
    (pa.DataType, _type),
    (pa.Buffer, _buffer),
)
