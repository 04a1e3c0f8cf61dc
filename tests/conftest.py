"""What holds for the whole run of the tests."""

import gc

import pytest
from hypothesis import settings

# On a busy machine, an example takes as long as it takes.
settings.register_profile("retain", deadline=None)
settings.load_profile("retain")


@pytest.fixture(autouse=True, scope="module")
def what_was_before():
    """Keep what was there before a module's tests out of each collection of theirs.

    Many of them collect on purpose. Walking through pandas and all the others, and through the values that earlier
    modules keep, takes longer than what they are about.
    """
    gc.collect()
    gc.freeze()
