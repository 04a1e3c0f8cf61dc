"""
The outline of a pickled value: plain data as it is, arrays by shape and dtype, all else by the names in the file.

The stream is unpickled, but every class and function that it names is replaced by a stand-in that keeps what it is
given and does nothing. Nothing is imported. A stream that would need more memory than it is worth is for the verifier
to refuse first.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from math import prod

from retain._files.report import dtype_name, shape_text, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Self, SupportsIndex

    class _Readable:
        def read(self, size: int, /) -> bytes: ...
        def readline(self) -> bytes: ...


class StandIn:
    """An object of a class, or the result of a function, that is only known by name."""

    module = name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep what the class or function was called with."""
        made = object.__new__(cls)
        made.args = args
        made.kwargs = kwargs
        made.state = None
        made.members = []
        made.items = []
        return made

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: Any
    members: list[Any]
    items: list[tuple[Any, Any]]

    def __setstate__(self, state: Any) -> None:
        self.state = state

    # What pickle calls to fill lists, sets and dicts of other classes.
    def append(self, member: Any) -> None:
        """Keep a member."""
        self.members.append(member)

    add = append

    def extend(self, members: Iterable[Any]) -> None:
        """Keep members."""
        self.members.extend(members)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise pickle.PicklingError("an outline is for reading only")


