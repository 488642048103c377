"""The overview's tables: single records against loops, and against what an audit says itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from memberwise.auditing.load import signals_of_run
from memberwise.errors import RunFolderError
from memberwise.report.result import Result
from memberwise.reproduce.bench import Bench
from memberwise.reproduce.registry import find_reproduction
from memberwise.reproduce.tables import overview
from memberwise.reproduce.tables.overview_records import (
    EXAMPLE,
    densities,
    mean_confidences,
    separation,
    single_records,
)


def scores(models: int = 12, records: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    half = rng.random((models // 2, records)) < 0.5
    trained_on = np.stack([half, ~half], 1).reshape(models, records)
    return rng.normal(1, 2, (models, records)) + 3 * trained_on * rng.random(records), trained_on


def test_means_and_separation_are_those_of_a_loop() -> None:
    phi, trained_on = scores()
    inside, outside = mean_confidences(phi, trained_on)
    apart = separation(phi, trained_on)
    for i in range(phi.shape[1]):
        a, b = phi[trained_on[:, i], i], phi[~trained_on[:, i], i]
        assert inside[i] == pytest.approx(np.mean(1 / (1 + np.exp(-a))))
        assert outside[i] == pytest.approx(np.mean(1 / (1 + np.exp(-b))))
        assert apart[i] == pytest.approx((a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2))


def test_the_three_records() -> None:
    phi, trained_on = scores()
    phi[:, 7] = np.where(trained_on[:, 7], *(np.log(p / (1 - p)) for p in EXAMPLE))
    phi[:, 7] += np.linspace(-0.01, 0.01, len(phi))
    phi[:, 3] = np.where(trained_on[:, 3], 8.0, -8.0)
    found = single_records(phi, trained_on)
    assert found["example"] == ("one record", 7)
    assert found["separated"] == ("most separated record", 3)
    apart = separation(phi, trained_on)
    assert (apart < apart[found["typical"][1]]).sum() == len(apart) // 2


def test_a_density_has_an_area_of_one() -> None:
    phi, trained_on = scores()
    for series in densities("a", "A", phi[trained_on[:, 0], 0], phi[~trained_on[:, 0], 0]).series:
        assert np.sum(np.diff(series.x) * series.y) == pytest.approx(1)


def test_a_mean_over_models_has_students_interval() -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.6, 9)
    found = overview._mean(values, seed=4)
    low, high = stats.t.interval(0.95, 8, values.mean(), values.std(ddof=1) / 3)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (found.n, found.seeds) == (9, (4,))


@pytest.mark.slow
def test_scores_read_from_the_folder_are_those_the_audit_drew(tmp_path: Path) -> None:
    bench = Bench(find_reproduction("overview-lira"), "smoke", 1, "cpu", tmp_path, ("digits",))
    settings = {
        "data.members": 200,
        "data.nonmembers": 200,
        "training.epochs": 2,
        "shadow.count": 8,
        "attacks.use": ["loss"],
        "attacks.headline": "loss",
    }
    result = bench.audit("small", settings)
    kept, _ = signals_of_run(result)
    assert kept.shadows is not None
    phi, trained_on = kept.shadows.phi[..., 0], kept.is_in
    audited = result.scores["index"].to_numpy()
    worst = np.array([int(np.flatnonzero(audited == row)[0]) for row in result.curves["worst.index"]])
    assert phi.shape == (8, 400)
    assert np.array_equal(phi[:, worst].T, result.curves["worst.phi"].squeeze())
    assert np.array_equal(trained_on[:, worst].T, result.curves["worst.trained_on"] == 1)
    assert np.array_equal(kept.index, audited)
    assert kept.target.phi.shape == (1, 400, 1)
    loss = result.scores["loss"].to_numpy()
    assert np.allclose(kept.target.log_p[0, :, 0], loss), "the loss attack's score is log p_y"
    assert np.abs(mean_confidences(phi, trained_on)[0] - expit(phi).mean(0)).max() > 0


def test_an_audit_without_a_folder_is_refused() -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        signals_of_run(Result({}, None))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["smoke", "quick", "full"])
def test_mitigations_stand_beside_the_undefended_model(size: str, faked: Callable[..., Any]) -> None:
    bench = faked("overview-mitigations", size)
    found = overview.mitigations(bench)
    sources = ["mnist"] if size == "smoke" else ["mnist", "location30"]
    settings = [f"{source}, {name}" for source in sources for name, _ in overview._defences(source)]
    assert list(dict.fromkeys(row.setting for row in found.rows)) == settings
    assert all(row.ours is not None and row.ours.low is not None for row in found.rows)
    assert sum("training.defence" in questions for questions in bench.questions.values()) == 4 * len(sources)
