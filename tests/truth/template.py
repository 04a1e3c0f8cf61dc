"""A process that has imported everything once, and runs each program in a fork of itself.

Reads jobs as lines of JSON, and answers each with a line once its program has ended.
"""

import io
import json
import os
import runpy
import signal
import sys
import time
import traceback
import types
import warnings
from contextlib import redirect_stdout
from pathlib import Path


def show(function, /, *args, **kwargs):
    """Call a function and print what it returned, with a star if it was computed for that."""
    told = io.StringIO()
    try:
        with redirect_stdout(told):
            word = str(function(*args, **kwargs))
    except Exception as error:
        traceback.print_exc()
        word = type(error).__name__
    print(word.replace(" ", "") + "*" * ("computing" in told.getvalue()), flush=True)


def memory_of(library, location):
    """Make the memory that the programs use."""
    if library == "joblib":
        import joblib

        return joblib.Memory(location, verbose=0)
    import retain

    return retain.Memory(location, verbose=0, layout="plain" if library == "retain, plain" else "auto")


def meanwhile(job):
    """Make what lets another program run while this one waits: a process that begins when it is told to."""
    waits, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tells)
        if os.read(waits, 1):
            act({**job, "text": job["meanwhile"], "meanwhile": None})
        os._exit(0)
    os.close(waits)

    def run_the_other():
        os.write(tells, b"!")
        os.waitpid(pid, 0)

    return run_the_other


def act(job):
    """Run a program as a script in its folder."""
    lab = types.ModuleType("lab")
    lab.show = show
    if job["meanwhile"] is not None:
        lab.meanwhile = meanwhile(job)
    lab.memory = memory_of(job["library"], job["location"])
    sys.modules["lab"] = lab
    folder = Path(job["folder"])
    os.chdir(folder)
    sys.path[:0] = [job["folder"], str(folder / "site-packages")]
    path = folder / job["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(job["text"], encoding="utf-8")
    sys.argv = [str(path)]
    runpy.run_path(str(path), run_name="__main__")


def child(job):
    """Run the job in this fork, which ends with it."""
    signal.alarm(50)
    with Path(job["output"]).open("ab") as output, Path(job["output"] + ".errors").open("ab") as errors:
        os.dup2(output.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    try:
        act(job)
    except BaseException:
        traceback.print_exc()
        print("ended-by-" + sys.exc_info()[0].__name__)
    sys.stdout.flush()
    sys.stderr.flush()


def warm():
    """Have retain import what it imports when it is first used, as it is used in each fork."""
    try:
        import retain
    except ImportError:
        return
    retain.hash([0])
    retain.identity(warm)
    retain.Memory(None).cache(warm)


def main():
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    for module in ("numpy", "pandas", "scipy.sparse", "joblib", "retain"):
        try:
            __import__(module)
        except ImportError:
            continue
    warm()
    for line in sys.stdin:
        job = json.loads(line)
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                child(job)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        print(json.dumps(time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main()
