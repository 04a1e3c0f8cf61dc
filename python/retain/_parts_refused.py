"""The types whose values have no identity: what they are is a place, a moment or a connection."""

from __future__ import annotations

from retain._parts import name_of, refuse

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from retain._parts import PartsOf


def find(base: type, kind: type) -> PartsOf | None:  # noqa: ARG001  # as the other modules have it
    """Return what refuses instances of the type; see `handler`."""
    name = name_of(base)
    what = _REFUSED.get(name)
    if what is None and (name.startswith("itertools.") or name in _ITERATORS):
        what = "an iterator changes as it is read and"
    return None if what is None else refuse(f"{what} has no stable identity")


_LOCK = "a thread lock"
_EVENT_LOOP = "what belongs to an event loop"
_FILE = "an open file"
_HASH = "a running hash"
_PROCESS_LOCK = "a lock of processes"
_QUEUE = "a queue"

_REFUSED = {
    "_asyncio.Future": "a future",
    "_asyncio.Task": "a task",
    "_blake2.blake2b": _HASH,
    "_blake2.blake2s": _HASH,
    "_contextvars.Context": "a context",
    "_contextvars.ContextVar": "a context variable",
    "_contextvars.Token": "a context variable's token",
    "_ctypes._Pointer": "a pointer",
    "_hashlib.HASH": _HASH,
    "_hashlib.HMAC": _HASH,
    "_io.BufferedRWPair": _FILE,
    "_io.BufferedRandom": _FILE,
    "_io.BufferedReader": _FILE,
    "_io.BufferedWriter": _FILE,
    "_io.FileIO": _FILE,
    "_io.TextIOWrapper": _FILE,
    "_io._IOBase": "a stream",
    "_multiprocessing.SemLock": _PROCESS_LOCK,
    "_queue.SimpleQueue": _QUEUE,
    "_socket.socket": "a socket",
    "_ssl._SSLContext": "a TLS context",
    "_ssl._SSLSocket": "a socket",
    "_thread.RLock": _LOCK,
    "_thread._local": "what a thread keeps for itself",
    "_thread.lock": _LOCK,
    "_weakrefset.WeakSet": "a set of weak references",
    "asyncio.base_events.BaseEventLoop": "an event loop",
    "asyncio.futures.Future": "a future",
    "asyncio.locks.Barrier": _EVENT_LOOP,
    "asyncio.locks.Condition": _EVENT_LOOP,
    "asyncio.locks.Event": _EVENT_LOOP,
    "asyncio.locks.Lock": _EVENT_LOOP,
    "asyncio.locks.Semaphore": _EVENT_LOOP,
    "asyncio.queues.Queue": _EVENT_LOOP,
    "asyncio.tasks.Task": "a task",
    "builtins.PyCapsule": "a capsule of C",
    "builtins.async_generator": "an asynchronous generator",
    "builtins.coroutine": "a coroutine",
    "builtins.frame": "a frame",
    "builtins.generator": "a generator",
    "builtins.traceback": "a traceback",
    "builtins.weakcallableproxy": "a weak reference",
    "builtins.weakproxy": "a weak reference",
    "builtins.weakref": "a weak reference",
    "concurrent.futures._base.Executor": "an executor",
    "concurrent.futures._base.Future": "a future",
    "multiprocessing.connection._ConnectionBase": "a connection",
    "multiprocessing.pool.Pool": "a pool of processes",
    "multiprocessing.process.BaseProcess": "a process",
    "multiprocessing.queues.Queue": _QUEUE,
    "multiprocessing.queues.SimpleQueue": _QUEUE,
    "multiprocessing.synchronize.Condition": _PROCESS_LOCK,
    "multiprocessing.synchronize.Event": _PROCESS_LOCK,
    "multiprocessing.synchronize.SemLock": _PROCESS_LOCK,
    "queue.Queue": _QUEUE,
    "select.epoll": "what waits for files",
    "select.poll": "what waits for files",
    "socket.socket": "a socket",
    "sqlite3.Connection": "a connection",
    "sqlite3.Cursor": "a cursor",
    "subprocess.Popen": "a process",
    "threading.Barrier": _LOCK,
    "threading.Condition": _LOCK,
    "threading.Event": "a thread event",
    "threading.Semaphore": _LOCK,
    "threading.Thread": "a thread",
    "threading._RLock": _LOCK,
    "weakref.CallableProxyType": "a weak reference",
    "weakref.ProxyType": "a weak reference",
    "weakref.ReferenceType": "a weak reference",
    "weakref.WeakKeyDictionary": "a dict of weak references",
    "weakref.WeakValueDictionary": "a dict of weak references",
    "weakref.finalize": "a finalizer",
}
_ITERATORS = {
    f"builtins.{name}"
    for name in (
        "async_generator_asend",
        "async_generator_athrow",
        "anext_awaitable",
        "bytearray_iterator",
        "bytes_iterator",
        "callable_iterator",
        "coroutine_wrapper",
        "dict_itemiterator",
        "dict_keyiterator",
        "dict_reverseitemiterator",
        "dict_reversekeyiterator",
        "dict_reversevalueiterator",
        "dict_valueiterator",
        "enumerate",
        "filter",
        "iterator",
        "list_iterator",
        "list_reverseiterator",
        "longrange_iterator",
        "map",
        "memory_iterator",
        "odict_iterator",
        "range_iterator",
        "reversed",
        "set_iterator",
        "str_ascii_iterator",
        "str_iterator",
        "tuple_iterator",
        "zip",
    )
} | {
    "_collections._deque_iterator",
    "_collections._deque_reverse_iterator",
    "collections._deque_iterator",
    "collections._deque_reverse_iterator",
    "_csv.reader",
    "array.arrayiterator",
    "posix.ScandirIterator",
    "_sre.SRE_Scanner",
}
