"""`dump`: a value into a file."""

from __future__ import annotations

import os
from typing import Any

from retain._files import compressors
from retain._files.keys import key_line
from retain._files.pickler import SPLICED, pickle_into, position, protocol_of, writer
from retain._retain import Sink

# Levels that joblib's codecs have; zstd has more.
_LEVELS = range(10)
_ZSTD_LEVELS = range(1, 23)


def dump(
    value: object,
    filename: Any,
    compress: Any = 0,
    protocol: int | None = None,
    *,
    cloudpickle: bool = False,
    progress: bool = False,
    sign: Any = None,
) -> list[str] | None:
    """
    Write a value to a file: a plain pickle, whose large buffers lie aligned and can be mapped.

    The file appears when it is whole; a dump that fails or is interrupted leaves the old file as it was. It is read by
    `load`, and by `pickle.load` and `joblib.load` without retain (unless compressed by zstd). Arrays of numpy, pandas,
    pyarrow, scipy and torch go to it without being copied in memory.

    Parameters
    ----------
    value : object
        Anything that can be pickled.
    filename : str, os.PathLike or file object
        Where to write. A file object has a method `write` that takes bytes; it is not closed, and need not be seekable.
    compress : int, bool, str or (str, int), default 0
        0 or False: none, unless the name ends in ".z", ".gz", ".bz2", ".xz", ".lzma", ".lz4" or ".zst". An int from
        1 to 9: that level of the codec of the name's extension, or of zlib. True: that codec's default level. A str, or
        a str and a level: the codec "zlib", "gzip", "bz2", "xz", "lzma", "lz4", "zstd" (levels 1 to 22) or one that was
        registered. zstd uses all cores, and is the fastest for its size.
    protocol : int, optional
        The pickle protocol, from 0 to 5; 5 by default. Below 5 the file is what `pickle.dump` writes: without
        checksums, and not to be mapped.
    cloudpickle : bool, default False
        Write functions and classes that cannot be imported (lambdas, closures, those of `__main__`) by value.
    progress : bool, default False
        Show how many bytes are written, with tqdm where it is installed.
    sign : str or os.PathLike, optional
        The file with a secret key made by `retain keygen`, or its line: the file is signed with it. Not for file
        objects, nor for codecs other than zstd.

    Returns
    -------
    list of str, or None
        `[filename]`; None for a file object.

    Raises
    ------
    ValueError
        If `compress` or `protocol` is none of the above, or `filename` neither a path nor a file object.
    OSError
        If the file cannot be written. What was there before is as it was.
    pickle.PicklingError, TypeError, AttributeError
        If a part of the value cannot be pickled.
    """
    if isinstance(filename, os.PathLike):
        filename = os.fspath(filename)
    path = filename if isinstance(filename, str) else None
    codec, level = _codec(compress, path)
    if path is None and not hasattr(filename, "write"):
        raise ValueError(
            "Second argument should be a filename or a file-like object, "
            f"{filename!r} (type {type(filename)}) was given: the value comes first"
        )
    protocol = protocol_of(protocol)
    key = None if sign is None else key_line(sign, "sign")
    if key is not None and (path is None or protocol < SPLICED or codec not in (None, "zstd") or _in_place(path)):
        raise ValueError("sign= takes a path, protocol 5, and no compression other than zstd")
    custom = compressors.registered(codec) if codec is not None else None
    with _Progress(progress) as report:
        pickled = _Pickled(value, protocol, cloudpickle, report)
        if custom is not None:
            pickled.through(custom, level, filename)
        elif path is not None and _in_place(path):
            pickled.in_place(path, codec, level)
        elif path is not None:
            pickled.to_path(path, codec, level, key)
        else:
            pickled.into(Sink(None, filename, pickled.spliced, codec, level, position(filename), report))
    return None if path is None else [path]


