"""One attack's figures as result.json holds them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import memberwise.statistics
from memberwise.errors import DataError
from memberwise.statistics import Threshold, auc, decide, evaluate, tpr_at_fpr

KEYS = {"auc", "balanced_accuracy", "advantage", "precision", "recall", "tpr_at_fpr", "threshold"}


def example(n: int = 300) -> tuple[Any, Any]:
    member = np.arange(n) % 2 == 0
    return np.random.default_rng(8).normal(member, 1.0), member


def test_it_is_its_parts() -> None:
    scores, member = example()
    threshold = Threshold(0.5, "shadows")
    result = evaluate(scores, member, fprs=[0.1, 0.01], confidence=0.9, threshold=threshold)
    assert result.auc == auc(scores, member, 0.9)
    assert result.tpr_at_fpr == (tpr_at_fpr(scores, member, 0.1, 0.9), tpr_at_fpr(scores, member, 0.01, 0.9))
    assert result.decision == decide(scores, member, threshold, 0.9)


def test_to_dict_has_exactly_the_keys_and_is_json() -> None:
    scores, member = example()
    for threshold in (None, Threshold(0.5, "shadows"), Threshold(99.0, "half", member | ~member),
                      Threshold(0.5, "audited (optimistic)")):  # fmt: skip
        fields = evaluate(scores, member, fprs=[0.1], threshold=threshold).to_dict()
        assert set(fields) == KEYS
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert fields["threshold"] == {"value": 0.5, "chosen_on": "audited (optimistic)"}
    assert set(fields["auc"]) == {"value", "low", "high", "n_members", "n_nonmembers", "method"}


def test_without_a_threshold_its_figures_are_null() -> None:
    fields = evaluate(*example(), fprs=[], threshold=None).to_dict()
    assert {name for name, figure in fields.items() if figure is None} == {
        "balanced_accuracy", "advantage", "precision", "recall", "threshold"
    }  # fmt: skip
    assert fields["tpr_at_fpr"] == []


def test_records_that_could_not_be_scored_are_left_out() -> None:
    scores, member = example()
    holes, other = scores.copy(), np.arange(300) >= 100
    holes[::7] = np.nan
    kept = ~np.isnan(holes)
    result = evaluate(holes, member, fprs=[0.1], threshold=Threshold(0.5, "half", other))
    assert result.auc == auc(scores[kept], member[kept])
    assert result.decision == decide(scores[kept & other], member[kept & other], Threshold(0.5, "shadows"))
    assert np.isnan(holes[0])  # the input is not touched


@pytest.mark.parametrize("lost", [True, False])
def test_a_side_without_scores_is_an_error(lost: bool) -> None:
    scores, member = example()
    with pytest.raises(DataError, match="without both members and non-members"):
        evaluate(np.where(member == lost, np.nan, scores), member, fprs=[0.1], threshold=None)


def test_shapes_must_fit() -> None:
    with pytest.raises(DataError, match="do not fit"):
        evaluate([1.0, 2.0, 3.0], [0, 1], fprs=[], threshold=None)


def test_public_names() -> None:
    names = memberwise.statistics.__all__
    assert len(names) == len(set(names))  # the linter keeps them in order
    assert all(hasattr(memberwise.statistics, name) for name in names)
