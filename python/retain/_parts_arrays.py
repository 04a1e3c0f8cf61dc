"""The parts of scipy's sparse arrays, of polars' frames, of torch's tensors, and of scikit-learn's odd ones."""

from __future__ import annotations

import sys

from retain._parts import REMEDY, attributes, name_of, qualname, refuse, subclass, with_attributes
from retain._retain import At

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from retain._parts import Parts, PartsOf


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    name = name_of(base)
    library = name.partition(".")[0]
    if library == "scipy":
        return _find_scipy(base, kind)
    if library == "polars":
        return _find_polars(base, kind)
    if library == "sklearn":
        return _vectorizer if qualname(base) == "_VectorizerMixin" else None
    return _find_torch(base, kind)


def _vectorizer(vectorizer: Any) -> Parts:
    # Where the list of stop words lay when it was checked last.
    state = vectorizer.__getstate__()
    return "sklearn", type(vectorizer), {name: value for name, value in state.items() if name != "_stop_words_id"}


def _find_scipy(base: type, kind: type) -> PartsOf | None:
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not issubclass(base, (sparse.sparray, sparse.spmatrix)):
        return None
    # scipy's own ones are known by their names, in every version of it.
    name = qualname(kind) if name_of(kind).startswith("scipy.") else None
    names = _OF_SPARSE.get(getattr(kind, "_format", "") or getattr(kind, "format", ""))
    if names is None:
        return None
    read = attributes(kind)

    def parts(values: Any) -> Iterator[object]:
        # As they are: an entry that is there twice, unsorted indices and zeros that are stored can be told apart.
        yield "scipy.sparse"
        yield name or type(values)
        yield values.shape
        for attribute in names:
            yield At(f".{attribute}", getattr(values, attribute))
        more = {key: value for key, value in read(values).items() if key.lstrip("_") not in _OWN_OF_SPARSE}
        if more or name is None:
            yield more

    return parts


_COMPRESSED = ("data", "indices", "indptr")
_OF_SPARSE = {
    "bsr": _COMPRESSED,
    "coo": ("data", "coords"),
    "csc": _COMPRESSED,
    "csr": _COMPRESSED,
    "dia": ("data", "offsets"),
    "dok": ("dtype", "_dict"),
    "lil": ("dtype", "rows", "data"),
}
_OWN_OF_SPARSE = frozenset(
    name.lstrip("_")
    for names in (*_OF_SPARSE.values(), ("shape", "maxprint", "has_sorted_indices", "has_canonical_format"))
    for name in names
)


def _find_polars(base: type, kind: type) -> PartsOf | None:
    name = qualname(base)
    parts = _POLARS.get(name)
    if parts is None or (name.startswith("DataType") and name_of(kind).startswith("polars.")):
        return parts
    if base is kind:
        return with_attributes(kind, parts, _OWN_OF_POLARS)
    return subclass(kind, base, f"polars.{name}", parts, _OWN_OF_POLARS)


# What polars' frames and columns are in Rust.
_OWN_OF_POLARS = ("_df", "_s")


def _polars_column(column: Any) -> Parts:
    if "pyarrow" not in sys.modules:
        try:
            __import__("pyarrow")
        except ImportError:
            raise TypeError(f"polars' columns are hashed by way of pyarrow, which is not installed: {REMEDY}") from None
    if str(column.dtype).startswith("Object"):
        return "polars.Series", column.name, column.dtype, column.to_list()
    return "polars.Series", column.name, column.dtype, column.to_arrow()


def _polars_frame(frame: Any) -> Iterator[object]:
    yield "polars.DataFrame"
    yield frame.height
    for column in frame.iter_columns():
        yield At(f"[{column.name!r}]", column)


def _polars_dtype(dtype: Any) -> Parts:
    return "polars.DataType", repr(dtype)


_POLARS: dict[str, PartsOf] = {
    "DataFrame": _polars_frame,
    "DataType": _polars_dtype,
    "DataTypeClass": _polars_dtype,
    "LazyFrame": refuse("a query that has not been run has no content yet"),
    "Series": _polars_column,
}


def _find_torch(base: type, kind: type) -> PartsOf | None:
    torch = sys.modules["torch"]
    if base is torch.Tensor:
        return _tensor(kind)
    if base is torch.Generator:
        return lambda generator: ("torch.Generator", str(generator.device), generator.get_state())
    return None


def _tensor(kind: type) -> PartsOf:
    # torch's own ones (Parameter, Buffer) are known by their names, in every version of it.
    name = qualname(kind) if name_of(kind).startswith("torch.") else None
    read = attributes(kind)

    def parts(tensor: Any) -> Iterator[object]:
        torch = sys.modules["torch"]
        plain = tensor.detach().as_subclass(torch.Tensor)
        if plain.layout is not torch.strided or plain.is_quantized or plain.device.type == "meta":
            raise TypeError(f"a tensor of layout {plain.layout} on {plain.device} has no bytes to tell it by: {REMEDY}")
        yield "torch.Tensor"
        yield name or type(tensor)
        yield str(plain.dtype)
        yield tuple(plain.shape)
        # Which of several devices holds it is not what it is.
        yield plain.device.type
        yield tensor.requires_grad
        data = plain.resolve_conj().resolve_neg().cpu().contiguous().flatten()
        # A dtype such as bfloat16 has no counterpart in numpy, its bytes have.
        yield data.view(torch.uint8).numpy() if data.numel() else b""
        more = read(tensor)
        if more or name is None:
            yield more

    return parts
