"""
Kill writers at random instants, and see what became of what they had kept.

Run as ``python tests/havoc/kills.py --rounds 500``: four writers share a folder; in each round one of them is killed,
with no chance to tidy up, and another one begins.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
WRITERS = 4


class Writer:
    """A process that keeps results, and what it said of them."""

    def __init__(self, folder, layout, seed):
        command = [sys.executable, str(HERE / "writer.py"), str(folder), layout, str(seed)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.kept = []
        self.wrong = []
        self.started = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        for line in self.process.stdout:
            # A line that is cut off was never said.
            match line.split() if line.endswith("\n") else []:
                case ["kept", which, number]:
                    self.kept.append((which, number))
                case ["wrong", *call]:
                    self.wrong.append(call)
            self.started.set()
        self.started.set()

    def kill(self):
        """End it at once; whether it was alive till then."""
        alive = self.process.poll() is None
        self.process.kill()
        self.end()
        return alive

    def end(self):
        """Let it end, if it was not killed."""
        self.process.stdin.close()
        self.process.wait(30)
        self._listener.join(30)
        self.process.stdout.close()


def run(rounds, layout, seed, report=lambda text: None):
    """Return what came of it, as a dict of numbers."""
    chance = random.Random(seed)
    found = {"rounds": 0, "died": 0, "wrong": 0}
    kept = []
    with tempfile.TemporaryDirectory(prefix="retain-kills-") as folder:
        writers = [Writer(folder, layout, chance.randrange(10**9)) for _ in range(WRITERS)]

        def took(writer):
            kept.extend(writer.kept)
            found["wrong"] += len(writer.wrong)

        try:
            for number in range(rounds):
                index = chance.randrange(WRITERS)
                writers[index].started.wait(30)
                time.sleep(chance.random() * 0.1)
                # One that has ended by itself died of something else.
                found["died"] += not writers[index].kill()
                took(writers[index])
                writers[index] = Writer(folder, layout, chance.randrange(10**9))
                found["rounds"] += 1
                report(f"round {number + 1}: {len(kept)} kept, {found['wrong']} wrong")
        finally:
            for writer in writers:
                writer.end()
                took(writer)
        checker = [sys.executable, str(HERE / "checker.py"), str(folder), layout]
        lines = "".join(f"{which} {number}\n" for which, number in kept)
        done = subprocess.run(checker, input=lines, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        told = json.loads(done.stdout)
        found["wrong"] += told.pop("wrong")
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        # The index keeps room that it will use again.
        left = [path.stat().st_size for path in files if "index" not in path.name]
        return found | told | {"left": sum(left)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--layout", default="indexed", choices=["indexed", "plain"])
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    found = run(options.rounds, options.layout, seed, lambda text: print(f"\r{text}", end="", flush=True))
    print(f"\nseed {seed}: {found}")
    sound = not any(found[name] for name in ("died", "wrong", "lost", "computed", "damaged"))
    sys.exit(not (sound and found["left"] < 1_000_000))


if __name__ == "__main__":
    main()
