"""Objects that are pickled by value, whatever pickles them."""

from __future__ import annotations

from typing import Any


class ByValue:
    """
    An object that cloudpickle pickles, with the object's attributes.

    Parameters
    ----------
    obj : object
        The object.
    keep_wrapper : bool
        Whether it is still wrapped when it is unpickled.
    """

    def __init__(self, obj: Any, keep_wrapper: bool = True) -> None:
        self._obj = obj
        self._keep_wrapper = keep_wrapper

    def __reduce__(self) -> tuple[Any, ...]:
        from cloudpickle import dumps, loads

        pickled = dumps(self._obj)
        return (_wrapped_again, (pickled,)) if self._keep_wrapper else (loads, (pickled,))

    def __getattr__(self, name: str) -> Any:
        if name in {"_obj", "_keep_wrapper"}:
            # It is being unpickled, and has nothing yet.
            raise AttributeError(name)
        return getattr(self._obj, name)


class CallableByValue(ByValue):
    """The same for what can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._obj(*args, **kwargs)


def _wrapped_again(pickled: bytes) -> ByValue:
    from cloudpickle import loads

    return _wrapped(loads(pickled), True)


def _wrapped(obj: Any, keep_wrapper: bool) -> ByValue:
    return CallableByValue(obj, keep_wrapper) if callable(obj) else ByValue(obj, keep_wrapper)


def wrap_non_picklable_objects(obj: Any, keep_wrapper: bool = True) -> Any:
    """
    Wrap an object so that it is pickled by value.

    Worker processes need it only for what pickle takes by name although it cannot be imported there; functions and
    classes of the main program, lambdas and closures are sent by value as they are.

    Parameters
    ----------
    obj : object
        A function, an instance, or a class, whose instances are then wrapped.
    keep_wrapper : bool, default True
        Whether it is still wrapped when it is unpickled.

    Returns
    -------
    object
        It can be used as `obj`.
    """
    if not isinstance(obj, type):
        return _wrapped(obj, keep_wrapper)

    def make(self: ByValue, *args: Any, **kwargs: Any) -> None:
        ByValue.__init__(self, obj(*args, **kwargs), keep_wrapper)

    base = CallableByValue if _is_callable(obj) else ByValue
    return type(obj.__name__, (base,), {"__init__": make, "__doc__": obj.__doc__})


def _is_callable(kind: type) -> bool:
    """Whether the instances of a class can be called."""
    return any("__call__" in base.__dict__ for base in kind.__mro__)
