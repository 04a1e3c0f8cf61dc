"""What code reads from outside of itself: globals, closure cells, modules that it imports, and attributes of them."""

from __future__ import annotations

import dis
from typing import NamedTuple

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any


class Chain(NamedTuple):
    """A name and the attributes that are read from it, one from the other: ``package.module.function``."""

    root: str
    """``"global"``, ``"global, if there"``, ``"cell"`` or ``"import"``."""
    name: str
    attributes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.attributes))


class Reads(NamedTuple):
    """What a code object, and those nested in it, read."""

    chains: tuple[Chain, ...]
    imports: tuple[Chain, ...]
    """Modules, and names in them, that are imported whether they are used or not."""
    getattrs: tuple[tuple[Chain, int], ...]
    """What ``getattr`` with a name that is computed is called on, and the line."""
    lines: dict[str, int]
    """The line where a global is read first."""


# Methods that change a container. As a statement, nothing else can come of them: whether they raise is not for the
# container to say.
CHANGING = {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "setdefault", "update"}
# What else changes a value in place: `counts[x] = y`, `counts[x] += y`, `count += y`; and `count = y`.
ITEM, ITEM_IN_PLACE, IN_PLACE, BOUND = "[]=", "[]+=", "+=", "="


class _Step(NamedTuple):
    # An instruction without what the versions of Python do differently.
    operation: str
    value: Any
    line: int
    start: tuple[int, int] | None
    """Line and column where the expression begins that it belongs to."""


