"""A membership attack of your own, in ten lines, run on a small table of signals.

    python examples/my_attack.py
    memberwise audit --data digits --attacks loss,examples/my_attack.py:ATTACK

The attack: how far the target's log-probability of the true class lies above the median over shadow models that did
not train on the record.
"""

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks import Attack, Needs
from memberwise.signals import Signals


def score(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
    """log p_y minus its median over OUT models, (n,). HIGHER = MORE LIKELY A MEMBER."""
    assert signals.shadows is not None  # without them it does not run: it needs them
    theirs = np.where(signals.is_out, signals.shadows.log_p[:, :, 0], np.nan)  # (m, n); -1 and 1 are not used
    scores, some = np.full(signals.records, np.nan), signals.is_out.any(0)  # without OUT models: NaN
    scores[some] = signals.target.log_p[0, some, 0] - np.nanmedian(theirs[:, some], axis=0)
    return scores


ATTACK = Attack("median", score, Needs(shadows="out"), source="mine", summary="How far log p_y lies above others'.")


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
