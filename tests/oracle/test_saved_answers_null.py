"""Saved answers that tell nothing about the target's members: through the whole product the intervals must cover."""

from __future__ import annotations

from collections import Counter
from typing import Any

import conventions as slow
import numpy as np
import pytest
from saved_cases import NAMES, make_answers

from memberwise.assess import AttackRequest, assess
from memberwise.seeds import Seeds
from memberwise.signals.saved.answers import read_shadows, read_target
from memberwise.signals.saved.table import signals_from_saved
from memberwise.study.reading import make_study

SEEDS = 16
# Of 16 intervals of 95 %, fewer than 12 cover with probability 0.0009 (binomial).
FEWEST = 12
STUDY = make_study(
    {"outputs": {"file": "outputs"}, "attacks": {"use": NAMES}, "statistics": {"fpr": [0.1], "turns": "none"}},
    "the test",
)


def assessment(seed: int, paired: bool) -> tuple[Any, Any]:
    """The figures of an audit whose ``member`` was drawn after the target had answered."""
    outputs, shadow_outputs = make_answers(seed, n=120, shadows=8 if paired else 9, paired=paired)
    outputs["member"] = (np.random.default_rng(10_000 + seed).permutation(120) < 60).astype(int)
    target = read_target(outputs, "outputs")
    signals = signals_from_saved(target, read_shadows(shadow_outputs, target, "shadow outputs"))
    return assess(signals, target.member, STUDY, AttackRequest.of(STUDY), Seeds(seed), target.classes), target.member  # type: ignore[arg-type]


@pytest.mark.slow
def test_intervals_cover_chance() -> None:
    """Shadow models are of complementary halves and of independent coins, in turn."""
    covered, decided, widths = Counter(), Counter(), Counter()  # type: ignore[var-annotated]
    for seed in range(SEEDS):
        found, member = assessment(seed, paired=seed % 2 == 0)
        for attack in found.attacks:
            name, auc, accuracy, rate = attack.name, attack.auc, attack.balanced_accuracy, attack.tpr_at_fpr
            covered[name, "AUC"] += auc.low <= 0.5 <= auc.high
            widths[name] += (auc.high - auc.low) / SEEDS
            if accuracy.low is not None:
                decided[name] += 1
                covered[name, "balanced accuracy"] += accuracy.low <= 0.5 <= accuracy.high
            if name not in ("gap", "attack-r"):  # few values: at 10 % nobody is strictly above the largest
                covered[name, "TPR"] += rate[0].low <= 0.1 <= rate[0].high
    assert set(decided) == set(NAMES) - {"top-one-search"}  # searched on the audited records: no interval
    assert set(decided.values()) == {SEEDS}
    assert {key: count for key, count in covered.items() if count < FEWEST} == {}
    delong = slow.delong_width(np.random.default_rng(0).normal(size=120), member)
    assert max(widths.values()) < 1.25 * delong
