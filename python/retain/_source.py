"""The code of a function without what makes no difference: its source where that is what runs, else its bytecode."""

from __future__ import annotations
import __future__

import ast
import linecache
import os
import sys
from collections import OrderedDict
from types import CodeType
from typing import NamedTuple
from weakref import ref

from retain._reads import Reads, reads
from retain._reads import outputs as written_to
from retain._retain import digest
from retain._tree import normal, outputs

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType
    from typing import Any

    from retain._tree import Function


class Recipe(NamedTuple):
    """What a function's code is, and what it reads."""

    form: str
    """``"source"`` or ``"bytecode"``."""
    digest: bytes
    reads: Reads
    outputs: dict[str, frozenset[str]]
    """Names that are only written to, and how."""


_recipes: dict[int, tuple[ref[CodeType], Recipe]] = {}


def recipe(function: FunctionType) -> Recipe:
    """Return what a function's code is; found out once for each code object."""
    code = function.__code__
    key = id(code)
    known = _recipes.get(key)
    if known is not None and known[0]() is code:
        return known[1]
    node = _node(code, function.__globals__)
    if node is None:
        form, content, written = "bytecode", digest(_normal_code(code, sys.version_info[:2])), written_to(code)
    else:
        form, content, written = "source", digest(normal(node)), outputs(node)
    found = Recipe(form, content, reads(code), written)
    _recipes[key] = ref(code, lambda _: _recipes.pop(key, None)), found
    return found


class _File(NamedTuple):
    # A source file, with what it compiles to.
    key: object
    codes: dict[tuple[int, str], list[CodeType]]
    nodes: dict[tuple[int, str], list[Function]]
    tree: ast.Module


_files: OrderedDict[tuple[str, int], _File | None] = OrderedDict()
_KEPT_FILES = 32
_FUTURE = 0
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag
_FUTURE &= ~__future__.nested_scopes.compiler_flag  # the flag of nested code


def module_source(name: str, namespace: dict[str, Any]) -> bytes | None:
    """Return the digest of a module's normalised source, if there is any."""
    filename = namespace.get("__file__")
    if type(filename) is not str or name == "__main__":
        return None
    file = _file(filename, 0, namespace)
    return None if file is None else digest(normal(file.tree))


def _node(code: CodeType, namespace: dict[str, Any]) -> Function | None:
    # The part of a source that this very code was compiled from.
    filename, known = code.co_filename, namespace.get("__file__")
    if type(known) is str and not os.path.isabs(filename) and known.endswith(os.sep + filename):
        filename = known  # it was relative to a folder that may not be the current one any more
    file = _file(filename, code.co_flags & _FUTURE, namespace)
    if file is None:
        return None
    place = code.co_firstlineno, code.co_name
    alike = [found for found in file.codes.get(place, ()) if _same(found, code)]
    if not alike:
        return None
    nodes = file.nodes.get(place, [])
    if len(nodes) > 1:
        # Several lambdas on a line.
        exact = [found for found in alike if list(found.co_positions()) == list(code.co_positions())]
        return _lambda((exact or alike)[0], nodes)
    return nodes[0] if nodes else None


def _file(filename: str, flags: int, namespace: dict[str, Any]) -> _File | None:
    known = _files.get((filename, flags))
    if known is not None and _file_key(filename) == known.key:
        return known
    source, key = _read(filename, namespace)
    if source is None:
        return None
    if known is not None and known.key == key:
        return known
    try:
        tree = ast.parse(source, filename)
        # Warnings about the source were given when it was imported.
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(tree, filename, "exec", flags=flags, dont_inherit=True)  # as the interpreter optimizes
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    file = _File(key, {}, {}, tree)
    for inner in _nested(code):
        file.codes.setdefault((inner.co_firstlineno, inner.co_name), []).append(inner)
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            file.nodes.setdefault((node.lineno, "<lambda>"), []).append(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            file.nodes.setdefault((line, node.name), []).append(node)
    _files[filename, flags] = file
    while len(_files) > _KEPT_FILES:
        try:
            _files.popitem(last=False)
        except KeyError:
            break
    return file


def _read(filename: str, namespace: dict[str, Any]) -> tuple[str | bytes | None, object]:
    # The source, and what tells whether it is still the same.
    cached = linecache.cache.get(filename)
    if cached is not None and len(cached) == 4 and cached[1] is None:
        # A cell of a notebook, or what another loader than that of files gave.
        return "".join(cached[2]), tuple(cached[2])
    key = _file_key(filename)
    if key is not None:
        try:
            with open(filename, "rb") as file:  # a name, not a path, is what code has
                return file.read(), key
        except OSError:
            pass
    try:
        lines = linecache.getlines(filename, namespace)
    except Exception:  # noqa: BLE001  # whatever a module's loader raises, there is no source
        return None, None
    return ("".join(lines), tuple(lines)) if lines else (None, None)


def _file_key(filename: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(filename)  # as below
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _nested(code: CodeType) -> Iterator[CodeType]:
    left = [code]
    while left:
        inner = left.pop()
        yield inner
        left.extend(constant for constant in inner.co_consts if isinstance(constant, CodeType))


def _same(one: CodeType, other: CodeType) -> bool:
    # Whether two code objects do the same; where their lines are does not count.
    left = [(one, other)]
    while left:
        first, second = left.pop()
        if _fields(first) != _fields(second) or len(first.co_consts) != len(second.co_consts):
            return False
        for mine, theirs in zip(first.co_consts, second.co_consts, strict=True):
            if isinstance(mine, CodeType) and isinstance(theirs, CodeType):
                left.append((mine, theirs))
            elif type(mine) is not type(theirs) or (mine is not theirs and digest(mine) != digest(theirs)):
                return False
    return True


def _fields(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_name,
        code.co_qualname,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags & ~_HAS_DOCSTRING,
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_exceptiontable,
    )


def _normal_code(code: CodeType, version: tuple[int, int]) -> tuple[object, ...]:
    constants: list[object] = [
        _normal_code(constant, version) if isinstance(constant, CodeType) else constant for constant in code.co_consts
    ]
    if constants and isinstance(constants[0], str) and _has_docstring(code):
        constants[0] = None
    return "code", version, *_fields(code)[:1], *_fields(code)[2:], tuple(constants)


_HAS_DOCSTRING = 0x4000000


def _has_docstring(code: CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    # The first constant of a function is its docstring or None; others have none.
    return not code.co_name.startswith("<")


_Place = tuple[int, int]


def _is_constant(body: object, value: bytes) -> bool:
    return isinstance(body, ast.Constant) and digest(body.value) == value


def _lambda(code: CodeType, nodes: list[Function]) -> Function | None:
    # The innermost of some lambdas that has the code inside its body.
    places = [place for place in code.co_positions() if None not in place and place[2:] != (0, 0)]
    if not places:
        # It returns a constant, and 3.12 does not note down where that is.
        value = digest(code.co_consts[-1])
        return next((node for node in nodes if _is_constant(node.body, value)), None)
    first = min((line, column) for line, _, column, _ in places)
    last = max((line, column) for _, line, _, column in places)
    around: list[tuple[_Place, Function]] = []
    for node in nodes:
        body = node.body
        if isinstance(body, ast.expr) and body.end_lineno is not None and body.end_col_offset is not None:
            start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
            if start <= first and last <= end:
                around.append((start, node))
    return max(around, key=lambda found: found[0])[1] if around else None
