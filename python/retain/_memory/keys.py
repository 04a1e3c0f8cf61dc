"""The secret of a store whose entries are authenticated."""

from __future__ import annotations

import os
from typing import Any

from retain._retain import digest

_BYTES = 32


def store_key(key: Any) -> bytes:
    """
    Return the 32 bytes that a store authenticates its entries with.

    Parameters
    ----------
    key : bytes, str or os.PathLike
        A secret. 32 bytes are taken as they are; other bytes, and the UTF-8 of a str, are stretched to as many by
        BLAKE3. The path of a file stands for the bytes that it holds, without a line's end.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or empty.
    OSError
        If the file cannot be read.
    """
    if isinstance(key, os.PathLike):
        with open(key, "rb") as file:
            secret = file.read()
        if len(secret) != _BYTES:
            secret = secret.rstrip(b"\r\n")
    elif isinstance(key, str):
        secret = key.encode("utf-8", "surrogatepass")
    elif isinstance(key, (bytes, bytearray)):
        secret = bytes(key)
    else:
        raise TypeError(f"key is a {type(key).__name__}, but it is bytes, a str or the path of a file with a secret")
    if not secret:
        raise ValueError("key is empty: give a secret, best of 32 random bytes: secrets.token_bytes(32)")
    return secret if len(secret) == _BYTES else digest(("retain.Memory", "key", secret))
