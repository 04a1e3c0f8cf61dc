"""What can be wrong with a store."""

from __future__ import annotations


class StoreError(RuntimeError):
    """
    A folder of results cannot be used: it is damaged, or of a layout or version that is not known.

    What the operating system refuses is an `OSError`.
    """


class UntrustedFolderError(StoreError, PermissionError):
    """
    Others can write to a folder of results, and there is no `key` to tell theirs from one's own.

    Nothing of it was looked at: to load a result of somebody else's is to run their code.
    """
