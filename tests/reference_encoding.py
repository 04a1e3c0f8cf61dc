"""
The encoding of values that `retain.hash` is the digest of, written down a second time, in plain Python.

It follows the text of the crate `retain-key` and takes its time. It knows nothing of values that contain themselves.
"""

from __future__ import annotations

import contextlib
import copyreg
import struct
import sys
from types import FunctionType, MemberDescriptorType, ModuleType

import blake3
from retain import _identity, _parts, _retain

END, DIGEST, NONE, FALSE, TRUE, INT, F64, F32, COMPLEX, STR, BYTES, CHAR, TUPLE, LIST, SET, MAP, OBJECT = range(17)
FROZENSET, ITEM = 0x12, 0x13
INLINE = 256

DESCRIPTORS = {
    "classmethod_descriptor",
    "getset_descriptor",
    "member_descriptor",
    "method_descriptor",
    "wrapper_descriptor",
}


def digest(value):
    """Return what `retain.hash` is to return."""
    return blake3.blake3(b"retain-key 1\n" + Reference().code(value)).hexdigest()


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def shortened(raw, tag=DIGEST):
    return raw if len(raw) <= INLINE else bytes([tag]) + blake3.blake3(raw).digest()


def counted(tag, content):
    return shortened(bytes([tag]) + varint(len(content)) + content)


def integer(number):
    size = 0 if number == 0 else (number if number >= 0 else ~number).bit_length() // 8 + 1
    return counted(INT, number.to_bytes(size, "little", signed=True))


def text(string):
    return counted(STR, string.encode("utf-8", "surrogatepass"))


def raw_bytes(content):
    return counted(BYTES, bytes(content))


class Reference:
    """One walk: what is met again has the code that it had."""

    def __init__(self):
        self.known = {}

    def code(self, value):
        if id(value) in self.known:
            return self.known[id(value)][0]
        found = self.of(value)
        # Kept alive, so that no other value has its address.
        self.known[id(value)] = (found, value)
        return found

    def of(self, value):
        kind = type(value)
        if kind in EXACT:
            return EXACT[kind](self, value)
        if is_code(value):
            return self.object("identity", raw_bytes(_identity.digest_of(value)))
        numpy = sys.modules.get("numpy")
        if numpy is not None and kind is numpy.ndarray:
            return self.array(value)
        handler = _parts.handler(kind)
        if handler is not None:
            return self.handled(handler(value))
        return self.reduced(value)

    def ordered(self, tag, items):
        return shortened(bytes([tag]) + b"".join(items) + bytes([END]))

    def object(self, name, *parts):
        return self.ordered(OBJECT, (text(name), *parts))

    def mapping(self, pairs):
        return self.ordered(MAP, sorted(shortened(self.code(key) + self.code(value), ITEM) for key, value in pairs))

    def attributes(self, pairs):
        return self.mapping((name, value) for name, value in pairs if not str(name).startswith("_retain_"))

    def handled(self, parts):
        parts = iter(parts)
        name = next(parts)
        return self.object(name, *map(self.part, parts))

    def part(self, part):
        if type(part) is _retain.At:
            part = part.value
        return raw_bytes(memoryview(part.buffer)) if type(part) is _retain.Raw else self.code(part)

    def array(self, array):
        dtype = array.dtype
        if dtype.kind == "O":
            items = self.ordered(LIST, map(self.code, array.ravel().tolist()))
            return self.object("array", self.code(dtype), self.code(array.shape), text("C"), items)
        from retain import _parts_numpy

        if dtype.hasobject or dtype.char == "T":
            return self.handled(_parts_numpy.array(array))
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        mask = _parts_numpy.mask(dtype) * array.size
        content = bytes(byte & used for byte, used in zip(array.tobytes(order), mask, strict=True))
        return self.object("array", self.code(dtype), self.code(array.shape), text(order), raw_bytes(content))

    def reduced(self, value):
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(reduced, str):
            module = getattr(value, "__module__", None) or type(value).__module__
            return self.object("global", text(module), text(reduced))
        function, args, state, items, pairs, setter = (*reduced, *[None] * (6 - len(reduced)))
        if function is copyreg.__newobj__ and not own_pickling(type(value)) and items is pairs is None:
            dicts = [getattr(value, "__dict__", {}), *slots(value)]
            return self.object("instance", self.code(type(value)), *(self.attributes(found.items()) for found in dicts))
        return self.object(
            "reduce",
            self.code(function),
            self.code(args),
            self.attributes(state.items()) if type(state) is dict else self.code(state),
            self.code(None) if items is None else self.ordered(LIST, map(self.code, items)),
            self.code(None) if pairs is None else self.mapping(pairs),
            self.code(setter),
        )


EXACT = {
    type(None): lambda walk, value: bytes([NONE]),
    bool: lambda walk, value: bytes([TRUE if value else FALSE]),
    int: lambda walk, value: integer(value),
    float: lambda walk, value: bytes([F64]) + struct.pack("<d", value),
    complex: lambda walk, value: bytes([COMPLEX]) + struct.pack("<dd", value.real, value.imag),
    str: lambda walk, value: text(value),
    bytes: lambda walk, value: raw_bytes(value),
    bytearray: lambda walk, value: walk.object("bytearray", raw_bytes(value)),
    tuple: lambda walk, value: walk.ordered(TUPLE, map(walk.code, value)),
    list: lambda walk, value: walk.ordered(LIST, map(walk.code, value)),
    set: lambda walk, value: walk.ordered(SET, sorted(map(walk.code, value))),
    frozenset: lambda walk, value: walk.ordered(FROZENSET, sorted(map(walk.code, value))),
    dict: lambda walk, value: walk.mapping(value.items()),
}


def is_code(value):
    return isinstance(value, (type, ModuleType)) or type(value) is FunctionType or type(value).__name__ in DESCRIPTORS


def own_pickling(kind):
    own = ("__reduce_ex__", "__reduce__", "__getstate__")
    made = ("__getnewargs__", "__getnewargs_ex__")
    return (
        kind in copyreg.dispatch_table
        or any(getattr(kind, name) is not getattr(object, name) for name in own)
        or any(hasattr(kind, name) for name in made)
    )


def slots(value):
    """Return what is in the slots, if the class has any; a name that comes again follows that of its class."""
    found, names = {}, set()
    for base in type(value).__mro__:
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType:
                shown = f"{base.__qualname__}.{name}" if name in names else name
                names.add(name)
                with contextlib.suppress(AttributeError):
                    found[shown] = member.__get__(value)
    return [found] if names else []
