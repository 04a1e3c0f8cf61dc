"""
joblib's own layout, written: for programs that map the arrays of a file with `joblib.load(file, mmap_mode=...)`.

What `retain.dump` writes is read by `joblib.load` as well, but only retain maps it. joblib finds arrays that are not
to be copied where a pickle has an object of its own in their place and their bytes follow in the stream.
"""

from __future__ import annotations

import pickle
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    import numpy as np

    class Output(Protocol):
        def write(self, data: Any, /) -> Any: ...


PROTOCOL = 4  # of the pickle: what joblib itself writes up to Python 3.13, and all of Python 3 reads
_ALIGNMENT = 16
_PORTION = 1 << 22  # bytes


def write(value: object, file: Output, *, mappable: bool = True) -> None:
    """
    Write a value as `joblib.dump` does.

    An array that is in the value twice is written twice: the layout has no way to say that they are one.

    Parameters
    ----------
    value : object
    file : file object
        Only `write` is called, with bytes and buffers.
    mappable : bool, default True
        Whether the file is not compressed, so that its arrays can be mapped.
    """
    _Pickler(_Counted(file), mappable).dump(value)


class _Counted:
    """A file that knows how many bytes were written to it."""

    def __init__(self, file: Output) -> None:
        self._file = file
        self.position = 0

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.position += view.nbytes
        return view.nbytes


class _WrapperClass:
    """What stands for joblib's class, which need not be there."""


# It is not part of the documented interface, and of its attributes the type stubs know few.
_PicklerInPython: Any = pickle._Pickler


class _Pickler(_PicklerInPython):  # type: ignore[misc]
    # The pickler in Python, since the one in C cannot stop between two opcodes.

    def __init__(self, file: _Counted, mappable: bool) -> None:
        super().__init__(file, PROTOCOL)
        self._counted = file
        self._mappable = mappable

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if obj is _WrapperClass:
            self._save_class()
        elif type(obj).__module__ == "numpy" and self._is_wrapped(obj):
            self._save_array(obj)
        else:
            super().save(obj, save_persistent_id)

    @staticmethod
    def _is_wrapped(obj: object) -> bool:
        import numpy as np

        return type(obj) in {np.ndarray, np.matrix, np.memmap}

    def _save_class(self) -> None:
        known = self.memo.get(id(_WrapperClass))
        if known is not None:
            self.write(self.get(known[0]))
            return
        self.save("joblib.numpy_pickle")
        self.save("NumpyArrayWrapper")
        self.write(pickle.STACK_GLOBAL)
        self.memoize(_WrapperClass)

    def _save_array(self, array: np.ndarray[Any, Any]) -> None:
        import numpy as np

        objects = array.dtype.hasobject
        flags = array.flags
        state = {
            "subclass": np.ndarray if type(array) is np.memmap else type(array),
            "shape": array.shape,
            "order": "F" if flags.f_contiguous and not flags.c_contiguous else "C",
            "dtype": array.dtype,
            "allow_mmap": self._mappable and not objects,
            "numpy_array_alignment_bytes": _ALIGNMENT,
        }
        self.save(_WrapperClass)
        self.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
        # Not in the memo: the next dict can lie where this one did.
        self._save_state(state)
        self.write(pickle.BUILD)
        # The bytes that follow are in no frame.
        self.framer.commit_frame(force=True)
        if objects:
            pickle.dump(np.asarray(array), self._counted, PROTOCOL)
            return
        padding = _ALIGNMENT - (self._counted.position + 1) % _ALIGNMENT
        self._counted.write(bytes([padding]) + b"\xff" * padding)
        _write_items(self._counted, np.asarray(array), state["order"])

    def _save_state(self, state: dict[str, object]) -> None:
        self.write(pickle.EMPTY_DICT + pickle.MARK)
        for name, part in state.items():
            self.save(name)
            self.save(part)
        self.write(pickle.SETITEMS)


def _write_items(file: _Counted, array: np.ndarray[Any, Any], order: Any) -> None:
    import numpy as np

    if not array.nbytes:
        return
    if array.flags.contiguous or array.flags.f_contiguous:
        file.write(array.reshape(-1, order=order).view(np.uint8).data)
        return
    options: Any = {"flags": ["external_loop", "buffered", "zerosize_ok"], "order": order}
    for portion in np.nditer(array, buffersize=max(_PORTION // array.itemsize, 1), **options):
        file.write(np.ascontiguousarray(portion).view(np.uint8).data)
