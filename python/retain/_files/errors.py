"""What can be wrong with a file."""

from __future__ import annotations

import pickle


class _FileError(Exception):
    """An error that names its file."""

    def __init__(self, reason: str, filename: object = None) -> None:
        super().__init__(reason if filename is None else f"{filename}: {reason}")
        self.reason = reason
        self.filename = filename

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.filename)


class CorruptFileError(_FileError, pickle.UnpicklingError, ValueError, EOFError):
    """
    A file is damaged, cut short, or of no kind that can be read.

    It is an `UnpicklingError`, a `ValueError` and an `EOFError` at once: programs expect any of them from a loader.

    Attributes
    ----------
    reason : str
        What is wrong, and where.
    filename : str or None
        The file, where it has a name.
    """


class SignatureError(_FileError, ValueError):
    """
    A file is not signed, or not by the key that was expected.

    Attributes
    ----------
    reason : str
        What is wrong.
    filename : str or None
        The file, where it has a name.
    """


class UnsafeFileError(_FileError, pickle.UnpicklingError):
    """
    A file holds more than `safe_load` loads: nothing of it was run.

    Attributes
    ----------
    reason : str
        All that was refused, in one text.
    filename : str or None
        The file, where it has a name.
    wanted : list of (str, str)
        The globals that the file wanted and was refused, as (module, qualified name).
    reasons : list of str
        One line for each refusal.
    """

    def __init__(
        self,
        reason: str,
        filename: object = None,
        wanted: list[tuple[str, str]] | None = None,
        reasons: list[str] | None = None,
    ) -> None:
        super().__init__(reason, filename)
        self.wanted = wanted or []
        self.reasons = reasons or []

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.filename, self.wanted, self.reasons)
