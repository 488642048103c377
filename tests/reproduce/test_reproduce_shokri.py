"""Shokri's tables: precision by class against slow loops, roles, and a row of ours for every published figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sparse_results import ATTACK, result_of

from memberwise.auditing.prepare import Inputs
from memberwise.report.result import Result
from memberwise.reproduce import find_reproduction, run_reproduction
from memberwise.reproduce.bench import Bench
from memberwise.reproduce.claim import Condition
from memberwise.reproduce.published import published
from memberwise.reproduce.tables import shokri_dp, shokri_platforms
from memberwise.reproduce.tables.shokri_mitigations import ROWS, kind_of
from memberwise.reproduce.tables.shokri_system import RECIPE, class_precision, disjoint, median_precision, nearest
from memberwise.reproduce.tuning import Tuned, merged

# Published, and not ours to run: see the reasons in their rows.
ELSEWHERE = {"Google", "Amazon (10, 1e-6)", "Amazon (100, 1e-4)", "records drawn from marginals"}
NAMES = (
    "shokri-cifar-size",
    "shokri-shadow-count",
    "shokri-datasets",
    "shokri-platforms",
    "shokri-mitigations",
    "shokri-synthesis",
    "shokri-noisy",
    "shokri-dp",
)


def table(labels: np.ndarray, member: np.ndarray, score: np.ndarray) -> Result:
    columns = {"index": np.arange(len(labels)), "label": labels, "member": member, "evaluated": 1, "shokri": score}
    return result_of({}, pd.DataFrame(columns))  # type: ignore[no-any-return]


def random_table(seed: int = 0, n: int = 600, classes: int = 7) -> Result:
    rng = np.random.default_rng(seed)
    member = rng.integers(0, 2, n)
    return table(rng.integers(0, classes, n), member, np.clip(rng.normal(0.45 + 0.15 * member, 0.2), 0, 1))


def slow_median(labels: Any, member: Any, score: Any) -> float:
    found = []
    for label in sorted(set(labels)):
        told = [m for y, m, s in zip(labels, member, score, strict=True) if y == label and s > 0.5]
        if told:
            found.append(sum(told) / len(told))
    return float(np.median(found))


def test_median_precision_is_that_of_a_loop() -> None:
    result = random_table()
    columns = [result.scores[name] for name in ("label", "member", "shokri")]
    found = median_precision(result)
    assert found is not None
    assert found.value == pytest.approx(slow_median(*columns))
    assert found.n == 600
    assert found.seeds == (3,)


@pytest.mark.slow
def test_its_interval_is_that_of_records_drawn_again() -> None:
    result, rng, drawn = random_table(), np.random.default_rng(5), []
    scores = result.scores
    parts = [rows.to_numpy() for _, rows in scores.groupby(["label", "member"])["index"]]
    for _ in range(400):
        rows = np.concatenate([rng.choice(part, len(part)) for part in parts])
        drawn.append(slow_median(*(scores[name].to_numpy()[rows] for name in ("label", "member", "shokri"))))
    found = median_precision(result)
    assert found is not None
    assert [found.low, found.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.015)


def test_a_class_of_which_nobody_is_named_has_no_precision() -> None:
    result = table(np.array([0, 0, 1, 1, 1]), np.array([1, 0, 1, 0, 0]), np.array([0.4, 0.5, 0.9, 0.6, 0.1]))
    np.testing.assert_equal(class_precision(result), [np.nan, 0.5])
    found = median_precision(result)
    assert found is not None
    assert found.value == 0.5
    assert median_precision(table(np.array([0, 1]), np.array([1, 0]), np.array([0.1, 0.2]))) is None


def test_roles_are_disjoint_and_shadows_get_own_records() -> None:
    rows = disjoint(1000, 250, seed=1)
    assert {name: len(rows[name]) for name in rows} == {"members": 250, "nonmembers": 250, "auxiliary": 500}
    assert len(set(np.concatenate(list(rows.values())))) == 1000
    assert set(disjoint(999, 250, seed=1)) == {"members", "nonmembers"}


class Canned(Bench):
    """A bench whose audits are made up: what a table does with them is what is tested."""

    def dataset(self, source: str | None = None) -> Any:
        return SimpleNamespace(records=60_000)

    def audit(self, label: str, settings: Mapping[str, Any], inputs: Inputs | None = None) -> Result:
        estimate = {"value": 0.7, "low": 0.68, "high": 0.72, "n_members": 300, "n_nonmembers": 300, "method": "made up"}
        measures = dict.fromkeys(("auc", "balanced_accuracy", "precision", "recall"), estimate)
        data = {
            "study": {"run": {"seed": self.seed}},
            "target": {"train_accuracy": 0.9, "test_accuracy": 0.6},
            "data": {"members": 300, "test": 300},
            "shadow": {"test_accuracy": 0.6},
            "headline": settings["attacks.headline"],
            "attacks": [dict.fromkeys(ATTACK) | {"name": name, **measures} for name in settings["attacks.use"]],
            "warnings": [],
        }
        return result_of(data, random_table().scores)  # type: ignore[no-any-return]


def canned(name: str, size: Any = "full") -> Bench:
    reproduction = find_reproduction(name)
    return Canned(reproduction, size, 1, "cpu", Path("unused"), tuple(options[0] for options in reproduction.data))


@pytest.fixture(autouse=True)
def first_of_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuning would train at full size; the noise of an epsilon is searched for, which other tests have done."""

    def tune(bench: Bench, label: str, settings: dict[str, Any], options: list[list[dict[str, Any]]]) -> Tuned:
        chosen: dict[str, Any] = {}
        for tried in options:
            chosen = merged(chosen, tried[0])
        return Tuned(chosen, 0.9, {})

    def learnt(text: str, run: Result, settings: list[str]) -> Condition:
        return Condition(text, True, "made up", tuple(settings))

    monkeypatch.setattr(shokri_dp, "tune", tune)
    monkeypatch.setattr(shokri_dp, "learnt", learnt)
    monkeypatch.setattr(shokri_dp, "noise_for", lambda epsilon, *_: 4 / epsilon)


