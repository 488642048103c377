"""Two ways of training compared over all models in turn, paired in trainings and records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.assess.recipe import RecipeModels, read_recipes, recipe_arrays
from memberwise.frontier.recipes import InTurn, recipe_difference, share_splits
from memberwise.frontier.strength import Met, compared, of_recipes
from memberwise.statistics.two_way import Refitted, TwoWay, two_way

RECORDS, PAIRS = 200, 6
FPR = 0.1


def recipe(shift: float, seed: int, name: str = "base", splits: str = "one", refit: bool = False) -> RecipeModels:
    """An attack whose scores are the record's own level, seen alike at every point, and the gain of members."""
    level = np.random.default_rng(7).normal(size=RECORDS)
    halves = np.random.default_rng(8).random((PAIRS, RECORDS)).argsort(1) < RECORDS // 2
    member = np.stack([halves, ~halves], 1).reshape(2 * PAIRS, RECORDS)
    noise = np.random.default_rng(seed).normal(size=member.shape)
    scores = 2 * level + shift * member + 0.5 * noise
    models = two_way(scores, member, np.arange(2 * PAIRS) // 2, (FPR,), np.random.default_rng(9), draws=60)
    without = Refitted(models.by_cluster[:, :, 0] * 0.01) if refit else None
    return RecipeModels(name, 2 * PAIRS, models, without, (FPR,), RECORDS // 2, RECORDS // 2, splits)


def in_turn(*attacks: RecipeModels) -> InTurn:
    return InTurn({one.attack: one for one in attacks}, FPR, 0.95)


def met(turns: InTurn | None, **shifts: float) -> Met:
    member, rng = np.arange(RECORDS) % 2 == 0, np.random.default_rng(3)
    scores = {name.replace("_", "-"): rng.normal(size=RECORDS) + shift * member for name, shift in shifts.items()}
    return Met(scores, member, np.arange(RECORDS), FPR, 0.95, turns)


def test_kept_arrays_give_the_recipe_back() -> None:
    models = [recipe(1.0, 1, refit=True), recipe(0.5, 2, name="rmia-online")]
    again = read_recipes(recipe_arrays(models) | {"base.fpr": np.zeros(3)})
    assert list(again) == ["base", "rmia-online"]
    for one in models:
        other = again[one.attack]
        np.testing.assert_allclose(other.models.by_cluster, one.models.by_cluster, atol=1e-6)
        assert (other.turns, other.fprs, other.splits) == (one.turns, one.fprs, one.splits)
        assert (other.n_members, other.models.records) == (one.n_members, one.models.records)
    assert again["rmia-online"].refitted is None
    np.testing.assert_array_equal(again["base"].refitted.without, models[0].refitted.without)  # type: ignore[union-attr]


def test_pairing_resolves_what_two_intervals_leave_open() -> None:
    plain, less = recipe(1.0, 1), recipe(0.85, 2)
    one, other = (models.figures(0.95).auc for models in (less, plain))
    assert float(one.high or 1) > float(other.low or 0), "the intervals overlap"
    found = recipe_difference(in_turn(less), "base", in_turn(plain), "base", "auc", 0.95)
    assert found.value == pytest.approx(one.value - other.value)
    assert float(found.high or 1) < 0
    back = recipe_difference(in_turn(plain), "base", in_turn(less), "base", "auc", 0.95)
    assert (back.low, back.high) == pytest.approx((-float(found.high or 0), -float(found.low or 0)))


@pytest.mark.slow
def test_equal_recipes_are_told_apart_at_most_as_stated() -> None:
    told = sum(
        of_recipes(in_turn(recipe(1.0, 2 * k)), in_turn(recipe(1.0, 2 * k + 1)), "auc", 0.95).finding
        != "not told apart"
        for k in range(60)
    )
    assert told <= 0.05 * 60 + 3 * np.sqrt(60 * 0.05 * 0.95)


def test_refitted_variance_is_that_of_the_difference() -> None:
    one, other = recipe(1.0, 1, refit=True), recipe(1.0, 2, refit=True)
    apart = one.refitted.minus(other.refitted)  # type: ignore[union-attr, arg-type]
    rows = one.refitted.without - other.refitted.without  # type: ignore[union-attr]
    np.testing.assert_allclose(apart.variance, (PAIRS - 1) * rows.var(0))


def test_what_never_varies_has_the_interval_of_both() -> None:
    tables = [TwoWay(np.full((6, 2, 61), value), 200) for value in (1.0, 0.5)]
    perfect, none = (RecipeModels("base", 12, table, None, (FPR,), 100, 100) for table in tables)
    found = recipe_difference(in_turn(perfect), "base", in_turn(none), "base", "auc", 0.95)
    assert found.value == 0.5
    assert 0 < float(found.low or 0) < 0.5 < float(found.high or 0)


def test_other_splits_are_not_paired() -> None:
    plain, moved = in_turn(recipe(1.0, 1)), in_turn(recipe(0.2, 2, splits="two"))
    assert not share_splits(plain, moved)
    assert compared(met(plain, base=2.0), met(moved, base=2.0), "auc").basis == "model"
    assert compared(met(plain, base=2.0), met(None, base=2.0), "auc").basis == "model"


def test_recipes_are_compared_where_both_took_turns() -> None:
    plain, less = in_turn(recipe(1.0, 1)), in_turn(recipe(0.5, 2))
    found = compared(met(less, base=0.1), met(plain, base=0.1), "tpr")
    assert (found.basis, found.finding) == ("recipe", "lower")
    assert found.value == pytest.approx(found.each[found.measure].value)


def test_labels_that_tell_more_than_the_turns_decide() -> None:
    """Answers of labels hide the scores: what a label-only attack finds on the target is not in the turns."""
    plain, labels = in_turn(recipe(1.0, 1)), in_turn(recipe(0.0, 2))
    strong: Any = {"base": 0.0, "label_only_boundary": 2.0}
    assert compared(met(labels, **strong), met(plain, base=0.5), "auc").basis == "model"
    weak: Any = {"base": 0.5, "label_only_boundary": 0.4}
    assert compared(met(labels, **weak), met(plain, base=0.5), "auc").basis == "recipe"


def test_turns_by_labels_alone_do_not_speak_for_all() -> None:
    plain, labels = in_turn(recipe(1.0, 1)), in_turn(recipe(0.0, 2, name="gap"))
    few: Any = {"gap": 0.3, "label_only_boundary": 0.0}
    assert compared(met(labels, **few), met(plain, base=0.5), "auc").basis == "model"
