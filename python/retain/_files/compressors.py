"""The codecs by name, and those that programs register."""

from __future__ import annotations

from typing import Any, BinaryIO, Final

# The extensions of the built-in codecs, which are written in Rust.
BUILT_IN: Final = {
    "zlib": ".z",
    "gzip": ".gz",
    "bz2": ".bz2",
    "lzma": ".lzma",
    "xz": ".xz",
    "lz4": ".lz4",
    "zstd": ".zst",
}
# By name; programs bring what looks like a CompressorWrapper, too.
_registered: dict[str, Any] = {}


class CompressorWrapper:
    """
    A codec made of a file type, for `register_compressor`.

    Parameters
    ----------
    obj : callable
        Makes a file object from `(fileobj, mode)`, with mode "rb" or "wb", and with `compresslevel=` where a level is
        asked for, as `gzip.GzipFile` does. It has `read`, `write`, `seek` and `tell`.
    prefix : bytes, default b""
        What the files of this codec begin with.
    extension : str, default ""
        The end of the names of its files, with the dot.
    """

    def __init__(self, obj: Any, prefix: bytes = b"", extension: str = "") -> None:
        self.fileobj_factory = obj
        self.prefix = prefix
        self.extension = extension

    def compressor_file(self, fileobj: BinaryIO, compresslevel: int | None = None) -> Any:
        """Return a file object that compresses into `fileobj`."""
        options = {} if compresslevel is None else {"compresslevel": compresslevel}
        return self.fileobj_factory(fileobj, "wb", **options)

    def decompressor_file(self, fileobj: BinaryIO) -> Any:
        """Return a file object that decompresses `fileobj`."""
        return self.fileobj_factory(fileobj, "rb")


def register_compressor(compressor_name: str, compressor: Any, force: bool = False) -> None:
    """
    Register a codec, for `dump(..., compress=compressor_name)` and for files that begin with its prefix.

    Parameters
    ----------
    compressor_name : str
        Its name.
    compressor : CompressorWrapper
        The codec, or anything with the same attributes.
    force : bool, default False
        Replace what is registered under this name, a built-in codec too.

    Raises
    ------
    ValueError
        If the name is not a str or is taken, or if the codec lacks what a file object needs.
    """
    if not isinstance(compressor_name, str):
        raise ValueError(f"Compressor name should be a string, {compressor_name!r} given.")  # noqa: TRY004
    if not (hasattr(compressor, "compressor_file") and hasattr(compressor, "decompressor_file")):
        raise ValueError(f"Compressor should implement the CompressorWrapper interface, {compressor!r} given.")
    factory = getattr(compressor, "fileobj_factory", None)
    missing = [name for name in ("read", "write", "seek", "tell") if factory is not None and not hasattr(factory, name)]
    if missing:
        raise ValueError(
            "Compressor 'fileobj_factory' attribute should implement the file object interface, "
            f"but {factory!r} has no {', '.join(missing)}."
        )
    if not force and (compressor_name in _registered or compressor_name in BUILT_IN):
        raise ValueError(f"Compressor {compressor_name!r} already registered.")
    _registered[compressor_name] = compressor


def registered(name: str) -> Any:
    """Return the codec that a program registered under `name`, or None."""
    return _registered.get(name)


def names() -> list[str]:
    """Return the names of all codecs."""
    return [*BUILT_IN, *(name for name in _registered if name not in BUILT_IN)]


def by_extension(filename: str) -> str | None:
    """Return the name of the codec whose files are called so, or None."""
    found = None
    for name, extension in BUILT_IN.items():
        if filename.endswith(extension):
            found = name
    for name, compressor in _registered.items():
        if compressor.extension and filename.endswith(compressor.extension):
            found = name
    return found


def any_registered() -> bool:
    """Tell whether any codec is registered."""
    return bool(_registered)


def could_begin(start: bytes) -> bool:
    """Tell whether what begins so, and goes on, could be a registered codec's for all one knows."""
    return any(
        isinstance(wrapper.prefix, bytes) and len(start) < len(wrapper.prefix) and wrapper.prefix.startswith(start)
        for wrapper in _registered.values()
    )


def by_prefix(start: bytes) -> Any:
    """Return the registered codec whose files begin so, or None."""
    fitting = [
        wrapper
        for wrapper in _registered.values()
        if wrapper.prefix and isinstance(wrapper.prefix, bytes) and start.startswith(wrapper.prefix)
    ]
    return max(fitting, key=lambda wrapper: len(wrapper.prefix), default=None)
