"""What `import retain` costs over bare Python, and that it imports nothing heavy.

Wall time of whole processes, in turn: the start of the interpreter is in each figure, and
subtracted in the next column. Modules are compiled beforehand, as installed ones are.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from timing import Table, Target, stopwatch

STATEMENTS = {
    "bare": "pass",
    "functools": "import functools",
    "retain": "import retain",
    "cachetools": "import cachetools",
    "cachebox": "import cachebox",
    "boltons.cacheutils": "import boltons.cacheutils",
}
LIMIT_MS = 10

# Notes every module that is asked for, whether it is installed or not.
WATCH = """
import sys
class Watch:
    asked = []
    def find_spec(self, name, path=None, target=None):
        self.asked.append(name)
sys.meta_path.insert(0, Watch())
import retain
print(len(Watch.asked), "numpy" in Watch.asked)
"""


def run(code):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)


def measure(quick):
    times = {name: [] for name in STATEMENTS}
    for code in STATEMENTS.values():
        run(code)
    for _ in range(7 if quick else 25):
        for name, code in STATEMENTS.items():
            times[name].append(stopwatch(lambda code=code: run(code)) * 1e3)
    table = Table("Import: ms per process", ("import", "in all", "over bare Python", "target"))
    for name, taken in times.items():
        pairs = zip(taken, times["bare"], strict=True)
        over = statistics.median(mine - bare for mine, bare in pairs)
        target = Target(over, most=LIMIT_MS) if name == "retain" else None
        table.add(name, statistics.median(taken), None if name == "bare" else over, target)
    modules, numpy = run(WATCH).stdout.split()
    asked = Table("Import: what `import retain` imports", ("", "modules", "target"))
    asked.add("modules not loaded by bare Python", int(modules), None)
    asked.add("of these, numpy", int(numpy == "True"), Target(int(numpy == "True"), most=0))
    return [table, asked]
