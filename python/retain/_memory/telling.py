"""What a memorized function tells: what it does, where that is asked for, and what goes wrong, once."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from retain._memory import verbose as lines
from retain._memory.complaints import reason, warn
from retain._memory.errors import StoreError
from retain._memory.naming import short_name
from retain._memory.reprs import input_args

if TYPE_CHECKING:
    from retain._memory.place import Place


class Telling(lines.Talking):
    """The voice of a memorized function."""

    func: Any
    func_id: str
    timestamp: float | None
    _place: Place
    _told: set[Any]
    _verbose: int

    def _args_id(self, call: bytes) -> str:
        """Return the name of a call."""
        return self._place.name_of(call)

    def _say_querying(self, call: bytes, turn: list[Any]) -> None:
        """Tell what is asked for."""
        if self._verbose >= 20:
            shown = lines.call_text(self.func, turn[0], turn[1])
            name = short_name(self.func)
            self.info(
                f"Querying {name} with signature\n{shown}.\n(argument hash {self._args_id(call)})\n"
                f"The store location is {self._place.location}."
            )

    def _say_computing(self, call: bytes, turn: list[Any]) -> None:
        """Tell what is about to be computed."""
        if self._verbose > 10:
            self.warn(
                f"Computing func {short_name(self.func)}, argument hash {self._args_id(call)} "
                f"in location {self._place.location}"
            )
        if self._verbose > 0:
            lines.calling(self.func, turn[0], turn[1])

    def _say_computed(self, call: bytes, cost: float) -> None:
        """Tell what was computed, and how long it took."""
        if self._verbose > 10:
            lines.persisting(self._place.location, self.func_id, self._args_id(call))
        if self._verbose > 0:
            lines.took(self.func, cost)

    def _say_loading(self, told: bytes | None) -> None:
        """Tell what is loaded."""
        if self._verbose > 1:
            elapsed = None if self.timestamp is None else time.time() - self.timestamp
            where = self._place.location if self._verbose >= 10 else None
            lines.loading(self.func_id, input_args(told), elapsed, where)

    def _complain(self, doing: str, error: BaseException) -> None:
        """Tell once what could not be done with the store."""
        why = reason(error)
        if doing in self._told or why in self._told or why in self._place.told:
            return
        self._told |= {doing, why}
        warn(
            f"retain could not {doing} of {self.func_id} in {self._place.location} ({why}). The function is "
            "called where its result is not at hand; this is told once."
        )

    def _complain_of(self, value: Any, error: Exception, *, was_pickled: bool) -> None:
        """Tell why a value is not kept."""
        if was_pickled or isinstance(error, (OSError, StoreError)):
            self._complain("keep a result", error)
            return
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        if (kind, "pickle") in self._told:
            return
        self._told.add((kind, "pickle"))
        remedy = ""
        if inspect.isgenerator(value) or inspect.isasyncgen(value) or hasattr(kind, "__next__"):
            remedy = " What can be iterated over only once is no result to keep: return list(...) of it."
        elif "<locals>" in str(error) or "<lambda>" in str(error):
            remedy = " Functions and classes can be pickled if they can be imported."
        warn(
            f"{self.func_id} returned a {name} that cannot be pickled ({reason(error)}), so that its result is not "
            f"kept, and computed at each call.{remedy}"
        )
