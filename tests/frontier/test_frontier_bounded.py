"""Rows of a frontier say what is bounded, by how much; below them stands what their bounds do not say."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from memberwise.assess.bounded import BoundPart, bound_part
from memberwise.assess.games import Bayesian
from memberwise.defences.bounded.private import balanced_success_of, bound_of_training
from memberwise.defences.bounded.spending import Bound
from memberwise.defences.bounded.words import other_game
from memberwise.frontier.page import render
from memberwise.frontier.schema import (
    Accuracy,
    BesideUndefended,
    ComparedPoint,
    FrontierResult,
    Strongest,
    StrongestRate,
    frontier_schema,
)
from memberwise.frontier.terminal import print_frontier
from memberwise.frontier.words import bounded_words, lead
from memberwise.statistics import Estimate
from memberwise.study.schema import Study

SHARE = Bound("i", nats=1e-3, per_question=1e-6, success=0.5224, share=0.5, questions=1_000)


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.01, value + 0.01, 100, 100, "m")


def exact(value: float) -> Bayesian:
    return Bayesian("asks in turn", 2_000, 500, 1e-3, 0.5224, estimate(value), estimate(value), ())


def point(label: str, bound: BoundPart | None, **more: Any) -> ComparedPoint:
    named: dict[str, Any] = {"name": "loss", "attacks": 2, "queries": 1}
    rates = {**vars(estimate(0.2)), **named, "fpr": 0.01, "resolvable": "yes"}
    values: dict[str, Any] = {
        "label": label, "defence": label, "options": {}, "place": "training", "training": {}, "train_accuracy": 0.9,
        "test_accuracy": Accuracy(0.8, 0.7, 0.9, 100, "m"), "validation_accuracy": None, "headline": "loss",
        "headline_accuracy": None, "tpr": StrongestRate(**rates), "auc": Strongest(**vars(estimate(0.6)), **named),
        "rate": "yes", "attack_accuracy": None, "strongest": None, "gap": None, "attacks": (), "by_labels": ("gap",),
        "canaries": None, "epsilon": None, "delta": None, "seconds": 1.0, "attack_seconds": 0.0, "warnings": (),
        "cost": 1.0, "beside_undefended": None, "bound": bound,
    }  # fmt: skip
    return ComparedPoint(**values | more)


PAC = bound_part("pac", SHARE, (exact(0.505), exact(0.512)), None, of_training=False)
DP = bound_part("dp-sgd", bound_of_training(8.0, 1e-5), (), None, of_training=True)


def facts(*points: ComparedPoint, recommended: int | None = None) -> FrontierResult:
    return FrontierResult(
        study=Study().to_dict(), seed=1, seconds=1.0, fpr=0.01, constraint="any", measure="auc", points=points,
        unbeaten=(), recommended=recommended, alike=(), confirmation=None, left_out=(), failed=(), warnings=(),
    )  # fmt: skip


def on_terminal(result: FrontierResult) -> str:
    console = Console(file=io.StringIO(), width=300)
    print_frontier(result, console)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_cells_say_what_is_bounded_and_what_was_measured() -> None:
    assert bounded_words(point("none", None)) == "nothing"
    assert bounded_words(point("pac", PAC)).startswith(
        "game i: 0.001 nats, 52.24%; exact attackers in game i, on secrets drawn: 51.2%"
    )
    assert "wider than the bound" not in bounded_words(point("pac", PAC))
    tight = bound_part("pac", replace(SHARE, success=0.513), (exact(0.505),), None, of_training=False)
    assert bounded_words(point("pac", tight)).endswith(", whose interval is wider than the bound leaves room for")
    assert bounded_words(point("dp-sgd", DP)) == "game ii: epsilon 8 at delta 1e-05"


@pytest.mark.parametrize("bound", [PAC, DP])
def test_page_and_terminal_say_the_other_game(bound: BoundPart) -> None:
    result = facts(point("none", None), point("defended", bound))
    for shown in (" ".join(render(result).split()), on_terminal(result)):
        assert other_game(bound.game) in shown
        assert f"A bound in game {bound.game} is about" in shown
    assert FrontierResult.from_dict(result.to_dict()) == result


def test_a_frontier_without_a_bound_has_no_such_column() -> None:
    result = facts(point("none", None))
    assert "What is bounded" not in render(result)
    assert "A bound in game" not in on_terminal(result)
    assert "bound" not in result.to_dict()["points"][0]
    assert "BoundPart" in frontier_schema()["$defs"]


def test_a_recommendation_with_a_bound_says_both_games() -> None:
    beside = BesideUndefended(0.1, 0.05, 0.15, "lower", "m", "auc", {})
    said = lead(facts(point("none", None), point("pac", PAC, beside_undefended=beside), recommended=1))
    assert PAC.sentences in said
    assert other_game("i") in said


def test_success_by_epsilon_is_the_closed_form() -> None:
    assert balanced_success_of(0.0, 0.0) == 0.5
    assert balanced_success_of(1.0, 0.0) == pytest.approx(2.718281828 / 3.718281828)
    assert balanced_success_of(0.0, 0.1) == pytest.approx(0.55)
    assert balanced_success_of(800.0, 1e-5) == 1.0
