"""Functions of a memory without a location."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from retain._memory.checks import refuse_generators
from retain._memory.naming import function_name
from retain._memory.results import CacheInfo, NotMemorizedResult

if TYPE_CHECKING:
    from retain._memory.entries import Entry
    from retain._memory.explain import Explanation


class NotMemorizedFunc:
    """
    A function whose results are kept nowhere, with the methods of those that are.

    Parameters
    ----------
    func : callable
        The function.
    """

    _depends: tuple[Any, ...] = ()
    _version: str | None = None

    def __init__(self, func: Any) -> None:
        refuse_generators(func)
        self.func = func
        try:
            update_wrapper(self, func)
        except Exception:  # noqa: BLE001, S110 - some callables give no attributes
            pass

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.func(*args, **kwargs)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; return its result, and an empty dict."""
        return self.func(*args, **kwargs), {}

    def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; return a `NotMemorizedResult` that holds its result."""
        return NotMemorizedResult(self.func(*args, **kwargs))

    def check_call_in_cache(self, /, *args: Any, **kwargs: Any) -> bool:  # noqa: ARG002
        """Return False: nothing is kept."""
        return False

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:  # noqa: ARG002
        """Return False: nothing is kept."""
        return False

    def clear(self, warn: bool = True) -> None:
        """Do nothing."""

    def entries(self) -> list[Entry]:
        """Return nothing."""
        return []

    def cache_info(self) -> CacheInfo:
        """Return zeros."""
        return CacheInfo(0, 0, 0.0, 0, 0)

    def explain(self, /, *args: Any, **kwargs: Any) -> Explanation:  # noqa: ARG002
        """Tell that nothing is kept."""
        from retain._memory.explain import not_kept

        return not_kept(function_name(self.func))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        from retain._memory.methods import BoundMemorized

        return BoundMemorized(self, instance)

    def __reduce__(self) -> Any:
        from retain._memory.pickling import reduced_unkept

        return reduced_unkept(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func})"
