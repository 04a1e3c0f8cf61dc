"""Tasks that fail, that cannot be sent, whose results cannot come back, and that do not end."""

from faults_parallel.lab import situation


@situation(r"PicklingError: Could not pickle the task to send it to the workers.*; then \[0, 1, 2, 3\]")
def argument_that_cannot_be_pickled(lab):
    """An argument that cannot be pickled."""
    return lab.run(
        """
        if __name__ == "__main__":
            with errors():
                Parallel(n_jobs=2)(delayed(repr)(threading.Lock()) for _ in range(4))
            again()
        """
    )


@situation(r"7 of 8 kept, PicklingError: .*result of makes\(3\).*; then \[0, 1, 2, 3\]")
def result_that_cannot_be_pickled(lab):
    """A result that cannot be pickled, one of 8."""
    return lab.run(
        """
        def makes(number):
            return threading.Lock() if number == 3 else number

        if __name__ == "__main__":
            kept(lambda: Parallel(n_jobs=2, **only_retain(on_error="return"))(delayed(makes)(n) for n in range(8)), 8)
            again()
        """
    )


@situation(r"Locked: the lock; then \[0, 1, 2, 3\]")
def exception_that_cannot_be_pickled(lab):
    """An exception that cannot be pickled."""
    return lab.run(
        """
        class Locked(Exception):
            def __init__(self, message):
                super().__init__(message)
                self.lock = threading.Lock()

        def fails():
            raise Locked("the lock")

        if __name__ == "__main__":
            with errors():
                Parallel(n_jobs=2)(delayed(fails)() for _ in range(4))
            again()
        """
    )


@situation(r"Missing: key not in table, table; KeyError; then \[0, 1, 2, 3\]")
def exception_with_arguments(lab):
    """An exception whose `__init__` needs two arguments, with an attribute and a cause."""
    return lab.run(
        """
        import traceback

        class Missing(Exception):
            def __init__(self, name, place):
                super().__init__(f"{name} not in {place}")
                self.place = place

        def fails():
            try:
                {}["key"]
            except KeyError as error:
                raise Missing("key", "table") from error

        if __name__ == "__main__":
            try:
                Parallel(n_jobs=2)(delayed(fails)() for _ in range(4))
            except Missing as error:
                show(told(error) + ", " + error.place)
                text = "".join(traceback.format_exception(error))
                show("KeyError" if "KeyError" in text and "in fails" in text else "no cause")
            except BaseException as error:
                show(told(error))
            again()
        """
    )


@situation(r"BrokenProcessPool: A task has failed to un-serialize.*; then \[0, 1, 2, 3\]")
def argument_that_cannot_be_unpickled(lab):
    """An argument that cannot be unpickled in the worker."""
    return lab.run(
        """
        def refuse(parent):
            if os.getpid() != parent:
                raise RuntimeError("not here")

        class Refuses:
            def __reduce__(self):
                return refuse, (os.getpid(),)

        if __name__ == "__main__":
            with errors():
                Parallel(n_jobs=2)(delayed(repr)(Refuses()) for _ in range(4))
            again()
        """
    )


@situation(r"ValueError: no more; then \[0, 1, 2, 3\]")
def iterator_that_raises(lab):
    """The iterator of the tasks raises."""
    return lab.run(
        """
        def tasks():
            for number in range(20):
                if number == 13:
                    raise ValueError("no more")
                yield delayed(abs)(number)

        if __name__ == "__main__":
            with errors():
                show(Parallel(n_jobs=2)(tasks()))
            again()
        """
    )


@situation(r"7 of 8 kept, TimeoutError: .*endless.*; soon; then \[0, 1, 2, 3\]")
def task_without_end(lab):
    """One of 8 tasks never ends (`task_timeout=1`; joblib's `timeout=1`)."""
    return lab.run(
        """
        def endless(number):
            while number == 3:
                time.sleep(1)
            return number

        if __name__ == "__main__":
            options = {"task_timeout": 1, "on_error": "return"} if RETAIN else {"timeout": 1}
            begun = time.monotonic()
            kept(lambda: Parallel(n_jobs=2, **options)(delayed(endless)(number) for number in range(8)), 8)
            show("soon" if time.monotonic() - begun < 10 else "late")
            again()
        """
    )


@situation(r"3 of 4 kept, TimeoutError: .*stuck.*")
def task_without_end_in_c(lab):
    """A task is stuck in C, and holds the interpreter's lock."""
    return lab.run(
        """
        def stuck(number):
            if number == 2:
                import re
                re.match(r"(a*)*b", "a" * 60)
            return number

        if __name__ == "__main__":
            options = {"task_timeout": 1, "on_error": "return"} if RETAIN else {"timeout": 1}
            kept(lambda: Parallel(n_jobs=2, **options)(delayed(stuck)(number) for number in range(4)), 4)
        """
    )


@situation(r"3 of 4 kept, TimeoutError: .*starts.*")
def timeout_with_a_grandchild(lab):
    """A task that never ends has started a program (`sleep 1000`)."""
    return lab.run(
        """
        import subprocess

        def starts(number):
            if number == 2:
                subprocess.run(["sleep", "1000"])
            return number

        if __name__ == "__main__":
            options = {"task_timeout": 1, "on_error": "return"} if RETAIN else {"timeout": 1}
            kept(lambda: Parallel(n_jobs=2, **options)(delayed(starts)(number) for number in range(4)), 4)
        """
    )


@situation(r"SystemExit: 3; then \[0, 1, 2, 3\]")
def system_exit(lab):
    """A task calls `sys.exit(3)`."""
    return lab.run(
        """
        def leaves(number):
            if number == 2:
                sys.exit(3)
            return number

        if __name__ == "__main__":
            with errors():
                show(Parallel(n_jobs=2)(delayed(leaves)(number) for number in range(4)))
            again()
        """
    )
