"""The opcodes of pickle, put together by hand: no pickler writes what the attacks need."""

import struct

STOP = b"."
MARK = b"("
NONE = b"N"
REDUCE = b"R"
BUILD = b"b"
NEWOBJ = b"\x81"
NEWOBJ_EX = b"\x92"
EMPTY_TUPLE = b")"
EMPTY_LIST = b"]"
EMPTY_DICT = b"}"
MEMOIZE = b"\x94"


def proto(number: int = 4) -> bytes:
    """Begin a pickle of this protocol."""
    return b"\x80" + bytes([number])


def text(value: str) -> bytes:
    """Push a text."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def data(value: bytes) -> bytes:
    """Push bytes."""
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    """Push an integer."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module: str, qualified: str) -> bytes:
    """Push a global."""
    return text(module) + text(qualified) + b"\x93"


def line_name(module: str, qualified: str) -> bytes:
    """Push a global, as protocols 0 to 3 name it."""
    return b"c" + module.encode() + b"\n" + qualified.encode() + b"\n"


def pack(*items: bytes) -> bytes:
    """Push a tuple."""
    return MARK + b"".join(items) + b"t"


def sequence(*items: bytes) -> bytes:
    """Push a list."""
    return EMPTY_LIST + MARK + b"".join(items) + b"e"


def mapping(*items: bytes) -> bytes:
    """Push a dict of keys and values in turn."""
    return EMPTY_DICT + MARK + b"".join(items) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    """Call a function."""
    return function + pack(*arguments) + REDUCE


def put(number: int) -> bytes:
    """Store the top of the stack in the memo."""
    return b"r" + struct.pack("<I", number)


def get(number: int) -> bytes:
    """Push from the memo."""
    return b"j" + struct.pack("<I", number)
