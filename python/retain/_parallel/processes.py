"""Tasks that are run by worker processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from retain import _retain
from retain._parallel import preload

if TYPE_CHECKING:
    from retain._parallel.engine import Call


def pool(
    n_jobs: int, environment: dict[str, str], *, memory_limit: int | None, idle: float, spawns: bool
) -> _retain.Pool:
    """
    Begin to start worker processes, and do not wait for them.

    Parameters
    ----------
    n_jobs : int
        How many there are at most.
    environment : dict
        What is set in their environment before they import anything.
    memory_limit : int or None
        How many bytes of memory a worker may have.
    idle : float
        After how many seconds without a task a worker leaves.
    spawns : bool
        Whether each worker is a new interpreter where it could be forked.
    """
    forks = sys.platform == "linux" and not spawns
    start = f"zygote import main; main({preload.names()!r})" if forks else "worker import spawned; spawned()"
    # The interpreter finds retain where this one has.
    program = f"import sys; sys.path[:] = {sys.path!r}; from retain._parallel.{start}"
    return _retain.Pool(
        [sys.executable, *_flags(), "-c", program],
        environment,
        n_jobs,
        starter="zygote" if forks else "spawn",
        memory_limit=memory_limit,
        idle=idle,
    )


def engine(call: Call, workers: _retain.Pool) -> _retain.Run:
    """Return what runs the tasks of one call in worker processes."""
    # Not before there are processes that can start meanwhile.
    from retain._parallel import context, failures
    from retain._parallel.pickling import by_value

    return workers.run(
        context.gathered(call),
        failures,
        width=call.n_jobs,
        retries=call.retries,
        task_timeout=call.task_timeout,
        window=call.window,
        max_nbytes=None if call.max_nbytes is None else max(call.max_nbytes, 1),
        by_value=by_value(),
        detailed=call.detailed,
    )


def _flags() -> list[str]:
    """Return the options of this interpreter that matter to code."""
    flags = sys.flags
    found = ["-" + "O" * flags.optimize] if flags.optimize else []
    found += [
        option
        for option, is_set in (
            ("-I", flags.isolated),
            ("-E", flags.ignore_environment),
            ("-B", flags.dont_write_bytecode),
        )
        if is_set
    ]
    if flags.no_user_site and not flags.isolated:
        found.append("-s")
    for name, value in sys._xoptions.items():
        found += ["-X", name if value is True else f"{name}={value}"]
    return found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_retain.note_fork, after_in_parent=_retain.note_fork)
