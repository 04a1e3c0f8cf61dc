"""`memoize`: everything that `functools.lru_cache` lacks."""

from __future__ import annotations

import sys
from functools import update_wrapper

from retain._memo import HELPERS
from retain._retain import memoize_wrapper
from retain._rules import UNSET, rules, seconds
from retain._rules import function as checked_function

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def memoize(
    function: Any = None,
    /,
    *,
    maxsize: int | None = UNSET,
    policy: str = "s3fifo",
    ttl: Any = None,
    ttl_jitter: float = 0.0,
    time_to_idle: Any = None,
    stale_while_revalidate: Any = None,
    max_bytes: int | None = None,
    weigher: Callable[[Any], float] | None = None,
    key: Callable[..., Any] | None = None,
    typed: bool = True,
    ignore: Iterable[str] = (),
    single_flight: bool = True,
    cache_exceptions: tuple[Any, Any] | None = None,
    copy: Any = None,
    on_evict: Callable[[Any, Any, str], Any] | None = None,
) -> Any:
    """
    Keep the results of a function, method or ``async def`` in memory.

    Use it bare, ``@memoize``, or with options, ``@memoize(ttl=60)``. Arguments are bound by the function's signature:
    the order of keywords, and defaults spelled out or left out, make no difference. Those that cannot be hashed, such
    as lists, dicts and arrays, are told apart by their content.

    Parameters
    ----------
    maxsize : int or None, default 1024
        The most results kept; ``None`` for no bound. With `max_bytes` alone, no bound. Methods keep so many for each
        instance.
    policy : {"s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"}, default "s3fifo"
        Which result leaves when there is no room. S3-FIFO (Yang et al., SOSP 2023) keeps what is asked for again and
        is not disturbed by scans and loops.
    ttl : float, timedelta or callable, optional
        Seconds that a result lives; a callable is given the result and returns them, or ``None`` for no end.
    ttl_jitter : float, default 0.0
        Shorten each `ttl` by a random share of up to this much, from 0 to 1, so that results that came together do not
        all end together.
    time_to_idle : float or timedelta, optional
        Seconds without a hit after which a result ends.
    stale_while_revalidate : float or timedelta, optional
        For so many seconds after its `ttl`, a result is still returned, while one new computation runs in the
        background (on a thread, or as a task of the running loop).
    max_bytes : int, optional
        The most weight of all results together, as told by `weigher`. A result that alone weighs more is not kept.
    weigher : callable, optional
        Given a result, returns its weight, 0 or more; by default about the bytes it keeps in memory. If it raises, the
        result is returned but not kept, with a `RuntimeWarning`.
    key : callable, optional
        Given the arguments, returns the key to keep the result under.
    typed : bool, default True
        Whether ``f(1)``, ``f(1.0)`` and ``f(True)`` are three calls, in nested tuples too; so are
        ``0.0`` and ``-0.0``. With ``False``, arguments that are equal are one, except for those that cannot be hashed:
        in their content, types always count.
    ignore : iterable of str, optional
        Names of parameters that make no difference to the result.
    single_flight : bool, default True
        Whether callers that ask for a result which is being computed wait for it. They get its exception too. Calls
        that would wait for themselves, on one thread or around several, compute again instead.
    cache_exceptions : (types, ttl), optional
        Exceptions of these types, a type or a tuple of them, are kept for `ttl` seconds, and raised again.
    copy : bool, "deepcopy" or callable, optional
        Return a copy of the result each time, so that callers who change theirs change nobody else's: ``True`` for
        `copy.copy`, ``"deepcopy"`` for `copy.deepcopy`, or a callable that makes one.
    on_evict : callable, optional
        Told of each result that leaves to make room or because its time is over:
        ``on_evict(arguments, result, cause)``, with the arguments by name in a dict (or what `key` returned), and
        ``"evicted"`` or ``"expired"``. What it raises is reported through `sys.unraisablehook`.

    Returns
    -------
    callable
        The function, with ``cache_info()``, ``cache_clear()``, ``cache_parameters()``, ``invalidate(*args)``,
        ``peek(*args)``, ``set(value, *args)``, ``refresh(*args)``, ``__wrapped__``; iterating over it gives its
        entries. As a method, each instance has results of its own, which do not keep it alive (except, where its class
        has ``__slots__`` and no ``__dict__``, a result that refers to the instance itself).

    Raises
    ------
    TypeError
        If `function` is not callable, or a generator function; if an option is of the wrong kind. When called: if an
        argument can neither be hashed nor be told by its content. The message tells the path to what is in the way.
    ValueError
        If an option is out of range, or `ignore` names a parameter that is not there.

    See Also
    --------
    hash : What the content of an argument is.

    Notes
    -----
    The content of an argument is looked at in each call: an array that was changed in place is another argument. Kept
    is a digest of it, and not the argument.

    Arguments that can be hashed are compared by ``==``, as in a ``dict``. An instance whose class does not define
    ``__eq__`` equals itself alone, whatever its attributes are by now: ``key=retain.hash`` tells it by its content.

    Examples
    --------
    >>> @memoize(ttl=3600)
    ... def area(width, height=1):
    ...     print("computing")
    ...     return width * height
    >>> area(2)
    computing
    2
    >>> area(height=1, width=2)
    2
    >>> area.cache_info().hits
    1
    """
    parameters = {
        "maxsize": maxsize,
        "policy": policy,
        "ttl": ttl,
        "ttl_jitter": ttl_jitter,
        "time_to_idle": time_to_idle,
        "stale_while_revalidate": stale_while_revalidate,
        "max_bytes": max_bytes,
        "weigher": weigher,
        "key": key,
        "typed": typed,
        "ignore": _names(ignore),
        "single_flight": single_flight,
        "cache_exceptions": cache_exceptions,
        "copy": copy,
        "on_evict": on_evict,
    }
    checked = rules(
        maxsize=maxsize,
        policy=policy,
        ttl=ttl,
        ttl_jitter=ttl_jitter,
        time_to_idle=time_to_idle,
        stale=stale_while_revalidate,
        max_bytes=max_bytes,
        weigher=weigher,
        on_evict=on_evict,
        errors_end=cache_exceptions is not None,
    )
    parameters["maxsize"] = checked["maxsize"]
    options = {
        "key": checked_function("key", key),
        "typed": bool(typed),
        "copy": _copier(copy),
        "errors": _errors(cache_exceptions),
        "single_flight": bool(single_flight),
    }

    def decorate(function: Any) -> Any:
        if isinstance(function, staticmethod):
            return staticmethod(decorate(function.__func__))
        if isinstance(function, classmethod):
            return _MemoizedClassMethod(decorate(function.__func__))
        return _wrap(function, checked, options, parameters)

    return decorate if function is None else decorate(function)


