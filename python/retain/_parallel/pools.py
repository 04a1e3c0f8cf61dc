"""Which worker processes serve which call."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from retain._parallel.cores import THREAD_VARIABLES, WORKER_VARIABLES, cpu_count

if TYPE_CHECKING:
    from retain._parallel.engine import Call

# So many kinds of workers are kept warm. Those of a kind that was not used for the longest time leave when their last
# call has ended.
_MOST = 4
_MANY = 64
_KEYS = [getattr(os.environ, "encodekey", str)(name) for name in (*WORKER_VARIABLES, "RETAIN_DEPTH")]
_budgets: dict[Any, dict[str, str]] = {}
_kept: OrderedDict[Any, Any] = OrderedDict()
_guard = threading.Lock()
_of_the_parent: list[Any] = []


def thread_budget(n_jobs: int, inner_max_num_threads: int | None) -> dict[str, str]:
    """
    Return the environment of worker processes in which libraries use no more threads than there are processors.

    Parameters
    ----------
    n_jobs : int
        How many processes share the processors.
    inner_max_num_threads : int or None
        How many threads each may use. None shares the processors evenly; what the user has set in the environment
        goes before that.
    """
    cpus = cpu_count()
    # To ask `os.environ` for each of them takes longer than all else that a small call needs here.
    raw = getattr(os.environ, "_data", {})
    key = (n_jobs, inner_max_num_threads, cpus, *map(raw.get, _KEYS))
    found = _budgets.get(key) if raw else None
    if found is None:
        if len(_budgets) > _MANY:
            _budgets.clear()
        found = _budgets[key] = _budget(max(cpus // n_jobs, 1), inner_max_num_threads)
    return found


def _budget(share: int, inner_max_num_threads: int | None) -> dict[str, str]:
    environ = os.environ
    if inner_max_num_threads is None:
        found = {name: environ.get(name, str(share)) for name in THREAD_VARIABLES}
    else:
        found = dict.fromkeys(THREAD_VARIABLES, str(inner_max_num_threads))
    if "ENABLE_IPC" not in environ:
        # The schedulers of TBB then agree among processes.
        found["ENABLE_IPC"] = "1"
    found["KMP_INIT_AT_FORK"] = environ.get("KMP_INIT_AT_FORK", "FALSE")
    found["RETAIN_DEPTH"] = str(int(environ.get("RETAIN_DEPTH", "0")) + 1)
    return found


def pool_of(call: Call) -> Any:
    """Return the worker processes for a call; they are started if there are none yet."""
    environment = thread_budget(call.n_jobs, call.inner_max_num_threads)
    key = (
        *environment.values(),
        call.memory_limit,
        call.idle,
        call.spawns,
        None if call.initializer is None else _pickled((call.initializer, call.initargs)),
    )
    with _guard:
        pool = _kept.get(key)
        if pool is None:
            from retain._parallel.processes import pool as new_pool

            pool = _kept[key] = new_pool(
                call.n_jobs, environment, memory_limit=call.memory_limit, idle=call.idle, spawns=call.spawns
            )
            while len(_kept) > _MOST:
                _kept.popitem(last=False)
        else:
            _kept.move_to_end(key)
            pool.grow(call.n_jobs)
    return pool


def shutdown() -> None:
    """End all worker processes that are kept, and wait until they are dead."""
    with _guard:
        pools = list(_kept.values())
        _kept.clear()
    for pool in pools:
        pool.shutdown()


def _pickled(value: object) -> bytes:
    from cloudpickle import dumps

    found: bytes = dumps(value)
    return found


def _forget() -> None:
    """Leave, in a forked process, the workers to its parent."""
    global _guard  # noqa: PLW0603 - another thread may hold it
    _guard = threading.Lock()
    _of_the_parent.append(list(_kept.values()))
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
