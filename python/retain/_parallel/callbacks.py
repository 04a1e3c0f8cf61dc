"""What is told of tasks that have ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class BatchCompletionCallBack:
    """
    What is called when tasks have ended, in the process of the caller.

    Programs put a class of their own in its place in ``retain.parallel``, to follow the progress.

    Parameters
    ----------
    dispatch_timestamp : float
        When the tasks were dispatched, as `time.time` tells.
    batch_size : int
        How many they are.
    parallel : Parallel
        Whose they are.
    """

    def __init__(self, dispatch_timestamp: float, batch_size: int, parallel: Any) -> None:
        self.dispatch_timestamp = dispatch_timestamp
        self.batch_size = batch_size
        self.parallel = parallel
        self.receive: Callable[..., object] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        if self.receive is not None:
            self.receive(*args, **kwargs)


def completion_callback() -> type[BatchCompletionCallBack]:
    """Return the class that holds now."""
    face = sys.modules.get("retain.parallel")
    found: type[BatchCompletionCallBack] = getattr(face, "BatchCompletionCallBack", BatchCompletionCallBack)
    return found
