"""How many processors there are for this process."""

from __future__ import annotations

import os
import sys
from functools import cache
from math import ceil

_CGROUP = "/sys/fs/cgroup"

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""How libraries are told how many threads they may use."""

WORKER_VARIABLES = (*THREAD_VARIABLES, "ENABLE_IPC", "KMP_INIT_AT_FORK")
"""What the environment of worker processes has of its own, whatever the program's has."""


def multiprocessing_allowed() -> bool:
    """Whether ``JOBLIB_MULTIPROCESSING=0`` does not forbid other processes."""
    return os.environ.get("JOBLIB_MULTIPROCESSING", "").strip() != "0"


def cpu_count(only_physical_cores: bool = False) -> int:
    """
    Return how many processors this process may use.

    The least of what the machine has, what the process is bound to, the quota of its control group, and the
    environment variable ``LOKY_MAX_CPU_COUNT``.

    Parameters
    ----------
    only_physical_cores : bool, default False
        Count cores, not their hardware threads. What the user allowed goes before it.

    Returns
    -------
    int
        At least 1.
    """
    if not multiprocessing_allowed():
        return 1
    logical = _logical()
    allowed = max(1, min(_bound_to(logical), _quota(logical), _told(logical)))
    if not only_physical_cores or allowed < logical:
        return allowed
    return _physical() or allowed


@cache
def _logical() -> int:
    # The system reads a file for it, each time.
    return os.cpu_count() or 1


def _told(logical: int) -> int:
    told = os.environ.get("LOKY_MAX_CPU_COUNT", "")
    try:
        return int(told) if told else logical
    except ValueError:
        raise ValueError(f"LOKY_MAX_CPU_COUNT is {told!r}, but must be a whole number") from None


def _bound_to(logical: int) -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError, NotImplementedError):
        return logical


@cache
def _quota(logical: int) -> int:
    """Return the quota of the control group: version 2, then 1."""
    found = _words(f"{_CGROUP}/cpu.max")
    if len(found) != 2:
        found = _words(f"{_CGROUP}/cpu/cpu.cfs_quota_us") + _words(f"{_CGROUP}/cpu/cpu.cfs_period_us")
    try:
        quota, period = int(found[0]), int(found[1])
    except (IndexError, ValueError):
        return logical
    return ceil(quota / period) if quota > 0 and period > 0 else logical


def _words(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except (OSError, ValueError):
        return []


@cache
def _physical() -> int:
    """Return the number of physical cores; 0 if it cannot be told."""
    platform: str = sys.platform
    if platform != "darwin":
        return _cores_of("/proc/cpuinfo")
    import subprocess

    try:
        told = subprocess.run(["/usr/sbin/sysctl", "-n", "hw.physicalcpu"], capture_output=True, check=True)
        return int(told.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _cores_of(path: str) -> int:
    cores: set[tuple[str, str]] = set()
    package = ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "physical id":
                    package = value.strip()
                elif name.strip() == "core id":
                    cores.add((package, value.strip()))
    except OSError:
        return 0
    return len(cores)
