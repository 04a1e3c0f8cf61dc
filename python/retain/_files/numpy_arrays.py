"""How arrays go to a file: their bytes beside the opcodes, without a copy of them in memory."""

from __future__ import annotations

import copyreg
import sys
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from retain._retain import Reducer, Strided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retain._retain import Sink

# Strided arrays are gathered in portions of so many bytes.
_PORTION = 4 << 20

# What these pickle does not use memory again that it gave away.
_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "torch"}


def reducer(sink: Sink, *, in_band: bool = False) -> Callable[[object], Any]:
    """
    Return what a pickler takes as its `reducer_override`, for the array libraries that are loaded.

    The sink is told by it when code runs that may change what the sink has yet to write. With `in_band`, nothing is
    left to be written later.
    """
    types: list[type] = []
    if "numpy" in sys.modules:
        types.append(sys.modules["numpy"].ndarray)
    if "torch" in sys.modules:
        types.append(sys.modules["torch"].Tensor)
    return Reducer(types, _reduce_at_once if in_band else _reduce, sink, _is_plain).reduce


def _is_plain(kind: type) -> bool:
    """Tell whether no code but that of Python and of well-known libraries runs when instances are pickled."""
    registered = copyreg.dispatch_table.get(kind)
    return _is_of_libraries(kind) and (registered is None or _is_of_libraries(registered))


def _is_of_libraries(definition: Any) -> bool:
    module = getattr(definition, "__module__", None)
    root = module.partition(".")[0] if isinstance(module, str) else ""
    return root in sys.stdlib_module_names or root in _LIBRARIES


def _reduce_at_once(array: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(array, numpy.ndarray):
        return _reduce(array)
    # numpy copies what does not lie in one piece.
    return array.view(numpy.ndarray).__reduce_ex__(5) if type(array) is numpy.memmap else NotImplemented


def _reduce(array: Any) -> Any:
    # What the user has registered comes first.
    return NotImplemented if type(array) in copyreg.dispatch_table else _reduce_beside(array)


def _reduce_beside(array: Any) -> Any:
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
        reduced = _reduce_exact(plain, numpy, to_write=True)
        return plain.__reduce_ex__(5) if reduced is NotImplemented else reduced
    if kind is numpy.matrix and array.ndim == 2 and array.flags.writeable:
        return numpy.matrix, (array.view(numpy.ndarray), None, False)
    return NotImplemented


def _reduce_exact(array: Any, numpy: Any, *, to_write: bool = False) -> Any:
    """Return the reduction of an array; with `to_write`, one whose copy is to be written to, if this one is not."""
    dtype = array.dtype
    if dtype.hasobject or not dtype.itemsize:
        return NotImplemented
    flags = array.flags
    if flags.c_contiguous or flags.f_contiguous:
        # Dates refuse to export their bytes; their bytes do not. Loaded, they can be written to, as with pickle.
        exports = dtype.kind not in "mMV" or (dtype.kind == "V" and _exports(array))
        if exports and (flags.writeable or not to_write):
            return NotImplemented
        order = "C" if flags.c_contiguous else "F"
        raw = array.reshape(-1, order="A").view(numpy.uint8)
        return _from_buffer(numpy), (_to_write(raw), dtype, array.shape, order)
    if dtype.kind not in "mMV" and _keeps_axes(numpy):
        axes = sorted(range(array.ndim), key=array.strides.__getitem__, reverse=True)
        if array.transpose(axes).flags.c_contiguous:
            return NotImplemented

    def pieces() -> Iterator[Any]:
        options = {"flags": ["external_loop", "buffered", "zerosize_ok"], "order": "C"}
        for portion in numpy.nditer(array, buffersize=max(_PORTION // dtype.itemsize, 1), **options):
            yield numpy.ascontiguousarray(portion).view(numpy.uint8)

    strided: Any = Strided(pieces, array.nbytes)
    return _from_buffer(numpy), (PickleBuffer(strided), dtype, array.shape, "C")


def _to_write(raw: Any) -> PickleBuffer:
    """Return the buffer of a flat array of bytes, as one that can be written to."""
    if raw.flags.writeable:
        return PickleBuffer(raw)

    def pieces() -> Iterator[Any]:
        return (raw[start : start + _PORTION] for start in range(0, raw.size, _PORTION))

    strided: Any = Strided(pieces, raw.nbytes)
    return PickleBuffer(strided)


def _keeps_axes(numpy: Any) -> bool:
    """Tell whether this numpy pickles arrays without a copy, and with their order, whose axes were permuted."""
    return tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 4)


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
