"""What `retain.scan` tells about a file, and how that reads as text, as HTML and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_SHOWN = 20  # lines of a table, before the rest is only counted
_MEANINGS = {
    "safe": "nothing in it runs",
    "needs trust": "it loads if you trust the names that are marked so",
    "unsafe": "safe_load refuses it, whatever you trust",
}


def visible(text: str) -> str:
    """Return a file's text with all that a terminal could obey, or that could pass for something else, as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g} {unit}"
    return f"{value:,.0f} TB"


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return rows of text as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """
    An array in a file.

    Attributes
    ----------
    path : str
        Where it is in the value, such as ``model.coef_`` or ``[3].weights``; empty where it is the value itself, or in
        an object whose class is not known.
    dtype : str
    shape : tuple of int
    order : str
        ``"C"`` or ``"F"``.
    offset : int or None
        Where its bytes begin in the uncompressed stream; None where they do not lie there in one piece.
    nbytes : int
    object : bool
        Whether its items are Python objects.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    order: str
    offset: int | None
    nbytes: int
    object: bool

    def row(self) -> tuple[str, ...]:
        """Return the texts of a table's row."""
        return (
            visible(self.path) or "-",
            visible(dtype_name(self.dtype)),
            shape_text(self.shape),
            self.order,
            size(self.nbytes),
        )


