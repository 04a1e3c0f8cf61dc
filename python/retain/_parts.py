"""
What stands for a value: the parts that its type has, for the walk that hashes it.

`handler` is asked once for each type. What it returns gives the *parts* of a value of that type, ``(name, part, ...)``
or an iterator over them. The types themselves are in the modules beside this one, which are imported when a type of
theirs is met.
"""

from __future__ import annotations

import copyreg
import sys
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType

from retain import _retain, _wrappers

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from typing import Any, Protocol

    Parts = Iterable[object]
    PartsOf = Callable[[Any], Parts]

    class _Finder(Protocol):
        """A module beside this one: for a type and the base of it that is asked for, its parts or None."""

        @staticmethod
        def find(base: type, kind: type) -> PartsOf | None: ...


REMEDY = "leave it out, or say what stands for it with retain.register_key or __retain_key__"

_TYPE = type
# Read past metaclasses, which may answer as they like.
_MRO = type.__dict__["__mro__"].__get__
_VARS = type.__dict__["__dict__"].__get__
_MODULE = type.__dict__["__module__"].__get__
_QUALNAME = type.__dict__["__qualname__"].__get__
qualname = _QUALNAME
_FLAGS = type.__dict__["__flags__"].__get__
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: classes that programs make have it

# By address, as a metaclass may define __hash__: the type itself is kept too, so that no other gets its address.
_registered: dict[int, tuple[type, Callable[[Any], object]]] = {}
_LIBRARIES = {
    "numpy": "_parts_numpy",
    "pandas": "_parts_pandas",
    "polars": "_parts_arrays",
    "pyarrow": "_parts_arrow",
    "scipy": "_parts_arrays",
    "sklearn": "_parts_arrays",
    "torch": "_parts_arrays",
}
_STANDARD = ("_parts_builtin", "_parts_standard", "_parts_callable", "_parts_refused")
_PICKLING = ("__reduce__", "__reduce_ex__", "__getstate__")
_WALKED = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    tuple,
    list,
    dict,
    set,
    frozenset,
    FunctionType,
    type(str.upper),
    type(str.__len__),
    type(dict.__dict__["fromkeys"]),
    GetSetDescriptorType,
    MemberDescriptorType,
)


def register_key(type: type, function: Callable[[Any], object]) -> None:
    """
    Say what stands for the values of a type wherever they are hashed.

    Parameters
    ----------
    type : type
        The class, also of somebody else's library. Its subclasses are meant too, unless they are registered themselves.
        What is registered comes before a ``__retain_key__`` method and before all that retain knows by itself. A second
        call for a class replaces the first. Python's own plain values and containers (`int`, `str`, `list`, `dict` and
        so on), functions, classes and modules cannot be registered, only subclasses of the former.
    function : callable
        ``function(value)`` returns what identifies the value: anything that `retain.hash` takes, except the value
        itself. Values of the same class with equal keys are one; the class counts by its name.

    Raises
    ------
    TypeError
        If `type` is no class or one that cannot be registered, or `function` cannot be called.

    Notes
    -----
    Classes of one's own can have a method ``__retain_key__(self)`` instead, which returns the same.

    Examples
    --------
    >>> import retain
    >>> class Connection:
    ...     def __init__(self, address):
    ...         self.address, self.socket = address, object()
    >>> retain.register_key(Connection, lambda connection: connection.address)
    >>> retain.hash(Connection("db:5432")) == retain.hash(Connection("db:5432"))
    True
    """
    if not isinstance(type, _TYPE):
        raise TypeError(f"register_key() takes a class, not {type!r}")
    if not callable(function):
        raise TypeError(f"register_key() takes a function of the value, not {function!r}")
    if any(type is walked for walked in _WALKED) or issubclass(type, (_TYPE, ModuleType)):
        name = name_of(type).removeprefix("builtins.")
        raise TypeError(
            f"register_key() has no say over {name}, which is always hashed by its content: register a subclass of it "
            "and use that, or give memoize a key="
        )
    _registered[id(type)] = (type, function)
    _retain.forget_handlers()


