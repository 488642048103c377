"""Kaplan's system: an MNIST network behind its scores, and the adversary that reads the largest of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench, figure, seed_of, share
from memberwise.reproduce.claim import Ours, Row, Series
from memberwise.statistics.thresholds import KAPLAN_GRID
from memberwise.types.arrays import Floats, Mask

ORIGIN = "Kaplan's slides"
SEARCHED = "adversary, searched threshold"
MIXED = "adversary, searched threshold, 56:44"
HONEST = "adversary, threshold from shadow models"
# Where the slides' accuracy converges to: the share of members, if that is what it is.
SHARE = 0.56
SYSTEM: Mapping[str, object] = {
    "model.hidden": [200, 200],
    "training.epochs": 5,
    "training.schedule": "constant",
    "shadow.count": 2,
    "attacks.use": ["top-one", "top-one-search", "gap", "loss"],
    "attacks.headline": "top-one",
}
UNSTATED = "the slides do not say how members and non-members are mixed; here there are as many of each"
# Of MNIST's pixels in [0, 1]; images are often standardised by it.
DEVIATION = 0.3081
# Parameters of the slides' three techniques, as our output defences.
CLIP = "logit-clipping"
IMAGE = "image-noise"
NOISE = "confidence-noise"


def system(
    bench: Bench,
    label: str,
    *,
    members: int | None = None,
    epochs: int = 5,
    answer: Sequence[Mapping[str, object]] = (),
    **settings: object,
) -> Result:
    """One audit of the slides' system; 6,000 training records give its accuracy."""
    n = members or bench.pick(2000, 6000, 6000)
    study = {**SYSTEM, "data.members": n, "data.nonmembers": n, "training.epochs": epochs, "answer": list(answer)}
    return bench.audit(label, study | settings)


def three(bench: Bench, setting: str, run: Result) -> list[Row]:
    """A run's accuracy and the adversary in both mixes."""
    return [
        *bench.rows(setting, run, ["test accuracy"]),
        bench.row(setting, SEARCHED, searched(run)),
        bench.row(setting, MIXED, searched(run, SHARE)),
    ]


def searched(result: Result, members: float = 0.5) -> Ours:
    """The slides' adversary: the best accuracy over thresholds 0, 0.1, ... 15 on the records it is judged on.

    ``members``: the share of members among them; non-members are left out to reach it.
    """
    scores, member = scores_of(result)
    inside, outside = scores[member], scores[~member]
    outside = outside[: round(len(inside) * (1 - members) / members)]
    value, n = best_accuracy(inside, outside), len(inside) + len(outside)
    ours = share(value, n, (seed_of(result),))
    return Ours(value, ours.low, ours.high, n, "Clopper-Pearson at a searched threshold: optimistic", ours.seeds)


def best_accuracy(inside: Floats, outside: Floats) -> float:
    """The best accuracy of "member where the score is above the threshold" over the slides' grid.

    Args:
        inside, outside: ``(n1,)`` scores of members and ``(n0,)`` of non-members.
    """
    right = (inside[:, None] > KAPLAN_GRID).sum(0) + (outside[:, None] <= KAPLAN_GRID).sum(0)
    return float(right.max() / (len(inside) + len(outside)))


def scores_of(result: Result) -> tuple[Floats, Mask]:
    """The evaluated records' ``(n,)`` scores of ``top-one`` and who is a member."""
    table = result.scores[result.scores["evaluated"] == 1]
    return table["top-one"].to_numpy(np.float64), table["member"].to_numpy() == 1


def series_of(form: str, x: Sequence[float], runs: Sequence[Result]) -> list[Series]:
    """Test accuracy and the adversary's in both mixes against ``x``."""
    after = f", {form}" if form else ""
    lines: dict[str, list[Ours | None]] = {
        f"test accuracy{after}": [figure(run, "test accuracy") for run in runs],
        f"adversary{after}": [searched(run) for run in runs],
        f"adversary 56:44{after}": [searched(run, SHARE) for run in runs],
    }
    return [
        Series(
            label,
            tuple(x),
            tuple(o.value for o in figures if o),
            tuple(o.low for o in figures if o and o.low is not None),
            tuple(o.high for o in figures if o and o.high is not None),
        )
        for label, figures in lines.items()
    ]
