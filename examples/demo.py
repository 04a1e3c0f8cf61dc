"""Three real programs that are fast because results are kept: run it with `make demo`, and then once more.

The first, `names.py`, keeps results in memory. The second, `digits.py`, computes features of real images
(scikit-learn's digits) slowly, and keeps them on disk, with joblib and with retain. It is run as a program is
in real life: again and again, in a new process each time, with an edit now and then. What a cache returns is
compared with what the program computes without one. The third, `search.py`, searches a grid over those features
in parallel; it is interrupted half way, goes on, and its model is dumped, scanned and safely loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".retain-demo"
PROGRAM = FOLDER / "program"
BATCHES = 18
CACHES = ("joblib", "retain")
SCORES = FOLDER / "scores"
MODEL = FOLDER / "model.pkl"

MEAN = "np.abs(cells).mean(axis=(1, 3))"
MAXIMUM = "np.abs(cells).max(axis=(1, 3))"
BANK = "    bank = ["
COMMENT = "    # One filter for each angle and width.\n"


class Run(NamedTuple):
    """A run of the program: what was done to it before, and how it reads then."""

    name: str
    old: str = ""
    new: str = ""

    def of(self, text: str) -> str:
        """Return the program's text as this run has it."""
        if self.old not in text:
            raise ValueError(f"digits.py has no {self.old!r} to edit")
        return text.replace(self.old, self.new) if self.old else text


RUNS = [
    Run("as it is"),
    Run("once more"),
    Run("pool() edited: max, not mean", MEAN, MAXIMUM),
    Run("pool() as it was"),
    Run("a comment in features()", BANK, COMMENT + BANK),
    Run("the comment removed"),
]


class Outcome(NamedTuple):
    """What came of the program with one cache."""

    seconds: list[float]
    """Of each call."""
    computed: list[bool]
    """Whether the call computed its result, and did not find it."""
    digest: str
    accuracy: float

    def saved(self, right: Outcome) -> float:
        """Return the seconds that the hits did not take."""
        calls = zip(self.seconds, right.seconds, self.computed, strict=True)
        return sum(theirs - ours for ours, theirs, computed in calls if not computed)


# --- one run, in a process of its own -------------------------------------------------------------------------


class Count(logging.Handler):
    """Counts how often the function computes, by what it logs: a counter in its code would be a part of it."""

    number = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a call."""
        self.number += record.name == "digits"


def decorators() -> dict[str, Callable[[Any], Any]]:
    """Return what keeps the results of a function, by name."""
    import joblib  # noqa: PLC0415 - only the runs need it
    import retain  # noqa: PLC0415

    return {
        "none": lambda function: function,
        "joblib": joblib.Memory(str(FOLDER), verbose=0).cache,
        "retain": retain.Memory(str(FOLDER), verbose=0).cache,
    }


def run(names: list[str]) -> None:
    """Compute the features of all digits with each of the caches in turn, and print what came of it as JSON."""
    import numpy as np  # noqa: PLC0415
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    batches = np.array_split(images.reshape(-1, 8, 8), BATCHES)
    half = len(images) // 2
    count = Count()
    logger = logging.getLogger("digits")
    logger.addHandler(count)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.path.insert(0, str(PROGRAM))
    program = importlib.import_module("digits")
    outcomes = {}
    for name in names:
        features = decorators()[name](program.features)
        found, seconds, computed = [], [], []
        for batch in batches:
            before, begun = count.number, time.perf_counter()
            found.append(features(batch))
            seconds.append(time.perf_counter() - begun)
            computed.append(count.number > before)
        rows = np.concatenate(found)
        nearest = KNeighborsClassifier(1).fit(rows[:half], labels[:half])
        accuracy = nearest.score(rows[half:], labels[half:])
        digest = hashlib.sha256(rows.tobytes()).hexdigest()
        outcomes[name] = Outcome(seconds, computed, digest, accuracy)
    print(json.dumps(outcomes))


def start(text: str, names: list[str]) -> dict[str, Outcome]:
    """Run the program as `text` has it, in a new process."""
    PROGRAM.mkdir(parents=True, exist_ok=True)
    (PROGRAM / "digits.py").write_text(text)
    # Two edits within a second would share their bytecode.
    command = [sys.executable, "-B", __file__, *names]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return {name: Outcome(*outcome) for name, outcome in json.loads(done.stdout).items()}


# --- the table ------------------------------------------------------------------------------------------------


def paint(text: str, code: int) -> str:
    """Return the text in a colour, on a terminal that has some."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def bold(text: str) -> str:
    """Return the text as a heading."""
    return paint(text, 1)


def columns(seconds: float, computed: int, calls: int, saved: float) -> str:
    """Return the numbers of a line."""
    return f"{seconds:>9.2f}{computed:>10}{calls - computed:>6}{saved:>8.2f}"


def line(name: str, cache: str, outcome: Outcome, right: Outcome) -> str:
    """Return what came of a run with one cache, as a line of the table."""
    verdict = paint("right", 32) if outcome.digest == right.digest else paint("STALE", 31)
    numbers = columns(sum(outcome.seconds), sum(outcome.computed), BATCHES, outcome.saved(right))
    return f"{name:<31}{cache:<6}{numbers}  {verdict}"


