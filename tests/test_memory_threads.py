"""What joblib's users were bitten by, each with the number of the thread in joblib's tracker: retain is not."""

import asyncio
import functools
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import retain
from retain import CacheWarning, Memory

TIMEOUT = 30


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def memory(folder):
    return Memory(folder, verbose=0)


def program(tmp_path, text, *arguments, name="program", **environment):
    """Run a program of its own; return what it printed."""
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    ended = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


# --- wrong answers ---


def test_1621_closure_cells_count(memory):
    def make(n):
        @memory.cache
        def function(x):
            return x + n

        return function

    assert [make(n)(1) for n in (1, 2, 1)] == [2, 3, 2]


SCALE = 2


def reads_a_global(x):
    return x * SCALE


def test_1287_globals_count(memory, monkeypatch):
    function = memory.cache(reads_a_global)
    assert function(3) == 6
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 10)
    assert function(3) == 30


EDITED = """
    import sys
    from retain import Memory

    def helper(x):
        return x * {factor}

    @Memory(sys.argv[1], verbose=0).cache
    def function(x):
        print("computed")
        return helper(x)

    print(function(3))
"""


def test_59_helpers_count_and_1710_1533_129_an_edit_that_is_reverted_is_a_hit(folder, tmp_path):
    def run(factor):
        return program(tmp_path, EDITED.format(factor=factor), folder)

    assert run(1) == ["computed", "3"]
    assert run(2) == ["computed", "6"]
    assert run(1) == ["3"]
    assert run(2) == ["6"]


def test_649_1060_functions_of_one_name_do_not_share_results(memory):
    def first():
        @memory.cache
        def function(x):
            return "first", x

        return function

    def second():
        @memory.cache
        def function(x):
            return "second", x

        return function

    second.__qualname__ = first.__qualname__
    one, other = first(), second()
    other.func.__qualname__ = one.func.__qualname__
    for _ in range(2):
        assert one(1) == ("first", 1)
        assert other(1) == ("second", 1)
    lambdas = [memory.cache(lambda x: x), memory.cache(lambda x: x + 1)]
    assert [function(1) for function in lambdas * 2] == [1, 2, 1, 2]


def test_1497_partials_count_what_they_hold(memory):
    def function(x, y):
        return x, y

    for held in (1, 2):
        assert memory.cache(functools.partial(function, held))(5) == (held, 5)
        assert memory.cache(functools.partial(function, y=held))(5) == (5, held)


SETS = """
    import sys
    from retain import Memory

    @Memory(sys.argv[1], verbose=0).cache
    def function(x):
        print("computed")
        return sorted(x)

    function({"a", "b", "c", "d", "e"})
    function(frozenset(["a", "b", "c", "d", "e"]))
    function({"k": {"z", "y", "x"}})
"""


def test_sets_of_strings_are_the_same_for_every_hash_seed(folder, tmp_path):
    assert program(tmp_path, SETS, folder, PYTHONHASHSEED="1") == ["computed"] * 3
    assert program(tmp_path, SETS, folder, PYTHONHASHSEED="2") == []


def test_1283_1611_equal_values_are_one_call_however_they_came_to_be(memory):
    np = pytest.importorskip("numpy")
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)

    text = "text"
    for value in (["text", text], [text.upper().lower(), str(b"text", "ascii")]):
        function(value)
    assert len(calls) == 1
    array = np.arange(6.0)
    for value in (array, array.copy(), np.arange(12.0)[:6], np.arange(12.0).repeat(2)[::2][:6]):
        function(value)
    assert len(calls) == 2
    shared = [1, 2]
    function([shared, shared])
    function([[1, 2], [1, 2]])
    assert len(calls) == 3


def test_nan_is_the_same_argument_each_time(memory):
    calls = []

    @memory.cache
    def function(x):
        calls.append(1)

    for _ in range(3):
        function(float("nan"))
        function([float("nan")])
    assert len(calls) == 2


def test_the_order_of_keywords_and_of_dicts_does_not_count(memory):
    calls = []

    @memory.cache
    def function(**more):
        calls.append(1)

    function(a=1, b={"x": 1, "y": 2})
    function(b={"y": 2, "x": 1}, a=1)
    assert len(calls) == 1


# --- Memory ---

NOTEBOOK = """
    import linecache, sys
    from retain import Memory

    memory = Memory(sys.argv[1], verbose=0)
    name = sys.argv[2]
    source = "@memory.cache\\ndef function(x):\\n    print('computed')\\n    return x\\n"
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    exec(compile(source, name, "exec"), globals())
    function(1)
    print(function.func_id)
"""


