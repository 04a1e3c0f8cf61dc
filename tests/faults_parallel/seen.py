"""What the programs have in common: the library that they are run with, and words for what its user sees."""

import importlib
import os
import pathlib
import re
import signal
import sys
import threading
import time
from contextlib import contextmanager

RETAIN = os.environ["FAULTS_LIBRARY"] == "retain"
library = importlib.import_module(os.environ["FAULTS_LIBRARY"])
Parallel, delayed = library.Parallel, library.delayed
if "FAULTS_START_METHOD" in os.environ:
    from functools import partial
    from multiprocessing import get_context

    Parallel = partial(Parallel, context=get_context(os.environ["FAULTS_START_METHOD"]))
FOLDER = pathlib.Path(os.environ["FAULTS_FOLDER"])


def show(*words):
    print(*words, flush=True)


def told(error, length=170):
    """An exception in one line: its type and how its message begins."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:length]}" if message else type(error).__name__


@contextmanager
def errors():
    """Show the exception that comes out, and go on."""
    try:
        yield
    except BaseException as error:
        show(told(error))


def kept(call, tasks):
    """Make a call and show how many results there are, and the first exception."""
    try:
        found = list(call())
    except BaseException as error:
        show(f"0 of {tasks} kept, {told(error)}")
        return
    failed = [each for each in found if isinstance(each, BaseException)]
    show(f"{len(found) - len(failed)} of {tasks} kept" + "".join(f", {told(each)}" for each in failed[:1]))


def only_retain(**options):
    """Options that joblib does not have."""
    return options if RETAIN else {}


def mark(name):
    """Leave a mark, by which the lab sees how far the program is."""
    (FOLDER / name).touch()


def again():
    """Show whether the next call works."""
    with errors():
        show("then", Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(4)))


__all__ = [
    "FOLDER",
    "RETAIN",
    "Parallel",
    "again",
    "delayed",
    "errors",
    "kept",
    "library",
    "mark",
    "only_retain",
    "os",
    "re",
    "show",
    "signal",
    "sys",
    "threading",
    "time",
    "told",
]
