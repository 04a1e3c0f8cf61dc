"""What a type checker makes of retain: signatures are kept, and what is wrong is found."""

import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api", reason="mypy is not installed for this Python")

# Each line that mypy is to refuse says so.
PROGRAM = """
from typing import assert_type
import retain
from retain import Cache, cache, cached_property, lru_cache, memoize

@cache
def a(x: int, y: str = "") -> float: return 1.0
@lru_cache
def b(x: int) -> float: return 1.0
@lru_cache(maxsize=3, typed=True)
def c(x: int) -> float: return 1.0
@memoize
def d(x: int, *, y: str = "") -> float: return 1.0
@memoize(ttl=3, policy="lru", on_evict=print, weigher=len, cache_exceptions=((KeyError, OSError), 3))
def e(x: int) -> list[int]: return []
@memoize
async def f(x: int) -> str: return ""

assert_type(a(1, y="x"), float)
assert_type(b(1), float)
assert_type(c(1), float)
assert_type(d(1, y=""), float)
assert_type(e(1), list[int])
a("x")  # error
d(1, z=3)  # error
e.invalidate("x")  # error
assert_type(d.invalidate(1), bool)
assert_type(d.refresh(1), float)
d.set(3.0, 1, y="x")
assert_type(d.cache_info().time_saved, float)
assert_type(a.cache_info().maxsize, int | None)
assert_type(a.__name__, str)
assert_type(d.peek(1), float)
for entry in d: assert_type(entry.weight, int)

async def main() -> None:
    assert_type(await f(1), str)
    assert_type(await f.refresh(1), str)

class K:
    @memoize
    def m(self, x: int) -> str: return ""
    @cache
    def n(self, x: int) -> str: return ""
    @lru_cache(maxsize=2)
    def o(self, x: int) -> str: return ""
    @cached_property
    def p(self) -> int: return 1
    @staticmethod
    @memoize
    def s(x: int) -> int: return x
    @property
    @memoize
    def q(self) -> int: return 1
    @memoize
    async def u(self, x: int) -> str: return ""
k = K()
assert_type(k.m(1), str)
assert_type(k.m.invalidate(1), bool)
assert_type(K.m(k, 1), str)
assert_type(K.m.invalidate(k, 1), bool)
assert_type(k.n(1), str)
k.n.cache_clear()
assert_type(K.n(k, 1), str)
assert_type(k.o(1), str)
assert_type(k.p, int)
assert_type(K.s(1), int)
assert_type(k.q, int)
k.m("x")  # error
g: Cache[str, int] = Cache(maxsize=3, ttl=lambda v: v + 0.5)
assert_type(g["a"], int)
assert_type(g.get("a"), int | None)
assert_type(g.get("a", 3), int)
assert_type(g.get_or_insert("a", len), int)
assert_type(g.peek("a"), int | None)
assert_type(g.peek("a", "x"), int | str)
assert_type(g.pop("a"), int)
assert_type(g.setdefault("a", 3), int)
g["a"] = "x"  # error
g.set("a", 1, ttl=3.5)
g.update({"x": 1}, y=2)
assert_type(g.stats().hits, int)
cb = Cache[tuple[int, str], bytes](max_bytes=3)
retain.cacheutils.LRU(3)
memory = retain.Memory("folder", max_bytes="10G", ram_bytes=0, key=b"secret")
@memory.cache
def h(x: int, *, y: str = "") -> float: return 1.0
@memory.cache(ignore=["y"], ttl=3, mmap_mode="r", cache_validation_callback=retain.expires_after(days=1))
def i(x: int, y: int = 1) -> list[int]: return []
@memory.cache
async def j(x: int) -> str: return ""
class M:
    @memory.cache
    def m(self, x: int) -> str: return ""
    @memory.cache
    async def n(self, x: int) -> str: return ""
assert_type(h(1, y=""), float)
h("x")  # error
assert_type(h.call(1)[0], float)
assert_type(h.check_call_in_cache(1), bool)
h.check_call_in_cache("x")  # error
assert_type(i(1), list[int])
assert_type(M().m(1), str)
assert_type(M().m.invalidate(1), bool)
M().m("x")  # error
assert_type(M.m(M(), 1), str)
assert_type(h.entries()[0].duration, float)
assert_type(h.explain(1).would_hit, bool)
assert_type(memory.eval(len, "abc"), int)
h.call_and_shelve(1).get()
async def more() -> None:
    assert_type(await j(1), str)
    assert_type((await j.call(1))[0], str)
    assert_type(await M().n(1), str)
retain.Memory(layout="x")  # error
memory.cache(h, mmap_mode="x")  # error
memoize(maxsize="x")  # error
memoize(policy="xx")  # error
"""


def test_types_are_as_the_functions_have_them(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = Path(__file__).parent.parent
    configuration = str(root / "pyproject.toml")
    cache = str(root / ".mypy_cache")
    said, complaints, _ = api.run(["--config-file", configuration, "--cache-dir", cache, "--no-pretty", str(program)])
    assert not complaints
    errors = re.findall(r"^\S*program\.py:(\d+): error: (.*)$", said, re.MULTILINE)
    assert errors
    expected = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# error")]
    assert sorted({int(number) for number, _ in errors}) == expected, said
