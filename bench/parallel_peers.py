"""Who makes workers do something in bench/parallel.py."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import retain

WORKERS = 2


class Joblib:
    """joblib and retain are called alike."""

    def __init__(self, library, **options):
        self.options = {"n_jobs": WORKERS, **options}
        self.library = library

    def __call__(self, function, items, **options):
        delayed = self.library.delayed(function)
        return self.library.Parallel(**self.options, **options)(delayed(item) for item in items)

    def close(self):
        pass


class Kept(Joblib):
    """Workers that joblib would else end after each call."""

    def __init__(self, library, **options):
        super().__init__(library, **options)
        self.parallels = {}

    def __call__(self, function, items, **options):
        key = tuple(options.items())
        if key not in self.parallels:
            self.parallels[key] = self.library.Parallel(**self.options, **options).__enter__()
        delayed = self.library.delayed(function)
        return self.parallels[key](delayed(item) for item in items)

    def close(self):
        for each in self.parallels.values():
            each.__exit__(None, None, None)


class Executor:
    """concurrent.futures; `batch_size=1` is a chunk for each task, else there are 8 chunks."""

    def __init__(self, kind, **options):
        self.executor = kind(WORKERS, **options)

    def __call__(self, function, items, batch_size=None, **options):
        chunk = 1 if batch_size == 1 or isinstance(self.executor, ThreadPoolExecutor) else max(1, len(items) // 8)
        return list(self.executor.map(function, items, chunksize=chunk))

    def close(self):
        self.executor.shutdown()


def processes():
    """The peers that have processes. Executors are forked now, before there are threads."""
    return {
        "executor": Executor(ProcessPoolExecutor),
        "retain": Joblib(retain),
        "loky": Joblib(joblib),
        "multiprocessing": Kept(joblib, backend="multiprocessing"),
    }


def threads():
    return {
        "executor": Executor(ThreadPoolExecutor),
        "retain": Joblib(retain, backend="threading"),
        "loky": Joblib(joblib, backend="threading"),
    }
