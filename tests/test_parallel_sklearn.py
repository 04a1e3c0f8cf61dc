"""scikit-learn computes the same whether joblib or retain makes its parallel calls."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("joblib")
pytest.importorskip("sklearn")

IN_PLACE_OF_JOBLIB = """
    import joblib
    import retain
    import retain.parallel

    for name in ("Parallel", "delayed", "cpu_count", "effective_n_jobs", "parallel_backend", "parallel_config"):
        setattr(joblib, name, getattr(retain, name))
    joblib.parallel = retain.parallel
    sys.modules["joblib.parallel"] = retain.parallel
"""
START = """
    import json
    import sys
"""


def run(*parts):
    """Run the parts of a program; what it printed, as JSON."""
    code = "".join(textwrap.dedent(part) for part in (START, *parts))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same(program):
    """What a program prints, with joblib and with retain."""
    with_retain = run(IN_PLACE_OF_JOBLIB, program, WHO)
    with_joblib = run(program, WHO)
    assert with_retain.pop("by") == "retain._parallel.parallel"
    assert with_joblib.pop("by") == "joblib.parallel"
    assert with_retain == with_joblib
    return with_retain


WHO = """
    from sklearn.utils.parallel import Parallel
    print(json.dumps(found | {"by": Parallel.__mro__[1].__module__}))
"""


@pytest.mark.timeout(200)
def test_a_grid_search_finds_the_same():
    found = same(
        """
        from sklearn.datasets import load_iris
        from sklearn.model_selection import GridSearchCV
        from sklearn.svm import SVC

        search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "kernel": ["rbf", "linear"]}, n_jobs=2, cv=3)
        search.fit(*load_iris(return_X_y=True))
        found = {
            "best": search.best_params_,
            "score": search.best_score_,
            "scores": [search.cv_results_[f"split{fold}_test_score"].tolist() for fold in range(3)],
            "ranks": search.cv_results_["rank_test_score"].tolist(),
        }
        """
    )
    assert found["score"] > 0.9


@pytest.mark.timeout(200)
def test_a_random_forest_is_the_same():
    found = same(
        """
        import hashlib
        from sklearn.datasets import load_digits
        from sklearn.ensemble import RandomForestClassifier

        images, labels = load_digits(return_X_y=True)
        forest = RandomForestClassifier(20, n_jobs=2, random_state=0).fit(images[:900], labels[:900])
        found = {
            "score": forest.score(images[900:], labels[900:]),
            "probabilities": hashlib.sha256(forest.predict_proba(images[900:]).tobytes()).hexdigest(),
            "importances": forest.feature_importances_.tolist(),
        }
        """
    )
    assert found["score"] > 0.85


@pytest.mark.timeout(200)
def test_settings_and_failures_of_tasks_are_the_same():
    same(
        """
        import warnings

        import numpy as np
        import sklearn
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.utils.parallel import Parallel, delayed

        iris, labels = load_iris(return_X_y=True)
        found = {}
        with sklearn.config_context(working_memory=77):
            configs = Parallel(n_jobs=2)(delayed(sklearn.get_config)() for _ in range(4))
        found["settings"] = [each["working_memory"] for each in configs]
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            grid = {"C": [-1, 1]}
            search = GridSearchCV(LogisticRegression(max_iter=1000), grid, n_jobs=2, cv=3, error_score=0.5)
            found["scores"] = search.fit(iris, labels).cv_results_["mean_test_score"].tolist()
            try:
                GridSearchCV(LogisticRegression(), grid, n_jobs=2, cv=3, error_score="raise").fit(iris, labels)
            except ValueError as error:
                found["error"] = [type(error).__name__, str(error)]
        """
    )