@pytest.fixture
def canned_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits over HTTP are canned as the others are; the smoke test of all tables starts the servers."""
    for serving in ("_of_estimator", "_of_gateway"):
        monkeypatch.setattr(shokri_platforms, serving, lambda bench, *_: bench.audit("served", RECIPE))


@pytest.mark.slow
@pytest.mark.usefixtures("canned_servers")
@pytest.mark.parametrize("name", NAMES)
def test_each_published_figure_has_a_row_of_ours_once(name: str) -> None:
    """At full size."""
    bench = canned(name)
    found = bench.reproduction.run(bench).rows
    rows = {(row.setting, row.measure): row for row in found}
    assert len(rows) == len(found)
    for figure in published(name):
        row = rows[figure.setting, figure.measure]
        assert row.published == figure
        assert (row.ours is None) == (figure.setting in ELSEWHERE)
        assert row.ours is not None or row.why


def test_all_eleven_mitigations_are_published() -> None:
    assert {figure.setting for figure in published("shokri-mitigations")} == set(ROWS)
    assert len(ROWS) == 11
    kinds = {"no mitigation", "top", "top 1, label", "rounding", "temperature", "L2"}
    assert {kind_of(setting) for setting in ROWS} == kinds
    assert ROWS["L2 1e-3"] == {"training.defence": {"name": "l2", "strength": pytest.approx(2e-3)}}


def test_the_run_nearest_in_both_accuracies_is_compared() -> None:
    # Published for the neural network: 0.830 in training and 0.670 in the test.
    accuracies = {10: (0.6, 0.5), 20: (0.85, 0.6), 40: (0.97, 0.66)}
    runs = {
        key: result_of({"target": {"train_accuracy": train, "test_accuracy": test}}, pd.DataFrame())
        for key, (train, test) in accuracies.items()
    }
    assert nearest(canned("shokri-platforms"), "neural network", runs) == 20


@pytest.mark.slow
def test_noisy_shadow_records_run_from_data_to_claim(real_data: Path, tmp_path: Path) -> None:
    claim, _ = run_reproduction(find_reproduction("shokri-noisy"), "smoke", out=tmp_path, device="cpu")
    found = {row.setting: row.ours for row in claim.findings.rows if row.measure == "attack precision"}
    assert found["no noise"] is not None
    assert found["20% noise"] is not None
    assert found["10% noise"] is None
    assert not claim.failed
