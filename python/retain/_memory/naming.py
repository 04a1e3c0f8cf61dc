"""The names under which the results of functions are kept, for people."""

from __future__ import annotations

import inspect
import os
import re
from functools import partial
from types import MethodType
from typing import Any

_LONGEST = 200
_CELL = re.compile(r"[/\\]ipykernel_\d+[/\\]|<ipython-input-")


def function_name(function: Any) -> str:
    """
    Return the name of a function: its module, and its qualified name within.

    Functions of a script have the path of the script in place of `__main__`, those of a notebook the notebook's, where
    it is known. The name is a label: who a function is, its identity tells.
    """
    function = _named(function)
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if not isinstance(name, str):
        module, name = type(function).__module__, type(function).__qualname__
    if module in {"__main__", "__mp_main__"}:
        module = _main(function)
    whole = f"{module}.{name}" if isinstance(module, str) and module else name
    return whole if len(whole) <= _LONGEST else _shortened(whole)


def short_name(function: Any) -> str:
    """Return the last part of a function's name."""
    function = _named(function)
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _named(function: Any) -> Any:
    # What a partial or a method is named after.
    while isinstance(function, (partial, MethodType)):
        function = function.func if isinstance(function, partial) else function.__func__
    return function


def _main(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    filename = getattr(code, "co_filename", "") or ""
    if _CELL.search(filename):
        namespace = getattr(function, "__globals__", {})
        notebook = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "notebook"
        return f"__main__-{_joined(str(notebook))}"
    if not filename or filename.startswith("<"):
        return "__main__"
    return f"__main__-{_joined(os.path.abspath(filename))}"


def _joined(path: str) -> str:
    stem, extension = os.path.splitext(path)
    return re.sub(r"[/\\]+", "-", stem if extension in {".py", ".ipynb"} else path)


def _shortened(name: str) -> str:
    # Enough of both ends to recognise it, and a digest of all.
    from retain._retain import hash as digest

    return f"{name[:120]}...{digest(name)[:12]}...{name[-50:]}"
