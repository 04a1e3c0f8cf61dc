"""What is raised where a worker process died."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool


class TerminatedWorkerError(BrokenProcessPool):
    """
    The process that ran a task died of it.

    The results of all other tasks are kept, and another process took its place.
    """