@dataclass(frozen=True, slots=True)
class Array:
    """An array whose items were not read."""

    dtype: str
    shape: tuple[int, ...]
    kind: str = "array"

    def text(self) -> str:
        """Return what a line says of it."""
        return f"{self.kind} {visible(self.dtype)} {shape_text(self.shape)}"


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that were not read, or not kept."""

    length: int

    def text(self) -> str:
        """Return what a line says of it."""
        return f"buffer of {self.length:,} bytes"


@dataclass(frozen=True, slots=True)
class Beside:
    """An array in a file of its own, as joblib before 0.10 kept them."""

    filename: str

    def text(self) -> str:
        """Return what a line says of it."""
        return f"array in the file {self.filename!r}"


class Outliner(pickle.Unpickler):
    """
    An unpickler that runs nothing.

    Parameters
    ----------
    stream : file object
    persistent : callable, optional
        What to do with persistent ids: takes the id and returns what stands for the object.
    buffers : iterable, optional
        What stands for the buffers that are not in the stream.
    """

    def __init__(
        self,
        stream: _Readable,
        persistent: Callable[[Any], Any] | None = None,
        buffers: Iterable[Any] | None = None,
    ) -> None:
        # The texts of Python 2 are in no encoding that is known; this one takes them all.
        super().__init__(stream, encoding="latin1", buffers=buffers)
        self._persistent = persistent
        self._kinds: dict[tuple[str, str], type[StandIn]] = {}

    def find_class(self, module: str, name: str, /) -> type[StandIn]:
        """Return a stand-in of the name."""
        kind = self._kinds.get((module, name))
        if kind is None:
            kind = type("StandIn", (StandIn,), {"module": module, "name": name})
            self._kinds[module, name] = kind
        return kind

    def persistent_load(self, pid: Any, /) -> Any:
        """Hand the id on."""
        if self._persistent is None:
            raise pickle.UnpicklingError("the file refers to objects outside of it (persistent ids)")
        return self._persistent(pid)


@dataclass(slots=True)
class Node:
    """A line of the outline, and what is below it."""

    label: str
    text: str
    below: Iterable[Node] = field(default_factory=tuple)

    def lines(self, depth: int, indent: str = "") -> Iterator[str]:
        """Yield the lines of this node and, down to a depth, of those below it."""
        yield f"{indent}{self.label}: {self.text}" if self.label else f"{indent}{self.text}"
        if depth > 0:
            for node in self.below:
                yield from node.lines(depth - 1, indent + "  ")

    def as_dict(self, depth: int) -> dict[str, Any]:
        """Return the node as plain data."""
        plain: dict[str, Any] = {"label": self.label, "text": self.text} if self.label else {"text": self.text}
        if depth > 0 and (below := [node.as_dict(depth - 1) for node in self.below]):
            plain["below"] = below
        return plain


def outline(value: Any, shown: int = 10) -> Node:
    """
    Return the outline of a value that an `Outliner` made.

    Parameters
    ----------
    value : object
    shown : int
        How many members of each container have a line of their own.
    """
    return _node("", value, shown, ())


def _node(label: str, value: Any, shown: int, above: tuple[int, ...]) -> Node:
    value = _as_bytes(value)
    if id(value) in above:
        return Node(label, "(again the object that it is in)")
    above = (*above, id(value))
    if isinstance(value, StandIn):
        return _stand_in(label, value, shown, above)
    if isinstance(value, dict):
        return Node(label, f"dict of {len(value):,}", _members(_keyed(value.items()), len(value), shown, above))
    if isinstance(value, (list, tuple)):
        members = ((f"[{place}]", member) for place, member in enumerate(value))
        return Node(label, f"{type(value).__name__} of {len(value):,}", _members(members, len(value), shown, above))
    if isinstance(value, (set, frozenset)):
        members = (("-", member) for member in value)
        return Node(label, f"{type(value).__name__} of {len(value):,}", _members(members, len(value), shown, above))
    return Node(label, _plain(value))


def _as_bytes(value: Any) -> Any:
    """Return the bytes that a stand-in stands for, if so: protocol 2 has none, and calls a function that makes them."""
    if isinstance(value, StandIn) and (value.module, value.name) == ("_codecs", "encode") and len(value.args) == 2:
        text, encoding = value.args
        if isinstance(text, str) and encoding == "latin1":
            return text.encode("latin1", "replace")
    return value


def _members(members: Iterable[tuple[str, Any]], count: int, shown: int, above: tuple[int, ...]) -> Iterator[Node]:
    for place, (label, member) in enumerate(members):
        if place == shown:
            yield Node("", f"and {count - shown:,} more")
            return
        yield _node(label, member, shown, above)


def _keyed(items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    for key, value in items:
        yield f"[{_plain(key)}]", value


def _plain(value: Any) -> str:
    if isinstance(value, (Array, Beside, Buffer)):
        return value.text()
    if isinstance(value, StandIn):
        return _title(value)
    if isinstance(value, type) and issubclass(value, StandIn):
        return f"the name {visible(value.module)}.{visible(value.name)}"
    return _cut(value)


def _cut(value: Any, most: int = 60) -> str:
    """Return the text of plain data, no longer than a line."""
    text = repr(value) if isinstance(value, (bool, float, complex, type(None))) else ""
    if isinstance(value, (bytes, bytearray, memoryview)):
        kind = "bytes" if isinstance(value, bytes) else "bytearray"
        text = f"{kind} of {len(value):,}: {bytes(value[:16])!r}{'...' if len(value) > 16 else ''}"
    elif isinstance(value, str):
        text = repr(value) if len(value) <= most else f"{value[:most]!r}... ({len(value):,} characters)"
    elif isinstance(value, int):
        # Python refuses to write out integers of thousands of digits.
        text = str(value) if value.bit_length() <= 4 * most else f"an integer of {value.bit_length():,} bits"
    return text or f"{type(value).__name__} of {len(value):,}"


# --- what stand-ins stand for -------------------------------------------------------------------------------------


def _stand_in(label: str, value: StandIn, shown: int, above: tuple[int, ...]) -> Node:
    known = _known(value)
    if known is not None:
        return Node(label, known)
    parts: list[tuple[str, Any]] = []
    state = value.state
    # Slots come as the second of a pair.
    if (
        isinstance(state, tuple)
        and len(state) == 2
        and isinstance(state[1], dict)
        and isinstance(state[0], dict | None)
    ):
        state = {**(state[0] or {}), **state[1]}
    if not _is_constructor(value):
        parts += [(f"argument {place}", each) for place, each in enumerate(value.args)]
        parts += [(f"argument {key}", each) for key, each in value.kwargs.items()]
    if isinstance(state, dict):
        parts += [(f".{key}" if isinstance(key, str) else f"[{_plain(key)}]", each) for key, each in state.items()]
    elif state is not None:
        parts.append(("state", state))
    parts += _keyed(value.items)
    parts += [(f"[{place}]", each) for place, each in enumerate(value.members)]
    return Node(
        label, _title(value), _members(((visible(name), each) for name, each in parts), len(parts), shown, above)
    )


# Functions that make an object of the class that is their first argument.
_CONSTRUCTORS = {("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"), ("copyreg", "__newobj__")}
_NUMPY = ("numpy.core.", "numpy._core.")


def _is_constructor(value: StandIn) -> bool:
    return (value.module, value.name) in _CONSTRUCTORS and bool(value.args)


def _title(value: StandIn) -> str:
    made = value.args[0] if _is_constructor(value) else type(value)
    if isinstance(made, type) and issubclass(made, StandIn):
        return f"{visible(made.module)}.{visible(made.name)}"
    return f"{visible(value.module)}.{visible(value.name)}"


def _known(value: StandIn) -> str | None:
    """Return the text of numpy's objects, which are made by functions of no telling names."""
    if value.module == "numpy" and value.name == "dtype":
        return f"dtype {dtype_text(value)}"
    known = None
    if value.module.startswith(_NUMPY):
        state = value.state
        if value.name == "_frombuffer" and len(value.args) >= 4:
            known = _array_text(value.args[1], value.args[2])
        elif value.name == "_reconstruct" and isinstance(state, tuple) and len(state) == 5:
            known = _array_text(state[2], state[1])
        elif value.name == "scalar" and value.args:
            known = _scalar_text(*value.args)
    return known


