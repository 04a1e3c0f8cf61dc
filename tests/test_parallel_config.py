"""What a `Parallel` takes that was not told: what was given goes before the context, and that before the default."""

import concurrent.futures
import multiprocessing
import os
import sys
import threading
from typing import ClassVar

import pytest
import retain
from retain import (
    Parallel,
    ParallelBackendBase,
    cpu_count,
    delayed,
    effective_n_jobs,
    parallel_backend,
    parallel_config,
    register_parallel_backend,
)
from retain.parallel import BACKENDS, EXTERNAL_BACKENDS, get_active_backend


def square(x):
    return x * x


CONTEXTS = [parallel_config, parallel_backend]


# --- precedence ---


def test_what_is_given_goes_before_the_context_and_that_before_the_default():
    assert (Parallel().n_jobs, Parallel().verbose) == (1, 0)
    with parallel_config(n_jobs=3, verbose=2, max_nbytes=10, mmap_mode="c", temp_folder="/x"):
        inside, told = Parallel(), Parallel(n_jobs=2, verbose=1, max_nbytes="1K", mmap_mode=None)
    assert (inside.n_jobs, inside.verbose) == (3, 2)
    assert inside._backend_kwargs["max_nbytes"] == 10
    assert inside._backend_kwargs["mmap_mode"] == "c"
    assert inside._backend_kwargs["temp_folder"] == "/x"
    assert (told.n_jobs, told.verbose, told._backend_kwargs["max_nbytes"]) == (2, 1, 1024)
    assert told._backend_kwargs["mmap_mode"] is None
    assert Parallel()._backend_kwargs["max_nbytes"] == 1 << 20


def test_contexts_nest_and_keep_what_they_do_not_change():
    with parallel_config("threading"):
        with parallel_config(n_jobs=2):
            assert type(Parallel()._backend).__name__ == "ThreadingBackend"
            assert Parallel().n_jobs == 2
        assert Parallel().n_jobs == 1
    assert type(Parallel()._backend).__name__ == "LokyBackend"


@pytest.mark.parametrize("context", CONTEXTS)
def test_it_can_be_set_without_a_block(context):
    standing = context("threading", n_jobs=2)
    try:
        assert type(Parallel()._backend).__name__ == "ThreadingBackend"
    finally:
        standing.unregister()
    assert type(Parallel()._backend).__name__ == "LokyBackend"


def test_parallel_backend_gives_the_backend_and_all_processors():
    with parallel_backend("threading") as (backend, n_jobs):
        assert type(backend).__name__ == "ThreadingBackend"
        assert n_jobs == -1
        assert get_active_backend() == (backend, -1)
        assert effective_n_jobs(None) == cpu_count()
    with parallel_config("threading", n_jobs=2) as config:
        assert config["n_jobs"] == 2
        assert type(config["backend"]).__name__ == "ThreadingBackend"


def test_no_number_of_jobs_means_what_the_context_says():
    with parallel_config("threading", n_jobs=2):
        assert Parallel(n_jobs=None).n_jobs == 2
        with parallel_config("threading", n_jobs=None):
            assert Parallel().n_jobs == 1


def test_another_thread_has_a_configuration_of_its_own():
    found = []
    with parallel_config("threading", n_jobs=3):
        thread = threading.Thread(target=lambda: found.append(Parallel().n_jobs))
        thread.start()
        thread.join()
    assert found == [1]


# --- hints and constraints ---


def test_hints_choose_where_nothing_was_chosen():
    assert type(Parallel(n_jobs=2, prefer="threads")._backend).__name__ == "ThreadingBackend"
    assert type(Parallel(n_jobs=2, prefer="processes")._backend).__name__ == "LokyBackend"
    with parallel_config("loky", n_jobs=2):
        assert type(Parallel(prefer="threads")._backend).__name__ == "LokyBackend"
    with parallel_config(prefer="threads", n_jobs=2):
        assert type(Parallel()._backend).__name__ == "ThreadingBackend"


