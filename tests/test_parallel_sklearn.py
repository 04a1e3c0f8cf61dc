"""scikit-learn computes the same whether joblib or retain makes its parallel calls."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("joblib")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.timeout(200)

IN_PLACE_OF_JOBLIB = """
    import sys

    import joblib
    import retain
    import retain.parallel

    for name in ("Parallel", "delayed", "cpu_count", "effective_n_jobs", "parallel_backend", "parallel_config"):
        setattr(joblib, name, getattr(retain, name))
    joblib.parallel = retain.parallel
    sys.modules["joblib.parallel"] = retain.parallel
"""
PROGRAM = """
    import hashlib
    import json
    import warnings

    import sklearn
    from sklearn.datasets import load_digits, load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC
    from sklearn.utils.parallel import Parallel, delayed

    warnings.simplefilter("ignore")
    found = {"by": Parallel.__mro__[1].__module__}

    iris, labels = load_iris(return_X_y=True)
    search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "kernel": ["rbf", "linear"]}, n_jobs=2, cv=3).fit(iris, labels)
    found["search"] = {
        "best": search.best_params_,
        "score": search.best_score_,
        "scores": [search.cv_results_[f"split{fold}_test_score"].tolist() for fold in range(3)],
        "ranks": search.cv_results_["rank_test_score"].tolist(),
    }

    images, digits = load_digits(return_X_y=True)
    forest = RandomForestClassifier(20, n_jobs=2, random_state=0).fit(images[:900], digits[:900])
    found["forest"] = {
        "score": forest.score(images[900:], digits[900:]),
        "probabilities": hashlib.sha256(forest.predict_proba(images[900:]).tobytes()).hexdigest(),
        "importances": forest.feature_importances_.tolist(),
    }

    with sklearn.config_context(working_memory=77):
        found["settings"] = [
            each["working_memory"] for each in Parallel(n_jobs=2)(delayed(sklearn.get_config)() for _ in range(4))
        ]

    grid = {"C": [-1, 1]}
    search = GridSearchCV(LogisticRegression(max_iter=1000), grid, n_jobs=2, cv=3, error_score=0.5).fit(iris, labels)
    found["failures"] = {"scores": search.cv_results_["mean_test_score"].tolist()}
    try:
        GridSearchCV(LogisticRegression(), grid, n_jobs=2, cv=3, error_score="raise").fit(iris, labels)
    except ValueError as error:
        found["failures"]["error"] = [type(error).__name__, str(error)]
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    """What the program finds with each of them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    programs = {"joblib": PROGRAM, "retain": textwrap.dedent(IN_PLACE_OF_JOBLIB) + textwrap.dedent(PROGRAM)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = {
        name: subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment, **pipes)
        for name, program in programs.items()
    }
    told = {}
    try:
        for name, process in processes.items():
            out, err = process.communicate(timeout=150)
            assert process.returncode == 0, err
            told[name] = json.loads(out)
    finally:
        for process in processes.values():
            process.kill()
    return told


def test_its_calls_are_made_by_either(found):
    assert found["joblib"]["by"] == "joblib.parallel"
    assert found["retain"]["by"] == "retain._parallel.parallel"


def test_a_grid_search_finds_the_same(found):
    assert found["retain"]["search"] == found["joblib"]["search"]
    assert found["retain"]["search"]["score"] > 0.9


def test_a_random_forest_is_the_same(found):
    assert found["retain"]["forest"] == found["joblib"]["forest"]
    assert found["retain"]["forest"]["score"] > 0.85


def test_its_settings_hold_in_tasks(found):
    assert found["retain"]["settings"] == found["joblib"]["settings"] == [77] * 4


def test_fits_that_fail_are_told_alike(found):
    assert found["retain"]["failures"] == found["joblib"]["failures"]
    assert found["retain"]["failures"]["scores"][0] == 0.5
    assert "'C' parameter" in found["retain"]["failures"]["error"][1]
