"""Files of one format made of files of another."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from retain._files.report import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    import numpy as np

    from retain._files.naming import Named

FORMATS = ("retain", "joblib", "npz", "npy", "safetensors")
_BY_EXTENSION = {".joblib": "joblib", ".npz": "npz", ".npy": "npy", ".safetensors": "safetensors"}
_JOBLIB_CODECS = ("zlib", "gzip", "bz2", "lzma", "xz", "lz4")


class ConversionError(ValueError):
    """A value that has no place in the format that is asked for, or a request that makes no sense."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """
    What was written.

    Attributes
    ----------
    source, target : str
    format : str
        Of the target: one of `FORMATS`.
    codec : str or None
    size : int
        Bytes of the target.
    arrays : int or None
        How many arrays it holds; None where the format holds whole values.
    notes : list of str
        What the target does not have of the source.
    """

    source: str
    target: str
    format: str
    codec: str | None
    size: int
    arrays: int | None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = "" if self.arrays is None else f", {self.arrays:,} {'array' if self.arrays == 1 else 'arrays'}"
        codec = f", {self.codec}" if self.codec else ""
        return f"{self.target}: {self.format} file{codec}{counted}, {size(self.size)}"


def convert(
    source: str,
    target: str,
    *,
    to: str | None = None,
    compress: str | None = None,
    level: int | None = None,
    trusted: Iterable[str] = (),
    unsafe: bool = False,
    skip: bool = False,
) -> Conversion:
    """
    Write what is in one file to another one, in another format.

    Parameters
    ----------
    source : str
        A file of retain, joblib, pickle, numpy or safetensors. Its format is told from its content.
    target : str
        It appears when it is whole.
    to : str, optional
        The target's format, one of `FORMATS`. By default what the extension says, and "retain" for all others.
        "joblib" is joblib's own layout: `joblib.load` maps its arrays, if the file is not compressed. "retain" is a
        plain pickle, which `joblib.load` and `pickle.load` read as well, but do not map.
    compress : str, optional
        A codec, or "none". By default what a second extension says (``.joblib.gz``, ``.pkl.zst``).
    level : int, optional
        The codec's level.
    trusted : iterable of str
        What `retain.safe_load` is to trust the source with.
    unsafe : bool, default False
        Load the source with `retain.load`: whatever code it names is run.
    skip : bool, default False
        Leave out what is no array, where the target holds arrays alone.

    Raises
    ------
    ConversionError
        Where the value has no place in the format.
    retain.UnsafeFileError
        Where the source would run what is not trusted.
    retain.CorruptFileError
        Where the source is damaged.
    """
    format, codec = _target(target, to, compress)
    value, notes = _load(source, trusted, unsafe)
    if format in ("retain", "joblib"):
        if format == "retain":
            _write_retain(value, target, codec, level)
        else:
            _write_joblib(value, target, codec, level)
        return Conversion(source, target, format, codec, os.path.getsize(target), None, notes)
    named = _named(value, skip)
    notes += [f"left out, as it is no array: {each}" for each in named.left_out]
    _WRITERS[format](named.arrays, target, codec)
    return Conversion(source, target, format, codec, os.path.getsize(target), len(named.arrays), notes)


def _target(target: str, to: str | None, compress: str | None) -> tuple[str, str | None]:
    """Return the format and the codec that are asked for."""
    from retain._files import compressors

    codec = compressors.by_extension(target)
    stem = target
    if codec is not None:
        stem = os.path.splitext(target)[0]
    format = to or _BY_EXTENSION.get(os.path.splitext(stem)[1].lower(), "retain")
    if compress == "none":
        codec = None
    elif compress is not None:
        codec = compress
    if format not in FORMATS:
        raise ConversionError(f"no such format: {format!r}; there are {', '.join(FORMATS)}")
    if codec is not None and codec not in compressors.names():
        raise ConversionError(f"no such codec: {codec!r}; there are {', '.join(compressors.names())}")
    if format == "joblib" and codec not in (None, *_JOBLIB_CODECS):
        raise ConversionError(f"joblib does not read {codec}; it reads {', '.join(_JOBLIB_CODECS)}")
    if format == "npz" and codec not in (None, "zlib"):
        raise ConversionError("what is in a .npz is compressed by zlib or not at all")
    if format in ("npy", "safetensors") and codec is not None:
        raise ConversionError(f"files of {format} are not compressed")
    return format, codec


def _load(source: str, trusted: Iterable[str], unsafe: bool) -> tuple[Any, list[str]]:
    """Return the value of a file and what is to be told of it."""
    from retain._files import numpy_files, safetensors

    with open(source, "rb") as file:
        prefix = file.read(16)
    if numpy_files.is_numpy_file(prefix):
        mode = "r" if prefix.startswith(b"\x93NUMPY") else None
        return numpy_files.load_numpy_file(source, mode, allow_pickle=unsafe), []
    if safetensors.is_safetensors(source, prefix):
        arrays, metadata = safetensors.read(source)
        return arrays, [f"left out: the metadata {', '.join(map(repr, metadata))}"] if metadata else []
    import retain

    return (retain.load(source) if unsafe else retain.safe_load(source, trusted=list(trusted))), []


def _named(value: object, skip: bool) -> Named:
    from retain._files.naming import NamingError, named_arrays

    try:
        return named_arrays(value, skip=skip)
    except NamingError as error:
        raise ConversionError(str(error)) from error


def _write_retain(value: object, target: str, codec: str | None, level: int | None) -> None:
    from retain._files import compressors
    from retain._files.dump import dump
    from retain._files.replacing import replacing

    if codec is not None:
        dump(value, target, compress=(codec, level))
    elif compressors.by_extension(target) is None:
        dump(value, target)
    else:
        # By its name it would be compressed.
        with replacing(target) as file:
            dump(value, file)


def _write_joblib(value: object, target: str, codec: str | None, level: int | None) -> None:
    from retain._files import joblib_writer
    from retain._retain import Sink

    sink = Sink(target, None, False, codec, level)
    try:
        joblib_writer.write(value, sink, mappable=codec is None)
        sink.finish("")
    except BaseException:
        sink.abort()
        raise


def _write_npz(arrays: Mapping[str, np.ndarray[Any, Any]], target: str, codec: str | None) -> None:
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

    from numpy.lib import format as npy

    from retain._files.replacing import replacing

    method = ZIP_STORED if codec is None else ZIP_DEFLATED
    with replacing(target) as file, ZipFile(file, "w", method) as archive:
        for name, array in arrays.items():
            # A date of its own for each member would make two conversions of one file differ.
            member = ZipInfo(f"{name}.npy")
            member.compress_type = method
            with archive.open(member, "w", force_zip64=True) as into:
                npy.write_array(into, array, allow_pickle=False)


def _write_npy(arrays: Mapping[str, np.ndarray[Any, Any]], target: str, _codec: str | None) -> None:
    from numpy.lib import format as npy

    from retain._files.replacing import replacing

    if len(arrays) != 1:
        raise ConversionError(f"a .npy holds one array, and here are {len(arrays):,}: {_listed(arrays)}")
    with replacing(target) as file:
        for array in arrays.values():
            npy.write_array(file, array, allow_pickle=False)


def _write_safetensors(arrays: Mapping[str, np.ndarray[Any, Any]], target: str, _codec: str | None) -> None:
    from retain._files import safetensors
    from retain._files.replacing import replacing

    refused = [f"{name}: {why}" for name, array in arrays.items() if (why := safetensors.refusal(name, array))]
    if refused:
        raise ConversionError("; ".join(refused))
    with replacing(target) as file:
        safetensors.write(arrays, file)


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_WRITERS: dict[str, Callable[[Mapping[str, np.ndarray[Any, Any]], str, str | None], None]] = {
    "npz": _write_npz,
    "npy": _write_npy,
    "safetensors": _write_safetensors,
}
