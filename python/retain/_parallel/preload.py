"""What workers have imported before they are asked to."""

from __future__ import annotations

import sys
from types import ModuleType

# Not to be imported before a fork: they start threads, or refuse to work after one.
_NEVER = {"jax", "jaxlib", "tensorflow", "torch", "IPython", "ipykernel", "pytest", "_pytest", "retain", "__main__"}


def names() -> list[str]:
    """Return the modules that the program's own code uses, as far as they can be imported again."""
    wanted = dict.fromkeys(["numpy"] if "numpy" in sys.modules else [])
    main = sys.modules.get("__main__")
    for value in list(vars(main).values()) if main is not None else []:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            wanted[name] = None
    return [name for name in wanted if _importable(name)]


def _importable(name: str) -> bool:
    if name.partition(".")[0] in _NEVER or name in sys.builtin_module_names:
        return False
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.name == name and spec.has_location


def load(wanted: list[str]) -> None:
    """Import modules; what cannot be is left to the tasks that need it."""
    for name in wanted:
        try:
            __import__(name)
        except BaseException:  # noqa: BLE001, S110 - the task that needs it will tell
            pass
