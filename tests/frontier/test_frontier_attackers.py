"""Which attacks meet a point: by the kind of records, by cost, and named before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.attacks import ATTACKS
from memberwise.auditing.prepare import Inputs
from memberwise.data import Dataset
from memberwise.frontier.attackers import BY_LABELS, FAMILY, affordable, considered, label_only_attacks, met_by  # type: ignore[attr-defined]
from memberwise.study.schema import Study


def study(**more: Any) -> Study:
    return Study.model_validate({"data": {"source": "here", "members": 40, "nonmembers": 40}, **more})


def by_kind(x: np.ndarray) -> set[str]:
    dataset = Dataset(x.astype(np.float32), np.arange(len(x)) % 2, ("a", "b"), "here")
    return set(label_only_attacks(study(), Inputs(dataset=dataset)))


RNG = np.random.default_rng(0)
BITS, NUMBERS = RNG.integers(0, 2, (100, 5)), RNG.normal(size=(100, 5))


@pytest.mark.parametrize(
    ("x", "without"),
    [
        (RNG.random((100, 8, 8)), set()),
        (BITS, {"label-only-boundary"}),
        (np.c_[BITS, np.ones(100)], {"label-only-boundary"}),
        (NUMBERS, {"label-only-augment"}),
        (np.c_[BITS, NUMBERS], set()),
    ],
)
def test_label_only_attacks_fit_the_records(x: np.ndarray, without: set[str]) -> None:
    assert by_kind(x) == set(BY_LABELS) - without


def test_family_is_fixed_beforehand_and_looks_at_no_truth() -> None:
    asked = met_by(study(attacks={"use": ["top-one-search", "loss"]}), ["label-only-noise"])
    assert set(asked.attacks.use) == {"top-one-search", "loss", "label-only-noise", *FAMILY} - {"cascade"}
    assert set(FAMILY) | set(BY_LABELS) <= set(ATTACKS)
    ran = ["gap", "loss", "entropy", "top-one-search", "learned", "label-only-noise"]
    assert considered(asked, "gap", ran) == ["gap", "loss", "learned", "label-only-noise"]


def test_a_headline_is_one_of_the_attacks_and_stops_no_point() -> None:
    asked = met_by(study(attacks={"headline": "lira-online"}), [])
    assert asked.attacks.headline is None
    assert "lira-online" in asked.attacks.use
    assert considered(asked, "gap", ["gap", "lira-online", "loss"]) == ["gap", "lira-online"]


def test_one_label_only_attack_does_where_answers_are_votes() -> None:
    use: dict[str, Any] = {"attacks": {"use": ["gap", *BY_LABELS]}}
    votes = affordable(study(answer=[{"name": "ldl", "copies": 50}], **use))
    assert set(votes.attacks.use) == {"gap", "label-only-augment"}
    bare = affordable(study(answer=[{"name": "ldl", "copies": 50}], attacks={"use": ["gap", "label-only-noise"]}))
    assert set(bare.attacks.use) == {"gap", "label-only-noise"}, "one of them meets every point"
    for answer in ([], [{"name": "rounding"}], [{"name": "ldl", "copies": 2}]):
        assert "label-only-boundary" in affordable(study(answer=answer, **use)).attacks.use


def test_own_attacks_are_compared_unless_they_look() -> None:
    asked = Study.model_validate({"attacks": {"use": ["mine.py:ATTACK", "mine@0123456789ab"]}})
    assert considered(asked, "gap", ["gap", "loss", "mine", "searching"], ["searching"]) == ["gap", "mine"]


def test_the_cascade_meets_points_whose_models_are_asked_for() -> None:
    assert "cascade" not in met_by(study(), ()).attacks.use
    assert "cascade" in met_by(study(shadow={"cascade": 8}), ()).attacks.use
