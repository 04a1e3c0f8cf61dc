"""Of each situation in `truth`: retain is right in it, and joblib is as the table says."""

import pytest
from extent import extent
from truth.lab import Templates, outcome
from truth.table import ALL, SITUATIONS, libraries


@pytest.fixture(scope="module")
def templates():
    with Templates() as made:
        yield made


def test_joblib_fails_in_forty_of_them_and_more():
    assert len(SITUATIONS) >= 40
    assert all(each.joblib != each.right for each in SITUATIONS.values())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("layout", extent(["retain", "retain, plain"], ["retain"]))
def test_retain_is_right(templates, tmp_path, layout, name):
    shown, errors = outcome(ALL[name], layout, templates, tmp_path)
    assert shown == ALL[name].right, errors


@pytest.mark.skipif("joblib" not in libraries(), reason="joblib is not installed")
@pytest.mark.parametrize("name", ALL)
def test_joblib_is_as_recorded(templates, tmp_path, name):
    shown, errors = outcome(ALL[name], "joblib", templates, tmp_path)
    if ALL[name].races:
        assert shown != ALL[name].right, errors
    else:
        assert shown == ALL[name].joblib, errors
