"""What programs do in tasks and around them: nesting, printing, a main module without a guard."""

from faults_parallel.lab import situation


@situation(r"\[\[\[0, 1\], \[1, 2\]\], \[\[1, 2\], \[2, 3\]\]\]")
def nested(lab):
    """`Parallel` three deep, `n_jobs=2` in each."""
    return lab.run(
        """
        def deepest(a, b, c):
            return a + b + c

        def deeper(a, b):
            return Parallel(n_jobs=2)(delayed(deepest)(a, b, c) for c in range(2))

        def deep(a):
            return Parallel(n_jobs=2)(delayed(deeper)(a, b) for b in range(2))

        if __name__ == "__main__":
            with errors():
                show(Parallel(n_jobs=2)(delayed(deep)(a) for a in range(2)))
        """,
        timeout=30,
    )


@situation(r"printed 4 of 4; logged 4 of 4; warned 4 of 4")
def printing(lab):
    """Tasks print, log and warn: what of it `redirect_stdout`, a handler and `catch_warnings` of the program see."""
    return (
        lab.run(
            """
        import contextlib
        import io
        import logging
        import warnings

        class Handler(logging.Handler):
            seen = 0

            def emit(self, record):
                self.seen += record.getMessage().startswith("logged")

        def speaks(number):
            print("printed", number)
            logging.getLogger("task").info("logged %d", number)
            warnings.warn(f"warned {number}", UserWarning)
            return number

        if __name__ == "__main__":
            handler = Handler()
            logging.getLogger().addHandler(handler)
            logging.getLogger().setLevel(logging.INFO)
            out = io.StringIO()
            with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(out):
                warnings.simplefilter("always")
                Parallel(n_jobs=2)(delayed(speaks)(number) for number in range(4))
            warned = sum(str(each.message).startswith("warned") for each in caught)
            printed = sum(f"printed {number}\\n" in out.getvalue() for number in range(4))
            show(f"printed {printed} of 4")
            show(f"logged {handler.seen} of 4")
            show(f"warned {warned} of 4")
        """
        )
        .replace("printed 0; ", "")
        .replace("printed 1; ", "")
        .replace("printed 2; ", "")
        .replace("printed 3; ", "")
    )


@situation(r"\[0, 1, 4, 9\]; the module ran once|the module ran \d times; exit status 1")
def no_guard(lab):
    """A main module with side effects and without `if __name__ == "__main__"`."""
    return lab.run(
        """
        with open(FOLDER / "runs", "a") as file:
            file.write(".")
        if os.path.getsize(FOLDER / "runs") > 20:
            os._exit(9)

        def square(number):
            return number * number

        with errors():
            show(Parallel(n_jobs=2)(delayed(square)(number) for number in range(4)))
        runs = os.path.getsize(FOLDER / "runs")
        show("the module ran once" if runs == 1 else f"the module ran {runs} times")
        """,
        timeout=20,
    )


@situation(r"\[0, 1, 4, 9\]; the module ran once|RuntimeError.*__main__.*; the module ran \d times")
def no_guard_spawned(lab):
    """The same where processes are spawned (`JOBLIB_START_METHOD=spawn`, joblib's backend "multiprocessing")."""
    return lab.run(
        """
        with open(FOLDER / "runs", "a") as file:
            file.write(".")
        if os.path.getsize(FOLDER / "runs") > 20:
            os._exit(9)

        def square(number):
            return number * number

        with errors():
            show(Parallel(n_jobs=2, backend="multiprocessing")(delayed(square)(number) for number in range(4)))
        runs = os.path.getsize(FOLDER / "runs")
        show("the module ran once" if runs == 1 else f"the module ran {runs} times")
        """,
        timeout=10,
        environment={"JOBLIB_START_METHOD": "spawn"},
    )


@situation(r"96 of 96 right")
def threads(lab):
    """8 threads, each of which makes 6 calls of its own at once."""
    return lab.run(
        """
        from concurrent.futures import ThreadPoolExecutor

        def call(number):
            return [Parallel(n_jobs=2)(delayed(abs)(-n) for n in (number, turn)) == [number, turn] for turn in range(6)]

        if __name__ == "__main__":
            with errors(), ThreadPoolExecutor(8) as executor:
                found = [each for found in executor.map(call, range(16)) for each in found]
                show(sum(found), "of 96 right")
        """,
        timeout=60,
    )


@situation(r"21 results; 19 results")
def dropped(lab):
    """A generator of results is dropped half way; the next call begins at once."""
    return lab.run(
        """
        def slow(number):
            time.sleep(0.01)
            return number

        if __name__ == "__main__":
            results = Parallel(n_jobs=2, return_as="generator_unordered")(delayed(slow)(n) for n in range(1000))
            show(len([next(results) for _ in range(21)]), "results")
            del results
            with errors():
                show(len(Parallel(n_jobs=2)(delayed(slow)(n) for n in range(19))), "results")
        """
    )


@situation(r"\[0, 1, 2, 3, 4, 5\]")
def changed_in_place(lab):
    """One element of an array of 16 MB is changed between the tasks of a call that it is given to."""
    return lab.run(
        """
        import numpy as np

        def total(array):
            return int(array.sum())

        def tasks():
            array = np.zeros(2_000_000)
            for number in range(6):
                array[1_234_567] = number
                yield delayed(total)(array)

        if __name__ == "__main__":
            with errors():
                show(Parallel(n_jobs=2, pre_dispatch=1)(tasks()))
        """
    )
