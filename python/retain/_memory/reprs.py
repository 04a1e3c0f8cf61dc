"""Arguments in a few words: cheap whatever they are, and without running code of theirs."""

from __future__ import annotations

import json
import sys
from itertools import islice
from json.encoder import encode_basestring as _json
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WIDTH = 80
_MOST = 24
_FIRST = 4
_DEEPEST = 3
_BITS = 256
_PLAIN = (bool, int, float, complex, type(None), type(...), type(NotImplemented))
_SPANS = (range, slice)
# Values whose own `repr` is short, says all and is not the user's.
_STANDARD = {"datetime", "decimal", "fractions", "pathlib", "uuid", "zoneinfo", "ipaddress", "re"}
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    dict: ("{", "}"),
}


def about(arguments: Mapping[str, Any]) -> bytes:
    """Return what is kept beside a result for people: its arguments, each in a few words, as JSON."""
    # As `json.dumps` writes it, in a tenth of its time.
    pairs = [f"{_json(str(name))}:{_json(short(value))}" for name, value in islice(arguments.items(), _MOST)]
    return f'{{"input_args":{{{",".join(pairs)}}}}}'.encode("utf-8", "replace")


def input_args(told: bytes | None) -> dict[str, str]:
    """Return the arguments that `about` wrote; none where they cannot be read."""
    if not told:
        return {}
    try:
        found = json.loads(told)["input_args"]
        return {str(name): str(text) for name, text in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def short(value: Any, width: int = _WIDTH, depth: int = 0) -> str:
    """
    Return a value in at most `width` characters.

    Arrays and tables are told by type, dtype, shape and first items, containers by their first items and length,
    objects by their type.
    """
    text = _text(value, width, depth)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _text(value: Any, width: int, depth: int) -> str:  # noqa: PLR0911 - a table of kinds
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return _quoted(value, width)
    if kind in _PLAIN:
        return f"int of {value.bit_length()} bits" if kind is int and value.bit_length() > _BITS else repr(value)
    if kind in _BRACKETS:
        return _container(value, kind, width, depth)
    if kind in _SPANS:
        return _span(value, kind, width, depth)
    if isinstance(value, type):
        return f"<class {value.__module__}.{value.__qualname__}>"
    if kind in (FunctionType, BuiltinFunctionType):
        return f"<function {value.__module__}.{value.__qualname__}>"
    if kind is ModuleType:
        return f"<module {value.__name__}>"
    module = kind.__module__
    library = module.partition(".")[0]
    if library in _STANDARD and sys.modules.get(module) is not None:
        return repr(value)
    if library == "numpy":
        return _array(value, width)
    if any(base.__name__ == "Enum" and base.__module__ == "enum" for base in kind.__mro__):
        return f"{kind.__qualname__}.{value._name_}"
    told = _table(value, kind, library)
    if told is not None:
        return told
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None and depth < _DEEPEST:
        return _dataclass(value, kind, fields, width, depth)
    return f"<{module}.{kind.__qualname__}>"


def _quoted(value: str | bytes | bytearray, width: int) -> str:
    if len(value) <= width:
        return repr(value)
    return f"{value[: width // 2]!r}... ({len(value)})"


def _container(value: Any, kind: type, width: int, depth: int) -> str:
    left, right = _BRACKETS[kind]
    if not len(value):
        return repr(value)
    if depth >= _DEEPEST:
        return f"{left}...{right} ({len(value)})"
    shown: list[str] = []
    room = width
    for item in _first(value, kind):
        if kind is dict:
            key, held = item
            text = f"{short(key, width, depth + 1)}: {short(held, width, depth + 1)}"
        else:
            text = short(item, width, depth + 1)
        room -= len(text) + 2
        if room < 0 and shown:
            break
        shown.append(text)
    inner = ", ".join(shown)
    if len(shown) < len(value):
        return f"{left}{inner}, ...{right} ({len(value)})"
    return f"{left}{inner}{',' if kind is tuple and len(value) == 1 else ''}{right}"


def _span(value: range | slice, kind: type, width: int, depth: int) -> str:
    # As its `repr`; but the ends of a slice can be anything, and numbers as long as memory.
    if depth >= _DEEPEST:
        return f"{kind.__name__}(...)"
    parts = [value.start, value.stop]
    if kind is slice or value.step != 1:
        parts.append(value.step)
    return f"{kind.__name__}({', '.join(short(part, width, depth + 1) for part in parts)})"


def _first(value: Any, kind: type) -> Iterable[Any]:
    most = len(value) if len(value) <= _MOST else _FIRST
    items = value.items() if kind is dict else value
    if kind in (set, frozenset) and all(type(item) is str for item in islice(value, most)):
        items = sorted(islice(value, _MOST))  # their order differs from process to process
    return list(islice(items, most))


def _array(value: Any, width: int) -> str:
    numpy = sys.modules["numpy"]
    if isinstance(value, (numpy.generic, numpy.dtype)):
        return repr(value)
    if not isinstance(value, numpy.ndarray):
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    head = f"{type(value).__name__} {value.dtype} {value.shape}"
    if value.dtype.hasobject or value.dtype.names is not None or isinstance(value, numpy.ma.MaskedArray):
        return head
    first = [repr(item.item()) for item in value.flat[:_FIRST]]
    items = ", ".join(first) + (", ..." if value.size > _FIRST else "")
    return f"{head} [{items}]" if len(head) + len(items) + 3 <= width else head


def _table(value: Any, kind: type, library: str) -> str | None:
    if library not in {"pandas", "polars", "pyarrow", "scipy", "torch", "jax", "jaxlib", "cupy", "xarray"}:
        return None
    words = [kind.__name__]
    for name in ("dtype", "shape"):
        try:
            found = getattr(value, name, None)
        except Exception:  # noqa: BLE001, S112 - a description is no reason to fail
            continue
        if found is not None:
            words.append(str(tuple(found) if name == "shape" else found))
    columns = getattr(value, "columns", None)
    if library in {"pandas", "polars"} and columns is not None:
        names = [str(name) for name in list(columns[: _FIRST * 2])]
        words.append(f"[{', '.join(names)}{', ...' if len(columns) > len(names) else ''}]")
    return " ".join(words)


def _dataclass(value: Any, kind: type, fields: Mapping[str, Any], width: int, depth: int) -> str:
    shown = [
        f"{name}={short(getattr(value, name, ...), width, depth + 1)}"
        for name, field in list(fields.items())[:_FIRST]
        if field.repr and field._field_type.name == "_FIELD"
    ]
    return f"{kind.__qualname__}({', '.join(shown)}{', ...' if len(fields) > _FIRST else ''})"
