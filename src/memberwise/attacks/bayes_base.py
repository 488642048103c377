"""BASE: the target's log-probability over the log of the shadow models' mean probability."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import has_both_sides, log_mean_both, log_mean_out
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats

# How far OUT models alone are trusted where there are no IN models.
C = 0.3
SOURCE = "Lassila et al. 2025, Practical Bayes-optimal membership inference attacks (arXiv:2505.24089)"


def base(c: float = C) -> Score:
    """Online: log p_y(target) - log of the shadow models' mean p_y, averaged over queries.

    p_y is softmax(logits / T) at the table's temperature T, ``signals.temperature``.

    The mean weighs IN and OUT models alike, as the paper's balanced shadow models do, so that the order is that of
    ``rmia-online``; records without a model on both sides: NaN. Where no record has models on both sides:
    log p_y(target) - c log(mean p_y of OUT models). HIGHER = MORE LIKELY A MEMBER. More shadow models make it
    stronger. No population is needed, hence the scores of different targets do not compare.

    Args:
        c: in [0, 1], for tables without IN models (on which nothing can be tuned); 0 is the loss attack, 1 is
            stronger where the model memorises less.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        at = signals.temperature
        log_p = signals.target.log_p_at(at)[0]
        typical = log_mean_both(signals, at) if has_both_sides(signals) else c * log_mean_out(signals, at)
        return np.asarray((log_p - typical).mean(-1))

    return score


ATTACK = Attack(
    name="base",
    score=base(),
    needs=Needs(shadows="out"),
    source=SOURCE,
    summary="How likely the true class is to the target, compared with the mean over shadow models.",
    tempered=True,
)