def digits() -> None:
    """Run the program with its edits, and print a table of what was computed, found and saved."""
    text = (HERE / "digits.py").read_text()
    place = f"{FOLDER.name}/retain"
    known = (FOLDER / "retain").exists()
    print(bold("\nOn disk: features of 1,797 handwritten digits, in 18 calls; each run is a new process"))
    print(f"{place} {'holds what an earlier demo left' if known else 'is empty as yet'}.\n")
    print(bold(f"{'the program':<31}{'cache':<6}{'seconds':>9}{'computed':>10}{'hits':>6}{'saved':>8}  result"))
    right: dict[str, Outcome] = {}
    results: dict[str, list[tuple[Outcome, Outcome]]] = {name: [] for name in CACHES}
    for edit in RUNS:
        edited = edit.of(text)
        values = edited.replace(COMMENT, "")  # a comment changes no value
        if values not in right:
            right[values] = start(edited, ["none"])["none"]
        name = edit.name
        for cache, outcome in start(edited, list(CACHES)).items():
            results[cache].append((outcome, right[values]))
            print(line(name, cache, outcome, right[values]), flush=True)
            name = ""
    for cache, pairs in results.items():
        print(bold(summary(cache, pairs)))
    plain, changed = right.values()
    stale = results["joblib"][2][0]
    print(f"""
Without a cache, the 18 calls take {sum(plain.seconds):.2f} s; saved is what hits did not take.
With these features, {100 * plain.accuracy:.1f} % of the digits are recognised, and {100 * changed.accuracy:.1f} % \
after the edit; joblib has us believe {100 * stale.accuracy:.1f} %.
Run it again: {place} answers every call. `make clean` removes it.
""")


def summary(cache: str, pairs: list[tuple[Outcome, Outcome]]) -> str:
    """Return what came of all runs with one cache."""
    seconds = sum(sum(outcome.seconds) for outcome, _ in pairs)
    computed = sum(sum(outcome.computed) for outcome, _ in pairs)
    saved = sum(outcome.saved(right) for outcome, right in pairs)
    wrong = sum(outcome.digest != right.digest for outcome, right in pairs)
    numbers = columns(seconds, computed, BATCHES * len(pairs), saved)
    return f"{'all runs':<31}{cache:<6}{numbers}  {f'{wrong} STALE' if wrong else 'right'}"


# --- the search -----------------------------------------------------------------------------------------------


def searched(name: str, interrupt_after: int | None = None) -> None:
    """Run the search, interrupt it after so many scores, and print what it says; its bar goes to the terminal."""
    print(bold(f"$ python examples/search.py  # {name}"), flush=True)
    command = [sys.executable, "-u", str(HERE / "search.py"), str(FOLDER), str(SCORES), str(MODEL)]
    begun = time.perf_counter()
    # In a group of its own, as a shell starts it, so that Ctrl-C reaches it and all that it has started.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        computed = 0
        for said in process.stdout or ():
            if said.startswith("computed"):
                computed += 1
                if computed == interrupt_after:
                    os.killpg(process.pid, signal.SIGINT)
            else:
                print(said, end="", flush=True)
    if process.returncode != (0 if interrupt_after is None else 130):
        raise RuntimeError(f"the search ended with {process.returncode}")
    print(f"{computed} scores computed in {time.perf_counter() - begun:.1f} s\n")


def search() -> None:
    """Search a grid over the features in parallel, twice, and load the best model as a stranger's."""
    import retain  # noqa: PLC0415 - see above

    print(bold("In parallel: a grid search over these features, cross-validated, 48 scores by 2 processes\n"))
    shutil.rmtree(SCORES, ignore_errors=True)
    searched("and Ctrl-C, half way", 24)
    searched("again: it goes on where it stopped")
    size = MODEL.stat().st_size
    print(bold(f"The best model, a file of {size / 1e3:.0f} kB that anyone may have written"))
    report = retain.scan(str(MODEL))
    print(f"retain.scan: {report.verdict}")
    try:
        retain.safe_load(str(MODEL))
    except retain.UnsafeFileError as error:
        wanted = [".".join(name) for name in error.wanted]
    print(f"retain.safe_load refuses it, as it names {', '.join(wanted)}")
    model = retain.safe_load(str(MODEL), trusted=wanted)
    steps = ", ".join(model.named_steps)
    print(f"retain.safe_load(trusted=[these {len(wanted)}]) gives {type(model).__name__} with {steps}\n")


def main() -> None:
    """Run the programs, and show what is left on disk."""
    import names  # noqa: PLC0415 - the runs need it not

    print(bold("In memory: a recursion over names"))
    names.main()
    digits()
    search()
    command = shutil.which("retain", path=Path(sys.executable).parent)
    if command:
        print(bold(f"retain stat {FOLDER.name}"), flush=True)
        subprocess.run([command, "stat", FOLDER.name], check=True, cwd=FOLDER.parent)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(sys.argv[1:])
    else:
        main()
