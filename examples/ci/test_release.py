"""Membership leakage as a test of a model's own suite: pytest fails where the limit is not shown to be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

DIGITS = load_digits(return_X_y=True)


def test_release_keeps_to_the_limit(assert_leakage_below: Callable[..., Any]) -> None:
    result = assert_leakage_below(
        "tpr@0.1>0.3",
        model=LogisticRegression(C=0.01, max_iter=200),
        data=DIGITS,
        members=600,
        nonmembers=600,
        shadow_models=8,
        attacks=["gap", "lira-online-shrunk"],
    )
    assert result.passed