def test_what_is_required_goes_before_what_was_chosen(capsys):
    with parallel_config("loky", n_jobs=2):
        parallel = Parallel(require="sharedmem", verbose=10)
        assert type(parallel._backend).__name__ == "ThreadingBackend"
        assert parallel.n_jobs == 1
        assert Parallel(n_jobs=3, require="sharedmem").n_jobs == 3
    assert capsys.readouterr().out == (
        "Using ThreadingBackend as joblib backend instead of LokyBackend "
        "as the latter does not provide shared memory semantics.\n"
    )


@pytest.mark.parametrize("context", CONTEXTS)
def test_parameters_of_no_backend_are_refused(context):
    with pytest.raises(ValueError, match="Invalid backend: no such"):
        context("no such")
    with pytest.raises(AssertionError, match="ThreadingBackend does not accept setting the inner_max_num_threads"):
        context("threading", inner_max_num_threads=2)
    with pytest.raises(ValueError, match="only supported when backend is a string"):
        context(BACKENDS["threading"](), some=1)


def test_parameters_without_a_backend_are_refused():
    with pytest.raises(ValueError, match="only supported when backend is not None"):
        parallel_config(inner_max_num_threads=1)
    with pytest.raises(ValueError, match="only supported when backend is not None"):
        parallel_config(some=1)


def test_a_timeout_is_no_parameter_of_processes():
    with pytest.raises(ValueError, match="use the `idle_worker_timeout` parameter"):
        Parallel(n_jobs=2, backend="loky")._backend.configure(2, None, timeout=3)


# --- backends of one's own ---


class Futures(ParallelBackendBase):
    """A backend as joblib documents them."""

    supports_retrieve_callback = True
    supports_sharedmem = True

    def __init__(self, nesting_level=None, size=2, **options):
        super().__init__(nesting_level=nesting_level, **options)
        self.size = size

    def effective_n_jobs(self, n_jobs):
        return self.size if n_jobs != 1 else 1

    def configure(self, n_jobs=1, parallel=None, **options):
        self.parallel = parallel
        self.executor = concurrent.futures.ThreadPoolExecutor(self.size)
        return self.effective_n_jobs(n_jobs)

    def submit(self, func, callback=None):
        future = self.executor.submit(func)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out):
        return out.result()

    def terminate(self):
        self.executor.shutdown()


@pytest.fixture
def named(monkeypatch):
    monkeypatch.setitem(BACKENDS, "futures", None)
    register_parallel_backend("futures", Futures)
    return "futures"


def test_a_registered_backend_is_known_by_name(named):
    assert Parallel(n_jobs=2, backend=named)(delayed(square)(i) for i in range(20)) == [i * i for i in range(20)]
    with parallel_config(named, size=3, n_jobs=2):
        parallel = Parallel()
        assert parallel._backend.size == 3
        assert parallel(delayed(square)(i) for i in range(20)) == [i * i for i in range(20)]


def test_a_backend_can_be_given_itself():
    backend = Futures()
    parallel = Parallel(n_jobs=2, backend=backend)
    assert parallel._backend is backend
    assert backend.nesting_level == 0
    with pytest.raises(ZeroDivisionError):
        parallel(delayed(divmod)(1, i) for i in range(3))
    assert parallel(delayed(square)(i) for i in range(5)) == [0, 1, 4, 9, 16]


def test_a_backend_can_become_the_default(named, monkeypatch):
    monkeypatch.setattr(retain.parallel, "DEFAULT_BACKEND", "loky")
    register_parallel_backend(named, Futures, make_default=True)
    assert type(Parallel()._backend) is Futures
    # As programs undo it.
    retain.parallel.DEFAULT_BACKEND = "loky"
    assert type(Parallel()._backend).__name__ == "LokyBackend"


def test_a_backend_may_register_itself_when_it_is_asked_for(monkeypatch):
    def register():
        monkeypatch.setitem(BACKENDS, "later", Futures)

    monkeypatch.setitem(EXTERNAL_BACKENDS, "later", register)
    with parallel_config("later", n_jobs=2):
        assert type(Parallel()._backend) is Futures


