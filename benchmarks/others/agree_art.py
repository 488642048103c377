"""Adversarial Robustness Toolbox: HopSkipJump's distances and how often it asks: ``agree_art.py IN.npz OUT.npz``."""

from __future__ import annotations

import sys

import numpy as np
from art.attacks.evasion import HopSkipJump
from art.estimators.classification import BlackBoxClassifier
from numpy.typing import NDArray

# Iterations, most and first evaluations of a gradient: about a thousand questions a record, and ART's own defaults.
SETTINGS = {"short": (12, 150, 25), "default": (50, 10_000, 100)}


def main() -> None:
    given = np.load(sys.argv[1])
    x, y, asked = given["x"], given["y"], 0
    layers = [(given[f"w{i}"], given[f"b{i}"]) for i in range(int(given["layers"]))]
    classes = len(layers[-1][1])

    def predict(points: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal asked
        asked += len(points)
        for number, (weight, bias) in enumerate(layers):
            points = points @ weight.T + bias
            points = np.maximum(points, 0) if number < len(layers) - 1 else points
        return np.asarray(np.eye(classes, dtype=np.float32)[points.argmax(1)])

    target = BlackBoxClassifier(predict, x.shape[1:], classes, clip_values=(float(x.min()), float(x.max())))
    found = {}
    for name, (iterations, most, first) in SETTINGS.items():
        attack = HopSkipJump(target, 1024, norm=2, max_iter=iterations, max_eval=most, init_eval=first, verbose=False)
        rows = []
        for i in range(len(x)):
            np.random.seed(i)  # noqa: NPY002  ART draws from this generator
            before = asked
            adversarial = attack.generate(x[i : i + 1], y=np.eye(classes)[y[i : i + 1]])
            rows.append([np.linalg.norm(adversarial - x[i : i + 1]), asked - before])
        found[name] = np.array(rows)
    np.savez(sys.argv[2], allow_pickle=False, **found)


main()