@dataclass(frozen=True, slots=True)
class GlobalUse:
    """
    A class or function that a file names, and may call.

    Attributes
    ----------
    module, name : str
    count : int
        How many times.
    verdict : str
        ``"allowed"``, ``"trusted"``, ``"needs trust"`` or ``"refused"``.
    reason : str
        Why.
    written : tuple of str, or None
        Module and name as the file has them, where these are Python 2's.
    """

    module: str
    name: str
    count: int
    verdict: str
    reason: str
    written: tuple[str, str] | None = None

    def __str__(self) -> str:
        return visible(f"{self.module}.{self.name}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Something in a file that is not to be.

    Attributes
    ----------
    offset : int
        Where in the uncompressed stream.
    reason : str
    path : str or None
        Where in the value, if that can be told.
    """

    offset: int
    reason: str
    path: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """
    What a file is, told without importing, calling or building anything that it names.

    `retain.scan` returns one. It reads as text by `str`, as a table in a notebook, and as plain data by `as_dict`.

    Attributes
    ----------
    filename : str
    format : str
        ``"retain"``, ``"joblib"``, ``"pickle"`` and so on.
    codec : str or None
        The compression: ``"zstd"``, ``"gzip"`` and so on.
    protocol : int
        The pickle protocol, 0 to 5.
    size : int
        Bytes of the file.
    bytes : int
        Bytes of the stream in it, uncompressed.
    opcodes : int
        How many instructions the stream is.
    allocation : int
        Bytes that loading it takes, estimated.
    arrays : tuple of ArrayInfo
    globals : tuple of GlobalUse
    refusals : tuple of Refusal
        The first hundred.
    more_refusals : int
        How many more there are.
    damage : str or None
        Why the stream could not be read to its end.
    verdict : str
        ``"safe"``: `retain.safe_load` loads it. ``"needs trust"``: it does when what is in `wanted` is trusted.
        ``"unsafe"``: it does not. ``"damaged"``: nothing does.
    signed : bool
        Whether the file has a signature. Whose it is, `retain.load(filename, verify=key)` tells.
    """

    filename: str
    format: str
    codec: str | None
    protocol: int
    size: int
    bytes: int
    opcodes: int
    allocation: int
    arrays: tuple[ArrayInfo, ...]
    globals: tuple[GlobalUse, ...]
    refusals: tuple[Refusal, ...]
    more_refusals: int
    damage: str | None
    verdict: str
    signed: bool = False

    @classmethod
    def from_scan(cls, filename: str, found: Mapping[str, Any]) -> Report:
        """
        Return the report that what the core found amounts to.

        Parameters
        ----------
        filename : str
        found : mapping
            With all attributes but the file's name, the lists of objects as lists of mappings.
        """
        arrays = (ArrayInfo(**{**each, "shape": tuple(each["shape"])}) for each in found["arrays"])
        return cls(
            **{
                **found,
                "filename": filename,
                "arrays": tuple(arrays),
                "globals": tuple(GlobalUse(**each) for each in found["globals"]),
                "refusals": tuple(Refusal(**each) for each in found["refusals"]),
            }
        )

    @property
    def safe(self) -> bool:
        """Whether `retain.safe_load` loads it, with the trust that the scan was given."""
        return self.verdict == "safe"

    @property
    def wanted(self) -> tuple[str, ...]:
        """The dotted names of what would have to be trusted."""
        return tuple(f"{each.module}.{each.name}" for each in self.globals if each.verdict == "needs trust")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as dicts, lists, strings and numbers: what `json.dumps` takes."""
        plain = asdict(self)
        for listed in ("arrays", "globals", "refusals"):
            plain[listed] = list(plain[listed])
        for each in plain["arrays"]:
            each["shape"] = list(each["shape"])
        for each in plain["globals"]:
            each["written"] = each["written"] and list(each["written"])
        plain["wanted"] = list(self.wanted)
        return plain

    def as_text(self, shown: int | None = _SHOWN) -> str:
        """
        Return the report as text.

        Parameters
        ----------
        shown : int or None
            How many lines of each table there are at most; None for all.
        """
        lines = [f"{visible(self.filename)}: {self._kind()}", f"verdict: {self._verdict()}"]
        for title, head, rows in self._tables():
            lines += ["", title, *columns([head, *rows[:shown]])]
            if shown is not None and len(rows) > shown:
                lines.append(f"  and {len(rows) - shown:,} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.as_text()

    def __repr__(self) -> str:
        return (
            f"<retain.Report of {self.filename!r}: {self.verdict}, {self.format}, {len(self.arrays)} arrays, "
            f"{len(self.globals)} globals, {len(self.refusals)} refusals>"
        )

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(visible(self.filename))}</b>: {escape(self._kind())}<br>{escape(self._verdict())}</p>"]
        for title, head, rows in self._tables():
            parts.append(f"<table><caption>{escape(title)}</caption>{_row(head, 'th')}")
            parts += [_row(row, "td") for row in rows[:_SHOWN]]
            if len(rows) > _SHOWN:
                parts.append(f"<tr><td>and {len(rows) - _SHOWN:,} more</td></tr>")
            parts.append("</table>")
        return "".join(parts)

    def _kind(self) -> str:
        codec = f", {self.codec}" if self.codec else ""
        sizes = size(self.size)
        if self.codec:
            sizes += f" ({size(self.bytes)} uncompressed)"
        signed = ", signed" if self.signed else ""
        # Files of arrays are no pickles.
        pickled = f", protocol {self.protocol}, {self.opcodes:,} opcodes" if self.opcodes else ""
        return f"{self.format} file{codec}{pickled}, {sizes}{signed}"

    def _verdict(self) -> str:
        meaning = visible(self.damage) if self.damage else _MEANINGS.get(self.verdict)
        return f"{self.verdict} ({meaning})" if meaning else self.verdict

    def _tables(self) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        if self.refusals:
            count = len(self.refusals) + self.more_refusals
            yield (
                f"{count:,} refused",
                ("at byte", "reason"),
                [(f"{each.offset:,}", visible(each.reason)) for each in self.refusals],
            )
        if self.globals:
            # What decides comes first.
            order = ("refused", "needs trust", "trusted", "allowed")
            ranked = sorted(
                self.globals, key=lambda each: (order.index(each.verdict) if each.verdict in order else -1, str(each))
            )
            yield (
                "classes and functions that it names",
                ("name", "times", "verdict", "reason"),
                [(str(each), f"{each.count:,}", each.verdict, visible(each.reason)) for each in ranked],
            )
        if self.arrays:
            total = sum(each.nbytes for each in self.arrays)
            noun = "array" if len(self.arrays) == 1 else "arrays"
            yield (
                f"{len(self.arrays):,} {noun}, {size(total)}",
                ("path", "dtype", "shape", "order", "bytes"),
                [each.row() for each in self.arrays],
            )


_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}


def dtype_name(code: str) -> str:
    """Return the name of a dtype by numpy's code for it: ``<f8`` is float64."""
    kind = code.lstrip("<>|=")
    bits = int(kind[1:]) * 8 if kind[1:].isdecimal() and len(kind) < 5 else 0
    if kind in {"b1", "?"}:
        name = "bool"
    elif kind.startswith("O"):
        name = "object"
    elif bits and kind[0] in _KINDS:
        name = f"{_KINDS[kind[0]]}{bits}"
    else:
        name = kind
    return f"{name} (big-endian)" if code.startswith(">") else name


def shape_text(shape: Iterable[int]) -> str:
    """Return a shape as numpy writes it in a dtype: ``3x4``; nothing has no dimensions."""
    return "x".join(map(str, shape)) or "()"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
