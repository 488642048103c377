"""Several seeds in one claim: means, spread and intervals against a direct computation; what rests on which setting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner, Result

from memberwise.cli.main import app
from memberwise.errors import DataError
from memberwise.reproduce import REPRODUCTIONS, find_reproduction, run_reproduction
from memberwise.reproduce.bench import Bench, floor
from memberwise.reproduce.claim import Claim, Condition, Findings, Ours, Plot, Row, Series
from memberwise.reproduce.joining import join
from memberwise.reproduce.over_seeds import merge, merged_figure
from memberwise.reproduce.provenance import _all, settings_of
from memberwise.reproduce.published import published
from memberwise.reproduce.reproduction import SIZES, Reproduction


def ours(value: float, seed: int, half: float = 0.01) -> Ours:
    return Ours(value, value - half, value + half, 1000, "exact", (seed,))


@given(st.lists(st.floats(0.05, 0.95), min_size=3, max_size=8))
def test_a_mean_over_seeds_by_scipy(values: list[float]) -> None:
    found = merged_figure([ours(value, seed) for seed, value in enumerate(values)])
    assert found.value == pytest.approx(np.mean(values))
    assert found.by_seed == tuple(values)
    assert found.seeds == tuple(range(len(values)))
    assert found.spread == pytest.approx(np.std(values, ddof=1))
    half = 0.01
    if np.ptp(values) > 0:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        half = max(half, (high - low) / 2)
    assert found.low == pytest.approx(np.mean(values) - half)
    assert found.high == pytest.approx(np.mean(values) + half)


@pytest.mark.parametrize(("measure", "low", "high"), [("AUC", 0.0, 1.0), ("epsilon, accountant", None, None)])
def test_shares_have_no_interval_beyond_0_and_1(measure: str, low: float | None, high: float | None) -> None:
    runs = {
        seed: Findings((Row("a", measure, None, ours(value, seed)),))
        for seed, value in ((1, 0.01), (2, 0.99), (3, 0.5))
    }
    (row,) = merge(runs).rows
    free = merged_figure([findings.rows[0].ours for findings in runs.values()])  # type: ignore[misc]
    assert free.low is not None
    assert free.high is not None
    assert free.low < 0 < 1 < free.high
    assert row.ours is not None
    assert (row.ours.low, row.ours.high) == (free.low if low is None else low, free.high if high is None else high)


def test_two_seeds_have_a_spread_but_no_interval_of_their_own() -> None:
    found = merged_figure([ours(0.4, 1), ours(0.6, 2)])
    assert (found.low, found.high) == (pytest.approx(0.49), pytest.approx(0.51))  # type: ignore[comparison-overlap]
    assert found.spread == pytest.approx(np.std([0.4, 0.6], ddof=1))


def test_a_single_seed_is_as_it_was() -> None:
    findings = Findings((Row("a", "b", None, ours(0.4, 1)),), (), ("Learnt.",))
    assert merge({1: findings}) is findings


def findings(seed: int, value: float, holds: bool = True) -> Findings:
    rows = (
        Row("a", "AUC", None, ours(value, seed), f"at {value}"),
        Row("a", "TPR", None, ours(value, seed) if seed > 1 else None, "alike"),
    )
    plots = (
        Plot("p", "T", "x", "y", (Series("s", (1.0, 2.0), (value, value)),)),
        Plot("d", "D", "x", "y", (Series("s", (1.0, 2.0), (value,)),), kind="steps"),
    )
    condition = Condition("learnt", holds, f"{value}", ("a",))
    return Findings(rows, plots, ("Always.", f"Found {value}."), (condition,))


def test_findings_of_seeds_are_merged_row_by_row() -> None:
    found = merge({1: findings(1, 0.4), 2: findings(2, 0.6, holds=False), 3: findings(3, 0.5)})
    auc, tpr = found.rows
    assert auc.ours is not None
    assert auc.ours.value == pytest.approx(0.5)
    assert auc.why == "seed 1: at 0.4; seed 2: at 0.6; seed 3: at 0.5"
    assert tpr.ours is not None
    assert tpr.ours.seeds == (2, 3), "seeds without the figure are not counted"
    assert tpr.why == "alike"
    line, densities = found.plots
    assert line.series[0].y == (pytest.approx(0.5), pytest.approx(0.5))  # type: ignore[comparison-overlap]
    assert densities.title == "D (first seed)"  # type: ignore[unreachable]
    assert found.notes == ("Always.", "Seed 1: Found 0.4.")
    assert found.conditions == (Condition("learnt", False, "seed 1: 0.4; seed 2: 0.6; seed 3: 0.5", ("a",)),)


def test_series_of_unlike_points_are_the_first_seeds() -> None:
    short = replace(findings(2, 0.6), plots=(Plot("p", "T", "x", "y", (Series("s", (1.0,), (0.6,)),)),))
    found = merge({1: findings(1, 0.4), 2: short})
    assert found.plots[0].title == "T (first seed)"
    assert found.plots[0].series == findings(1, 0.4).plots[0].series


def test_each_seed_has_a_run_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memberwise.reproduce.flow.choose_data", lambda reproduction: ("mnist",))
    folders: list[Path] = []

    def run(bench: Bench) -> Findings:
        folders.append(bench.folder)
        value = 0.9357 + bench.seed / 1000
        return Findings((bench.row("slides' system", "test accuracy", ours(value, bench.seed)),))

    kaplan = find_reproduction("kaplan-baseline")
    reproduction = Reproduction(kaplan.name, kaplan.origin, kaplan.title, kaplan.data, kaplan.minutes, run)
    claim, folder = run_reproduction(reproduction, "quick", out=tmp_path, device="cpu")
    assert folders == [tmp_path / f"seed-{seed}" for seed in (1, 2, 3)]
    assert claim.seeds == (1, 2, 3)
    accuracy = claim.findings.rows[0]
    assert accuracy.ours is not None
    assert accuracy.ours.spread == pytest.approx(0.001)
    assert accuracy.fitted == ("training size",)
    assert accuracy.verdict == "fitted to match"
    assert "fitted" in (folder / "claim.json").read_text()
    few, _ = run_reproduction(reproduction, "quick", seeds=(7,), out=tmp_path, device="cpu")
    assert few.seeds == (7,)


def accuracies(bench: Bench) -> Findings:
    bench.dataset()
    value = 0.9357 + bench.seed / 1000
    row = bench.row("slides' system", "test accuracy", ours(value, bench.seed))
    plot = Plot("p", "T", "x", "y", (Series("s", (1.0, 2.0), (value, value)),))
    return Findings((row,), (plot,), ("Always.", f"Found {value}."), (Condition("learnt", True, f"{value}"),))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Reproduction:
    """A reproduction in no time."""
    monkeypatch.setattr("memberwise.reproduce.flow.choose_data", lambda reproduction: ("mnist",))
    monkeypatch.setattr("memberwise.reproduce.bench.records_of", lambda source: None)
    kaplan = find_reproduction("kaplan-baseline")
    made = Reproduction(kaplan.name, kaplan.origin, kaplan.title, kaplan.data, kaplan.minutes, accuracies)
    monkeypatch.setattr("memberwise.reproduce.registry.find_reproduction", lambda name: made)
    return made


def test_runs_of_single_seeds_join_to_a_run_of_them_all(tmp_path: Path, stub: Reproduction) -> None:
    whole, _ = run_reproduction(stub, "quick", out=tmp_path / "whole", device="cpu")
    second, folder = run_reproduction(stub, "quick", seeds=(2,), out=tmp_path / "second", device="cpu")
    third = Claim.load(tmp_path / "whole" / "seed-3" / "claim.json")
    joined, _ = run_reproduction(
        stub, "quick", seeds=(1,), others=[third, Claim.load(folder / "claim.json")], out=tmp_path / "joined"
    )
    assert replace(joined, seconds=0.0) == replace(whole, seconds=0.0)
    assert joined.findings.rows[0].ours is not None
    assert joined.findings.rows[0].ours.by_seed == pytest.approx((0.9367, 0.9377, 0.9387))
    assert replace(second, seconds=0.0) == replace(Claim.load(folder / "seed-2" / "claim.json"), seconds=0.0)
    by_hand = replace(second, machine=second.machine | {"cores": 64}, commit="abc", seconds=7.0)
    elsewhere = join([replace(third, seconds=1.0), by_hand])
    assert elsewhere.machine["cores"] == f"64, {third.machine['cores']}"
    assert elsewhere.machine["processor"] == third.machine["processor"]
    assert elsewhere.commit == ", ".join(filter(None, ["abc", third.commit]))
    assert elsewhere.seconds == 8


def test_what_does_not_go_together_is_not_joined(tmp_path: Path, stub: Reproduction) -> None:
    whole, _ = run_reproduction(stub, "quick", out=tmp_path, device="cpu")
    one = Claim.load(tmp_path / "seed-1" / "claim.json")
    changed = replace(one, settings=(replace(one.settings[0], value="another"), *one.settings[1:]))
    for other, message in (
        (whole, "claims of one seed each: .* found: one of seeds 1, 2, 3"),
        (one, "each seed once.* found: twice: 1"),
        (replace(one, seeds=(2,), size="full"), "all with the same size: quick.* found: full of seed 2"),
        (replace(one, seeds=(2,), name="lira-16"), "the same name: kaplan-baseline"),
        (replace(changed, seeds=(2,)), "the same settings: .* = another"),
        (replace(one, seeds=(2,), data=("location30",)), "the same data: mnist.* found: location30 of seed 2"),
    ):
        with pytest.raises(DataError, match=f"(?s)cannot be joined.*{message}"):
            run_reproduction(stub, "quick", seeds=(1,), others=[other], out=tmp_path / "joined")


def test_claims_are_joined_on_the_command_line(tmp_path: Path, stub: Reproduction) -> None:
    def reproduce(*words: str) -> Result:
        return CliRunner().invoke(app, ["reproduce", stub.name, "--quiet", *words])

    assert reproduce("--seed", "2", "--seeds", "1", "--out", str(tmp_path / "2")).exit_code == 0
    words = ["--seed", "1", "--seeds", "1", "--out", str(tmp_path / "1"), "--join", str(tmp_path / "2")]
    assert reproduce(*words, "--keep", str(tmp_path / "kept")).exit_code == 0
    assert Claim.load(tmp_path / "kept" / f"{stub.name}-quick.json").seeds == (1, 2)
    missing = reproduce("--join", str(tmp_path / "none.json"))
    assert missing.exit_code == 2
    assert "not a claim file" in missing.output
    twice = reproduce("--join", str(tmp_path / "2"))
    assert twice.exit_code == 2
    assert "twice: 2" in twice.output


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("attack accuracy", 0.5),
        ("attack accuracy, neural", 0.5),
        ("attack precision, median over classes", 0.5),
        ("AUC, loss attack", 0.5),
        ("adversary, searched threshold", 0.5),
        ("adversary, searched threshold, 56:44", 0.56),
        ("TPR at 0.1%", 0.001),
        ("TPR at 0.01%, a user's run", 0.0001),
        ("test accuracy", None),
        ("confidence with it", None),
    ],
)
def test_what_guessing_gives(measure: str, expected: float | None) -> None:
    assert floor(measure) == (None if expected is None else pytest.approx(expected))


def test_every_claim_says_where_its_settings_come_from() -> None:
    assert {claim for entry in _all() for claim in entry["claims"]} == set(REPRODUCTIONS)
    for name in REPRODUCTIONS:
        for size in SIZES[1:]:
            settings = settings_of(name, size)
            assert settings
            assert all(setting.why for setting in settings if setting.origin == "fitted")
            known = {word for figure in published(name) for word in (figure.setting, figure.measure)}
            known |= {"adversary, searched threshold, 56:44"}
            for setting in settings:
                assert set(setting.rows) <= known | {"Adult", "MNIST", "Location-30", "neural network"}
