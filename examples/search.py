"""A cross-validated grid search over the features of handwritten digits, in parallel, which goes on where it stopped.

Run by `examples/demo.py`, which interrupts it half way. What was computed till then is kept by `Memory`, as are the
features of `digits.py`.
"""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path

import digits
import numpy as np
import retain
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

FOLDS = 3
PENALTIES = (0.1, 1.0, 10.0, 100.0)
GAMMAS = (0.0001, 0.001, 0.01, 0.1)
BATCHES = 18

Rows = NDArray[np.float64]
Labels = NDArray[np.int64]


def classifier(penalty: float, gamma: float) -> Pipeline:
    """Return a classifier of digits that has learnt nothing as yet."""
    return make_pipeline(StandardScaler(), SVC(C=penalty, gamma=gamma))


def accuracy(rows: Rows, labels: Labels, penalty: float, gamma: float, fold: int) -> float:
    """Return the share of a fold that is recognised by what the other folds have taught."""
    learnt, asked = list(StratifiedKFold(FOLDS).split(rows, labels))[fold]
    model = classifier(penalty, gamma).fit(rows[learnt], labels[learnt])
    score = float(model.score(rows[asked], labels[asked]))
    print(f"computed: C={penalty:g}, gamma={gamma:g}, fold {fold}: {score:.4f}")
    return score


def main(features_in: str, scores_in: str, model_in: str) -> None:
    """Search, and dump the model that is best."""
    images, labels = load_digits(return_X_y=True)
    features = retain.Memory(features_in, verbose=0).cache(digits.features)
    rows = np.concatenate([features(batch) for batch in np.array_split(images.reshape(-1, 8, 8), BATCHES)])
    half = len(rows) // 2
    learnt, taught = rows[:half], labels[:half]

    kept = retain.Memory(scores_in, verbose=0).cache(accuracy)
    grid = list(itertools.product(PENALTIES, GAMMAS, range(FOLDS)))
    known = sum(kept.check_call_in_cache(learnt, taught, *point) for point in grid)
    print(f"{known} of {len(grid)} scores are known", flush=True)
    parallel = retain.Parallel(n_jobs=2, progress="grid search")
    scores = np.array(parallel([retain.delayed(kept)(learnt, taught, *point) for point in grid]))

    means = scores.reshape(-1, FOLDS).mean(axis=1)
    penalty, gamma, _ = grid[int(means.argmax()) * FOLDS]
    model = classifier(penalty, gamma).fit(learnt, taught)
    retain.dump(model, model_in)
    right = model.score(rows[half:], labels[half:])
    percent = f"{100 * means.max():.1f} % in cross-validation, {100 * right:.1f} % of the other half"
    print(f"best: C={penalty:g}, gamma={gamma:g}, {percent}")


if __name__ == "__main__":
    # A shell has it ignored by what it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted")
        sys.exit(130)
