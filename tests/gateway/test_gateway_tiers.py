"""What each tier tells, and which tier a share of a budget has."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from memberwise.gateway.decide import History, decide, tier_at
from memberwise.gateway.policy import Step, parse_policy
from memberwise.gateway.tiers import coarsen, coarsest

answers = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 8)), elements=st.floats(-5, 5, width=16))
probabilities = answers.map(lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True))


@given(answers | probabilities)
def test_every_tier_keeps_the_label(x: NDArray[np.float64]) -> None:
    labels = x.argmax(1)
    assert (coarsen(x, "vector") == x).all()
    assert (coarsen(x, "label") == labels).all()
    assert (coarsen(x, "top-3").argmax(1) == labels).all()
    assert coarsen(x, "label").dtype == np.int64


@given(answers | probabilities)
def test_top_3_tells_three_entries_of_two_digits(x: NDArray[np.float64]) -> None:
    top = coarsen(x, "top-3")
    order = np.argsort(-x, axis=1, kind="stable")
    for row, kept, ranks in zip(x, top, order, strict=True):
        assert not kept[ranks[3:]].any()
        others = ranks[1:3]
        np.testing.assert_array_equal(kept[others], np.round(row[others], 2))
        assert abs(kept[ranks[0]] - row[ranks[0]]) <= 0.0151 or row[ranks[0]] < 0
        np.testing.assert_array_equal(kept, np.round(kept, 2))


@given(probabilities)
def test_top_3_is_a_function_of_itself(x: NDArray[np.float64]) -> None:
    once = coarsen(x, "top-3")
    np.testing.assert_array_equal(coarsen(once, "top-3"), once)


def test_a_tie_by_rounding_is_broken_towards_the_label() -> None:
    top = coarsen(np.array([[0.496, 0.499, 0.005], [0.334, 0.333, 0.333]]), "top-3")
    assert top.tolist() == [[0.5, 0.51, 0.0], [0.33, 0.33, 0.33]]


def test_labels_stay_labels_at_every_tier() -> None:
    labels = np.array([3, 0, 2])
    for tier in ("vector", "top-3", "label"):
        assert coarsen(labels, tier).tolist() == [3, 0, 2]


def test_the_coarsest_tier_is_that_which_tells_least() -> None:
    assert coarsest([]) == coarsest(["vector"]) == "vector"
    assert coarsest(["vector", "label", "top-3"]) == "label"


def test_a_step_begins_at_its_share() -> None:
    ladder = (Step(above=0, tier="vector"), Step(above=0.5, tier="label"))
    assert [tier_at(ladder, share) for share in (0.0, 0.4999, 0.5, 1.0, 1.5)] == ["vector"] * 2 + ["label"] * 3


@given(st.integers(0, 30), st.integers(0, 10), st.integers(0, 30), st.integers(0, 10), st.integers(0, 12))
def test_no_decision_exceeds_a_budget(client: int, new: int, total: int, unseen: int, crowd: int) -> None:
    policy = parse_policy(
        {"plans": {"default": {"questions": 20}}, "budget": {"total": 25, "neighbourhood": {"questions": 8}}},
        "the test",
    )
    unseen = min(unseen, new)
    crowd = max(crowd, 1) if unseen else 0
    history = History(client, 0.0, new, total, 0.0, unseen, crowd)
    decision = decide(history, policy, "default")
    fits = (not new or client + new <= 20) and (not unseen or (total + unseen <= 25 and crowd <= 8))
    assert (decision.refusal is None) == fits
    assert decision.remaining == max(0, 20 - client - (new if fits else 0))
