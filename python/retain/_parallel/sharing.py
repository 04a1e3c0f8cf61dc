"""Tasks for a cluster: pickled with their large arrays apart, so that each array travels once."""

from __future__ import annotations

import pickle
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

from retain._parallel.batches import Answer, Failure
from retain._parallel.engine import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from retain._parallel.batches import BatchedCalls

_THRESHOLD = 1 << 20  # bytes


class Shares:
    """
    What the tasks of a run have in common, put into the cluster once.

    Arrays and bytes are told apart by their content: one that was changed between two tasks is put again.

    Parameters
    ----------
    put : callable
        Puts a value into the cluster, and returns what stands for it in a call.
    threshold : int or None
        From how many bytes on; None: never.
    """

    def __init__(self, put: Callable[[Any], Any], threshold: int | None = _THRESHOLD) -> None:
        self._put = put
        self._threshold = threshold
        self._known: dict[tuple[type, Any], Any] = {}
        self.bytes = 0

    def packed(self, batch: BatchedCalls) -> tuple[bytes, list[Any]]:
        """
        Pickle a batch.

        Returns
        -------
        bytes, list
            What `run` takes: the pickle, and what stands for the parts that were put.

        Raises
        ------
        pickle.PicklingError
            If a function or an argument cannot be pickled.
        """
        import cloudpickle

        shares = self
        parts: list[Any] = []

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
            def persistent_id(self, value: Any) -> int | None:
                found = shares._shared(value)
                if found is None:
                    return None
                if found not in parts:
                    parts.append(found)
                return parts.index(found)

        file = BytesIO()
        try:
            Pickler(file, protocol=5).dump((batch.items, (batch._backend, batch._n_jobs)))
        except Exception as error:
            raise pickle.PicklingError("Could not pickle the task to send it to the workers.") from error
        return file.getvalue(), parts

    def put_first(self, value: Any, put: Callable[[Any], Any]) -> None:
        """Put a value in a way of its own, before any task asks for it."""
        if self._threshold is not None and _is_large(value, self._threshold):
            self._known[_key(value)] = put(value)
            self.bytes += _size(value)

    def _shared(self, value: Any) -> Any:
        if self._threshold is None or not _is_large(value, self._threshold):
            return None
        key = _key(value)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._put(value)
            self.bytes += _size(value)
        return found


def _key(value: Any) -> tuple[type, Any]:
    from retain._retain import hash

    return type(value), hash(value)


def _is_large(value: Any, threshold: int) -> bool:
    kind = type(value)
    if kind is bytes:
        return len(value) >= threshold
    if kind is not getattr(sys.modules.get("numpy"), "ndarray", None):
        return False
    return bool(value.nbytes >= threshold and not value.dtype.hasobject)


def _size(value: Any) -> int:
    return int(value.nbytes) if hasattr(value, "nbytes") else len(value)


def run(payload: bytes, *parts: Any) -> bytes:
    """
    Run a batch on a worker.

    Parameters
    ----------
    payload : bytes
        What `Shares.packed` made.
    *parts
        The parts that were put, in order.

    Returns
    -------
    bytes
        What `results` takes. Pickled here, so that what a cluster does to arrays does not happen to results: they are
        writable.
    """
    from retain._parallel.batches import BatchedCalls

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, place: int) -> Any:
            return _read_only(parts[place])

    items, nested = Unpickler(BytesIO(payload)).load()
    batch = BatchedCalls(items, nested)
    batch._context = None
    return answered(batch)


def answered(batch: BatchedCalls) -> bytes:
    """Make the calls of a batch, and return what `results` takes."""
    return _packed([_carried(answer) for answer in batch()])


def _read_only(value: Any) -> Any:
    """Return what tasks of a worker have in common in a way that none of them can change."""
    if isinstance(value, bytes):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def _packed(value: Any) -> bytes:
    from retain._parallel.batches import packed

    return packed(value)


def _carried(answer: Answer) -> bytes:
    try:
        return _packed(answer)
    except Exception as error:  # noqa: BLE001 - the user's own type may refuse in any way
        told = pickle.PicklingError("Could not pickle the result of the task to send it back.")
        told.__cause__ = error
        return _packed(answer._replace(status=FAILED, value=Failure(told)))


def results(payload: bytes) -> list[Answer]:
    """Return what became of the tasks of a batch."""
    return [pickle.loads(each) for each in pickle.loads(payload)]  # noqa: S301 - of workers that we told what to run
