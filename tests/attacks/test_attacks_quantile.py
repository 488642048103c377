"""Quantile regression on records of known difficulty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import answers_of, table
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS

QUANTILE = ATTACKS["quantile"]


def made(
    rng: Any,
    features: Any,
    centre: Any,
    spread: Any,
    records: int = 1500,
    population: int = 1200,
    gap: float = 1.5,
    classes: int = 4,
) -> tuple[Any, Any, Any]:
    """phi ~ N(centre(x, y) + gap spread(x, y) for members, spread(x, y)^2)."""
    total = records + population
    x, y = features(rng, total), rng.integers(0, classes, total)
    member = rng.permutation(records) < records // 2
    noise = rng.normal(size=total)
    noise[:records] += gap * member
    phi = (centre(x, y) + spread(x, y) * noise)[None, :, None]
    signals = table(
        answers_of(phi[:, :records]),
        None,
        np.zeros((0, records), np.int8),
        y[:records],
        population_target=answers_of(phi[:, records:]),
        population_labels=y[records:],
        population_index=np.arange(records, total),
        features=x,
    )
    return signals, member, x[:records, 0]


def score(signals: Any, seed: int = 0) -> Any:
    return QUANTILE.score(signals, np.random.default_rng(seed))


def uniform(rng: Any, total: Any) -> Any:
    return rng.random((total, 2)).astype(np.float32)


def tpr(scores: Any, member: Any, fpr: float = 0.05) -> Any:
    others = np.sort(scores[~member])[::-1]
    return (scores[member] > others[int(fpr * len(others))]).mean()


@pytest.mark.slow
def test_quantile_beats_loss_where_features_show_difficulty() -> None:
    centre, spread = lambda x, y: 6 * x[:, 0] - 3, lambda x, y: np.exp(2 * x[:, 0] - 1)
    signals, member, x = made(np.random.default_rng(1), uniform, centre, spread, records=4000, population=4000)
    found = score(signals)
    loss = ATTACKS["loss"].score(signals, np.random.default_rng(0))
    assert roc_auc_score(member, found) > roc_auc_score(member, loss) + 0.1
    assert tpr(found, member) > 1.5 * tpr(loss, member)
    assert roc_auc_score(member, found) == pytest.approx(0.855, abs=0.03), "Phi(1.5 / sqrt 2) at best"
    flagged = [np.mean(found[~member & (x > low) & (x <= low + 0.25)] > QUANTILE.threshold) for low in np.arange(4) / 4]
    assert max(flagged) < 0.2
    assert min(flagged) > 0.03


@pytest.mark.slow
def test_a_tenth_of_non_members_is_flagged_at_most() -> None:
    """Mean over 4 tables, each with held-out quarters of 300: standard deviation 0.01."""
    rates = []
    for seed in range(4):
        still = lambda x, y: np.zeros(len(x))  # noqa: E731
        signals, member, _ = made(np.random.default_rng(seed), uniform, still, lambda x, y: 1 + x[:, 0])
        rates.append(np.mean(score(signals)[~member] > QUANTILE.threshold))
    assert np.mean(rates) < 0.1 + 3 * 0.01
    assert np.mean(rates) > 0.05


def test_features_that_tell_nothing_leave_the_order_of_the_loss() -> None:
    constant = lambda rng, total: np.zeros((total, 3), np.float32)  # noqa: E731
    signals, _, _ = made(
        np.random.default_rng(2), constant, lambda x, y: np.zeros(len(x)), lambda x, y: np.ones(len(x)), classes=1
    )
    assert spearmanr(score(signals), signals.target.phi[0, :, 0]).statistic == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [3, 300])
def test_the_class_is_read_too(classes: int) -> None:
    constant = lambda rng, total: np.zeros((total, 1), np.uint8)  # noqa: E731
    signals, member, _ = made(
        np.random.default_rng(3),
        constant,
        lambda x, y: 6.0 * y / classes,
        lambda x, y: np.ones(len(x)),
        classes=classes,
    )
    loss = ATTACKS["loss"].score(signals, np.random.default_rng(0))
    assert roc_auc_score(member, score(signals)) > roc_auc_score(member, loss) + 0.05


@pytest.mark.slow
def test_wide_records_are_projected_and_images_are_records() -> None:
    """Images whose brightness is their difficulty."""

    def images(rng: Any, total: Any) -> Any:
        light = rng.random((total, 1, 1, 1))
        return (255 * np.clip(light + 0.1 * rng.normal(size=(total, 3, 8, 8)), 0, 1)).astype(np.uint8)

    signals, member, _ = made(
        np.random.default_rng(4), images, lambda x, y: x.mean((1, 2, 3)) / 40, lambda x, y: np.ones(len(x))
    )
    loss = ATTACKS["loss"].score(signals, np.random.default_rng(0))
    found = score(signals)
    assert roc_auc_score(member, found) > roc_auc_score(member, loss) + 0.05
    np.testing.assert_array_equal(score(signals), found)


def test_quantile_skips_without_records_runs_on_tiny_population() -> None:
    signals, _, _ = made(
        np.random.default_rng(5), uniform, lambda x, y: x[:, 0], lambda x, y: 1 + 0 * x[:, 0], population=8
    )
    assert np.isfinite(score(signals)).all()
    assert "records themselves" in QUANTILE.needs.missing(replace(signals, features=None))  # type: ignore[operator]
    assert "population" in QUANTILE.needs.missing(replace(signals, population_target=None))  # type: ignore[operator]
