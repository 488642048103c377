"""Difficulty calibration: the target's log-probability beyond what models without the record give."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.in_out import record_blocks, shadows_of
from memberwise.signals.streamed import of_block
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """log p_y under the target, minus its mean over the record's OUT models, averaged over queries.

    Watson et al. 2022, equation 1 with the negative loss as the signal. HIGHER = MORE LIKELY A MEMBER. One OUT model
    helps already; more make it stronger. Records without an OUT model: NaN.

    Returns:
        ``(n,)`` float64.
    """
    shadows, out = shadows_of(signals.shadows), signals.is_out
    typical = np.empty(shadows.log_p.shape[1:])
    for part in record_blocks(shadows):
        typical[part] = of_block(shadows.log_p, part).sum(0, dtype=np.float64, where=out[:, part, None])
    count = out.sum(0)[:, None].astype(np.float64)
    return np.asarray((signals.target.log_p[0] - typical / np.where(count > 0, count, np.nan)).mean(-1))


ATTACK = Attack(
    name="calibration",
    score=score,
    needs=Needs(shadows="out"),
    source="Watson et al. 2022, On the importance of difficulty calibration in membership inference attacks",
    summary="How much surer of the true class the target is than models without the record are on average.",
)
