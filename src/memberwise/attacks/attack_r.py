"""Attack-R: the target's loss on a record against the losses of models that did not train on it."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.in_out import record_blocks, shadows_of
from memberwise.signals.streamed import of_block
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """Share of OUT models with a loss strictly greater than the target's, averaged over queries.

    Ye et al. 2022, attack R: "member" at level a where the loss lies below the a-quantile of the reference models'.
    HIGHER = MORE LIKELY A MEMBER. The score has one step for each OUT model, K + 1 values, and many ties at 1: more
    models make it stronger, and false-positive rates below 1 / K are out of its reach. Records without an OUT model:
    NaN.

    Returns:
        ``(n,)`` float64.
    """
    shadows, log_p, out = shadows_of(signals.shadows), signals.target.log_p[0], signals.is_out
    greater = np.empty(log_p.shape)
    for part in record_blocks(shadows):
        greater[part] = ((of_block(shadows.log_p, part) < log_p[part]) & out[:, part, None]).sum(0)
    count = out.sum(0).astype(np.float64)
    return np.asarray(greater.mean(-1) / np.where(count > 0, count, np.nan))


ATTACK = Attack(
    name="attack-r",
    score=score,
    needs=Needs(shadows="out"),
    source="Ye et al. 2022, Attack R",
    summary="Share of shadow models without the record that have a greater loss on it than the target.",
)
