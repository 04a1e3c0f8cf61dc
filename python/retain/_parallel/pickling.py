"""What the C pickler does not do, or not as another process needs it."""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_pickler: Any = None


def dumps(value: Any, buffer_callback: Callable[[Any], Any] | None) -> bytes:
    """
    Return the pickle of a value: functions and classes of ``__main__`` by value, mapped files by their names.

    Parameters
    ----------
    value : object
        What is pickled.
    buffer_callback : callable, optional
        As for `pickle.dumps`.
    """
    global _pickler  # noqa: PLW0603 - a class that is made when it is needed
    if _pickler is None:
        _pickler = _make_pickler()
    stream = BytesIO()
    _pickler(stream, 5, buffer_callback).dump(value)
    return stream.getvalue()


def by_value() -> bool:
    """Whether functions of some modules were asked to travel by value, which only cloudpickle knows."""
    # Another thread may be importing it.
    registry = getattr(sys.modules.get("cloudpickle"), "list_registry_pickle_by_value", None)
    return bool(registry and registry())


def _make_pickler() -> type:
    from cloudpickle import Pickler

    class CarefulPickler(Pickler):  # type: ignore[misc] # cloudpickle is not typed
        """Cloudpickle's, and what else cannot be copied."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, ContextVar):
                from retain._parallel.variables import place, variable

                return variable, place(obj)
            numpy = sys.modules.get("numpy")
            if isinstance(obj, getattr(numpy, "ndarray", ())):
                found = _mapped(obj, numpy)
                if found is not None:
                    return found
            return super().reducer_override(obj)

    return CarefulPickler


def _mapped(array: Any, numpy: Any) -> Any:
    """Return how an array of a mapped file is opened elsewhere; None if it is to be copied."""
    backing = array
    while backing is not None and not (isinstance(backing, numpy.memmap) and backing._mmap is backing.base):
        backing = getattr(backing, "base", None)
    # What was written to a copy on write is nowhere else.
    if backing is None or backing.filename is None or backing.mode == "c" or array.dtype.hasobject:
        return None
    low, high = numpy.lib.array_utils.byte_bounds(array)
    start = numpy.lib.array_utils.byte_bounds(backing)[0]
    offset = backing.offset + low - start
    if not os.path.exists(backing.filename) or array.__array_interface__["data"][0] != low:
        return None
    mode = "r+" if backing.mode == "w+" else backing.mode
    if not array.flags.writeable:
        mode = "r"
    name = os.path.abspath(backing.filename)
    return open_mapped, (name, array.dtype, mode, offset, array.shape, array.strides, high - low)


def open_mapped(  # noqa: PLR0917 - what a pickle calls
    name: str,
    dtype: Any,
    mode: Any,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    length: int,
) -> Any:
    """Return an array of a file that is mapped here as it is where it came from."""
    import numpy as np

    file = np.memmap(name, dtype=np.uint8, mode=mode, offset=offset, shape=(length,))
    view = np.ndarray(shape, dtype, buffer=file, strides=strides)
    found = view.view(np.memmap)
    found.offset, found.filename, found.mode = offset, file.filename, file.mode
    return found