def test_1430_1570_1498_a_notebooks_functions_are_found_again_by_another_kernel(folder, tmp_path):
    first = program(tmp_path, NOTEBOOK, folder, "/tmp/ipykernel_1234/567.py")  # noqa: S108 - a name, no file
    second = program(tmp_path, NOTEBOOK, folder, "/tmp/ipykernel_99/1.py")  # noqa: S108 - a name, no file
    assert first == ["computed", "__main__-notebook.function"]
    assert second == ["__main__-notebook.function"]
    named = program(tmp_path, NOTEBOOK, folder, "<ipython-input-3-abcdef>", JPY_SESSION_NAME="/work/analysis.ipynb")
    assert named == ["__main__--work-analysis.function"]


VERSIONS = """
    import sys, time
    from retain import Memory

    memory = Memory(sys.argv[1], verbose=0)

    @memory.cache
    def function(x):
        print("computed")
        return x, {constant}

    for number in range(20):
        function(number % 3)
        time.sleep(0.01)
"""


def test_1694_processes_with_different_versions_do_not_wipe_each_other(folder, tmp_path):
    paths = []
    for constant in (1, 2):
        path = tmp_path / f"version{constant}" / "program.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(VERSIONS.format(constant=constant)))
        paths.append(path)
    running = [
        subprocess.Popen([sys.executable, str(path), str(folder)], stdout=subprocess.PIPE, text=True) for path in paths
    ]
    for process in running:
        assert process.communicate(timeout=TIMEOUT)[0].split() == ["computed"] * 3


