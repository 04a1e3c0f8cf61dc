"""Backends that others wrote for joblib run the tasks of a `Parallel`."""

import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import joblib
import joblib.parallel
import numpy as np
import pytest
import retain.parallel
from retain import Parallel, ParallelBackendBase, delayed, parallel_config, register_parallel_backend


class Recording:
    """What both kinds of backends below have in common."""

    def note(self, *what):
        self.__dict__.setdefault("log", []).append(what)

    def effective_n_jobs(self, n_jobs):
        return 2 if n_jobs is None or n_jobs < 0 else n_jobs

    def configure(self, n_jobs=1, parallel=None, **options):
        self.parallel = parallel
        self.note("configure", n_jobs)
        self.pool = ThreadPoolExecutor(n_jobs)
        return self.effective_n_jobs(n_jobs)

    def start_call(self):
        self.note("start_call")

    def stop_call(self):
        self.note("stop_call")

    def terminate(self):
        self.note("terminate")
        self.pool.shutdown()

    def abort_everything(self, ensure_ready=True):
        self.note("abort_everything", ensure_ready)

    def submit(self, func, callback=None):
        self.note("submit", list(func.items))
        future = self.pool.submit(func)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out):
        return out.result()

    def batch_completed(self, batch_size, duration):
        self.note("batch_completed", batch_size)
        assert duration >= 0

    def logged(self, what):
        return [entry[1:] for entry in self.log if entry[0] == what]


class Own(Recording, ParallelBackendBase):
    supports_retrieve_callback = True


class Joblibs(Recording, joblib.parallel.ParallelBackendBase):
    supports_retrieve_callback = True


class Older(joblib.parallel.ParallelBackendBase):
    """A backend from before results came with the callback: they are asked for in the order of submission."""

    supports_timeout = True

    def effective_n_jobs(self, n_jobs):
        return 2

    def configure(self, n_jobs=1, parallel=None, **options):
        self.pool = ThreadPool(2)
        return 2

    def terminate(self):
        self.pool.terminate()

    def apply_async(self, func, callback=None):
        # A pool of this kind does not call back for failures.
        return self.pool.apply_async(func, callback=callback)

    def submit(self, func, callback=None):
        return self.apply_async(func, callback)


def raises(number):
    if number == 3:
        raise ValueError("refused", number)
    return number


@pytest.fixture(params=[Own, Joblibs, Older])
def backend(request):
    return request.param()


def test_results_come_in_order(backend):
    assert Parallel(n_jobs=2, backend=backend)(delayed(abs)(-i) for i in range(40)) == list(range(40))


def test_the_first_failure_is_raised(backend):
    with pytest.raises(ValueError, match="refused"):
        Parallel(n_jobs=2, backend=backend)(delayed(raises)(i) for i in range(6))


def test_failures_can_stand_for_results(backend):
    found = Parallel(n_jobs=2, backend=backend, on_error="return")(delayed(raises)(i) for i in range(5))
    assert found[:3] + found[4:] == [0, 1, 2, 4]
    assert found[3].args == ("refused", 3)


def test_failed_tasks_are_tried_again(backend):
    attempts = []

    def flaky(number):
        attempts.append(number)
        if number == 1 and attempts.count(1) < 2:
            raise OSError("not yet")
        return number

    assert Parallel(n_jobs=2, backend=backend, retries=1)(delayed(flaky)(i) for i in range(3)) == [0, 1, 2]
    assert sorted(attempts) == [0, 1, 1, 2]


@pytest.mark.parametrize("kind", [Own, Joblibs])
def test_a_backend_is_told_of_the_call_as_joblib_tells_it(kind):
    backend = kind()
    Parallel(n_jobs=2, backend=backend, batch_size=2)(delayed(abs)(i) for i in range(6))
    assert [entry[0] for entry in backend.log[:2]] == ["configure", "start_call"]
    assert [entry[0] for entry in backend.log[-2:]] == ["stop_call", "terminate"]
    assert sum(size for (size,) in backend.logged("batch_completed")) == 6
    batches = backend.logged("submit")
    assert [len(items) for (items,) in batches] == [2, 2, 2]
    assert [args for (items,) in batches for _, args, _ in items] == [(i,) for i in range(6)]


