"""`progress=` shows how many tasks are done: with tqdm, or with a line on a terminal."""

import os
import pty
import subprocess
import sys
import types
from typing import ClassVar

import pytest
from retain import Parallel, delayed

THREADS = {"backend": "threading", "n_jobs": 2}


class Bar:
    """Stands for tqdm's bar, and notes what it was told."""

    made: ClassVar = []

    def __init__(self, *, total, desc, unit):
        self.total, self.desc, self.unit = total, desc, unit
        self.n = 0
        self.closed = False
        Bar.made.append(self)

    def update(self, count):
        assert count >= 0
        self.n += count

    def refresh(self):
        pass

    def close(self):
        self.closed = True


@pytest.fixture
def tqdm(monkeypatch):
    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def test_there_is_no_bar_unless_it_is_asked_for(tqdm):
    Parallel(**THREADS)(delayed(abs)(i) for i in range(3))
    assert not tqdm


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_bar_goes_from_nothing_to_all(tqdm, n_jobs):
    Parallel(n_jobs=n_jobs, backend="threading", progress=True)([delayed(abs)(i) for i in range(9)])
    [bar] = tqdm
    assert (bar.n, bar.total, bar.unit, bar.closed) == (9, 9, "task", True)


def test_a_label_stands_before_it(tqdm):
    Parallel(progress="fitting", **THREADS)([delayed(abs)(1)])
    assert tqdm[0].desc == "fitting"


def test_the_number_of_tasks_may_be_unknown(tqdm):
    Parallel(progress=True, **THREADS)(delayed(abs)(i) for i in range(4))
    assert tqdm[0].n == 4


def test_a_generator_moves_it_as_results_come(tqdm):
    results = Parallel(progress=True, return_as="generator", **THREADS)([delayed(abs)(i) for i in range(30)])
    assert next(results) == 0
    assert not tqdm[0].closed
    assert list(results) == list(range(1, 30))
    assert (tqdm[0].n, tqdm[0].closed) == (30, True)


def test_a_failure_closes_it(tqdm):
    with pytest.raises(ZeroDivisionError):
        Parallel(progress=True, **THREADS)([delayed(divmod)(1, 0)])
    assert tqdm[0].closed


def test_failures_and_results_that_are_kept_count_as_done(tqdm):
    Parallel(progress=True, on_error="skip", **THREADS)([delayed(divmod)(1, i) for i in range(3)])
    assert tqdm[0].n == 3


def test_each_call_has_a_bar_of_its_own(tqdm):
    with Parallel(progress=True, **THREADS) as parallel:
        for _ in range(2):
            parallel([delayed(abs)(1)])
    assert [bar.n for bar in tqdm] == [1, 1]


@pytest.mark.parametrize("wrong", [3, 0.5, b"label"])
def test_what_is_neither_label_nor_choice_is_refused(wrong):
    with pytest.raises(TypeError, match="progress is"):
        Parallel(progress=wrong, **THREADS)([delayed(abs)(1)])


def test_without_tqdm_nothing_is_written_where_there_is_no_terminal(no_tqdm, capfd):
    Parallel(progress=True, **THREADS)(delayed(abs)(i) for i in range(3))
    assert capfd.readouterr() == ("", "")


PROGRAM = """
import sys, threading
sys.modules["tqdm.auto"] = None
from retain._command import waiting
waiting._PATIENCE = waiting._INTERVAL = 0.01
from retain import Parallel, delayed
shown = threading.Event()
class Watched:
    def write(self, text):
        if "of 7" in text:
            shown.set()
        return sys.__stderr__.write(text)
    def __getattr__(self, name):
        return getattr(sys.__stderr__, name)
sys.stderr = Watched()
results = Parallel(n_jobs=2, backend="threading", progress="fitting")([delayed(shown.wait)(30) for _ in range(7)])
print(all(results))
"""


def test_without_tqdm_a_terminal_has_a_line_that_is_gone_in_the_end():
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=theirs, timeout=50, check=True, text=True
        )
    finally:
        os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert done.stdout == "True\n"
    text = shown.decode()
    assert "fitting [" in text
    assert "of 7" in text
    assert text.endswith("\r")
    assert not text.rsplit("\r", 2)[-2].strip()