WORKERS = """
    import sys, time
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from retain import Memory

    memory = Memory(sys.argv[1], verbose=0)

    @memory.cache
    def slow(x):
        with open(sys.argv[2], "a") as file:
            file.write("computed\\n")
        time.sleep(0.3)
        return x

    if __name__ == "__main__":
        with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
            print(sum(pool.map(slow, [1] * 8)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_1030_a_call_that_every_worker_needs_is_computed_once(folder, tmp_path):
    witness = tmp_path / "witness"
    assert program(tmp_path, WORKERS, folder, witness) == ["8"]
    assert witness.read_text() == "computed\n"


def test_1237_1610_a_network_file_system_needs_no_index(folder):
    memory = Memory(folder, verbose=0, layout="plain", ram_bytes=0)
    calls = []

    def function(x):
        calls.append(x)
        return [x] * x

    for _ in range(2):
        for x in (1, 50_000):
            assert memory.cache(function)(x) == [x] * x
            assert Memory(folder, verbose=0, ram_bytes=0).cache(function)(x) == [x] * x
    assert calls == [1, 50_000]
    assert list(Path(memory.store_backend.location).rglob("*.sqlite*")) == []


def test_574_1183_the_folder_stays_within_its_bounds_by_itself(folder):
    memory = Memory(folder, verbose=0, max_bytes="1M", ram_bytes=0)

    @memory.cache
    def function(x):
        return os.urandom(60_000)

    for x in range(100):
        function(x)
    assert sum(entry.bytes for entry in function.entries()) <= 1 << 20
    assert function.check_call_in_cache(99)


def test_1296_many_small_results_take_few_files(folder, memory):
    function = memory.cache(lambda x: x)
    for x in range(500):
        function(x)
    assert sum(path.is_file() for path in folder.rglob("*")) < 30


def test_1363_981_methods_are_memorized_in_a_class_body(memory):
    calls = []

    class Model:
        def __init__(self, scale):
            self.scale = scale

        @memory.cache
        def scaled(self, x):
            calls.append(x)
            return self.scale * x

    assert Model(2).scaled(3) == Model(2).scaled(3) == 6
    assert Model(3).scaled(3) == 9
    assert calls == [3, 3]


def test_1046_1083_no_entry_is_half_written(folder, memory):
    class Interrupting:
        def __reduce__(self):
            raise KeyboardInterrupt

    function = memory.cache(lambda: [b"x" * 500_000, Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        function()
    assert not function.check_call_in_cache()
    assert [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 400_000] == []


def test_482_1496_names_and_arguments_of_any_length_are_kept(memory):
    name = "a_function_with_quite_a_long_name_" * 20
    namespace = {}
    exec(f"def {name}(x): return len(x)", namespace)  # noqa: S102 - a name that long is no pleasure to type
    function = memory.cache(namespace[name])
    assert function("x" * 100_000) == 100_000
    assert function.check_call_in_cache("x" * 100_000)
    assert len(function.func_id) <= 200
    assert len(function.entries()[0].arguments["x"]) <= 80


def test_527_a_tier_in_memory_answers_while_the_store_is_not_asked(memory):
    function = memory.cache(lambda x: [x])
    function(1)
    before = memory._store.functions
    memory._place._store = type("Silent", (), {"removals": memory._store.removals})()
    assert function(1) == [1]
    assert before


def test_1542_a_single_result_is_removed(memory):
    function = memory.cache(lambda x: x)
    function(1)
    function(2)
    assert function.invalidate(1)
    assert not function.check_call_in_cache(1)
    assert function.check_call_in_cache(2)


def test_889_awaited_functions_do_not_block_the_loop_and_share_a_computation(memory):
    calls = []

    @memory.cache
    async def slow(x):
        calls.append(x)
        await asyncio.sleep(0.05)
        return x

    async def main():
        return await asyncio.wait_for(asyncio.gather(*[slow(1) for _ in range(10)]), TIMEOUT)

    assert asyncio.run(main()) == [1] * 10
    assert calls == [1]


def test_a_result_that_cannot_be_pickled_is_told_once_and_returned(memory):
    function = memory.cache(threading.Lock)
    with pytest.warns(CacheWarning) as caught:
        for _ in range(3):
            function()
    assert len(caught) == 1


def test_1684_a_path_and_a_str_are_the_same_place(tmp_path):
    for location in (tmp_path, str(tmp_path)):
        assert Memory(location, verbose=0).store_backend.location == str(tmp_path / "retain")


def test_343_and_1011_tables_are_arguments(memory):
    pd = pytest.importorskip("pandas")
    calls = []

    @memory.cache
    def total(table):
        calls.append(1)
        return float(table["a"].sum())

    def make():
        return pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})

    table = make()
    assert total(table) == total(make()) == 3.0
    table.loc[0, "a"] = 5.0
    assert total(table) == 7.0
    assert len(calls) == 2
    assert [entry.arguments for entry in total.entries()] == [{"table": "DataFrame (2, 2) [a, b]"}] * 2


def test_scikit_learns_pipelines_take_a_memory(memory):
    pipeline = pytest.importorskip("sklearn.pipeline")
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression

    np = pytest.importorskip("numpy")
    features = np.random.default_rng(0).normal(size=(50, 5))
    steps = [("pca", PCA(2)), ("line", LinearRegression())]
    model = pipeline.Pipeline(steps, memory=memory).fit(features, features[:, 0])
    again = pipeline.Pipeline(steps, memory=memory).fit(features, features[:, 0])
    assert np.allclose(model.predict(features), again.predict(features))
    assert len(memory._store.entries()) == 1


def test_a_function_made_by_exec_is_memorized(memory):
    """librosa memorizes such."""
    namespace = {"calls": []}
    exec("def function(x):\n    calls.append(x)\n    return x + 1", namespace)  # noqa: S102
    function = memory.cache(namespace["function"])
    assert function(1) == function(1) == 2
    assert namespace["calls"] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_while_others_compute_goes_on(memory):
    inside, go = threading.Event(), threading.Event()

    @memory.cache
    def slow(x):
        inside.set()
        go.wait(TIMEOUT)
        return [x]

    function = memory.cache(lambda x: [x])
    function(1)
    thread = threading.Thread(target=slow, args=(1,), daemon=True)
    thread.start()
    assert inside.wait(TIMEOUT)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if function(1) == [1] and function(2) == [2] else 2
        finally:
            os._exit(status)
    end = time.monotonic() + TIMEOUT
    ended, status = os.waitpid(pid, os.WNOHANG)
    while ended == 0 and time.monotonic() < end:
        time.sleep(0.01)
        ended, status = os.waitpid(pid, os.WNOHANG)
    if ended == 0:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    go.set()
    thread.join(TIMEOUT)
    assert ended == pid
    assert os.waitstatus_to_exitcode(status) == 0
    assert function.check_call_in_cache(2)


def test_a_memory_in_an_instance_does_not_count(folder):
    class Model:
        def __init__(self, memory):
            self.memory = memory

        def run(self, x):
            return self.memory.cache(len)(x)

    one, other = Model(Memory(folder, verbose=0)), Model(Memory(folder, verbose=3))
    assert retain.hash(one.memory) == retain.hash(other.memory)