@pytest.mark.parametrize("kind", [Own, Joblibs])
def test_a_failure_aborts_what_the_backend_has(kind):
    backend = kind()
    with pytest.raises(ValueError, match="refused"):
        Parallel(n_jobs=2, backend=backend)(delayed(raises)(i) for i in range(6))
    assert backend.logged("abort_everything") == [(False,)]
    with Parallel(n_jobs=2, backend=backend) as parallel:
        with pytest.raises(ValueError, match="refused"):
            parallel(delayed(raises)(i) for i in range(6))
        assert backend.logged("abort_everything")[-1] == (True,)
        assert parallel(delayed(abs)(i) for i in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("kind", [Own, Joblibs])
def test_the_backend_chooses_the_size_of_batches(kind):
    class Sized(kind):
        def compute_batch_size(self):
            return 5

    backend = Sized()
    assert Parallel(n_jobs=2, backend=backend)(delayed(abs)(i) for i in range(100)) == list(range(100))
    sizes = [len(items) for (items,) in backend.logged("submit")]
    assert sum(sizes) == 100
    assert max(sizes) == 5


def test_a_registered_backend_is_known_by_name():
    made = []

    def factory(**options):
        made.append(options)
        return Own(**{name: value for name, value in options.items() if name != "region"})

    register_parallel_backend("own-for-a-test", factory)
    try:
        assert Parallel(n_jobs=2, backend="own-for-a-test")(delayed(abs)(i) for i in range(3)) == [0, 1, 2]
        with parallel_config(backend="own-for-a-test", region="north", n_jobs=2):
            assert Parallel()(delayed(abs)(i) for i in range(3)) == [0, 1, 2]
    finally:
        del retain.parallel.BACKENDS["own-for-a-test"]
    assert made[0]["nesting_level"] == 0
    assert made[1] == {"region": "north"}


def test_joblibs_own_processes_run_tasks():
    from joblib._parallel_backends import LokyBackend
    from joblib.externals.loky import get_reusable_executor

    offset = 5
    try:
        parallel = Parallel(n_jobs=2, backend=LokyBackend(), max_nbytes=1000)
        assert parallel(delayed(lambda x: x + offset)(i) for i in range(4)) == [5, 6, 7, 8]
        # Its pickler still has its way with arrays.
        kinds = parallel(delayed(lambda array: type(array).__name__)(np.ones(1000)) for _ in range(2))
        assert kinds == ["memmap", "memmap"]
        with pytest.raises(ValueError, match="refused"):
            parallel(delayed(raises)(i) for i in range(6))
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def test_batches_that_are_lost_are_errors_and_no_hang():
    class Losing(Own):
        def submit(self, func, callback=None):
            # Neither is the callback called, nor does the future succeed.
            future = Future()
            future.set_exception(ConnectionError("the cluster is gone"))
            return future

    with pytest.raises(ConnectionError, match="the cluster is gone"):
        Parallel(n_jobs=2, backend=Losing())(delayed(abs)(i) for i in range(3))


def test_a_submit_that_raises_is_a_failure_of_its_tasks():
    class Refusing(Own):
        def submit(self, func, callback=None):
            if func.items[0][1] == (1,):
                raise OSError("no room")
            return super().submit(func, callback)

    found = Parallel(n_jobs=2, backend=Refusing(), batch_size=1, on_error="return")(delayed(abs)(i) for i in range(3))
    assert [found[0], type(found[1]), found[2]] == [0, OSError, 2]


def test_the_iterable_is_advanced_by_the_caller_alone(backend):
    seen = set()

    def tasks():
        for i in range(30):
            seen.add(threading.get_ident())
            yield delayed(abs)(i)

    Parallel(n_jobs=2, backend=backend)(tasks())
    assert seen == {threading.get_ident()}


def test_a_completion_callback_of_ones_own_is_called_for_each_batch(monkeypatch):
    done = []

    class Counting(retain.parallel.BatchCompletionCallBack):
        def __call__(self, *args, **kwargs):
            done.append(self.batch_size)
            return super().__call__(*args, **kwargs)

    monkeypatch.setattr(retain.parallel, "BatchCompletionCallBack", Counting)
    assert Parallel(n_jobs=2, backend=Own(), batch_size=3)(delayed(abs)(i) for i in range(8)) == list(range(8))
    assert sum(done) == 8


def test_results_are_the_same_as_joblibs(backend):
    tasks = [(pow, (i, 3), {}) for i in range(25)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = joblib.Parallel(n_jobs=2, backend="threading")(tasks)
    assert Parallel(n_jobs=2, backend=backend)(tasks) == expected


def test_giving_a_generator_up_leaves_no_task_behind():
    backend = Own()
    results = Parallel(n_jobs=2, backend=backend, return_as="generator")(delayed(abs)(i) for i in range(1000))
    assert next(results) == 0
    with pytest.warns(UserWarning, match="tasks"):
        results.close()
    assert backend.logged("abort_everything")
    assert backend.log[-1] == ("terminate",)
