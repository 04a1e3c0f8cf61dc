"""`map` on every core: the built-in's signature, and `Parallel`'s options."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator

    from retain._parallel.parallel import Parallel


def map(function: Callable[..., Any], /, *iterables: Iterable[Any], n_jobs: int | None = -1, **options: Any) -> Any:
    """
    Call a function with each of some arguments, side by side, and return the results in order.

    Parameters
    ----------
    function : callable
        A memoized function is not called where its result is kept.
    *iterables : iterables
        Its arguments. They are taken as they are needed, until the shortest ends.
    n_jobs : int or None, default -1
        How many calls at once; -1 for one on each core.
    **options
        Those of `Parallel`: ``return_as="generator"`` for results as they come, ``progress=True``, ``retries=2``,
        ``on_error="return"``, ``backend="threading"`` ...

    Returns
    -------
    list or generator
        As `return_as` says.

    Raises
    ------
    TypeError
        If there is nothing to call the function with.
    Exception
        What the function raises.

    See Also
    --------
    map_async : The same, to be awaited.

    Examples
    --------
    >>> import retain
    >>> retain.map(pow, [2, 3, 4], [5, 2, 3], n_jobs=2, backend="threading")
    [32, 9, 64]
    """
    calls = _calls(function, iterables)
    return _parallel(n_jobs, options)(calls)


def map_async(
    function: Callable[..., Any], /, *iterables: Iterable[Any], n_jobs: int | None = -1, **options: Any
) -> MapAsync:
    """
    Call a function with each of some arguments, side by side, while the event loop goes on.

    Parameters
    ----------
    function : callable
        An ordinary function: it runs in worker processes or threads, not on the event loop.
    *iterables : iterables
        Its arguments, taken as they are needed, on a thread.
    n_jobs : int or None, default -1
        How many calls at once; -1 for one on each core.
    **options
        Those of `Parallel`. With ``return_as="generator_unordered"`` results come as they are ready, else in order.

    Returns
    -------
    MapAsync
        ``await`` it for the list of results, or go through it with ``async for``. Nothing runs before, and what does
        not fetch its results in time makes the calls wait. If the task that awaits is cancelled, so are the calls.

    Examples
    --------
    >>> import asyncio, retain
    >>> async def main():
    ...     print(await retain.map_async(abs, [-1, 2], n_jobs=2, backend="threading"))
    ...     async for result in retain.map_async(abs, [-3], n_jobs=2, backend="threading"):
    ...         print(result)
    >>> asyncio.run(main())
    [1, 2]
    3
    """
    return MapAsync(_parallel, _calls(function, iterables), n_jobs, options)


class MapAsync:
    """
    Results to come: an awaitable, and an asynchronous iterator. It can be used once.

    What `map_async` returns.
    """

    def __init__(
        self, make: Callable[..., Parallel], calls: Iterable[Any], n_jobs: int | None, options: dict[str, Any]
    ) -> None:
        order = options.get("return_as", "list")
        if order not in _ORDERS:
            raise ValueError(f"return_as is {order!r}, but must be one of {', '.join(_ORDERS)}")
        self._order = "generator_unordered" if order == "generator_unordered" else "generator"
        # Here, as what holds of `parallel_config` is what holds in this thread.
        self._parallel = make(n_jobs, {**options, "return_as": self._order})
        self._calls = calls
        self._results: AsyncGenerator[Any, None] | None = None
        self._is_used = False

    def __await__(self) -> Generator[Any, None, list[Any]]:
        self._use()
        return self._all().__await__()

    async def _all(self) -> list[Any]:
        async with _Stepping(self._parallel) as stepping:
            await stepping.do(stepping.begin, self._calls)
            found: list[Any] = await stepping.do(stepping.rest)
        return found

    def __aiter__(self) -> MapAsync:
        return self

    async def __anext__(self) -> Any:
        if self._results is None:
            self._use()
            self._results = self._one_by_one()
        return await anext(self._results)

    async def _one_by_one(self) -> AsyncGenerator[Any, None]:
        async with _Stepping(self._parallel) as stepping:
            await stepping.do(stepping.begin, self._calls)
            while (item := await stepping.do(stepping.next)) is not _END:
                yield item

    async def aclose(self) -> None:
        """End the calls; ``contextlib.aclosing`` does it at the end of a block."""
        self._is_used = True
        if self._results is not None:
            await self._results.aclose()

    def _use(self) -> None:
        if self._is_used:
            raise RuntimeError("these results were asked for already: call map_async again")
        self._is_used = True


_ORDERS = ("list", "generator", "generator_unordered")
_END: Any = object()


class _Stepping:
    """A thread on which a run is stepped, as the event loop asks for it: the run is never touched by the loop."""

    def __init__(self, parallel: Parallel) -> None:
        self._parallel = parallel
        self._results: Any = None
        self._is_done = False
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="retain-map", daemon=True)
        self._thread.start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Without waiting for it: a thread that computes cannot be ended.
        if not self._is_done:
            self._parallel._cancel()
        self._asked.put(None)

    async def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Have the thread call a function."""
        answer = self._loop.create_future()
        self._asked.put((answer, function, args))
        return await answer

    # --- on the thread ---

    def begin(self, calls: Iterable[Any]) -> None:
        """Begin the run."""
        self._results = self._parallel(calls)

    def rest(self) -> list[Any]:
        """Return all results."""
        found = list(self._results)
        self._is_done = True
        return found

    def next(self) -> Any:
        """Return the next result."""
        found = next(self._results, _END)
        self._is_done = found is _END
        return found

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            answer, function, args = asked
            value = error = None
            try:
                value = function(*args)
            except BaseException as found:  # noqa: BLE001 - raised where it is awaited
                error = found
            try:
                self._loop.call_soon_threadsafe(_tell, answer, value, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                break
            # Nothing of a result is kept while the next is awaited.
            del answer, function, args, value, error, asked
        results, self._results = self._results, None
        if results is not None:
            # The run was cancelled, or has ended.
            with suppress(Exception):
                results.close()


def _tell(answer: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


def _parallel(n_jobs: int | None, options: dict[str, Any]) -> Parallel:
    from retain._parallel.parallel import Parallel

    return Parallel(n_jobs=n_jobs, **options)


class _Calls:
    """The calls of a function with what some iterables give."""

    def __init__(self, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...]) -> None:
        self._function = function
        self._iterables = iterables

    def __iter__(self) -> Iterator[Any]:
        function = self._function
        return ((function, args, {}) for args in zip(*self._iterables, strict=False))


class _SizedCalls(_Calls):
    def __len__(self) -> int:
        return min(len(each) for each in self._iterables)  # type: ignore[arg-type]


def _calls(function: Callable[..., Any], iterables: tuple[Iterable[Any], ...]) -> _Calls:
    if not callable(function):
        raise TypeError(f"map calls its first argument, but {type(function).__name__} is not callable")
    if not iterables:
        raise TypeError("map needs at least one iterable of arguments, as in retain.map(function, arguments)")
    for place, each in enumerate(iterables, 1):
        if not hasattr(type(each), "__iter__") and not hasattr(type(each), "__getitem__"):
            raise TypeError(f"iterable {place} of map is {each!r}, which cannot be iterated over")
    # With their number, progress has an end.
    return (_SizedCalls if all(hasattr(type(each), "__len__") for each in iterables) else _Calls)(function, iterables)
