"""The lines that tell how far a call is, as joblib's do."""

from __future__ import annotations

import sys
import time
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retain._parallel.parallel import Parallel

_LOUD = 10
_TO_STDOUT = 50


def tell(parallel: Parallel, message: str) -> None:
    """Print a line if the call tells anything."""
    if parallel.verbose:
        stream = sys.stderr if parallel.verbose < _TO_STDOUT else sys.stdout
        stream.write(f"[{parallel}]: {message}\n")


def tell_progress(parallel: Parallel) -> None:
    """Print how far the call is, the less often the longer it takes."""
    verbose = parallel.verbose
    if not verbose:
        return
    done, sent, known = parallel.n_completed_tasks, parallel.n_dispatched_tasks, parallel.n_tasks
    width = len(str(known)) if known else 3
    seconds = time.time() - parallel._start_time
    elapsed = f"| elapsed: {_duration(seconds)}"
    if parallel._is_completed():
        parallel._print(f"Done {done:{width}d} out of {done:{width}d} {elapsed} finished")
    elif parallel._original_iterator is not None:
        if _is_passed_over(parallel.n_dispatched_batches, verbose):
            return
        if known is not None:
            parallel._print(f"Done {done:{width}d} out of {known:{width}d} {elapsed}")
        else:
            parallel._print(f"Done {done:{width}d} tasks {' ' * (width + 2)}{elapsed}")
    else:
        if done:
            every = sent // verbose + 1
            if done + 1 == sent or (sent - done + 1 - parallel._pre_dispatch_amount) % every:
                return
        remaining = _duration(seconds / max(done, 1) * (sent - done))
        parallel._print(f"Done {done:{width}d} out of {sent:{width}d} {elapsed} remaining: {remaining}")


def _is_passed_over(index: int, verbose: int) -> bool:
    """Whether nothing is told after so many tasks: what is told lies further apart the more there are."""
    if verbose > _LOUD:
        return False
    if index == 0:
        return False
    scale = 0.5 * (_LOUD + 1 - verbose) ** 2
    return int(sqrt((index + 1) / scale)) == int(sqrt(index / scale))


def _duration(seconds: float) -> str:
    return f"{seconds / 60:4.1f}min" if seconds > 60 else f" {seconds:5.1f}s"
