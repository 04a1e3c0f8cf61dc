"""`trace=` writes when and where each task ran, in the format of Perfetto; `stats` says it in numbers."""

import json
import os
import threading

import pytest
import retain
from retain import Parallel, delayed
from retain._parallel.backends import ThreadingBackend
from retain._parallel.stats import Stats

THREADS = {"backend": "threading", "n_jobs": 2}


def raises(number):
    if number == 3:
        raise ValueError("three is refused", number)
    return number


def events(path, **wanted):
    """Return the events of a trace with such values."""
    found = json.loads(path.read_text())["traceEvents"]
    return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]


def tasks(path):
    return [event for event in events(path, ph="X") if event["cat"] != "run"]


def test_each_task_is_an_event_with_its_function_and_place(tmp_path):
    path = tmp_path / "run.json"
    assert Parallel(trace=path, **THREADS)(delayed(raises)(i) for i in range(3)) == [0, 1, 2]
    found = tasks(path)
    assert sorted(event["args"]["task"] for event in found) == [0, 1, 2]
    assert {event["name"] for event in found} == {"raises"}
    assert {event["args"]["outcome"] for event in found} == {"done"}
    assert {event["args"]["attempts"] for event in found} == {1}
    workers = {event["tid"]: event["args"]["name"] for event in events(path, ph="M", name="thread_name")}
    assert all(workers[event["tid"]].startswith("worker ") for event in found)


def test_the_file_is_what_the_format_asks_for(tmp_path):
    path = tmp_path / "run.json"
    Parallel(trace=os.fspath(path), **THREADS)(delayed(abs)(i) for i in range(20))
    for event in events(path):
        assert {"name", "ph", "pid", "tid", "args"} <= event.keys()
        if event["ph"] == "X":
            assert event["ts"] >= 0
            assert event["dur"] >= 0
    [run] = events(path, cat="run")
    assert all(run["ts"] <= event["ts"] <= run["ts"] + run["dur"] for event in tasks(path))


def test_it_is_written_after_a_failure_as_well(tmp_path):
    path = tmp_path / "run.json"
    with pytest.raises(ValueError, match="three is refused"):
        Parallel(trace=path, **THREADS)(delayed(raises)(i) for i in range(6))
    [run] = events(path, cat="run")
    assert run["args"]["outcome"].startswith("ValueError")
    [failed] = [event for event in tasks(path) if event["args"]["task"] == 3]
    assert failed["args"]["outcome"] == "failed"
    assert "three is refused" in failed["args"]["error"]


def test_each_attempt_is_an_event(tmp_path):
    attempts = []

    def flaky():
        attempts.append(None)
        if len(attempts) < 3:
            raise OSError("not yet")
        return "done"

    path = tmp_path / "run.json"
    assert Parallel(trace=path, retries=2, **THREADS)([delayed(flaky)()]) == ["done"]
    found = sorted(tasks(path), key=lambda event: event["ts"])
    assert [event["args"]["outcome"] for event in found] == ["retried", "retried", "done"]
    assert [event["args"]["attempts"] for event in found] == [1, 2, 3]
    assert "not yet" in found[0]["args"]["error"]


def test_a_worker_that_died_is_in_it(tmp_path):
    path = tmp_path / "run.json"
    parallel = Parallel(n_jobs=2, trace=path, retries=1, on_error="skip")
    assert parallel([delayed(abs)(-1), delayed(os._exit)(3)]) == [1]
    assert parallel.stats().died == 2
    found = [event["args"] for event in tasks(path) if event["args"]["task"] == 1]
    assert [each["outcome"] for each in found] == ["retried", "failed"]
    assert all("TerminatedWorkerError" in each["error"] for each in found)


def test_a_result_that_was_kept_is_an_instant(tmp_path):
    memory = retain.Memory(tmp_path / "cache", verbose=0)
    square = memory.cache(raises)
    square(1)
    path = tmp_path / "run.json"
    assert Parallel(trace=path, **THREADS)(delayed(square)(i) for i in range(3)) == [0, 1, 2]
    [hit] = events(path, ph="i")
    assert hit["args"]["task"] == 1
    assert hit["args"]["outcome"] == "hit"
    assert {event["args"]["task"] for event in tasks(path)} == {0, 2}


def test_one_job_is_traced_too(tmp_path):
    path = tmp_path / "run.json"
    assert Parallel(n_jobs=1, trace=path)(delayed(abs)(-i) for i in range(3)) == [0, 1, 2]
    assert len(tasks(path)) == 3


def test_a_generator_is_traced_to_its_end(tmp_path):
    path = tmp_path / "run.json"
    results = Parallel(trace=path, return_as="generator", **THREADS)(delayed(abs)(-i) for i in range(5))
    assert not path.exists()
    assert list(results) == [0, 1, 2, 3, 4]
    assert len(tasks(path)) == 5


