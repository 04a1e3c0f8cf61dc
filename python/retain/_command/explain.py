"""
Tell who a function is: its code and all that it reads and calls. With a memory: why a call of it would miss.

The function's module is imported, from this folder or from where Python finds modules. A function that `Memory.cache`
made is looked up in its own memory; another one, or another memory, with --store. The call's arguments are Python, as
between the parentheses of the call, and may use the names of the function's module.
"""

from __future__ import annotations

from retain._command import GOOD, NOT_GOOD, ComplaintError, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

SUMMARY = "tell what makes up a function's identity, or why a call would miss"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("function", metavar="MODULE:FUNCTION", help="such as package.module:function or module:Class.f")
    parser.add_argument("--call", metavar="ARGUMENTS", help="what it would be called with, such as \"3, 'EUR', n=1\"")
    parser.add_argument("--store", metavar="DIR", help="what Memory would be given as its location")
    parser.add_argument("--key", metavar="FILE", help="the file that holds the key of a memory that was given one")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Run the verb."""
    module, function = _found(options.function)
    if options.call is None:
        return _identity(function, options.json)
    if options.store is not None:
        function = _memorized(function, options)
    if not hasattr(function, "check_call_in_cache"):
        raise ComplaintError(f"{options.function}: is not memorized; by which memory would it be? (--store DIR)")
    args, kwargs = _arguments(options.call, vars(module))
    try:
        told = function.explain(*args, **kwargs)
    except (TypeError, ValueError) as error:
        # Other arguments than it takes, or some that cannot be told from others.
        raise ComplaintError(str(error)) from error
    if options.json:
        print_json(told.as_dict())
    else:
        print(told)
    return GOOD if told.would_hit else NOT_GOOD


def _found(name: str) -> tuple[Any, Any]:
    """Return the module and the function that a text such as ``module:Class.function`` names."""
    import os
    import sys
    from importlib import import_module

    module_name, _, path = name.partition(":")
    if not path or not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise ComplaintError(f"{name}: a function is told as package.module:function")
    # As `python -m` has it.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
    except ImportError:
        raise
    except Exception as error:
        raise ComplaintError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ComplaintError(f"{name}: {module_name} has no {path}") from None
    if not callable(found):
        raise ComplaintError(f"{name}: is no function, but of the type {type(found).__name__}")
    return module, found


def _memorized(function: Any, options: Namespace) -> Any:
    """Return the function as a memory in that folder would have it."""
    import retain
    from retain._command.store import key_in, located

    if hasattr(function, "check_call_in_cache"):
        # Made anew, it would lack what it was given besides.
        raise ComplaintError(f"{options.function}: has a memory of its own: leave out --store")
    located(options.store)
    key = None if options.key is None else key_in(options.key)
    return retain.Memory(options.store, verbose=0, key=key).cache(function)


def _arguments(text: str, names: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def taken(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    try:
        # The user's own words, about the user's own module, which has just been run.
        found: tuple[tuple[Any, ...], dict[str, Any]] = eval(f"_taken({text}\n)", {**names, "_taken": taken})  # noqa: S307
    except Exception as error:
        raise ComplaintError(f"--call {text!r}: {type(error).__name__}: {error}") from error
    return found


def _identity(function: Any, as_json: bool) -> int:
    from retain._explain import lines
    from retain._retain import identity

    settings = getattr(function, "_settings", None)
    try:
        if settings is None:
            found = identity(function)
        else:
            found = identity(function.func, settings.track, settings.depends, settings.version)
    except (TypeError, ValueError) as error:
        raise ComplaintError(str(error)) from error
    if as_json:
        print_json(
            {"name": found.name, "digest": found.digest, "unresolved": list(found.unresolved), "tree": [*lines(found)]}
        )
    else:
        for line in lines(found):
            print(line)
    return GOOD