def handler(kind: type) -> PartsOf | None:
    """
    Return what gives the parts of values of exactly this type.

    Parameters
    ----------
    kind : type
        The type; nothing of it is called.

    Returns
    -------
    callable or None
        ``parts(value)``; None where the attributes, or ``__reduce_ex__``, tell all. It raises TypeError for a value
        that has no identity.
    """
    return _of_user(kind) or _wrappers.handler(kind) or _of_bases(kind)


def registered(kind: type) -> bool:
    """Tell whether the user says what stands for values of a type, by `register_key` or a ``__retain_key__``."""
    return _of_user(kind) is not None


def _of_user(kind: type) -> PartsOf | None:
    """Look for what the user says of a type, or of a base of it."""
    bases: tuple[type, ...] = _MRO(kind)
    for base in bases:
        if id(base) in _registered:
            return _by_function(kind, _registered[id(base)][1])
    for place, base in enumerate(bases):
        if _VARS(base).get("__retain_key__") is not None:
            return _by_method(kind, place)
    return None


def _of_bases(kind: type) -> PartsOf | None:
    """Look for what is known here of a type, or of a base of it."""
    bases: tuple[type, ...] = _MRO(kind)
    enum = sys.modules.get("enum")
    if enum is not None and any(base is enum.Enum for base in bases):
        # Before the bases in their order: an IntEnum's first one is int.
        return _finder("_parts_standard").find(enum.Enum, kind)
    for base in bases[:-1]:
        for finder in _finders(base, kind):
            found = finder.find(base, kind)
            if found is not None:
                return found
    return refuse("a bare object() has no identity but its address") if kind is object else None


def _by_function(kind: type, function: Callable[[Any], object]) -> PartsOf:
    name = name_of(kind)

    def parts(value: object) -> Parts:
        key = function(value)
        if key is value:
            raise TypeError(f"the function registered for {name} returned the value itself as its key")
        return "key", name, key

    return parts


def _by_method(kind: type, place: int) -> PartsOf:
    name = name_of(kind)

    def parts(value: object) -> Parts:
        # Looked up again: a handler that refers to a class, or to a method of it, would keep it alive.
        kind = type(value)
        method: Any = _VARS(_MRO(kind)[place])["__retain_key__"]
        bind = getattr(type(method), "__get__", None)
        key = (method if bind is None else bind(method, value, kind))()
        if key is value:
            raise TypeError(f"{name}.__retain_key__() returned the value itself")
        return "key", name, key

    return parts


def _finder(name: str) -> _Finder:
    from importlib import import_module

    return import_module(f"retain.{name}")  # type: ignore[return-value]  # a module with a function `find`


def _finders(base: type, kind: type) -> Iterator[_Finder]:
    root = name_of(base).partition(".")[0]
    library = _LIBRARIES.get(root)
    if library is not None:
        if root in sys.modules:
            yield _finder(library)
    elif base is kind or not _pickles_itself(kind, base):
        # A subclass that says how it is pickled is told by that, and not by its base.
        for name in _STANDARD:
            yield _finder(name)


def _pickles_itself(kind: type, base: type) -> bool:
    if id(kind) in {id(one) for one in copyreg.dispatch_table}:
        return True
    bases = _MRO(kind)
    own = bases[: [one is base for one in bases].index(True)]
    if base is BaseException:
        # Python's own ones say so too, each version others.
        own = tuple(one for one in own if _FLAGS(one) & _HEAP_TYPE)
    return any(name in _VARS(one) for one in own for name in _PICKLING)


def name_of(kind: type) -> str:
    """Return the module and the qualified name of a class, as it tells them itself."""
    try:
        return f"{_MODULE(kind)}.{_QUALNAME(kind)}"
    except AttributeError:
        return f"?.{_QUALNAME(kind)}"


def known(base: type, name: str) -> bool:
    """Tell whether the class is what is found under the name, and not one that calls itself so."""
    if not _FLAGS(base) & _HEAP_TYPE:
        return True
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules.get(module), attribute, None) is base


def refuse(reason: str) -> PartsOf:
    """Return a handler that says why a value has no identity, and what to do about it."""

    def parts(value: object) -> Parts:  # noqa: ARG001  # all values of the type are refused
        raise TypeError(f"{reason}: {REMEDY}")

    return parts


