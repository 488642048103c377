"""Whom an attacker could name who wants hardly any name to be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.assess.figures import Figures
from memberwise.statistics import (
    Estimate,
    clopper_pearson,
    conformal_p_values,
    named_as_members,
    nonmember_scores,
)

# The share of the named that may be wrong in the mean.
FALSE_SHARE = 0.1


def discoveries(
    main: Figures, member: NDArray[np.bool_], confidence: float, rng: np.random.Generator
) -> dict[str, Any]:
    """The ``discoveries`` of ``result.json``: Benjamini and Hochberg's rule on the headline's conformal p-values.

    They are calibrated on the non-members of shadow models in the target's place; where there are none on a random
    half of the target's own non-members, who are not tested then.
    """
    tested, calibration = ~np.isnan(main.scores), nonmember_scores(main.pairs)
    source = "shadows" if len(calibration) else "half"
    if not len(calibration):
        others = rng.permutation(np.flatnonzero(tested & ~member))
        half = others[: len(others) // 2]
        tested[half] = False
        calibration = main.scores[half]
    named = named_as_members(conformal_p_values(main.scores[tested], calibration), FALSE_SHARE)
    truth = member[tested]
    wrong, right = int((named & ~truth).sum()), int((named & truth).sum())
    return {
        "attack": main.attack.name,
        "false_share": FALSE_SHARE,
        "calibration": source,
        "n_calibration": len(calibration),
        "tested": int(tested.sum()),
        "named": wrong + right,
        "wrong": wrong,
        "wrong_share": _share(wrong, wrong + right, truth, confidence) if wrong + right else None,
        "found": _share(right, int(truth.sum()), truth, confidence),
    }


def _share(k: int, n: int, truth: NDArray[np.bool_], confidence: float) -> dict[str, Any]:
    low, high = clopper_pearson(k, n, confidence)
    n1 = int(truth.sum())
    return Estimate(k / n, float(low), float(high), n1, len(truth) - n1, f"Clopper-Pearson over {n} records").to_dict()
