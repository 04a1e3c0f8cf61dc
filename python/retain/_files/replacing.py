"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


@contextmanager
def replacing(filename: str) -> Iterator[BinaryIO]:
    """
    Open a new file that takes the name when the block ends well; until then, and if not, the old file stays.

    Parameters
    ----------
    filename : str

    Yields
    ------
    file object
        Binary, seekable.
    """
    from tempfile import NamedTemporaryFile

    # Through symbolic links: the link stays, what it points to is replaced.
    place = os.path.realpath(filename)
    directory, name = os.path.split(place)
    if os.path.isdir(place):
        raise IsADirectoryError(21, os.strerror(21), filename)
    try:
        file = NamedTemporaryFile(dir=directory, prefix=f".{name[:100]}.", suffix=".part", delete=False)  # noqa: SIM115
    except OSError as error:
        # The name that the caller knows, not the temporary one.
        error.filename = filename
        raise
    try:
        with file:
            yield file  # type: ignore[misc]
            file.flush()
            os.chmod(file.name, _mode(place))
        os.replace(file.name, place)
    except BaseException:
        try:
            os.unlink(file.name)
        except FileNotFoundError:
            pass
        raise


def _mode(place: str) -> int:
    """Return the permissions of the file that is replaced, or those of a new one."""
    try:
        return os.stat(place).st_mode & 0o777
    except FileNotFoundError:
        # The mask can only be read by setting it.
        mask = os.umask(0o077)
        os.umask(mask)
        return 0o666 & ~mask
