"""What holds on each cluster, whatever it is made of."""

import operator
import os
import threading

import numpy as np
import pytest
from retain import Parallel, delayed, map_async, parallel_config
from retain._parallel.terminated import TerminatedWorkerError


def raises(number):
    if number == 3:
        raise ValueError("three is refused", number)
    return number


def dies(number):
    if number == 2:
        os._exit(3)
    return number


class Promises:
    """The tests; a child says which cluster with `backend`, and has it running."""

    backend = ""

    def parallel(self, **options):
        return Parallel(backend=self.backend, **options)

    def test_results_come_in_order(self):
        parallel = self.parallel()
        assert parallel(delayed(operator.mul)(i, i) for i in range(100)) == [i * i for i in range(100)]
        assert parallel.stats().completed == 100

    def test_tasks_run_in_workers(self):
        assert os.getpid() not in self.parallel()(delayed(os.getpid)() for _ in range(4))

    def test_closures_travel(self):
        offset = 5
        assert self.parallel()(delayed(lambda x: x + offset)(i) for i in range(3)) == [5, 6, 7]

    def test_generators_give_results_as_they_come(self):
        assert list(self.parallel(return_as="generator")(delayed(abs)(-i) for i in range(20))) == list(range(20))

    def test_an_exception_keeps_its_type_and_remote_traceback(self):
        with pytest.raises(ValueError, match="three is refused") as caught:
            self.parallel()(delayed(raises)(i) for i in range(6))
        assert caught.value.args == ("three is refused", 3)
        assert "in raises" in str(caught.value.__cause__)

    def test_a_failure_can_be_a_result(self):
        found = self.parallel(on_error="return")(delayed(raises)(i) for i in range(5))
        assert found[:3] + found[4:] == [0, 1, 2, 4]
        assert isinstance(found[3], ValueError)

    def test_a_large_array_is_put_once_and_cannot_be_changed_by_a_task(self):
        array = np.arange(300_000.0)

        def look(number, nested):
            held = nested["array"]
            return float(held[number] + array[number]), held.flags.writeable

        parallel = self.parallel(batch_size=1)
        found = parallel(delayed(look)(i, {"array": array}) for i in range(6))
        assert found == [(2.0 * i, False) for i in range(6)]
        assert parallel.stats().shared_bytes == array.nbytes
        parallel = self.parallel(max_nbytes=None)
        parallel(delayed(look)(i, {"array": array}) for i in range(2))
        assert parallel.stats().shared_bytes == 0

    def test_an_array_that_changes_between_tasks_is_put_again(self):
        array = np.zeros(300_000)

        def tasks():
            for number in range(4):
                array[:] = number
                yield delayed(np.max)(array)

        assert self.parallel(batch_size=1)(tasks()) == [0, 1, 2, 3]

    def test_large_results_come_back_writable(self):
        for found in self.parallel()(delayed(np.zeros)(300_000) for _ in range(2)):
            found[:] = 1
            assert found.sum() == 300_000

    def test_what_cannot_be_pickled_is_told_so(self):
        import pickle

        with pytest.raises(pickle.PicklingError, match="task"):
            self.parallel()([delayed(abs)(threading.Lock())])
        with pytest.raises(pickle.PicklingError, match="result"):
            self.parallel()([delayed(threading.Lock)()])

    def test_a_parallel_inside_a_task_runs(self):
        def inner(count):
            return sum(Parallel(n_jobs=2)(delayed(abs)(i) for i in range(count)))

        assert self.parallel()(delayed(inner)(count) for count in (2, 3, 4)) == [1, 3, 6]

    def test_a_task_that_takes_too_long_fails_alone(self):
        import multiprocessing
        import time

        # Workers that must be started first would count.
        self.parallel(batch_size=1)(delayed(time.sleep)(0.1) for _ in range(4))
        found = self.parallel(task_timeout=3, on_error="return")([delayed(time.sleep)(s) for s in (0, 8)])
        assert found[0] is None
        assert isinstance(found[1], multiprocessing.TimeoutError)

    def test_it_can_be_chosen_for_a_block(self):
        with parallel_config(backend=self.backend):
            assert Parallel()(delayed(abs)(-i) for i in range(3)) == [0, 1, 2]

    def test_it_can_be_awaited(self):
        import asyncio

        async def main():
            return await map_async(abs, [-1, -2], backend=self.backend)

        assert asyncio.run(main()) == [1, 2]


class Deaths:
    """The last of the tests: a cluster takes its time until it has all of its workers again."""

    backend = ""

    def test_a_dead_worker_costs_its_task_alone(self):
        # One at a time: a cluster may blame those that wait on the same worker as well.
        parallel = Parallel(n_jobs=1, backend=self.backend, on_error="return", batch_size=1)
        found = parallel(delayed(dies)(i) for i in range(4))
        assert found[:2] + found[3:] == [0, 1, 3]
        assert isinstance(found[2], TerminatedWorkerError)
        assert "dies(2)" in str(found[2])
