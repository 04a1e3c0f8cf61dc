"""How much of a long campaign is run: all of it, unless `RETAIN_SAMPLED` asks for a sample.

`make test` runs all on the Python of `.venv`, and a sample on each other: what differs between Pythons is met by a
few hundred mutations as by ten thousand. A sample is always the same, and takes the same path through the test.
"""

import os

SAMPLED = os.environ.get("RETAIN_SAMPLED", "0") not in {"", "0"}


def extent(whole, sample):
    """Return how many rounds, or which cases, a campaign has in this run."""
    return sample if SAMPLED else whole
