"""Workers that die, and those that take too much memory."""

from faults_parallel.lab import situation

DIES = """
    {how}

    def fatal(number):
        if number == 3:
            time.sleep(0.05)
            die()
        return number

    if __name__ == "__main__":
        kept(
            lambda: Parallel(n_jobs=2, **only_retain(on_error="return"))(delayed(fatal)(number) for number in range(8)),
            8,
        )
        again()
"""
KILL = "def die():\n        os.kill(os.getpid(), signal.SIGKILL)"
CRASH = "def die():\n        import ctypes\n        ctypes.string_at(0)"
EXIT = "def die():\n        os._exit(3)"
NAMED = r"7 of 8 kept, TerminatedWorkerError: .*fatal.*; then \[0, 1, 2, 3\]"


@situation(NAMED)
def killed(lab):
    """A worker is killed (`SIGKILL`) in one of 8 tasks."""
    return lab.run(DIES.format(how=KILL))


@situation(NAMED)
def crashed(lab):
    """A worker crashes (`SIGSEGV`)."""
    return lab.run(DIES.format(how=CRASH))


@situation(NAMED)
def left(lab):
    """A task calls `os._exit(3)`."""
    return lab.run(DIES.format(how=EXIT))


@situation(r"TerminatedWorkerError names fatal, 3, SIGKILL, MB; then \[0, 1, 2, 3\]")
def named(lab):
    """What the error of a killed worker names (by default it is raised)."""
    return lab.run(
        """
        def fatal(number):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        if __name__ == "__main__":
            try:
                Parallel(n_jobs=2)(delayed(fatal)(number) for number in range(8))
            except Exception as error:
                words = [r"\\bfatal\\b", r"\\b3\\b", "SIGKILL", r"\\b[MG]i?B\\b"]
                found = [word.replace(r"\\b", "") for word in words if re.search(word, str(error))]
                found = ["MB" if word.startswith("[MG") else word for word in found]
                show(type(error).__name__, "names", ", ".join(found))
            again()
        """
    )


@situation(r"8 of 8 kept; tried the fatal one 3 times")
def tried_again(lab):
    """A task kills its worker twice, then works (`retries=2`)."""
    return lab.run(
        """
        def fatal(number):
            if number == 3:
                with open(FOLDER / "tries", "a") as file:
                    file.write(".")
                if os.path.getsize(FOLDER / "tries") < 3:
                    os.kill(os.getpid(), signal.SIGKILL)
            return number

        if __name__ == "__main__":
            kept(lambda: Parallel(n_jobs=2, **only_retain(retries=2))(delayed(fatal)(n) for n in range(8)), 8)
            show("tried the fatal one", os.path.getsize(FOLDER / "tries"), "times")
        """
    )


@situation(r"MemoryError; then \[0, 1, 2, 3\]")
def out_of_memory(lab):
    """A task raises `MemoryError`."""
    return lab.run(
        """
        def takes(number):
            return len(bytearray(1 << 62)) if number == 3 else number

        if __name__ == "__main__":
            with errors():
                show(Parallel(n_jobs=2)(delayed(takes)(number) for number in range(8)))
            again()
        """
    )


@situation(r"7 of 8 kept, MemoryError.*; then \[0, 1, 2, 3\]")
def over_the_limit(lab):
    """A task takes 2 GB where each worker has a limit (`memory_limit="600M"`)."""
    return lab.run(
        """
        def takes(number):
            return len(bytearray(2_000_000_000)) if number == 3 else number

        if __name__ == "__main__":
            options = only_retain(on_error="return", memory_limit="600M")
            kept(lambda: Parallel(n_jobs=2, **options)(delayed(takes)(number) for number in range(8)), 8)
            again()
        """
    )


@situation(r"12 of 12 kept; workers were replaced")
def leaking(lab):
    """Tasks leak 100 MB each in a worker of 600 MB."""
    return lab.run(
        """
        def leaks(number):
            import builtins

            builtins.leaked = [*getattr(builtins, "leaked", ()), bytearray(b"x") * 100_000_000]
            return os.getpid()

        if __name__ == "__main__":
            options = only_retain(memory_limit="600M")
            pids = []

            def call():
                pids.extend(Parallel(n_jobs=2, **options)(delayed(leaks)(number) for number in range(12)))
                return pids

            kept(call, 12)
            show("workers were replaced" if len(set(pids)) > 2 else "each worker holds 600 MB more")
        """
    )
