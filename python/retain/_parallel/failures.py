"""What is raised for a task that failed."""

from __future__ import annotations

import pickle
from functools import partial
from reprlib import Repr
from signal import Signals
from typing import TYPE_CHECKING, Any

from retain._parallel.pickling import dumps
from retain._parallel.remote import RemoteTraceback, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "RemoteTraceback",
    "broken",
    "called",
    "died",
    "dumps",
    "failed",
    "packed",
    "timed_out",
    "unpacked",
    "unreadable",
    "unsendable",
]

# The reports of workers: see wire in the compiled part.
_RAISED, _UNREADABLE, _UNSENDABLE = 1, 2, 3

_repr = Repr()
_repr.maxother = _repr.maxstring = 60
_repr.maxtuple = _repr.maxlist = _repr.maxdict = 4
_repr.maxlevel = 3
_MOST_ARGUMENTS = 6

_Task = tuple["Callable[..., Any]", tuple[Any, ...], dict[str, Any]]


def called(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return a call as it is written, cut where it is long."""
    words = [_cut(value) for value in args[:_MOST_ARGUMENTS]]
    words += [f"{name}={_cut(value)}" for name, value in list(kwargs.items())[:_MOST_ARGUMENTS]]
    if len(args) > _MOST_ARGUMENTS or len(kwargs) > _MOST_ARGUMENTS:
        words.append("...")
    return f"{_name(func)}({', '.join(words)})"


def _cut(value: object) -> str:
    try:
        told = _repr.repr(value)
    except Exception:  # noqa: BLE001 - the user's __repr__
        return f"<{type(value).__name__}>"
    return " ".join(told.split())


def _name(func: Any) -> str:
    while isinstance(func, partial):
        func = func.func
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return str(name)


def failed(task: _Task, kind: int, report: bytes) -> BaseException:
    """Return the exception that a worker reported of a task."""
    cause = unpacked(report)
    if kind == _RAISED:
        return cause
    if kind == _UNREADABLE:
        return _because(
            _broken(
                "A task has failed to un-serialize. Please ensure that the arguments of the function are all "
                "picklable: "
                f"the worker process could not load {called(*task)}."
            ),
            cause,
        )
    if kind == _UNSENDABLE:
        return _because(
            pickle.PicklingError(f"Could not pickle the result of {called(*task)} to send it back from the worker."),
            cause,
        )
    return _because(
        _broken(
            "A worker process could not begin with its tasks: what it was told of this program, or its initializer, "
            "raised an exception."
        ),
        cause,
    )


def unsendable(task: _Task, error: BaseException) -> BaseException:
    """Return the exception of a task that cannot be pickled."""
    cause = unpacked(packed(error))
    cause.__traceback__ = error.__traceback__
    return _because(
        pickle.PicklingError(f"Could not pickle the task to send it to the workers. It is {called(*task)}."), error
    )


def unreadable(task: _Task, error: BaseException) -> BaseException:
    """Return the exception of a task whose result cannot be unpickled here."""
    return _because(
        _broken(
            "A result has failed to un-serialize. Please ensure that the objects returned by the function are always "
            f"picklable: the result of {called(*task)} could not be loaded."
        ),
        error,
    )


def died(task: _Task, pid: int, code: int | None, signal: int | None, memory: int) -> BaseException:
    """Return the exception of a task of which its worker died."""
    from retain._parallel.terminated import TerminatedWorkerError

    if signal is None:
        how, remedy = (
            f"exited with code {code}",
            ("The task, or a library that it uses, ended the process: a task must return or raise instead."),
        )
    else:
        how = f"was killed by {_signal(signal)}"
        if signal == Signals.SIGKILL:
            remedy = (
                "Likely the system ran out of memory: use fewer jobs, or set `memory_limit` to have MemoryError "
                "raised in the task."
            )
        elif signal in {Signals.SIGSEGV, Signals.SIGBUS, Signals.SIGABRT, Signals.SIGILL, Signals.SIGFPE}:
            remedy = "Compiled code crashed: where is told above, on the standard error of the worker."
        else:
            remedy = "Somebody ended the process."
    size = f" and had {memory / 2**20:.0f} MiB of memory" if memory else ""
    return TerminatedWorkerError(
        f"A worker process managed by the executor was unexpectedly terminated: process {pid} {how} while it ran "
        f"{called(*task)}{size}. {remedy} `retries` tries such tasks again."
    )


def _signal(number: int) -> str:
    try:
        return f"{Signals(number).name}(-{number})"
    except ValueError:
        return f"signal {number}"


def timed_out(task: _Task, after: float) -> BaseException:
    """Return the exception of a task that took too long."""
    from multiprocessing import TimeoutError as TooLong

    return TooLong(
        f"{called(*task)} was ended after {after:.3g} s, for it may take no longer by `task_timeout`. All other "
        "tasks go on."
    )


def broken(reason: str) -> BaseException:
    """Return the exception of a pool in which no worker can be started."""
    return _broken(f"No worker process could be started: {reason}. What it printed on its standard error tells more.")


def _broken(message: str) -> BaseException:
    # Imported with an error only: it takes longer than all else that a call needs here, and brings `multiprocessing`
    # and `logging`, which workers would then import as well.
    from concurrent.futures.process import BrokenProcessPool

    return BrokenProcessPool(message)


def _because(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