_IGNORED = {"CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL", "PRECALL", "RESUME", "COPY_FREE_VARS", "MAKE_CELL"}
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_CELL = {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
_LOCAL = {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"}
_STORES = {"STORE_FAST", "STORE_DEREF", "STORE_NAME", "STORE_GLOBAL"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}


def reads(code: CodeType) -> Reads:
    """Find out what a function's code, with the functions and classes inside it, reads from outside."""
    scan = _Scan()
    if "__class__" in code.co_freevars:
        scan.chains.add(Chain("cell", "__class__"))  # super() reads it without a word in the code
    left: list[tuple[CodeType, frozenset[str], dict[str, tuple[Chain, ...]]]]
    left = [(code, frozenset(code.co_freevars), {})]
    while left:
        inner, free, bound = left.pop()
        bound = scan.run(inner, free, bound)
        for constant in inner.co_consts:
            if isinstance(constant, type(code)):
                theirs = frozenset(constant.co_freevars)
                outside = (free & theirs) - set(inner.co_cellvars)
                left.append((constant, outside, {name: found for name, found in bound.items() if name in theirs}))
    return Reads(tuple(sorted(scan.chains)), tuple(sorted(scan.imports)), tuple(scan.getattrs), scan.lines)


class _Scan:
    def __init__(self) -> None:
        self.chains: set[Chain] = set()
        self.imports: set[Chain] = set()
        self.getattrs: list[tuple[Chain, int]] = []
        self.lines: dict[str, int] = {}

    def run(
        self, code: CodeType, free: frozenset[str], bound: dict[str, tuple[Chain, ...]]
    ) -> dict[str, tuple[Chain, ...]]:
        """Read one code object; return what the names in it are bound to by imports."""
        steps = list(_steps(code))
        bound = {**bound, **self._imported(steps)}
        stored = {step.value for step in steps if step.operation == "STORE_NAME"}
        for number, step in enumerate(steps):
            if step.operation in _GLOBAL:
                if step.operation == "LOAD_NAME" and step.value == "__name__":
                    continue  # how each class body begins
                # What a class body binds itself may still be read from outside before that.
                root = "global, if there" if step.value in stored else "global"
                starts: tuple[Chain, ...] = (Chain(root, str(step.value)),)
                self.lines.setdefault(str(step.value), step.line)
            elif step.operation in _CELL and step.value in free:
                starts = (Chain("cell", str(step.value)),)
            elif step.operation in _CELL or step.operation in _LOCAL:
                starts = bound.get(str(step.value), ())
            else:
                continue
            if starts:
                self._follow(steps, number, starts)
        return bound

    def _follow(self, steps: list[_Step], number: int, starts: tuple[Chain, ...]) -> None:
        # Take in the attributes that are read from the value right away.
        attributes, end = _attributes(steps, number + 1)
        if end < len(steps) and steps[end].operation in {"STORE_ATTR", "DELETE_ATTR"}:
            attributes = (*attributes, f"={steps[end].value}")
        found = [Chain(start.root, start.name, start.attributes + attributes) for start in starts]
        self.chains.update(found)
        if found[0] == ("global", "getattr", ()):
            self._getattr(steps, end)

    def _getattr(self, steps: list[_Step], number: int) -> None:
        # getattr(module, "name") is module.name; with a name that is computed it could be anything.
        if number >= len(steps) or steps[number].operation not in _GLOBAL:
            return
        step = steps[number]
        attributes, end = _attributes(steps, number + 1)
        if end >= len(steps):
            return
        if steps[end].operation == "LOAD_CONST":
            self.chains.add(Chain("global", str(step.value), (*attributes, str(steps[end].value))))
        else:
            self.getattrs.append((Chain("global", str(step.value), attributes), step.line))

    def _imported(self, steps: list[_Step]) -> dict[str, tuple[Chain, ...]]:
        # What local imports bind names to.
        bound: dict[str, tuple[Chain, ...]] = {}

        def bind(name: object, chain: Chain) -> None:
            bound[str(name)] = (*bound.get(str(name), ()), chain)

        for number, step in enumerate(steps):
            if step.operation != "IMPORT_NAME" or number < 2:
                continue
            level, names = steps[number - 2].value, steps[number - 1].value
            name = "." * (level if isinstance(level, int) else 0) + str(step.value)
            rest = steps[number + 1 :]
            if names:
                while len(rest) > 1 and rest[0].operation == "IMPORT_FROM":
                    chain = Chain("import", name, (str(rest[0].value),))
                    self.imports.add(chain)
                    bind(rest[1].value, chain)
                    rest = rest[2:]
                continue
            self.imports.add(Chain("import", name))
            if rest and rest[0].operation == "IMPORT_FROM":
                target = next((each.value for each in rest if each.operation in _STORES), "")
                bind(target, Chain("import", name))
            elif rest and rest[0].operation in _STORES:
                whole = name == rest[0].value or "." not in name.lstrip(".")
                bind(rest[0].value, Chain("import", name if whole else name.partition(".")[0]))
        return bound


def outputs(code: CodeType) -> dict[str, frozenset[str]]:
    """
    Return the names that a function without source only writes to, and how; see `retain._tree.outputs`.

    Which instructions belong to one expression is told by where it begins in the lost source.
    """
    read: set[str] = set()
    written: dict[str, set[str]] = {}
    left = [code]
    while left:
        inner = left.pop()
        left.extend(constant for constant in inner.co_consts if isinstance(constant, type(code)))
        steps = list(_steps(inner))
        for number, step in enumerate(steps):
            if step.operation in _GLOBAL or step.operation in _CELL:
                how = _written(steps, number)
                if how:
                    written.setdefault(str(step.value), set()).add(how)
                else:
                    read.add(str(step.value))
    return {name: frozenset(ways) for name, ways in written.items() if name not in read}


def _written(steps: list[_Step], number: int) -> str:
    name, start = steps[number].value, steps[number].start
    if start is None or number + 1 >= len(steps):
        return ""
    rest = [step for step in enumerate(steps[number + 1 :], number + 1) if step[1].start == start]
    following = steps[number + 1]
    if following.operation in _ATTRIBUTE:
        call = next((at for at, step in rest if step.operation.startswith("CALL")), len(steps))
        thrown_away = call + 1 < len(steps) and steps[call + 1].operation == "POP_TOP"
        return str(following.value) if thrown_away and following.value in CHANGING else ""
    operations = [step.operation for _, step in rest if step.operation not in {"COPY", "SWAP"}]
    if operations[:1] == ["STORE_SUBSCR"]:
        return ITEM
    change = next((at for at, step in rest if step.operation == "BINARY_OP" and step.value in _IN_PLACE), len(steps))
    if operations[:1] == ["BINARY_OP"] and change + 1 < len(steps):
        return IN_PLACE if steps[change + 1].operation in _STORES and steps[change + 1].value == name else ""
    in_place = operations[:3] == ["BINARY_SUBSCR", "BINARY_OP", "STORE_SUBSCR"] and change < len(steps)
    return ITEM_IN_PLACE if in_place else ""


_IN_PLACE = 13, 23  # BINARY_OP's += and -=; the others may raise for the value that is changed


def stored_cells(code: CodeType) -> set[str]:
    """Return the closure cells that a function's code, or that inside it, stores to."""
    found: set[str] = set()
    left = [(code, set(code.co_freevars))]
    while left:
        inner, free = left.pop()
        for instruction in dis.get_instructions(inner) if free else ():
            if instruction.opname in {"STORE_DEREF", "DELETE_DEREF"} and instruction.argval in free:
                found.add(str(instruction.argval))
        free -= set(inner.co_cellvars)
        nested = (constant for constant in inner.co_consts if isinstance(constant, type(code)))
        left.extend((constant, free & set(constant.co_freevars)) for constant in nested)
    return found


def _attributes(steps: list[_Step], number: int) -> tuple[tuple[str, ...], int]:
    found: list[str] = []
    while number < len(steps) and steps[number].operation in _ATTRIBUTE:
        found.append(str(steps[number].value))
        number += 1
    return tuple(found), number


def _steps(code: CodeType) -> Iterator[_Step]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _IGNORED:
            continue
        positions = instruction.positions
        line = (positions.lineno if positions is not None else None) or code.co_firstlineno
        column = positions.col_offset if positions is not None else None
        start = None if column is None else (line, column)
        value = instruction.argval
        if instruction.opname.count("_FAST") > 1 and isinstance(value, tuple):
            # Two in one: LOAD_FAST_LOAD_FAST, STORE_FAST_LOAD_FAST.
            words = instruction.opname.split("_")
            middle = len(words) // 2
            yield _Step("_".join(words[:middle]), value[0], line, start)
            yield _Step("_".join(words[middle:]), value[1], line, start)
        else:
            yield _Step(instruction.opname, value, line, start)