# The formats of struct for numpy's scalars that it has.
_FORMATS = {
    "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I",
    "u8": "Q", "b1": "?",
}  # fmt: skip


def _scalar_text(dtype: Any, data: Any = None, *_: Any) -> str:
    import struct

    text = f"numpy scalar {dtype_text(dtype)}"
    code = dtype.args[0] if isinstance(dtype, StandIn) and dtype.args else None
    data = _as_bytes(data)
    if isinstance(data, str):
        # As Python 2 wrote bytes.
        data = data.encode("latin1", "replace")
    if not (isinstance(code, str) and code in _FORMATS and isinstance(data, bytes)):
        return text
    form = (">" if text.endswith("(big-endian)") else "<") + _FORMATS[code]
    return f"{text}: {struct.unpack(form, data)[0]}" if len(data) == struct.calcsize(form) else text


def _array_text(dtype: Any, shape: Any) -> str | None:
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return _plain(Array(dtype_text(dtype), shape))
    return None


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What the wrapper of one of joblib's arrays says of what follows it in the stream."""

    array: Array
    """What stands for the array."""
    aligned: bool
    """Whether padding comes first."""
    nbytes: int | None
    """How many bytes of data follow; None where a pickle does."""


def wrapped(wrapper: Any) -> Wrapped | None:
    """Return what the stand-in of a wrapper of joblib's says; None where it makes no sense."""
    state = wrapper.state if isinstance(wrapper, StandIn) else None
    if not isinstance(state, dict):
        return None
    shape, dtype = state.get("shape"), state.get("dtype")
    if not isinstance(shape, tuple) or not all(isinstance(length, int) and length >= 0 for length in shape):
        return None
    itemsize = _itemsize(dtype)
    if itemsize is None or not isinstance(dtype, StandIn):
        return None
    subclass = state.get("subclass")
    kind = subclass.name if isinstance(subclass, type) and issubclass(subclass, StandIn) else "ndarray"
    array = Array(dtype_text(dtype), shape, "array" if kind in {"ndarray", "memmap"} else visible(kind))
    aligned = state.get("numpy_array_alignment_bytes") is not None
    return Wrapped(array, aligned, None if _has_objects(dtype) else prod(shape) * itemsize)


def _itemsize(dtype: Any) -> int | None:
    code = dtype.args[0] if isinstance(dtype, StandIn) and dtype.args else None
    if not isinstance(code, str):
        return None
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    # Types of any length have it here, the others -1.
    if len(state) > 5 and isinstance(state[5], int) and state[5] >= 0:
        return state[5]
    digits = code.lstrip("<>|=")[1:]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None


def _has_objects(dtype: StandIn) -> bool:
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    flags = state[7] if len(state) > 7 and isinstance(state[7], int) else 0
    # The first of the flags: items are counted references.
    return dtype.args[0].lstrip("<>|=").startswith("O") or bool(flags & 1)


def dtype_text(dtype: Any) -> str:
    """Return the text of a stand-in of numpy's dtype: what it was made of."""
    if not isinstance(dtype, StandIn) or not dtype.args or not isinstance(dtype.args[0], str):
        return _title(dtype) if isinstance(dtype, StandIn) else "?"
    code = dtype.args[0]
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    order = state[1] if len(state) > 1 and isinstance(state[1], str) else "="
    names = state[3] if len(state) > 3 else None
    if isinstance(names, tuple):
        return f"record of {', '.join(str(name) for name in names)}"
    return dtype_name(f"{order}{code}")
