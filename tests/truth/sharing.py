"""Several processes, and what callers do with what they got."""

from truth.lab import situation

WORKERS = """
    import os, time
    from pathlib import Path
    COUNT = 3
    @memory.cache
    def slow(x):
        print("computing")
        # Until all have begun, and some time for them to look whether there is a result.
        while len(list(Path().glob("begun*"))) < COUNT:
            time.sleep(0.01)
        time.sleep(0.3)
        return x + 1
    def in_workers():
        pids = []
        for number in range(COUNT):
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open(f"said{number}", os.O_WRONLY | os.O_CREAT), 1)
                Path(f"begun{number}").touch()
                show(slow, 2)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        print(*sorted((path.read_text().strip() for path in Path().glob("said*")), reverse=True))
"""


@situation(right="3* 3 3", joblib="3* 3* 3*", threads="#1030", races=True)
def workers_at_once(lab):
    """Three processes make the same call at once."""
    lab.run(
        WORKERS
        + """
    in_workers()
    """
    )


@situation(right="3* 3 3", joblib="3* 3* 3*", threads="#1030", races=True)
def threads_at_once(lab):
    """Three threads make the same call at once."""
    lab.run("""
        import threading, time
        calls = []
        @memory.cache
        def slow(x):
            calls.append(x)
            time.sleep(0.3)
            return x + 1
        results = []
        threads = [threading.Thread(target=lambda: results.append(slow(2))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(*(f"{result}{'*' * (n < len(calls))}" for n, result in enumerate(results)))
    """)


@situation(right="[1]* [1]", joblib="[1]* [1]")
def result_is_changed(lab):
    """A caller changes the list that it got."""
    lab.run("""
        @memory.cache
        def function():
            print("computing")
            return [1]
        show(function)
        function().append(2)
        show(function)
    """)


@situation(right="value* value", joblib="value* value")
def argument_is_changed(lab):
    """A function changes the list that it is given."""
    lab.run("""
        @memory.cache
        def function(items):
            print("computing")
            items.append(1)
            return "value"
        show(function, [])
        show(function, [])
    """)