def attributes(kind: type, told: type = object) -> Callable[[object], dict[str, object]]:
    """
    Return what gives the attributes of instances of a class: those in the ``__dict__`` and those in slots.

    What `memoize` keeps in an instance for its methods is no attribute, and neither are slots of `told`, the base whose
    parts tell what is in them. A slot that a subclass hides by one of its own is entered with the name of its
    class, and what a slot hides in the ``__dict__`` with that.
    """
    # By the places of their classes among the bases: descriptors refer to the class, and would keep it alive.
    slots: dict[str, tuple[str, int]] = {}
    contents: int | None = None
    without = {id(base) for base in _MRO(told)}
    for place, base in enumerate(_MRO(kind)):
        held = _VARS(base)
        if contents is None and type(held.get("__dict__")) is GetSetDescriptorType and base is not type:
            contents = place
        if "__slots__" in held and id(base) not in without:
            for name, member in held.items():
                if type(member) is MemberDescriptorType:
                    slots[f"{_QUALNAME(base)}.{name}" if name in slots else name] = name, place

    def read(value: object) -> dict[str, object]:
        bases = _MRO(type(value))
        found: dict[str, object] = {} if contents is None else _VARS(bases[contents])["__dict__"].__get__(value)
        if any(type(name) is str and name.startswith("_retain_") for name in tuple(found)):
            found = {name: part for name, part in tuple(found.items()) if not _is_memo(name)}
        if slots:
            found = {f"__dict__.{name}" if name in slots else name: part for name, part in tuple(found.items())}
            for shown, (name, place) in slots.items():
                try:
                    found[shown] = _VARS(bases[place])[name].__get__(value)
                except AttributeError:
                    continue
        return found

    return read


def _is_memo(name: object) -> bool:
    """Tell whether an attribute holds a memoized method's results: no program can write a name with a dot in it."""
    return type(name) is str and name.startswith("_retain_") and "." in name


def subclass(kind: type, base: type, name: str, parts: PartsOf, told: Collection[str] = ()) -> PartsOf:
    """
    Return what gives the parts of instances of a subclass: its class, those of the base, its attributes.

    The attributes in `told` are known from the parts of the base.
    """
    read = attributes(kind, base)

    def all_parts(value: object) -> Iterator[object]:
        inner = iter(parts(value))
        yield "subclass"
        yield type(value)
        yield name
        next(inner)
        yield from inner
        yield _without(read(value), told)

    return all_parts


def with_attributes(kind: type, parts: PartsOf, told: Collection[str] = ()) -> PartsOf:
    """Return what gives the parts, and the attributes if there are others than those in `told`."""
    read = attributes(kind)

    def all_parts(value: object) -> Iterator[object]:
        yield from parts(value)
        more = _without(read(value), told)
        if more:
            yield more

    return all_parts


def _without(found: dict[str, object], names: Collection[str]) -> dict[str, object]:
    return {name: part for name, part in found.items() if name not in names} if names else found


def of_table(
    table: dict[str, PartsOf], base: type, kind: type, told: Mapping[str, Collection[str]] | None = None
) -> PartsOf | None:
    """
    Look up a type by its name in a table of parts, and wrap them where they are asked of a subclass.

    The types that can have attributes of their own are in `told`, with the attributes that the parts tell of.
    """
    name = name_of(base)
    parts = table.get(name)
    if parts is None or not known(base, name):
        return None
    if base is not kind:
        return subclass(kind, base, name, parts)
    return with_attributes(kind, parts, told[name]) if told is not None and name in told else parts


def step(label: object) -> str:
    """Return how a path spells an index or key, without calling anything of it."""
    kind = type(label)
    if kind is str:
        return f"[{label!r}]" if len(label) <= _LONG else f"[{label[:_LONG]!r}...]"  # type: ignore[arg-type, index]
    if kind is int and -_LARGE < label < _LARGE:  # type: ignore[operator]
        return f"[{label!r}]"
    return f"[{_QUALNAME(kind)}]"


_LONG = 60
_LARGE = 1 << 63
