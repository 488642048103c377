from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from plain_results import typed
from rich.console import Console

from memberwise.report import compare


def _rows(first: Any, second: Any) -> Any:
    return {(row.attack, row.figure): row for row in compare.compared(typed(first), typed(second))}


@pytest.fixture
def pair(audit: Any) -> tuple[Any, Any]:
    return audit.result, copy.deepcopy(audit.result)


def test_a_run_cannot_be_told_from_itself(pair: Any) -> None:
    rows = [row for row in compare.compared(*map(typed, pair)) if row.attack != "(target)"]  # type: ignore[arg-type]
    assert len(rows) == 9 * 4
    assert {row.finding for row in rows} == {"cannot tell apart", "no interval"}
    assert all((row.finding == "no interval") == (row.figure == "TPR@0.1%") for row in rows)
    assert compare.notes(*map(typed, pair)) == []


@pytest.mark.parametrize(
    ("low", "high", "finding"),
    [(0.70, 0.72, "A leaks less"), (0.40, 0.42, "B leaks less"), (0.50, 0.55, "cannot tell apart")],
)
def test_only_intervals_that_part_are_told_apart(pair: Any, low: float, high: float, finding: str) -> None:
    first, second = pair
    first["attacks"][1]["auc"] |= {"value": 0.6, "low": 0.55, "high": 0.65}
    second["attacks"][1]["auc"] |= {"value": (low + high) / 2, "low": low, "high": high}
    row = _rows(first, second)["loss", "AUC"]
    assert row.finding == finding
    assert row.first == "0.600 (0.550\u20130.650)"


def test_questions_of_a_served_model_stand_in_the_table(pair: Any) -> None:
    first, second = pair
    assert ("(target)", "questions") not in _rows(first, second)
    second["target"]["endpoint"] = {
        "address": "http://127.0.0.1:8080",
        "protocol": "v2",
        "answers": "scores",
        "told": "by the answers",
        "labels": 0,
        "questions": 40_000,
        "answered": 39_992,
        "records": 39_992,
        "from_store": 0,
        "retries": 0,
        "refused": 23,
        "seconds_per_question": 0.002,
        "asked_again": 8,
        "changed_at_once": 0,
        "changed_meanwhile": None,
        "policy": None,
    }
    row = _rows(first, second)["(target)", "questions"]
    assert (row.second, row.finding) == ("40,000", "not in both")
    first["target"]["endpoint"] = second["target"]["endpoint"] | {"questions": 916}
    assert _rows(first, second)["(target)", "questions"].first == "916"


def test_accuracies_and_what_is_in_one_run_only(pair: Any) -> None:
    first, second = pair
    second["target"]["test_accuracy"] = 0.9573
    second["attacks"].pop(3)
    second["attacks"][1]["auc"] = None
    del second["attacks"][2]["tpr_at_fpr"][0]
    second["data"]["sha256"] = "cd"
    second["headline"] = "loss"
    rows = _rows(first, second)
    assert rows["(target)", "test accuracy"].finding == "B 1.0 percentage points higher"
    assert rows["loss", "AUC"].finding == "not in both"
    assert ("confidence", "TPR@10%") not in rows
    assert ("confidence", "TPR@1%") in rows
    assert compare.notes(typed(first), typed(second)) == [
        "the runs audit different data",
        "the headline attacks differ: lira-online-fixed and loss",
        "in one run only: top-one-search",
    ]


def test_the_table_fits_and_prints_markup_as_it_is(pair: Any) -> None:
    pair[0]["data"]["sha256"] = "cd"
    pair[0]["attacks"][0]["name"] = pair[1]["attacks"][0]["name"] = "[red]gap"
    file = io.StringIO()
    Console(file=file, width=100).print(compare.compare(*map(typed, pair), ("runs/a", "runs/b")))  # type: ignore[arg-type, call-arg]
    text = file.getvalue()
    assert text.startswith("Note: the runs audit different data\n")
    assert "[red]gap" in text
    assert "runs/a" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("lira-online-fixed") == 1


def test_canaries_of_both_runs_are_compared(pair: Any) -> None:
    def part(value: Any, width: Any) -> dict[str, Any]:
        return {"value": value, "low": value - width, "high": value + width, "n_members": 90, "n_nonmembers": 90,
                "method": "m"}  # fmt: skip

    for run, value in zip(pair, (0.7, 0.2), strict=True):
        run["canaries"] = {
            "kind": "mislabelled",
            "count": 90,
            "attack": "loss",
            "models": 9,
            "per_canary": {"fpr": 0.001, "always": 0.1, "never": 0.2, "median": 0.5, "most_exposed": []},
            "tpr_at_fpr": [{"fpr": 0.001, "resolvable": "yes", **part(value, 0.1)}],
            "tpr_at_zero": part(value / 2, 0.2),
        }
    rows = _rows(*pair)
    assert rows["(canaries)", "TPR@0.1%"].finding == "B leaks less"
    assert rows["(canaries)", "TPR@0"].finding == "cannot tell apart"
    pair[1]["canaries"] = None
    assert "the canaries differ: mislabelled and none" in compare.notes(*map(typed, pair))
