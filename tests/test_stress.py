"""A short run of the stress test; `python tests/stress --seconds 60` is a long one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(120)
def test_random_actions_of_many_threads_neither_crash_nor_leak_nor_mix_up_values():
    script = Path(__file__).parent / "stress"
    command = [sys.executable, str(script), "--seconds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing leaked" in done.stdout
