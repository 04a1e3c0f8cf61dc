"""
Functions whose results anybody can check, in a module of their own: every program here memorizes the same ones.

``small`` results lie in the index, ``large`` ones in files, and ``arrays`` are files of several buffers.
"""

import random

COLD = 1_000_000
"""Numbers from here on are asked for once; those below it are everybody's."""


def small(number):
    return number, random.Random(number).randbytes(100 + number % 3000)


def large(number):
    return number, random.Random(number).randbytes(60_000 + number % 300_000)


def mixed(number):
    content = random.Random(number)
    return {"number": number, "parts": [bytearray(content.randbytes(40_000)) for _ in range(3)]}


ALL = (small, large, mixed)


def memorized(location, layout, **options):
    """All of them, memorized; and the memory."""
    from retain import Memory

    memory = Memory(location, verbose=0, layout=layout, **options)
    return [memory.cache(function) for function in ALL], memory
