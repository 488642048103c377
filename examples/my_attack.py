"""A membership attack of your own, run on a small table of signals.

    python examples/my_attack.py

The attack: how far the target's log-probability of the true class lies above the median over shadow models that did
not train on the record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks import Attack, Needs
from memberwise.signals import Signals


def score(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
    """log p_y minus its median over OUT models. HIGHER = MORE LIKELY A MEMBER. More shadow models make it stronger."""
    if signals.shadows is None:
        raise ValueError("there are no shadow models")
    theirs = np.where(signals.is_out, signals.shadows.log_p[:, :, 0], np.nan)  # (m, n); -1 and 1 are not used
    result = np.full(signals.records, np.nan)  # a record without OUT models cannot be scored
    usable = signals.is_out.any(0)
    result[usable] = signals.target.log_p[0, usable, 0] - np.nanmedian(theirs[:, usable], axis=0)
    return result


ATTACK = Attack(
    name="median",
    score=score,
    needs=Needs(shadows="out"),
    source="this example; compare Watson et al. 2022, difficulty calibration",
    summary="How far the true class's log-probability lies above that of models without the record.",
)


def demonstration_table(
    rng: np.random.Generator, records: int = 2000, models: int = 16
) -> tuple[Signals, NDArray[np.bool_]]:
    """Records of unequal difficulty, raised by one logit where a model trained on them; and who the members are."""
    from memberwise.signals.read import read_answers

    member = rng.permutation(records) < records // 2
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    trained_on = np.stack([first, ~first], 1).reshape(models, records)  # complementary pairs
    labels = rng.integers(0, 3, records)
    difficulty = rng.normal(scale=3.0, size=records)

    def logits(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        z = rng.normal(size=(len(inside), records, 1, 3))
        z[:, np.arange(records), 0, labels] += difficulty + inside
        return z

    target, shadows = (read_answers(logits(who), labels, "logits") for who in (member[None], trained_on))
    return Signals(np.arange(records), labels, target, shadows, trained_on.astype(np.int8)), member


def main() -> None:
    from sklearn.metrics import roc_auc_score

    from memberwise.attacks import ATTACKS, run_attacks
    from memberwise.seeds import Seeds

    signals, member = demonstration_table(np.random.default_rng(0))
    for outcome in run_attacks(signals, [ATTACKS["loss"], ATTACK, ATTACKS["rmia-offline"]], Seeds(0)):
        if outcome.scores is None:
            print(f"{outcome.attack.name:14} skipped: {outcome.skipped}")
        else:
            print(f"{outcome.attack.name:14} AUC {roc_auc_score(member, outcome.scores):.3f}")


if __name__ == "__main__":
    main()
