"""Whether a target that was given is the model it should be: its accuracy on its own training rows tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.errors import Note
from memberwise.statistics import clopper_pearson
from memberwise.types.arrays import Floats

# So sure are the intervals that must lie apart before a target is said to contradict itself.
SURE = 0.999
# So far below its shadow models, beyond chance, before a target is called another model than they are.
FAR_BELOW = 0.1
# So far from the accuracy that was stored with it, beyond chance.
STORED_MARGIN = 0.01
CODE = "target-contradicts"


@dataclass(frozen=True)
class Accuracies:
    """What is known of a target that was given.

    Attributes:
        train, test: shares right on rows it was trained on, and on others. n_train, n_test: at least so many rows.
        classes: how many. stored: its training accuracy as it was stored with it, if it was.
        shadows: ``(m,)`` training accuracies of its shadow models; empty without any.
    """

    train: float
    n_train: int
    test: float
    n_test: int
    classes: int
    stored: float | None
    shadows: Floats


def contradiction_notes(target: Accuracies) -> list[Note]:
    """A warning that voids a gate where the target cannot be the model that was trained on the stated rows, or is not
    asked as it was trained: other rows, another order of columns, scaling or classes."""
    low, high = _interval(target.train, target.n_train)
    claim = f"the target is right on {target.train:.1%} of its own training rows"
    faults = []
    if high < _interval(target.test, target.n_test)[0]:
        faults.append(f"{claim} and on {target.test:.1%} of rows it never saw, which chance does not explain")
    if target.stored is not None and not low - STORED_MARGIN <= target.stored <= high + STORED_MARGIN:
        faults.append(f"{claim}; with the model {target.stored:.1%} was stored")
    if len(target.shadows):
        middle = float(np.median(target.shadows))
        if high + FAR_BELOW < _interval(middle, target.n_train)[0]:
            faults.append(f"{claim}, its shadow models, trained by the stated recipe, on {middle:.1%} of theirs")
    if high < 1 / target.classes:
        faults.append(f"{claim}, less than guessing one of {target.classes} classes gives")
    if not faults:
        return []
    return [
        Note(
            CODE,
            f"{'; '.join(faults)}: it is not asked as it was trained (encoding, scaling, order of columns or classes), "
            "or was trained on other rows or by another recipe than stated, so these figures may be about another "
            "model",
        )
    ]


def _interval(share: float, n: int) -> tuple[float, float]:
    low, high = clopper_pearson(round(share * n), n, SURE)
    return float(low), float(high)
