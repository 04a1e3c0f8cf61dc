"""The process that workers are forked from: one thread, and imported what they need."""

from __future__ import annotations

import gc
import os
import signal
import sys


def main(wanted: list[str]) -> None:
    """Fork workers as they are asked for, until the program is gone."""
    # Ctrl-C reaches all processes of a terminal: the program tells what becomes of these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from retain import _retain

    server = _retain.ZygoteServer()
    from retain._parallel.preload import load

    load(wanted)
    from retain._parallel import worker

    gc.collect()
    gc.freeze()
    while (request := server.wait()) is not None:
        index, socket = request
        try:
            pid = os.fork()
        except OSError:
            pid = 0
            os.close(socket)
            server.started(index, pid)
            continue
        if pid == 0:
            server.close()
            _work(worker.main, index, socket)
        os.close(socket)
        server.started(index, pid)


def _work(work: object, index: int, socket: int) -> None:
    code = 1
    try:
        work(index, socket)  # type: ignore[operator]
        code = 0
    except BaseException:  # noqa: BLE001 - the process ends here in any case
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
