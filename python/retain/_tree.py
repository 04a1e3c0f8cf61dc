"""A syntax tree as bytes in which only what runs counts: no comments, formatting or docstrings, on any Python alike."""

from __future__ import annotations

import ast

from retain._reads import BOUND, CHANGING, IN_PLACE, ITEM, ITEM_IN_PLACE

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator

    Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_SKIPPED = {"ctx", "kind", "type_comment", "type_ignores"}
_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def normal(root: ast.AST) -> bytes:
    """
    Return a function's or module's tree as bytes.

    The decorators of the function itself are left out: what they do is found in what they returned.
    """
    out = bytearray()
    left: list[object] = [root]
    while left:
        item = left.pop()
        if isinstance(item, bytes):
            out += item
        elif isinstance(item, ast.AST):
            out += b"(" + type(item).__name__.encode()
            parts: list[object] = []
            for name, value in _fields(item, decorators=item is not root):
                parts += (b" " + name.encode() + b" ", value)
            parts.append(b")")
            left += reversed(parts)
        elif isinstance(item, list):
            left.append(b"]")
            left += reversed(item)
            left.append(b"[")
        else:
            out += _plain(item)
    return bytes(out)


def _fields(node: ast.AST, *, decorators: bool) -> Iterator[tuple[str, object]]:
    if isinstance(node, ast.Constant):
        yield "value", _Leaf(node.value)
        return
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or name in _SKIPPED or (name == "decorator_list" and not decorators):
            continue
        if name == "body" and isinstance(node, _WITH_DOCSTRING):
            value = _without_docstring(value)
        elif name == "values" and isinstance(node, ast.JoinedStr):
            value = _joined(value)
        if value != []:
            yield name, value


class _Leaf:
    # A constant: it may be None or bytes, which mean something else on the stack.
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def _plain(item: object) -> bytes:
    if isinstance(item, _Leaf):
        item = item.value
    if isinstance(item, str):
        text = item.encode("utf-8", "surrogatepass")
        return b"str %d:" % len(text) + text
    if isinstance(item, int) and not isinstance(item, bool):
        return b"int " + hex(item).encode()  # repr refuses very long ones
    return f"{type(item).__name__} {item!r}".encode()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    # The versions of Python cut the text between the fields of an f-string differently.
    merged: list[ast.expr] = []
    for value in values:
        last = merged[-1] if merged else None
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            merged.append(value)
        elif isinstance(last, ast.Constant) and isinstance(last.value, str):
            merged[-1] = ast.Constant(last.value + value.value)
        elif value.value:
            merged.append(value)
    return merged


def outputs(root: ast.AST) -> dict[str, frozenset[str]]:
    """
    Return the names that a function only writes to, and how.

    These are names of containers and numbers that it changes (``calls.append(x)``, ``count += 1``, ``seen[x] = y``, as
    statements) and reads nowhere: what they hold makes no difference to what the function returns.
    """
    met: dict[str, int] = {}
    written: dict[str, list[str]] = {}
    in_place = {id(node.target): node.op for node in ast.walk(root) if isinstance(node, ast.AugAssign)}
    for node in ast.walk(root):
        if isinstance(node, ast.Name):
            met[node.id] = met.get(node.id, 0) + 1
            how = IN_PLACE if id(node) in in_place else BOUND
            if isinstance(node.ctx, ast.Store) and isinstance(in_place.get(id(node), _SILENT[0]()), _SILENT):
                written.setdefault(node.id, []).append(how)
        else:
            for name, how in _changed(node):
                written.setdefault(name, []).append(how)
    return {name: frozenset(ways) for name, ways in written.items() if len(ways) == met.get(name)}


_SILENT = ast.Add, ast.Sub  # of what is done in place to numbers: the others may overflow, or divide by zero


def _changed(node: ast.AST) -> Iterator[tuple[str, str]]:
    # The names whose value a statement changes in place, once for each time that they are spelled for that.
    targets: list[ast.expr] = []
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        if isinstance(function, ast.Attribute) and function.attr in CHANGING and isinstance(function.value, ast.Name):
            yield function.value.id, function.attr
    elif isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, _SILENT):
        targets = [node.target]
    how = ITEM_IN_PLACE if isinstance(node, ast.AugAssign) else ITEM
    for target in targets:
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            yield target.value.id, how
