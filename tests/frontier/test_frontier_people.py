"""A small frontier end to end: recipes compared over all models in turn, and single people at risk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import memberwise as mw
from memberwise.assess.people import ShareAbove
from memberwise.frontier.page import render
from memberwise.frontier.recipes import InTurn, share_splits
from memberwise.frontier.schema import frontier_schema
from memberwise.frontier.strength import of_recipes
from memberwise.frontier.words import people_words

SETTINGS: dict[str, Any] = {
    "training.epochs": 3,
    "model.hidden": [8],
    "run.device": "cpu",
    "attacks.boundary_queries": 100,
    "attacks.boundary_records": 5,
}


@pytest.mark.slow
def test_points_are_compared_over_all_models_in_turn(tmp_path: Path) -> None:
    found = mw.defend(
        data="digits",
        members=60,
        nonmembers=60,
        defences=[],
        points=[{"name": "l2", "strength": 0.1}],
        shadow_models=8,
        attacks=["loss", "gap"],
        out=tmp_path,
        settings=SETTINGS,
    )
    assert list(Draft202012Validator(frontier_schema()).iter_errors(found.facts)) == []
    plain, defended = found.parts.points
    for row in (plain, defended):
        assert row.recipe is not None
        assert (row.recipe.models, row.recipe.trainings) == (8, 4)
        assert row.people == (), "four pairs say nothing of single people"
    # As their audits left them on disk: the same trainings and records.
    audits = [mw.Result.load(folder) for folder in sorted((tmp_path / "points").iterdir())]
    one, other = (InTurn.of(audit, found.parts.fpr, 0.95) for audit in audits)
    assert one is not None
    assert other is not None
    assert share_splits(one, other)
    apart = of_recipes(one, other, "auc", 0.95)
    assert apart.low <= apart.value <= apart.high
    assert "For single people" not in render(found.parts)
    rows = (replace(plain, people=shares(0.3)), replace(defended, people=shares(0.1)))
    facts = replace(found.parts, points=rows, recommended=1)
    page = render(facts)
    assert "For single people" in page
    without = render(found.parts)
    assert [page.count(share) - without.count(share) for share in ("30.0%", "35.0%")] == [5, 5], (
        "cells and the sentence"
    )
    assert people_words(rows[1], rows[0], facts).endswith("fewer.")
    assert people_words(rows[0], rows[1], facts).endswith("more.")
    assert "cannot be measured" in people_words(defended, rows[0], facts)
    assert people_words(rows[1], plain, facts) == ""


def shares(value: float) -> tuple[ShareAbove, ...]:
    known = {"n_members": 120, "n_nonmembers": 120, "method": "by hand"}
    return tuple(
        ShareAbove(auc=auc, value=value, low=value - 0.05, high=value + 0.05, **known)  # type: ignore[arg-type]
        for auc in (0.6, 0.7, 0.8, 0.9)
    )
