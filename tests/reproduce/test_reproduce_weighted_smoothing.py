"""Weighted Smoothing's tables: what is asked, what is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memberwise.reproduce.claim import judged
from memberwise.reproduce.published import published
from memberwise.reproduce.tables import weighted_smoothing as ws

LOCATION = ("location30", "cifar10", "lfw62", "location30", "location30")


def test_the_slides_print_no_figures() -> None:
    assert not published("ws-tradeoff") + published("ws-ablation")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "cases"), [("smoke", 1), ("quick", 3), ("full", 8)])
def test_the_trade_off_has_each_attack_in_each_case(size: str, cases: int, faked: Callable[..., Any]) -> None:
    """Of five data sets three are images, which at full size have two networks each."""
    bench = faked("ws-tradeoff", size)
    found = ws.tradeoff(bench)
    assert len(found.plots) == cases * len(ws.ATTACKS)
    assert len({plot.name for plot in found.plots}) == len(found.plots)
    assert all([s.label for s in plot.series] == ["undefended", "Weighted Smoothing", "DP-SGD"] for plot in found.plots)
    assert all(row.ours is not None for row in found.rows)
    assert len(found.notes) == 2 * cases + 1
    assert len(found.conditions) == 5 * cases
    assert all(condition.holds for condition in found.conditions)
    for settings in bench.questions.values():
        defence = settings.get("training.defence", {"name": ws.PLAIN})["name"]
        method = {"weighted-smoothing": ws.SMOOTHING, "dp-sgd": ws.DP}.get(defence, ws.PLAIN)
        wanted = ws.RATES[method][-1 if size != "smoke" else 0]
        assert settings["training.learning_rate"] == wanted, "the best on validation records"


@pytest.mark.slow
def test_data_that_stand_in_twice_are_run_once(faked: Callable[..., Any]) -> None:
    bench = faked("ws-tradeoff", "full", LOCATION)
    found = ws.tradeoff(bench)
    assert list(dict.fromkeys(settings["data.source"] for settings in bench.questions.values())) == list(LOCATION[:3])
    assert len(found.plots) == 5 * len(ws.ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("method", [ws.PLAIN, ws.SMOOTHING, ws.DP])
def test_a_curve_that_begins_at_chance_means_nothing(
    method: str, faked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are in turn of ten classes: 10 % is what always answering one of them gets. Other data are unharmed."""
    audited = ws._audited

    def at_chance(bench: Any, case: ws.Case, own: str, label: str, settings: Any) -> Any:
        run = audited(bench, case, own, label, settings)
        mild = label in (ws.PLAIN, f"{ws.SMOOTHING}, sigma 0.001", f"{ws.DP}, noise 0.01")
        if own == method and mild and case.name == "location30":
            run.data["target"]["test_accuracy"] = 0.105
        return run

    monkeypatch.setattr(ws, "_audited", at_chance)
    found = judged(ws.tradeoff(faked("ws-tradeoff", "quick")), ())
    void = {row.setting for row in found.rows if row.verdict == "invalid"}
    every = {row.setting for row in found.rows if row.setting.startswith("location30, ")}
    assert void == every, "what is compared is the curves, so one that begins nowhere leaves nothing"
    assert {row.verdict for row in found.rows} == {"invalid", "not published"}
    assert not any(note.startswith("location30, undefended: gap") for note in found.notes), "no comparison is told"
    assert any(note.startswith("cifar10, undefended: gap") for note in found.notes)


def test_cheapest_is_lowest_attack_within_allowed_loss(faked: Callable[..., Any]) -> None:
    bench = faked("ws-tradeoff", "quick")
    study = ws._study(bench, "location30")
    base = bench.audit("base", study)
    runs = {f"run {k}": bench.audit(f"run {k}", study) for k in range(3)}
    for run, accuracy, lira in zip(runs.values(), (0.85, 0.82, 0.5), (0.7, 0.65, 0.51), strict=True):
        run.data["target"]["test_accuracy"] = accuracy
        next(a for a in run.data["attacks"] if a["name"] == ws.LIRA)["balanced_accuracy"]["value"] = lira
    told = ws._cheapest("location30", base, {"A": runs, "B": {"run 2": runs["run 2"]}})
    assert "A: " in told
    assert "LiRA 65.0%; B: no strength costs so little" in told


@pytest.mark.slow
def test_the_ablation_runs_every_variant_at_strengths_of_its_own(faked: Callable[..., Any]) -> None:
    bench = faked("ws-ablation", "quick")
    found = ws.ablation(bench)
    defences = [settings.get("training.defence") for settings in bench.questions.values()]
    assert defences[0] is None
    assert len({str(defence) for defence in defences}) == 1 + sum(len(sigmas) for _, sigmas in ws.VARIANTS.values())
    assert [series.label for series in found.plots[0].series] == ["undefended", *ws.VARIANTS]
    assert all(len(series.x) == 2 for series in found.plots[0].series[1:])
