"""What only some audits have, in the report and on the terminal: canaries, targets in turn, thresholds carried over."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from memberwise.report import html, terminal
from memberwise.report.sections.accusations import accusations
from memberwise.report.sections.registry import terminal_lines


def estimate(value: Any, low: Any, high: Any, n: int = 500, **more: Any) -> dict[str, Any]:
    figure = {"value": value, "low": low, "high": high, "n_members": n, "n_nonmembers": n, "method": "m"}
    return {**more, **figure}


@pytest.fixture
def turns(audit: Any) -> Any:
    """The audit, with everything that an audit may have beside its attacks."""
    result, rng = audit.result, np.random.default_rng(0)
    result["discoveries"] = {
        "attack": "lira-online-fixed", "false_share": 0.1, "calibration": "shadows", "n_calibration": 6000,
        "assumption": None, "tested": 3000, "named": 210, "wrong": 15, "wrong_share": estimate(15 / 210, 0.04, 0.12),
        "found": estimate(0.13, 0.11, 0.15),
    }  # fmt: skip
    result["canaries"] = {
        "count": 500, "kind": "mislabelled", "source": None, "attack": "lira-online-fixed", "models": 65,
        "tpr_at_fpr": [
            estimate(0.9, 0.88, 0.93, fpr=0.01) | {"resolvable": "yes"},
            estimate(0.71, 0.61, 0.82, fpr=0.001) | {"resolvable": "weak"},
        ],
        "tpr_at_zero": estimate(0.31, 0.28, 0.35, 16250),
        "per_canary": {"fpr": 0.001, "always": 0.21, "never": 0.02, "median": 0.8,
                       "most_exposed": [{"index": 77, "found": 33, "models": 33}]},
    }  # fmt: skip
    audit.curves |= {
        "canaries.fpr": np.r_[0, np.geomspace(1e-4, 1, 50)],
        "canaries.tpr": np.r_[0, np.linspace(0.3, 1, 50)],
        "canaries.found": rng.random(500),
    }
    result["targets"] = {
        "count": 8, "attack": "lira-online-fixed",
        "auc": {"mean": estimate(0.73, 0.71, 0.75), "std": 0.021, "values": [0.7] * 8},
        "tpr_at_fpr": [
            {"fpr": rate, "mean": estimate(0.12 * k, 0.1 * k, 0.14 * k), "std": 0.033, "values": [k / 9] * 8}
            for k, rate in enumerate((0.1, 0.01), 1)
        ],
        "stability": {"fpr": 0.01, "records": 2900, "always": estimate(0.034, 0.028, 0.041, 2900), "sometimes": 0.4,
                      "never": 0.566, "by_chance": 0.007, "overlap": 0.37},
    }  # fmt: skip
    for attack in result["attacks"]:
        attack["at_shadow_threshold"] = [
            {"fpr": 0.01, "threshold": 2.3, "realised_fpr": estimate(0.017, 0.011, 0.025), "tpr": estimate(0.1, 0, 1)}
        ]
        attack["ppv"] = [
            {"prior": prior, "fpr": 0.01, "value": value, "low": value - 0.02, "high": value + 0.01}
            for prior, value in ((0.01, 0.05), (0.1, 0.37), (0.5, 0.84))
        ]
    result["epsilon"] |= {"basis": "one-run coins", "value": 2.5}
    return audit


def _page(audit: Any) -> tuple[Any, Any]:
    text = html.render(audit.parts, audit.scores, audit.curves)
    return text, " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.mark.slow
def test_the_report_has_a_section_for_each(turns: Any) -> None:
    text, words = _page(turns)
    ids = re.findall(r'<section id="(\w+)"', text)
    assert ids[6:11] == ["parts", "canaries", "targets", "accusations", "attacker"]
    assert set(re.findall(r'href="#(\w+)"', text)) <= set(re.findall(r'id="(\w+)"', text))
    assert text.count("<svg") == 14 + 2
    assert text.count("<table") == text.count("<caption")
    for said in (
        "500 canaries with a wrong label under 65 models",
        "71.0% (95% interval 61.0\u201382.0%) recognised at 0.1% FPR",
        "few pairs to judge this by", "record 77 (in 33 of 33 models)", "21.0% of the canaries are found in all",
        "standard deviation 3.3%", "mean AUC 0.730", "Of 2,900 records", "(0.70% would be",
        "names 210 of 3,000 records", "PPV if 1% are members", "1.7%", "84.0%", "82.0\u201385.0%",
    ):  # fmt: skip
        assert said in words, said
    assert "nan" not in words.lower()
    assert html.render(turns.parts, turns.scores, turns.curves) == text


@pytest.mark.slow
def test_a_run_without_them_says_nothing_of_them(audit: Any, bare: Any) -> None:
    for run in (audit, bare):
        text, _ = _page(run)
        assert not {"canaries", "targets", "accusations"} & set(re.findall(r'id="(\w+)"', text))
        assert terminal_lines(run.parts) == []


def test_the_terminal_has_a_line_for_each(turns: Any) -> None:
    file = io.StringIO()
    terminal.print_result(turns.parts, Console(file=file, width=100))
    words = " ".join(file.getvalue().split())
    assert "500 canaries with a wrong label under 65 models in turn" in words
    assert "8 models in the target's place" in words
    assert "Epsilon is at least 2.5 at 95% confidence (one-run coins)" in words


def test_an_epsilon_that_describes_has_no_line(turns: Any) -> None:
    turns.result["epsilon"]["basis"] = "records of one run (descriptive)"
    assert not any("Epsilon" in line for line in terminal_lines(turns.parts))


@pytest.mark.slow
def test_nobody_named_and_nobody_called_a_member(turns: Any) -> None:
    turns.result["discoveries"] |= {"named": 0, "wrong": 0, "wrong_share": None}
    for attack in turns.result["attacks"]:
        for row in attack["ppv"]:
            row |= {"value": None, "low": None, "high": None}
    _, words = _page(turns)
    assert "names nobody of 3,000 records" in words


@pytest.mark.slow
def test_attack_without_thresholds_is_spoken_for_by_stand_in(turns: Any) -> None:
    turns.result["headline"] = "loss"
    for attack in turns.result["attacks"]:
        if attack["name"] == "loss":
            attack["at_shadow_threshold"] = attack["ppv"] = []
    assert accusations(turns.parts).attack == "lira-online-fixed"  # type: ignore[union-attr]
    for attack in turns.result["attacks"]:
        attack["at_shadow_threshold"] = []
    assert accusations(turns.parts) is None
    assert "What an accusation is worth" in _page(turns)[1]
