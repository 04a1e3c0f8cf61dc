"""The process that workers are forked from: one thread, and imported what they need."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from retain import _retain


def main(wanted: list[str]) -> None:
    """Fork workers as they are asked for, until the program is gone."""
    # Ctrl-C reaches all processes of a terminal: the program tells what becomes of these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is imported here stays for good: to look for garbage among it takes longer than all of it is worth.
    gc.disable()
    from retain import _retain

    server = _retain.ZygoteServer()
    from retain._parallel.preload import load

    load(wanted)
    # With what a worker needs for its first run.
    from retain._parallel import backends, config, variables, worker  # noqa: F401

    gc.freeze()
    gc.enable()
    # If the program is gone while it is spoken to, its workers are dead by then.
    with suppress(OSError):
        _serve(server, worker.main)


def _serve(server: _retain.ZygoteServer, work: Callable[[int, int], None]) -> None:
    while (request := server.wait()) is not None:
        index, socket = request
        try:
            pid = os.fork()
        except OSError:
            pid = -1
        if pid == 0:
            server.close()
            _work(work, index, socket)
        os.close(socket)
        server.started(index, max(pid, 0))


def _work(work: Callable[[int, int], None], index: int, socket: int) -> None:
    code = 1
    try:
        work(index, socket)
        code = 0
    except OSError:
        # The program is gone, or this worker was ended.
        pass
    except BaseException:  # noqa: BLE001 - the process ends here in any case
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
