"""The largest logit against one threshold, as in the slides on membership inference against an MNIST network."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """max_j z_j, the largest logit. HIGHER = MORE LIKELY A MEMBER.

    Assumes that logits themselves are served, and no label (Kaplan's slides: "member where the largest logit is above
    tau"). Logits have a free additive constant: where that varies by record, the signal is lost. No parameters.

    Returns:
        ``(n,)`` float64.
    """
    if signals.target.vectors is None:
        raise ValueError("the target's full answers are not in the table")
    return np.asarray(signals.target.vectors[0].max(-1), np.float64)


ATTACK = Attack(
    name="top-one",
    score=score,
    needs=Needs(answers="logits", vectors=True, label=False),
    source="Kaplan, slides on defences against membership inference",
    summary="Compares the largest logit with one threshold, chosen on shadow models.",
)
SEARCH = Attack(
    name="top-one-search",
    score=score,
    needs=ATTACK.needs,
    source=ATTACK.source,
    summary="The same, with the threshold searched over the evaluated records as in the slides (optimistic).",
    threshold="search",
)