def test_a_backend_without_workers_is_refused():
    class None_(BACKENDS["threading"]):
        def configure(self, *args, **kwargs):
            return 0

    with pytest.raises(RuntimeError, match="None_ has no active worker"):
        Parallel(n_jobs=2, backend=None_())(delayed(square)(i) for i in range(2))


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_backends_have_plain_names_too(name):
    kind = {"threads": "ThreadingBackend", "processes": "LokyBackend"}[name]
    assert type(Parallel(n_jobs=2, backend=name)._backend).__name__ == kind


# --- processors ---


def test_jobs_are_counted_from_the_processors():
    assert effective_n_jobs() == effective_n_jobs(-1) == cpu_count()
    assert effective_n_jobs(-cpu_count() - 5) == 1
    assert effective_n_jobs(None) == effective_n_jobs(1) == 1
    assert effective_n_jobs(7) == 7
    with pytest.raises(ValueError, match="n_jobs == 0"):
        effective_n_jobs(0)


def test_processors_are_those_one_may_use(monkeypatch, tmp_path):
    from retain._parallel import cores

    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= cpu_count() <= here
    assert 1 <= cpu_count(only_physical_cores=True) <= here
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(48)), raising=False)
    monkeypatch.setattr(cores, "_CGROUP", str(tmp_path))
    cores._quota.cache_clear()
    cores._logical.cache_clear()
    try:
        assert cpu_count() == 48
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "5")
        assert cpu_count() == cpu_count(only_physical_cores=True) == 5
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "five")
        with pytest.raises(ValueError, match="LOKY_MAX_CPU_COUNT is 'five'"):
            cpu_count()
        monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
        (tmp_path / "cpu.max").write_text("250000 100000\n")
        cores._quota.cache_clear()
        assert cpu_count() == 3
        (tmp_path / "cpu.max").write_text("max 100000\n")
        cores._quota.cache_clear()
        assert cpu_count() == 48
        monkeypatch.setenv("JOBLIB_MULTIPROCESSING", "0")
        assert cpu_count() == 1
    finally:
        cores._logical.cache_clear()
        cores._quota.cache_clear()


def test_physical_cores_are_counted_once_for_all_their_threads(tmp_path):
    from retain._parallel.cores import _cores_of

    text = "".join(f"processor : {i}\nphysical id : {i // 4}\ncore id : {i % 2}\n\n" for i in range(8))
    (tmp_path / "cpuinfo").write_text(text)
    assert _cores_of(str(tmp_path / "cpuinfo")) == 4
    assert _cores_of(str(tmp_path / "none")) == 0


