"""How arrays go to a file: their bytes beside the opcodes, without a copy of them in memory."""

from __future__ import annotations

import sys
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from retain._retain import Reducer, Strided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Strided arrays are gathered in portions of so many bytes.
_PORTION = 4 << 20

_reducers: dict[tuple[bool, bool], Reducer] = {}


def reducer() -> Callable[[object], Any] | None:
    """Return what a pickler takes as its `reducer_override`, for the array libraries that are loaded."""
    numpy, torch = "numpy" in sys.modules, "torch" in sys.modules
    if not (numpy or torch):
        return None
    found = _reducers.get((numpy, torch))
    if found is None:
        types: list[type] = []
        if numpy:
            types.append(sys.modules["numpy"].ndarray)
        if torch:
            types.append(sys.modules["torch"].Tensor)
        found = _reducers[numpy, torch] = Reducer(types, _reduce)
    return found.reduce


def _reduce(array: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(array, numpy.ndarray):
        return _reduce_tensor(array)
    kind = type(array)
    if kind is numpy.ndarray:
        return _reduce_exact(array, numpy)
    if array.dtype.hasobject:
        return NotImplemented
    if kind is numpy.memmap:
        # A loaded copy is no longer the file's.
        plain = array.view(numpy.ndarray)
        reduced = _reduce_exact(plain, numpy)
        return plain.__reduce_ex__(5) if reduced is NotImplemented else reduced
    if kind is numpy.matrix:
        return numpy.matrix, (array.view(numpy.ndarray), None, False)
    return NotImplemented


def _reduce_exact(array: Any, numpy: Any) -> Any:
    dtype = array.dtype
    if dtype.hasobject or not dtype.itemsize:
        return NotImplemented
    flags = array.flags
    if flags.c_contiguous or flags.f_contiguous:
        kind = dtype.kind
        if kind not in "mMV" or (kind == "V" and _exports(array)):
            return NotImplemented
        # Dates refuse to export their bytes; their bytes do not.
        order = "C" if flags.c_contiguous else "F"
        raw = array.reshape(-1, order="A").view(numpy.uint8)
        return _from_buffer(numpy), (PickleBuffer(raw), dtype, array.shape, order)

    def pieces() -> Iterator[Any]:
        options = {"flags": ["external_loop", "buffered", "zerosize_ok"], "order": "C"}
        for portion in numpy.nditer(array, buffersize=max(_PORTION // dtype.itemsize, 1), **options):
            yield numpy.ascontiguousarray(portion).view(numpy.uint8)

    strided: Any = Strided(pieces, array.nbytes)
    return _from_buffer(numpy), (PickleBuffer(strided), dtype, array.shape, "C")


def _exports(array: Any) -> bool:
    """Tell whether an array exports its bytes itself."""
    try:
        PickleBuffer(array)
    except (BufferError, ValueError):
        return False
    return True


def _from_buffer(numpy: Any) -> Any:
    """Return numpy's own function that makes an array of a buffer, under the name that this numpy has it."""
    return numpy.zeros(1).__reduce_ex__(5)[0]


def _reduce_tensor(tensor: Any) -> Any:
    torch = sys.modules["torch"]
    if type(tensor) is torch.nn.Parameter and tensor.grad is None and not tensor._backward_hooks:
        from collections import OrderedDict

        return torch._utils._rebuild_parameter, (tensor.data, tensor.requires_grad, OrderedDict())
    plain = (
        type(tensor) is torch.Tensor
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.requires_grad
        and not tensor.is_conj()
        and not tensor.is_neg()
        and tensor.is_contiguous()
        and tensor.numel() > 0
        and not vars(tensor)
    )
    if not plain:
        return NotImplemented
    try:
        return torch.from_numpy, (tensor.numpy(),)
    except (RuntimeError, TypeError):
        # A type of elements that numpy does not have.
        return NotImplemented
