"""Whatever goes wrong in a parallel call: its user sees what it was, keeps the rest, and nothing is left behind.

`python tests/faults_parallel` prints the table, with joblib beside retain; some rows take long, and are only there.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from extent import extent
from faults_parallel.lab import Unavailable, outcome
from faults_parallel.table import SITUATIONS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is looked at takes Linux")


@pytest.mark.parametrize("name", [name for name, each in SITUATIONS.items() if not each.by_hand])
@pytest.mark.timeout(120)
def test_retain_is_as_it_must_be(tmp_path, name):
    try:
        shown, said = outcome(SITUATIONS[name], "retain", tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))
    assert re.fullmatch(SITUATIONS[name].right, shown), f"{shown}\n{said}"


@pytest.mark.timeout(120)
def test_nothing_is_left_of_many_calls_in_which_workers_are_killed():
    """The whole run: `python tests/havoc/parallel.py --calls 1000`."""
    program = Path(__file__).parent / "havoc" / "parallel.py"
    command = [sys.executable, str(program), "--calls", str(extent(40, 20)), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "leaked: nothing" in done.stdout
