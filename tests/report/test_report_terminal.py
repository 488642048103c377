from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from memberwise.report import terminal


def _print(result: Any, width: int = 100, **options: Any) -> Any:
    file = io.StringIO()
    terminal.print_result(result, Console(file=file, width=width, **options))
    return file.getvalue()


def test_every_attack_has_a_row_and_the_headline_is_marked(audit: Any) -> None:
    lines = _print(audit.parts).splitlines()
    for attack in audit.result["attacks"]:
        starts = [line for line in lines if line.lstrip("* ").startswith(attack["name"] + " ")]
        assert len(starts) == 1
        assert starts[0].startswith("* ") == (attack["name"] == "lira-online-fixed")


def test_a_cell_holds_value_mark_and_interval(audit: Any) -> None:
    audit.result["attacks"] = audit.result["attacks"][7:8]
    rows = audit.result["attacks"][0]["tpr_at_fpr"]
    rows[0] |= {"value": 0.281, "low": 0.25, "high": 0.31}
    rows[1] |= {"value": 0.123, "low": 0.091, "high": 0.142, "resolvable": "weak"}
    del rows[2]
    text = _print(audit.parts)
    assert "28.1 25.0\u201331.0" in text
    assert "12.3~ 9.1\u201314.2" in text
    assert "fewer than ten false positives" in text
    assert "too few non-members" not in text


def test_a_rate_without_an_interval_says_so(audit: Any) -> None:
    text = _print(audit.parts)
    assert "no int." in text
    assert "? too few non-members for a valid interval" in text


@pytest.mark.parametrize("width", [100, 140, 80])
def test_it_fits_the_width_and_cuts_no_name(audit: Any, width: int) -> None:
    text = _print(audit.parts, width)
    assert max(map(len, text.splitlines())) <= min(width, 100)
    assert "top-one-search" in text
    assert "…" not in text


def test_it_is_plain_where_it_is_not_a_terminal(audit: Any) -> None:
    assert "\x1b" not in _print(audit.parts)
    assert "\x1b" in _print(audit.parts, force_terminal=True, color_system="standard")


def test_warnings_come_before_the_verdict(audit: Any) -> None:
    text = " ".join(_print(audit.parts).split())
    assert text.index("1 warning accuracy-gap: the target beats") < text.index("INCONCLUSIVE. If 1% of non-members")
    assert text.endswith("(tpr@0.01>0.05): the interval holds the limit.")
    assert "accuracy optimistic (threshold chosen on the audited records): top-one-search" in text


def test_markup_in_the_result_is_printed_as_it_is(audit: Any) -> None:
    audit.result["warnings"] = [{"code": "[bold]", "message": "[red]x[/red]"}]
    assert "[bold]: [red]x[/red]" in _print(audit.parts)


def test_a_result_with_gaps_prints(bare: Any) -> None:
    text = _print(bare.parts)
    assert "NO LIMIT SET" in text
    assert "nan" not in text
    assert "warning" not in text


@pytest.mark.parametrize(("aucs", "highest"), [((0.70, 0.73, 0.52), "rmia-online"), ((0.74, 0.73, 0.52), None)])
def test_recipe_stands_beside_this_model_and_the_highest(
    audit: Any, aucs: tuple[float, ...], highest: str | None
) -> None:
    names = ("lira-online-fixed", "rmia-online", "gap")
    form = audit.result["attacks"][1]["auc"]
    rows = [
        {"attack": name, "auc": form | {"value": auc, "low": auc - 0.01, "high": auc + 0.01}, "tpr_at_fpr": []}
        for name, auc in zip(names, aucs, strict=True)
    ]
    first = {key: rows[0][key] for key in ("attack", "auc", "tpr_at_fpr")}
    audit.result["recipe"] = {"estimand": "the mean", "models": 64, "trainings": 32, **first, "attacks": rows}
    text = " ".join(_print(audit.parts).split())
    [on_model] = [one["auc"]["value"] for one in audit.result["attacks"] if one["name"] == names[0]]
    assert f"by {names[0]}: AUC {aucs[0]:.3f} (" in text
    assert f"on this model AUC {on_model:.3f} (" in text
    assert ("the highest of" in text) is (highest is not None)
    if highest is not None:
        assert f"By {highest}, the highest of 3 attacks: AUC 0.730 (" in text


@pytest.mark.parametrize("calibrated", [False, True, None])
def test_scores_that_are_no_probabilities_are_marked(audit: Any, calibrated: bool | None) -> None:
    attack = next(attack for attack in audit.result["attacks"] if attack["name"] == "loss")
    attack |= {} if calibrated is None else {"calibrated": calibrated}
    text = _print(audit.parts)
    assert ("loss^" in text) == ("^ uncalibrated: its scores order" in text) == (calibrated is False)