class _MemoizedClassMethod(classmethod):  # type: ignore[type-arg]
    # From Python 3.13 on, `classmethod` asks nothing of what it wraps: its bound methods would know no `invalidate`.

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)


def _wrap(function: Any, rules: dict[str, Any], options: dict[str, Any], parameters: dict[str, Any]) -> Any:
    import inspect

    if not callable(function):
        msg = f"memoize decorates a callable, but was given {function!r}; options are passed by keyword"
        raise TypeError(msg)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{function!r} is a generator function: its result can be iterated over only once. Return a list"
        raise TypeError(msg)
    asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method is what may be async
    )
    wrapper = memoize_wrapper(
        function,
        _signature(inspect, function, parameters["ignore"]),
        rules,
        asynchronous=asynchronous,
        helpers=HELPERS,
        **options,
    )
    wrapper.cache_parameters = lambda: dict(parameters)
    if asynchronous:
        _mark_as_coroutine_function(inspect, wrapper)
    return update_wrapper(wrapper, function)


def _mark_as_coroutine_function(inspect: Any, wrapper: Any) -> None:
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(wrapper)
    else:
        import asyncio

        wrapper._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


def _signature(inspect: Any, function: Any, ignore: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the parameters as the compiled part takes them, in the order in which arguments are kept."""
    try:
        # What the callable itself takes: a wrapper may treat arguments in its own way before it passes them on.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        if ignore:
            msg = f"ignore is {ignore!r}, but {function!r} does not tell the names of its parameters: use key="
            raise ValueError(msg) from None
        return [], 0, 0, "kept", "kept"
    known = signature.parameters
    unknown = [name for name in ignore if name not in known]
    if unknown:
        names = ", ".join(known) or "none"
        msg = f"ignore names {unknown[0]!r}, but {function!r} has no such parameter; it has {names}"
        raise ValueError(msg)
    kinds = inspect.Parameter
    kept = []
    rest = {kinds.VAR_POSITIONAL: "refused", kinds.VAR_KEYWORD: "refused"}
    positional_only = positional = 0
    for name, parameter in known.items():
        if parameter.kind in rest:
            rest[parameter.kind] = "ignored" if name in ignore else "kept"
            continue
        positional_only += parameter.kind is kinds.POSITIONAL_ONLY
        positional += parameter.kind is not kinds.KEYWORD_ONLY
        default = [] if parameter.default is kinds.empty else [parameter.default]
        kept.append((sys.intern(name), default, name in ignore))
    return kept, positional_only, positional, rest[kinds.VAR_POSITIONAL], rest[kinds.VAR_KEYWORD]


def _names(ignore: Any) -> tuple[str, ...]:
    if isinstance(ignore, str):
        msg = f"ignore is {ignore!r}, but it is a list of names: ignore=[{ignore!r}]"
        raise TypeError(msg)
    try:
        return tuple(ignore)
    except TypeError:
        msg = f"ignore is {ignore!r}, but it is a list of names of parameters"
        raise TypeError(msg) from None


def _copier(copy: Any) -> Any:
    if copy is None or copy is False:
        return None
    if callable(copy):
        return copy
    if copy is not True and copy != "deepcopy":
        msg = f"copy is {copy!r}, but it must be True, 'deepcopy' or a callable"
        raise ValueError(msg)
    from copy import copy as shallow
    from copy import deepcopy

    return shallow if copy is True else deepcopy


def _errors(cache_exceptions: Any) -> tuple[Any, float] | None:
    if cache_exceptions is None:
        return None
    if not isinstance(cache_exceptions, tuple) or len(cache_exceptions) != 2:
        msg = f"cache_exceptions is {cache_exceptions!r}, but it is a pair of types and seconds: (LookupError, 60)"
        raise TypeError(msg)
    types, ttl = cache_exceptions
    for kind in types if isinstance(types, tuple) else (types,):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            msg = f"cache_exceptions names {kind!r}, but it is not a type of exceptions"
            raise TypeError(msg)
    return types, seconds("cache_exceptions' ttl", ttl)
