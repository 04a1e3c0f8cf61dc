"""Programs that are interrupted and killed."""

import time

from faults_parallel.lab import situation

WAITS = """
    import subprocess

    def waits(number):
        mark(f"begun{{number}}")
        {how}
        return number

    if __name__ == "__main__":
        tasks = [delayed(waits)({argument}) for number in range(6)]
        try:
            Parallel(n_jobs=2)(tasks)
        except KeyboardInterrupt:
            show("KeyboardInterrupt")
            mark("interrupted")
            again()
"""
SLEEPS = WAITS.format(how="time.sleep(1000)", argument="number")
STARTS = WAITS.format(how='subprocess.run(["sleep", "1000"])', argument="number")
BOTH = "begun0", "begun1"
INTERRUPTED = r"KeyboardInterrupt; then \[0, 1, 2, 3\]; at once"


def interrupted(lab, text, times):
    program = lab.start(text)
    program.wait_for(*BOTH)
    begun = time.monotonic()
    for _ in range(times):
        program.interrupt()
        time.sleep(0.002)
    try:
        program.wait_for("interrupted", timeout=20)
    except TimeoutError as error:
        return error.args[0]
    took = "at once" if time.monotonic() - begun < 2 else "late"
    shown = lab.end(program, 20)
    return f"{shown}; {took}" if "KeyboardInterrupt" in shown else shown


@situation(INTERRUPTED)
def interrupt(lab):
    """Ctrl-C while tasks run; then the program goes on."""
    return interrupted(lab, SLEEPS, 1)


@situation(INTERRUPTED)
def interrupt_grandchildren(lab):
    """Ctrl-C while tasks wait for programs that they have started."""
    return interrupted(lab, STARTS, 1)


@situation(r"(?!.*(left|hangs))(KeyboardInterrupt.*|exit status 1|ends by SIGINT)")
def interrupt_twice(lab):
    """Ctrl-C twice, at once: all that must hold is that nothing is left."""
    return interrupted(lab, SLEEPS, 2)


@situation("")
def parent_killed(lab):
    """The program is killed (`SIGKILL`) while tasks run on arrays of 60 MB: what is there after 2 s."""
    program = lab.start(
        """
        import numpy as np

        def waits(number, array):
            mark(f"begun{number}")
            time.sleep(1000)

        if __name__ == "__main__":
            array = np.ones(7_500_000)
            Parallel(n_jobs=2)(delayed(waits)(number, array) for number in range(6))
        """
    )
    program.wait_for(*BOTH)
    program.kill()
    return lab.end(program)


@situation("")
def parent_killed_grandchildren(lab):
    """The same while tasks wait for programs that they have started."""
    program = lab.start(STARTS)
    program.wait_for(*BOTH)
    program.kill()
    return lab.end(program)


@situation("")
def parent_killed_in_c(lab):
    """The same where each task then computes in C, and never lets another thread run."""
    how = "subprocess.Popen(['sleep', '1000']); re.match('(a+)+$', 'a' * 64 + 'b')"
    program = lab.start(WAITS.format(how=how, argument="number"))
    program.wait_for(*BOTH)
    # Until what they start is there.
    end = time.monotonic() + 20
    while sum(name == "sleep" for name in program.names()) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    program.kill()
    return lab.end(program)


@situation("")
def parent_killed_at_rest(lab):
    """The same when the tasks are done, and what they have started goes on."""
    program = lab.start(
        """
        import subprocess

        def starts(number):
            subprocess.Popen(["sleep", "1000"])

        if __name__ == "__main__":
            Parallel(n_jobs=2)(delayed(starts)(number) for number in range(4))
            mark("done")
            time.sleep(1000)
        """
    )
    program.wait_for("done")
    program.kill()
    return lab.end(program)


@situation(r"ends by SIGTERM")
def parent_terminated(lab):
    """The program is ended by `SIGTERM` while tasks run."""
    program = lab.start(SLEEPS)
    program.wait_for(*BOTH)
    program.process.terminate()
    return lab.end(program)


@situation(r"exit status 1")
def unhandled(lab):
    """The program ends by an exception while a generator of results is open."""
    return lab.run(
        """
        def waits(number):
            time.sleep(1000 if number else 0)
            return number

        if __name__ == "__main__":
            results = Parallel(n_jobs=2, return_as="generator")(delayed(waits)(number) for number in range(6))
            next(results)
            raise RuntimeError("something else")
        """,
        timeout=15,
    )


@situation(r"left")
def grandchild_left(lab):
    """A task leaves a program running in the background; then the call, and the program, end."""
    return lab.run(
        """
        import subprocess

        def starts(number):
            if number == 2:
                subprocess.Popen(["sleep", "1000"])
            return number

        if __name__ == "__main__":
            Parallel(n_jobs=2)(delayed(starts)(number) for number in range(4))
            show("left")
        """
    )
