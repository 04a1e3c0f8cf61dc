"""References to results."""

from __future__ import annotations

import pprint
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

from retain._memory import verbose as lines


class MemorizedResult(lines.Talking):
    """
    A reference to a result that is kept: small, and can be pickled.

    Parameters
    ----------
    location : str, os.PathLike or store backend
        Where it is kept.
    call_id : (str, str)
        The function's name, and who the call is.
    backend : str, default "local"
        The kind of store, if `location` is a place.
    mmap_mode : {None, "r", "r+", "w+", "c"}, default None
        How arrays are mapped.
    verbose : int, default 0
        Whether to tell when it is loaded.
    timestamp : float, optional
        From when on the verbose lines count time.
    metadata : dict, optional
        What is known of the result; asked of the store by default.

    Attributes
    ----------
    func, func_id : str
        The function's name.
    args_id : str
        Who the call is.
    duration : float or None
        How many seconds the function took.
    metadata : dict
        What is known of the result.
    """

    def __init__(  # noqa: PLR0917 - joblib's signature
        self,
        location: Any,
        call_id: Sequence[str],
        backend: str = "local",
        mmap_mode: str | None = None,
        verbose: int = 0,
        timestamp: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        from retain._memory.memory import opened_backend

        self.store_backend = opened_backend(location, backend, mmap_mode=mmap_mode, verbose=verbose)
        self._call_id = tuple(call_id)
        self.mmap_mode = mmap_mode
        self.verbose = verbose
        self.timestamp = timestamp
        self.metadata = self.store_backend.get_metadata(self._call_id) if metadata is None else metadata
        self.duration = self.metadata.get("duration")

    @property
    def func(self) -> str:
        """The function's name."""
        return self._call_id[0]

    @property
    def func_id(self) -> str:
        """The function's name."""
        return self._call_id[0]

    @property
    def args_id(self) -> str:
        """Who the call is."""
        return self._call_id[1]

    def get(self) -> Any:
        """
        Return the result.

        Raises
        ------
        KeyError
            If it is not there any more, or cannot be read.
        """
        if self.verbose > 1:
            import time

            elapsed = None if self.timestamp is None else time.time() - self.timestamp
            where = str(self.store_backend.location) if self.verbose >= 10 else None
            lines.loading(self.func_id, self.metadata.get("input_args", {}), elapsed, where)
        try:
            return self.store_backend.load_item(
                self._call_id, timestamp=self.timestamp, metadata=self.metadata, verbose=self.verbose
            )
        except KeyError:
            raise
        except FileNotFoundError as error:
            raise KeyError(f"the result of {self.func_id} is gone from {self.store_backend.location}") from error
        except Exception as error:
            raise KeyError(
                f"the result of {self.func_id} in {self.store_backend.location} cannot be read; it is corrupted: "
                f"{type(error).__name__}: {error}"
            ) from error

    def clear(self) -> None:
        """Remove the result; do nothing if it is gone."""
        self.store_backend.clear_item(self._call_id)

    def __repr__(self) -> str:
        return '{}(location="{}", func="{}", args_id="{}")'.format(
            type(self).__name__, self.store_backend.location, *self._call_id
        )

    def __reduce__(self) -> Any:
        from retain._memory.pickling import reduced_result

        return reduced_result(self)


class NotMemorizedResult:
    """
    A result that is kept nowhere else.

    Parameters
    ----------
    value : object
        The result.
    """

    __slots__ = ("valid", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.valid = True

    def get(self) -> Any:
        """Return the result; KeyError once it was cleared."""
        if not self.valid:
            raise KeyError("the result was cleared")
        return self.value

    def clear(self) -> None:
        """Let go of the result."""
        self.valid = False
        self.value = None

    def __repr__(self) -> str:
        if not self.valid:
            return f"{type(self).__name__} with no value"
        return f"{type(self).__name__}({pprint.pformat(self.value, depth=3)})"

    def __getstate__(self) -> dict[str, Any]:
        return {"valid": self.valid, "value": self.value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.valid = state["valid"]
        self.value = state["value"]


class CacheInfo(NamedTuple):
    """
    What a memorized function was good for.

    Attributes
    ----------
    hits, misses : int
        Of this object, in this process.
    time_saved : float
        Seconds that the function did not have to run.
    entries, bytes : int
        What the store keeps of the function now, all versions together.
    """

    hits: int
    misses: int
    time_saved: float
    entries: int
    bytes: int
