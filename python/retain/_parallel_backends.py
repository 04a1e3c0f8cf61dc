"""The names of ``joblib._parallel_backends``, which backends of others are made from."""

from __future__ import annotations

from retain._parallel.backends import (
    FallbackToBackend,
    LokyBackend,
    MultiprocessingBackend,
    ParallelBackendBase,
    SequentialBackend,
    ThreadingBackend,
    inside_dask_worker,
)
from retain._parallel.batching import AutoBatchingMixin, PoolManagerMixin, SafeFunction
from retain._parallel.cores import cpu_count
from retain.parallel import mp

__all__ = [
    "AutoBatchingMixin",
    "FallbackToBackend",
    "LokyBackend",
    "MultiprocessingBackend",
    "ParallelBackendBase",
    "PoolManagerMixin",
    "SafeFunction",
    "SequentialBackend",
    "ThreadingBackend",
    "cpu_count",
    "inside_dask_worker",
    "mp",
]
