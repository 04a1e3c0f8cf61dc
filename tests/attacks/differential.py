"""What the verifier accepts, the unpickler has to load: without a crash, and with no names but those reported.

``python -m attacks.differential FOLDER PROGRAM`` loads those files of a folder that the verifier accepts, in other
processes, so that a crash is told by its name. ``PROGRAM`` is the example ``verify`` of the crate retain-format. Who
calls ``check`` may bring another function from a file's bytes to the names that were reported, or to nothing if it was
refused.
"""

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Names = frozenset[tuple[str, str]]

# What a value may turn out to be though all its opcodes are right: Python looks closer.
MEANINGS = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    NotImplementedError,
    AttributeError,
    pickle.PickleError,
)

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from attacks import differential
differential.load(sys.argv[2:])
"""


class Limited(pickle.Unpickler):
    """The unpickler under the names that the verifier reported."""

    def __init__(self, file: io.BytesIO, names: Names) -> None:
        super().__init__(file)
        self.names = names

    def find_class(self, module: str, name: str) -> object:
        """Find what was reported, and nothing else."""
        if (module, name) not in self.names:
            raise AssertionError(f"{module}.{name} was not reported")
        return super().find_class(module, name)


def load(pairs: Iterable[str]) -> None:
    """Load files, each named with the names that it may use."""
    for pair in pairs:
        path, _, listed = pair.partition("|")
        names = frozenset((one.split(":")[0], one.split(":")[1]) for one in listed.split(",") if one)
        print(path, flush=True)
        raw = Path(path).read_bytes()
        outcomes = []
        for how in (lambda: Limited(io.BytesIO(raw), names).load(), lambda: pickle.loads(raw)):  # noqa: B023
            try:
                outcomes.append(type(how()).__name__)
            except MEANINGS as error:
                outcomes.append(type(error).__name__)
        if outcomes[0] != outcomes[1]:
            raise AssertionError(f"{path}: from a file {outcomes[0]}, from memory {outcomes[1]}")


def check(
    files: Iterable[Path], accepts: Callable[[bytes], Names | None], mark: Path, batch: int = 200
) -> tuple[int, int]:
    """Load what is accepted of ``files``; how many there were, and how many were accepted.

    Raises ``AssertionError`` if the unpickler crashes, reads another thing than the verifier did, or creates ``mark``.
    """
    count = 0
    accepted = []
    for file in files:
        count += 1
        names = accepts(file.read_bytes())
        if names is not None:
            accepted.append(f"{file}|{','.join(f'{module}:{name}' for module, name in sorted(names))}")
    for first in range(0, len(accepted), batch):
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            CHILD,
            os.fspath(Path(__file__).parent.parent),
            *accepted[first : first + batch],
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stdout.splitlines()[-1:] or ["?"]
            raise AssertionError(f"{last[0]}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        if mark.exists():
            raise AssertionError(f"one of {accepted[first : first + batch]} ran its payload")
    return count, len(accepted)


def through(program: str) -> Callable[[bytes], Names | None]:
    """Accept what the example ``verify`` of the crate retain-format, at this path, calls safe."""

    def accepts(raw: bytes) -> Names | None:
        file = Path(f"{program}.input")
        file.write_bytes(raw)
        environment = os.environ | {"NAMES": "1"}
        done = subprocess.run([program, os.fspath(file)], capture_output=True, text=True, check=True, env=environment)
        first, *rest = done.stdout.splitlines()
        if ": Safe " not in first:
            return None
        names = (line.split()[1:] for line in rest if line.startswith("    names "))
        return frozenset((module, name) for module, name in names)

    return accepts


if __name__ == "__main__":
    folder, program = sys.argv[1:3]
    print(*check(sorted(Path(folder).iterdir()), through(program), Path("mark")), "files, accepted")
