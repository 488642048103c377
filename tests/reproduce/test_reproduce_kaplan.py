"""Kaplan's adversary: the searched threshold against a loop, and what it does on balanced and unbalanced records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sparse_results import result_of

from memberwise.report.result import Result
from memberwise.reproduce.tables.kaplan_system import SHARE, searched


def table(inside: np.ndarray, outside: np.ndarray) -> Result:
    scores = pd.DataFrame(
        {
            "index": np.arange(len(inside) + len(outside)),
            "member": [1] * len(inside) + [0] * len(outside),
            "evaluated": 1,
            "top-one": np.concatenate([inside, outside]),
        }
    )
    return result_of({}, scores)  # type: ignore[no-any-return]


def slow_search(inside: np.ndarray, outside: np.ndarray) -> float:
    best = 0.0
    for step in range(151):
        threshold = step / 10
        right = sum(z > threshold + 1e-12 for z in inside) + sum(z <= threshold + 1e-12 for z in outside)
        best = max(best, right / (len(inside) + len(outside)))
    return best


@pytest.mark.parametrize("members", [0.5, SHARE])
def test_the_search_is_the_slides(members: float) -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(9, 3, 140), rng.normal(8, 3, 140)
    kept = outside[: round(140 * (1 - members) / members)]
    found = searched(table(inside, outside), members)
    assert found.value == pytest.approx(slow_search(inside, kept))
    assert found.n == 140 + len(kept)
    assert found.seeds == (3,)


def test_scores_that_carry_nothing_give_the_share_of_members() -> None:
    rng = np.random.default_rng(1)
    found = searched(table(rng.uniform(1, 15, 20_000), rng.uniform(1, 15, 20_000)), SHARE)
    assert found.value == pytest.approx(SHARE, abs=0.003)


def test_scores_below_the_grid_leave_no_way_to_call_all_members() -> None:
    scores = np.linspace(-15, -1, 500)
    assert searched(table(scores, scores), SHARE).value == pytest.approx(1 - SHARE, abs=1e-3)
