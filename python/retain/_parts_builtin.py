"""The parts of built-in types and of those in `collections`, `array`, `types` and `io`."""

from __future__ import annotations

from types import NoneType

from retain._parts import name_of, of_table, refuse, subclass
from retain._retain import At, Raw

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from array import array
    from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
    from collections.abc import Iterator, KeysView
    from io import BytesIO, StringIO
    from mmap import mmap
    from types import MappingProxyType, SimpleNamespace
    from typing import Any

    from retain._parts import Parts, PartsOf


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    name = name_of(base)
    content = _CONTENTS.get(name)
    if content is not None and base is not kind:
        # The exact types need no parts, only what inherits from them.
        return subclass(kind, name, lambda value: (name, content(value)))
    if base is BaseException:
        return _exception(kind)
    return of_table(_TABLE, base, kind)


# What an instance of a subclass holds, whatever methods the subclass overrides.
_CONTENTS: dict[str, Any] = {
    "builtins.int": int.__int__,
    "builtins.float": float.__float__,
    "builtins.complex": complex.__complex__,
    "builtins.str": str.__str__,
    "builtins.bytes": lambda value: bytes.__getitem__(value, slice(None)),
    "builtins.bytearray": lambda value: bytearray(memoryview(value)),
    "builtins.tuple": lambda value: tuple.__getitem__(value, slice(None)),
    "builtins.list": lambda value: list.__getitem__(value, slice(None)),
    "builtins.dict": lambda value: dict(dict.items(value)),
    "builtins.set": lambda value: set(set.__iter__(value)),
    "builtins.frozenset": lambda value: frozenset(frozenset.__iter__(value)),
}


def _exception(kind: type) -> PartsOf:
    # The traceback, the cause and the context are not kept by pickle either: they tell of a run, not of the error.
    from retain._parts import attributes

    read = attributes(kind)
    extra = tuple(name for error, names in _OF_ERRORS if issubclass(kind, error) for name in names)

    def parts(error: BaseException) -> Iterator[object]:
        yield "exception"
        yield kind
        yield At(".args", error.args)
        yield read(error)
        for name in extra:
            yield At(f".{name}", getattr(error, name, None))

    return parts


_OF_ERRORS: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    # What `args` leaves out, and pickle keeps.
    (OSError, ("filename", "filename2")),
    (ImportError, ("name", "path")),
)


def _memoryview(view: memoryview[Any]) -> Parts:
    return "memoryview", view.format, view.shape, Raw(view) if view.c_contiguous else view.tobytes()


def _range(numbers: range) -> Parts:
    return "range", numbers.start, numbers.stop, numbers.step


def _slice(part: slice[Any, Any, Any]) -> Parts:
    return "slice", At(".start", part.start), At(".stop", part.stop), At(".step", part.step)


def _array(values: array[Any]) -> Parts:
    return "array.array", values.typecode, Raw(values)


def _mmap(file: mmap) -> Iterator[object]:
    yield "mmap.mmap"
    with memoryview(file) as content:
        yield Raw(content)


def _ordered_dict(ordered: OrderedDict[Any, Any]) -> Iterator[object]:
    from collections import OrderedDict

    yield "collections.OrderedDict"
    for key, value in OrderedDict.items(ordered):
        yield key
        # No path leads through what has no parts.
        yield value if type(value) in _LEAVES else At(f"[{key!r}]" if type(key) in _LEAVES else "[...]", value)


_LEAVES = (str, int, float, bool, bytes, NoneType)


def _default_dict(mapping: defaultdict[Any, Any]) -> Parts:
    return "collections.defaultdict", At(".default_factory", mapping.default_factory), dict(dict.items(mapping))


def _counter(counter: Counter[Any]) -> Parts:
    return "collections.Counter", dict(dict.items(counter))


def _deque(items: deque[Any]) -> Parts:
    from collections import deque

    return "collections.deque", list(deque.__iter__(items)), items.maxlen


def _chain_map(chain: ChainMap[Any, Any]) -> Parts:
    return "collections.ChainMap", At(".maps", chain.maps)


def _mapping_proxy(proxy: MappingProxyType[Any, Any]) -> Parts:
    # The mapping behind it cannot be had, only a copy.
    copy = getattr(proxy, "copy", None)
    return "types.MappingProxyType", dict(proxy) if copy is None else copy()


def _namespace(namespace: SimpleNamespace) -> Parts:
    return "types.SimpleNamespace", dict(vars(namespace))


def _keys(keys: KeysView[Any]) -> Parts:
    return "dict_keys", set(keys)


def _values(values: Any) -> Parts:
    return "dict_values", values.mapping


def _items(items: Any) -> Parts:
    return "dict_items", items.mapping


def _bytes_io(stream: BytesIO) -> Iterator[object]:
    _check_open(stream)
    yield "io.BytesIO"
    with stream.getbuffer() as content:
        yield Raw(content)
    yield stream.tell()


def _string_io(stream: Any) -> Parts:
    _check_open(stream)
    value, newline, position, _ = stream.__getstate__()
    return "io.StringIO", value, newline, position


def _check_open(stream: BytesIO | StringIO) -> None:
    if stream.closed:
        raise TypeError("a closed stream has no content")


def _cell(cell: Any) -> Parts:
    try:
        return "cell", At(".cell_contents", cell.cell_contents)
    except ValueError:
        return ("cell",)


_TABLE: dict[str, PartsOf] = {
    "_io.BytesIO": _bytes_io,
    "_io.StringIO": _string_io,
    "array.array": _array,
    "builtins.NotImplementedType": lambda _: ("NotImplemented",),
    "builtins.cell": _cell,
    "builtins.dict_items": _items,
    "builtins.dict_keys": _keys,
    "builtins.dict_values": _values,
    "builtins.ellipsis": lambda _: ("Ellipsis",),
    "builtins.mappingproxy": _mapping_proxy,
    "builtins.memoryview": _memoryview,
    "builtins.range": _range,
    "builtins.slice": _slice,
    "collections.ChainMap": _chain_map,
    "collections.Counter": _counter,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "collections.deque": _deque,
    "mmap.mmap": _mmap,
    "types.SimpleNamespace": _namespace,
}
for _name in ("odict_keys", "odict_values", "odict_items"):
    _TABLE[f"builtins.{_name}"] = refuse("a view of an OrderedDict has no identity of its own")