def test_libraries_in_workers_share_the_processors(monkeypatch):
    from retain._parallel.pools import thread_budget

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("retain._parallel.pools.cpu_count", lambda: 8)
    assert thread_budget(2, None)["OMP_NUM_THREADS"] == "4"
    assert thread_budget(16, None)["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_budget(2, None)["OMP_NUM_THREADS"] == "3"
    assert {thread_budget(2, 5)[name] for name in ParallelBackendBase.MAX_NUM_THREADS_VARS} == {"5"}


# --- objects that are pickled by value ---


def test_wrapped_objects_are_used_as_they_are():
    import pickle

    offset = 3
    wrapped = retain.wrap_non_picklable_objects(lambda x: x + offset)
    assert wrapped(1) == 4
    assert pickle.loads(pickle.dumps(wrapped))(2) == 5
    bare = retain.wrap_non_picklable_objects(lambda x: x + offset, keep_wrapper=False)
    assert type(pickle.loads(pickle.dumps(bare))).__name__ == "function"


def test_the_instances_of_a_wrapped_class_are_wrapped():
    import pickle

    @retain.wrap_non_picklable_objects
    class Local:
        def __init__(self, value):
            self.value = value

        def __call__(self, x):
            return self.value + x

    again = pickle.loads(pickle.dumps(Local(3)))
    assert again.value == 3
    assert again(4) == 7
    assert Local.__name__ == "Local"


# --- worker processes ---


class Workers:
    """In the place of a pool of worker processes."""

    made: ClassVar[list] = []

    def __init__(self, n_jobs, environment, *, memory_limit, idle, spawns):
        self.n_jobs, self.environment, self.memory_limit, self.idle = n_jobs, environment, memory_limit, idle
        self.spawns = spawns
        self.is_shut = False
        self.made.append(self)

    def grow(self, n_jobs):
        self.n_jobs = max(self.n_jobs, n_jobs)

    def shutdown(self):
        self.is_shut = True


@pytest.fixture
def pools(monkeypatch):
    import types

    from retain._parallel import pools

    fake = types.ModuleType("retain._parallel.processes")
    fake.pool = Workers
    monkeypatch.setitem(sys.modules, "retain._parallel.processes", fake)
    monkeypatch.setattr(retain._parallel, "processes", fake, raising=False)
    monkeypatch.setattr(pools, "_kept", type(pools._kept)())
    monkeypatch.setattr(Workers, "made", [])
    monkeypatch.setattr(pools, "cpu_count", lambda: 4)
    for name in ParallelBackendBase.MAX_NUM_THREADS_VARS:
        monkeypatch.delenv(name, raising=False)
    return pools


def test_workers_start_when_a_parallel_is_made_and_serve_the_next(pools):
    Parallel(n_jobs=4)
    assert len(Workers.made) == 1
    Parallel(n_jobs=4)
    Parallel(n_jobs=3)  # as many threads each as with 4 jobs
    assert [(made.n_jobs, made.environment["OMP_NUM_THREADS"]) for made in Workers.made] == [(4, "1")]
    Parallel(n_jobs=2)
    assert [made.environment["OMP_NUM_THREADS"] for made in Workers.made] == ["1", "2"]
    Parallel(n_jobs=2, backend="threading")
    Parallel(n_jobs=1)
    assert len(Workers.made) == 2


def test_workers_are_not_shared_between_configurations(pools, monkeypatch):
    Parallel(n_jobs=4)
    Parallel(n_jobs=4, memory_limit="2G")
    Parallel(n_jobs=4, initializer=square, initargs=(1,))
    assert [made.memory_limit for made in Workers.made] == [None, 2 << 30, None]
    Parallel(n_jobs=4, initializer=square, initargs=(1,))
    Parallel(n_jobs=4, idle_worker_timeout=300)
    assert len(Workers.made) == 3
    Parallel(n_jobs=4, initializer=square, initargs=(2,))
    assert len(Workers.made) == 4
    Parallel(n_jobs=4, idle_worker_timeout=3)
    assert Workers.made[-1].idle == 3
    with parallel_config("loky", inner_max_num_threads=3, n_jobs=4):
        Parallel()
    assert Workers.made[-1].environment["MKL_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    Parallel(n_jobs=4)
    assert Workers.made[-1].environment["OMP_NUM_THREADS"] == "7"
    assert len(pools._kept) == 4


def test_workers_are_not_shared_between_start_methods(pools, monkeypatch):
    def spawns(**options):
        Parallel(n_jobs=4, **options)
        return [made.spawns for made in Workers.made]

    assert spawns() == [False]
    assert spawns(context=multiprocessing.get_context("forkserver")) == [False]
    assert spawns(context=multiprocessing.get_context("spawn")) == [False, True]
    assert spawns(backend=multiprocessing.get_context("spawn")) == [False, True]
    monkeypatch.setenv("JOBLIB_START_METHOD", "spawn")
    assert spawns(backend="multiprocessing") == [False, True]
    assert spawns() == [False, True]


def test_workers_are_started_by_no_worker(pools, monkeypatch):
    from retain._parallel import config

    monkeypatch.setattr(config, "worker_of", "LokyBackend")
    Parallel(n_jobs=4)
    assert Workers.made == []


def test_all_workers_can_be_ended(pools):
    Parallel(n_jobs=4)
    pools.shutdown()
    assert Workers.made[0].is_shut
    Parallel(n_jobs=4)
    assert len(Workers.made) == 2


def test_processes_are_not_nested_without_end(pools, monkeypatch):
    monkeypatch.setenv("RETAIN_DEPTH", "10")
    with pytest.raises(RuntimeError, match="Processes are nested 10 deep"):
        Parallel(n_jobs=2)(delayed(square)(i) for i in range(2))
