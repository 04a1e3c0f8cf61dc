"""The digest of a value is the same in every process and Python, before and after pickling, however it was made."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus
import pytest
import retain
from extent import extent

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden_hashes.json").read_text(encoding="utf-8"))
PROCESSES = extent(8, 2)
# What these protocols do not keep: which of two equal times it is, and the order of bytes in an array.
FROM_PROTOCOL = {"fold=1": 4, 'dtype=">': 5}


def built(section):
    found = list(corpus.section(section))
    if not found:
        pytest.skip(f"{section} is not installed")
    return found


def test_the_corpus_has_at_least_300_values():
    assert sum(map(len, corpus.SECTIONS.values())) >= 300
    assert len(corpus.SECTIONS["standard"]) + len(corpus.SECTIONS["own"]) >= 200


@pytest.mark.timeout(300)
def test_digests_are_equal_in_processes_with_different_hash_seeds():
    program = (
        "import json, warnings; warnings.simplefilter('error'); import corpus, retain;"
        "print(json.dumps([retain.hash(value) for _, _, value, _ in corpus.values()]))"
    )
    expressions = [expression for _, expression, _, _ in corpus.values()]
    expected = [retain.hash(value) for _, _, value, _ in corpus.values()]

    def run(seed):
        environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONHASHSEED": str(seed * 1000 + 1)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with ThreadPoolExecutor(2) as pool:
        for digests in pool.map(run, range(PROCESSES)):
            assert [one for one, *both in zip(expressions, digests, expected, strict=True) if len({*both}) > 1] == []


@pytest.mark.parametrize("section", corpus.SECTIONS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_digests_are_equal_after_pickling(section, protocol):
    for expression, value, pickles in built(section):
        if not pickles or any(part in expression and protocol < least for part, least in FROM_PROTOCOL.items()):
            continue
        copy = pickle.loads(pickle.dumps(value, protocol))
        assert retain.hash(copy) == retain.hash(value), expression


@pytest.mark.parametrize("section", corpus.SECTIONS)
def test_digests_are_equal_after_pickling_out_of_band(section):
    for expression, value, pickles in built(section):
        if pickles:
            buffers = []
            pickled = pickle.dumps(value, 5, buffer_callback=buffers.append)
            assert retain.hash(pickle.loads(pickled, buffers=buffers)) == retain.hash(value), expression


@pytest.mark.parametrize("section", corpus.SECTIONS)
def test_hashing_changes_nothing(section):
    for expression, value, _ in built(section):
        first = retain.hash(value)
        assert retain.hash(value) == first, expression


@pytest.mark.parametrize("section", corpus.SECTIONS)
def test_a_value_and_one_made_anew_are_equal(section):
    again = {expression: retain.hash(value) for expression, value, _ in corpus.section(section)}
    for expression, value, _ in built(section):
        assert retain.hash(value) == again[expression], expression


@pytest.mark.parametrize("section", corpus.SECTIONS)
def test_digests_are_those_of_every_other_python_and_version(section):
    # They are in golden_hashes.json, which `python tests/corpus.py` writes for a new version of the encoding.
    found = built(section)
    golden = GOLDEN[section]
    for library, version in golden["versions"].items():
        if importlib.import_module(library).__version__ != version:
            pytest.skip(f"the digests are those of {library} {version}")
    wrong = [
        expression for expression, value, _ in found if golden["digests"].get(expression) != retain.hash(value, "md5")
    ]
    assert wrong == []


@pytest.mark.parametrize("section", corpus.SECTIONS)
def test_digests_are_those_of_the_written_encoding(section):
    pytest.importorskip("blake3")
    from reference_encoding import digest

    for expression, value, _ in built(section):
        assert digest(value) == retain.hash(value), expression


def test_interned_and_other_texts_are_the_same():
    text = "a text that is interned"
    other = corpus.fresh(text)
    interned = sys.intern(text)
    assert other is not interned
    assert retain.hash([interned, interned]) == retain.hash([interned, other]) == retain.hash([other, other])
    assert retain.hash({interned: 1}) == retain.hash({other: 1})


def test_shuffled_dicts_and_sets_are_the_same():
    for make in (dict.fromkeys, set, frozenset, lambda names: {frozenset(names): {*names}}):
        names = [f"name {number}" for number in range(50)]
        assert len({retain.hash(make(list(corpus.shuffled(names)))) for _ in range(20)}) == 1
