"""Our boundary search beside ART's HopSkipJump, on the same models and records, asked equally often.

``python benchmarks/agreement_labels.py``, after ``make bench-others``. Prints the figures of docs/agreement.md.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from agreement import PYTHON, ask
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn

from memberwise.signals.collectors.boundary import BoundaryDistances
from memberwise.signals.questions import Access, Questions
from memberwise.targets.models import FunctionModels

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def linear() -> tuple[Layers, NDArray[np.float32], NDArray[np.int64]]:
    """20 features, two classes: the distance to the boundary is known."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=20).astype(np.float32), rng.uniform(-3, 3, (60, 20)).astype(np.float32)
    return [(np.stack([-w, w]), np.zeros(2, np.float32))], x, (x @ w > 0).astype(np.int64)


def digits() -> tuple[Layers, NDArray[np.float32], NDArray[np.int64]]:
    """A ReLU network of 64 units on scikit-learn's digits, and 60 records which it has not seen and knows."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(30):
        for rows in torch.randperm(600).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])).backward()
            optimiser.step()
    right = np.flatnonzero(net(torch.from_numpy(x[600:])).argmax(1).numpy() == y[600:])[:60] + 600
    dense = [part for part in net if isinstance(part, nn.Linear)]
    layers = [(part.weight.detach().numpy(), part.bias.detach().numpy()) for part in dense]
    return layers, x[right], y[right]


def ours(layers: Layers, x: NDArray[np.float32], y: NDArray[np.int64], queries: int) -> NDArray[np.float64]:
    def answer(points: NDArray[np.float32]) -> Any:
        for number, (weight, bias) in enumerate(layers):
            points = points @ weight.T + bias
            points = np.maximum(points, 0) if number < len(layers) - 1 else points
        return points

    none, models = np.zeros(0, np.int64), FunctionModels([answer], "logits")
    questions = Questions(x, y, len(layers[-1][1]), np.arange(len(x)), none, none, none)
    access = Access(1, models, models)
    extra = BoundaryDistances(queries, len(x)).collect(access, questions)
    assert extra is not None
    return np.asarray(extra.values[0], np.float64)


def main() -> int:
    if not PYTHON.exists():
        sys.stderr.write("the tools to compare with are not installed: make bench-others\n")
        return 2
    print("| model | ART's setting | questions | ours / ART's | ours / exact | ART's / exact | rank correlation |")
    print("|---|---|---|---|---|---|---|")
    for name, (layers, x, y) in {"linear, 20 features": linear(), "ReLU network, digits": digits()}.items():
        arrays = {f"{k}{i}": v for i, layer in enumerate(layers) for k, v in zip("wb", layer, strict=True)}
        theirs = ask("agree_art.py", {"x": x, "y": y, "layers": np.array(len(layers)), **arrays})
        for setting, rows in theirs.items():
            distance, queries = rows[:, 0], int(rows[:, 1].mean())
            own = ours(layers, x, y, queries)
            exact = np.abs(np.diff(x @ layers[0][0].T)[:, 0]) / np.linalg.norm(np.diff(layers[0][0], axis=0))
            known = [np.median(d / exact) if len(layers) == 1 else np.nan for d in (own, distance)]
            ratios = " | ".join(f"{value:.3f}" for value in (np.median(own / distance), *known))
            print(f"| {name} | {setting} | {queries:,} | {ratios} | {spearmanr(own, distance).statistic:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
