"""The names of ``joblib.parallel``, for programs that import from it or assign to it."""

from __future__ import annotations

from retain._parallel.backends import (
    FallbackToBackend,
    LokyBackend,
    MultiprocessingBackend,
    ParallelBackendBase,
    SequentialBackend,
    ThreadingBackend,
)
from retain._parallel.batches import BatchedCalls
from retain._parallel.batching import AutoBatchingMixin
from retain._parallel.callbacks import BatchCompletionCallBack
from retain._parallel.config import DEFAULTS as default_parallel_config  # noqa: N811
from retain._parallel.config import (
    Default,
    effective_n_jobs,
    get_active_backend,
    parallel_backend,
    parallel_config,
)
from retain._parallel.cores import cpu_count, multiprocessing_allowed
from retain._parallel.expressions import eval_expr
from retain._parallel.parallel import Parallel
from retain._parallel.registry import (
    BACKENDS,
    DEFAULT_BACKEND,
    DEFAULT_PROCESS_BACKEND,
    DEFAULT_THREAD_BACKEND,
    EXTERNAL_BACKENDS,
    MAYBE_AVAILABLE_BACKENDS,
    register_parallel_backend,
)
from retain._parallel.underneath import RetainBackend
from retain._retain import delayed

if multiprocessing_allowed():
    import multiprocessing as mp
else:
    mp = None  # type: ignore[assignment]

VALID_BACKEND_HINTS = ("processes", "threads", None)
VALID_BACKEND_CONSTRAINTS = ("sharedmem", None)
DEFAULT_MP_CONTEXT = None

__all__ = [
    "BACKENDS",
    "DEFAULT_BACKEND",
    "DEFAULT_MP_CONTEXT",
    "DEFAULT_PROCESS_BACKEND",
    "DEFAULT_THREAD_BACKEND",
    "EXTERNAL_BACKENDS",
    "MAYBE_AVAILABLE_BACKENDS",
    "VALID_BACKEND_CONSTRAINTS",
    "VALID_BACKEND_HINTS",
    "AutoBatchingMixin",
    "BatchCompletionCallBack",
    "BatchedCalls",
    "Default",
    "FallbackToBackend",
    "LokyBackend",
    "MultiprocessingBackend",
    "Parallel",
    "ParallelBackendBase",
    "RetainBackend",
    "SequentialBackend",
    "ThreadingBackend",
    "cpu_count",
    "default_parallel_config",
    "delayed",
    "effective_n_jobs",
    "eval_expr",
    "get_active_backend",
    "mp",
    "parallel_backend",
    "parallel_config",
    "register_parallel_backend",
]