def test_an_executor_is_traced(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "run.json"
    with ThreadPoolExecutor(2) as executor:
        Parallel(backend=executor, trace=path)(delayed(abs)(i) for i in range(5))
    assert len(tasks(path)) == 5


def test_functions_without_a_name_are_called_what_they_are(tmp_path):
    from functools import partial

    class Callable:
        def __call__(self):
            return 1

    path = tmp_path / "run.json"
    assert Parallel(trace=path, **THREADS)([delayed(partial(abs, -1))(), delayed(Callable())()]) == [1, 1]
    names = {event["name"] for event in tasks(path)}
    assert "abs" in names
    assert any(name.endswith("Callable") for name in names)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    # Written into, the old file would change under its other name as well.
    (tmp_path / "other.json").hardlink_to(path)
    seen = []
    Parallel(trace=path, **THREADS)([delayed(lambda: seen.append(path.read_text()))()])
    assert seen == ["old"]
    assert len(tasks(path)) == 1
    assert (tmp_path / "other.json").read_text() == "old"
    assert {each.name for each in tmp_path.iterdir()} == {"run.json", "other.json"}


def test_a_folder_that_is_not_there_is_told_before_anything_runs(tmp_path):
    ran = []
    with pytest.raises(FileNotFoundError, match="trace="):
        Parallel(trace=tmp_path / "missing" / "run.json", **THREADS)([delayed(ran.append)(1)])
    with pytest.raises(IsADirectoryError, match="trace="):
        Parallel(trace=tmp_path, **THREADS)([delayed(ran.append)(1)])
    assert not ran


class Noting(ThreadingBackend):
    """Notes what it is told of a call."""

    def __init__(self):
        super().__init__(nesting_level=0)
        self.told = []

    def start_call(self):
        self.told.append("start_call")

    def stop_call(self):
        self.told.append("stop_call")

    def terminate(self):
        self.told.append("terminate")
        super().terminate()


def test_a_backend_is_not_told_of_a_call_without_its_end(tmp_path):
    backend = Noting()
    parallel = Parallel(n_jobs=2, backend=backend, trace=tmp_path / "missing" / "run.json")
    with pytest.raises(FileNotFoundError, match=r"trace='.*run.json' cannot be written, .*missing"):
        parallel([delayed(abs)(-1)])
    assert backend.told == ["terminate"]
    backend.told.clear()
    with pytest.raises(TypeError, match="iterable"):
        Parallel(n_jobs=2, backend=backend)(3)
    assert backend.told == ["start_call", "stop_call", "terminate"]
    assert Parallel(n_jobs=2, backend=backend)([delayed(abs)(-1)]) == [1]


def test_results_are_worth_more_than_their_trace(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    parallel = Parallel(trace=folder / "run.json", **THREADS)
    with pytest.warns(UserWarning, match="could not be written"):
        assert parallel([delayed(folder.rmdir)(), delayed(abs)(-1)]) == [None, 1]


def test_a_parallel_traces_each_of_its_calls_anew(tmp_path):
    path = tmp_path / "run.json"
    parallel = Parallel(trace=path, **THREADS)
    for count in (3, 2):
        parallel(delayed(abs)(i) for i in range(count))
        assert len(tasks(path)) == count


# --- stats ---


def test_stats_count_tasks_and_work():
    parallel = Parallel(**THREADS)
    parallel(delayed(abs)(i) for i in range(7))
    stats = parallel.stats()
    assert (stats.tasks, stats.completed, stats.failed, stats.hits, stats.workers) == (7, 7, 0, 0, 2)
    assert stats.seconds > 0
    assert 0 <= stats.utilisation <= 1


def test_stats_count_failures_retries_and_hits(tmp_path):
    parallel = Parallel(retries=1, on_error="skip", **THREADS)
    parallel(delayed(raises)(i) for i in range(5))
    stats = parallel.stats()
    assert (stats.completed, stats.failed, stats.retried) == (5, 1, 1)
    square = retain.Memory(tmp_path, verbose=0).cache(raises)
    for hits in (0, 3):
        parallel(delayed(square)(i) for i in range(3))
        assert parallel.stats().hits == hits


def test_utilisation_is_work_by_time():
    barrier = threading.Barrier(2)
    parallel = Parallel(retries=1, **THREADS)
    parallel(delayed(barrier.wait)(30) for _ in range(2))
    assert parallel.stats().work > 0
    assert Stats(workers=2, seconds=2.0, work=3.0).utilisation == 0.75
    assert Stats().utilisation == 0


def test_stats_are_shown_as_a_table_without_what_did_not_happen():
    text = str(Stats(tasks=1200, completed=1200, hits=200, workers=2, seconds=1.5, work=2.4, shared_bytes=10**8))
    lines = dict(line.rsplit("  ", 1) for line in text.splitlines())
    lines = {name.strip(): value.strip() for name, value in lines.items()}
    assert lines["tasks"] == "1,200"
    assert lines["found in the store"] == "200"
    assert lines["utilisation"] == "80 %"
    assert lines["shared"] == "100 MB"
    assert "failed" not in text
    assert "<td" in Stats()._repr_html_()
    assert "tasks=0" in repr(Stats())