class _Pickled:
    """A value on its way to a file."""

    def __init__(self, value: object, protocol: int, by_value: bool, report: Any) -> None:
        self._value = value
        self._protocol = protocol
        self._by_value = by_value
        self._report = report
        self.spliced = protocol >= SPLICED

    def to_path(self, path: str, codec: str | None, level: int | None, key: str | None) -> None:
        """Write the file `path`."""
        sink = self._sink(path, codec, level, key)
        if sink is None:
            self.in_place(path, codec, level)
            return
        try:
            self.into(sink)
        except RuntimeError:
            if not sink.is_changed:
                raise
        else:
            return
        # An object uses the memory again of what it gave away: all is copied at once then, as other picklers do.
        self.into(Sink(path, None, True, codec, level, 0, self._report, key), in_band=True)

    def _sink(self, path: str, codec: str | None, level: int | None, key: str | None) -> Sink | None:
        """Return a sink; None for a file that may be written to in a folder that may not."""
        try:
            return Sink(path, None, self.spliced, codec, level, 0, self._report, key)
        except PermissionError:
            if key is None and os.path.isfile(path) and os.access(path, os.W_OK):
                return None
            raise

    def in_place(self, path: str, codec: str | None, level: int | None) -> None:
        """Write to what has the name `path`."""
        try:
            with open(path, "wb", buffering=0) as file:
                self.into(Sink(None, file, self.spliced, codec, level, 0, self._report))
        except OSError as error:
            if error.errno is not None and error.filename is None:
                error.filename = path
            raise

    def into(self, sink: Sink, *, in_band: bool = False) -> None:
        """Write to a sink, and end it."""
        try:
            pickle_into(sink, self._value, self._protocol, by_value=self._by_value, in_band=in_band)
            sink.finish(writer())
        except BaseException as error:
            sink.abort()
            text = str(error)
            if not self._by_value and ("<lambda>" in text or "<locals>" in text or "__main__" in text):
                error.add_note(
                    "dump(..., cloudpickle=True) writes functions and classes that cannot be imported by value"
                )
            raise

    def through(self, codec: Any, level: int | None, target: Any) -> None:
        """Write through the file object of a registered codec."""
        if not isinstance(target, str):
            with codec.compressor_file(target, compresslevel=level) as file:
                self.into(Sink(None, file, self.spliced, progress=self._report))
            return
        if _in_place(target):
            with open(target, "wb", buffering=0) as file:
                self.through(codec, level, file)
            return
        whole = Sink(target, None, False)
        try:
            with codec.compressor_file(_raw(whole, target), compresslevel=level) as file:
                self.into(Sink(None, file, self.spliced, progress=self._report))
            whole.finish("")
        except BaseException:
            whole.abort()
            raise


def _raw(sink: Sink, path: str) -> Any:
    """Return the file below a registered codec: what it writes is taken as it is."""
    import io

    class Raw(io.RawIOBase):
        mode = "wb"
        name = path
        _written = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            taken = sink.write(data)
            self._written += taken
            return taken

        def tell(self) -> int:
            return self._written

    return Raw()


def _in_place(path: str) -> bool:
    """Tell whether `path` is something that cannot be replaced, such as a device, a pipe or a file without a name."""
    import stat

    try:
        found = os.stat(path)
    except OSError:
        return False
    if stat.S_ISDIR(found.st_mode):
        return False
    if not stat.S_ISREG(found.st_mode):
        return True
    if not os.path.islink(path):
        return False
    # The links of open files resolve to what only looks like a name where they have none, or no longer.
    try:
        return not os.path.samestat(found, os.stat(os.path.realpath(path)))
    except OSError:
        return True


def _codec(compress: Any, path: str | None) -> tuple[str | None, int | None]:
    """Return the codec and level that are asked for; (None, None) is no compression."""
    named: str | None = None
    level: Any = None
    if isinstance(compress, tuple):
        if len(compress) != 2:
            raise ValueError(
                "Compress argument tuple should contain exactly 2 elements: (compress method, compress level), "
                f"you passed {compress!r}"
            )
        named, level = compress
    elif isinstance(compress, str):
        named = compress
    elif compress is not True:
        level = compress
    if named is not None and named not in compressors.names():
        raise ValueError(f'Non valid compression method given: "{named}". Possible values are {compressors.names()}.')
    codec = named
    if named is None and path is not None:
        codec = compressors.by_extension(path)
        if codec is not None and level in (0, False):
            level = None
    if codec is None and level not in (0, False):
        codec = "zlib"
    levels = _ZSTD_LEVELS if codec == "zstd" else _LEVELS
    if level is not None and level is not False and not (isinstance(level, int) and (level == 0 or level in levels)):
        raise ValueError(f'Non valid compress level given: "{level}". Possible values are {list(levels)}.')
    if codec is None or level in (0, False):
        return None, None
    return codec, level


class _Progress:
    """A progress bar in bytes, if one is wanted."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._bar: Any = None

    def __enter__(self) -> Any:
        if not self._wanted:
            return None
        from retain._files.progress import bar

        self._bar = bar()
        return self._bar.report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
