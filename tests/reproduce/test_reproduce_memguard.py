"""MemGuard's evaluation: its attacks against a slow loop, and its figures from the answers its authors saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memberwise.data import load
from memberwise.data.archives import read_in_order
from memberwise.errors import DataError
from memberwise.reproduce.tables import memguard
from memberwise.reproduce.tables import memguard_attacks as attacks
from memberwise.reproduce.tables.memguard_attacks import METRICS, Known, by_class, gap, neural, right, saved
from memberwise.signals.read import read_answers

CLASSES = 4


def answers(n: int, seed: int, member_power: float = 3.0) -> Known:
    """Random answers, members' surer of the true class."""
    rng = np.random.default_rng(seed)
    labels, member = rng.integers(0, CLASSES, n), np.arange(n) < n // 2
    logits = rng.normal(0, 1.5, (n, CLASSES))
    logits[np.arange(n), labels] += np.where(member, member_power, 1.0)
    return Known(read_answers(logits[None, :, None, :], labels, "logits"), labels, member)


def slow(name: str, known: Known) -> list[float]:
    """Minus the metric as Song and Mittal's code computes it, record by record."""
    logits = np.asarray(known.answers.vectors)[0].astype(np.float64)
    values = []
    for row, label in zip(logits, known.labels, strict=True):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        if name == "confidence":
            values.append(float(p[label]))
        elif name == "entropy":
            values.append(sum(float(q * np.log(q)) for q in p))
        else:
            own = (1 - p[label]) * np.log(p[label])
            values.append(float(own + sum(q * np.log(1 - q) for k, q in enumerate(p) if k != label)))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_thresholds_by_class_against_a_loop(name: str) -> None:
    learned, target = answers(300, 1), answers(200, 2)
    inside, outside = slow(name, learned), slow(name, target)
    called = []
    for value, label in zip(outside, target.labels, strict=True):
        pairs = [(v, m) for v, m, k in zip(inside, learned.member, learned.labels, strict=True) if k == label]
        best, tau = 0.0, 0.0
        for candidate, _ in sorted(pairs):
            share = np.mean([v >= candidate for v, m in pairs if m]) + np.mean(
                [v < candidate for v, m in pairs if not m]
            )
            if share > best + 1e-12:
                best, tau = share, candidate  # type: ignore[assignment]
        called.append(value >= tau - 1e-6)
    assert np.mean(by_class(METRICS[name], [learned], target) == np.array(called)) > 0.99


def test_a_class_without_both_sides_has_the_threshold_of_all() -> None:
    learned, target = answers(300, 1), answers(200, 2)
    few = learned.of(~((learned.labels == 0) & learned.member))
    called = by_class(METRICS["confidence"], [few], target)
    own = target.labels == 0
    assert 0 < called[own].mean() < 1


@pytest.mark.slow
def test_the_neural_attacker_learns_what_sorted_answers_tell() -> None:
    rng = np.random.default_rng(0)
    assert right(neural(answers(300, 1, 8.0), answers(300, 2, 8.0), rng), answers(300, 2).member) > 0.8
    blind = answers(300, 3, 1.0)
    assert abs(right(neural(blind, answers(400, 4, 1.0), rng), answers(400, 4).member) - 0.5) < 0.1


def test_a_published_order(tmp_path: Path) -> None:
    x, y, order = np.arange(12).reshape(4, 3), np.array([3, 1, 2, 0]), np.array([2, 0, 3, 1])
    np.savez(tmp_path / "records.npz", x=x, y=y)
    np.savez(tmp_path / "order.npz", x=order)
    found = read_in_order([tmp_path / "records.npz", tmp_path / "order.npz"])
    assert np.array_equal(found["x"], x[order])
    assert np.array_equal(found["y"], y[order])
    np.savez(tmp_path / "order.npz", x=np.array([0, 0, 1, 2]))
    with pytest.raises(DataError, match=r"a permutation of 0\.\.3"):
        read_in_order([tmp_path / "records.npz", tmp_path / "order.npz"])


@pytest.fixture
def published(real_data: Path) -> Callable[[str, bool], Known]:
    """``published(model, defended)``: what MemGuard's authors saved, with its labels."""
    files = {model: real_data / memguard.SAVED.format(model) for model in ("target", "shadow")}
    if not all(file.exists() for file in files.values()):
        pytest.skip("needs memguard_location beside the real data sets")
    y = load("location30-memguard").y
    target = [slice(*memguard.MEMBERS), slice(*memguard.OTHERS)]
    parts = {"target": target, "shadow": [slice(*part) for part in memguard.SHADOW]}
    labels = {model: np.concatenate([y[part] for part in wanted]) for model, wanted in parts.items()}
    return lambda model, defended: saved(files[model], defended, labels[model])


@pytest.mark.parametrize(
    ("defended", "figures"),
    [(False, (0.687, 0.763, 0.6155, 0.780)), (True, (0.687, 0.6905, 0.5195, 0.688))],
)
def test_the_figures_of_the_saved_answers(
    defended: bool, figures: tuple[float, ...], published: Callable[[str, bool], Known]
) -> None:
    """Thresholds of the published shadow model, which trained on 500 records."""
    target, shadow = published("target", defended), published("shadow", defended)
    assert gap(target) == pytest.approx(figures[0])
    for signal, figure in zip(METRICS.values(), figures[1:], strict=True):
        assert right(by_class(signal, [shadow], target), target.member) == pytest.approx(figure, abs=6e-4)


def test_thresholds_of_half_the_target_tell_more(published: Callable[[str, bool], Known]) -> None:
    target, rng = published("target", False), np.random.default_rng(1)
    for name, figure in (("confidence", 0.828), ("modified entropy", 0.830)):
        halves = np.mean([memguard._half_known(METRICS[name], target, rng) for _ in range(20)])
        assert halves == pytest.approx(figure, abs=0.008)


@pytest.mark.slow
def test_the_published_attacker_on_the_saved_answers(published: Callable[[str, bool], Known]) -> None:
    blind, rng = published("shadow", False), np.random.default_rng(1)
    network = attacks._taught(attacks._sorted(blind.answers), blind.member, rng, attacks.EPOCHS)
    found = [
        right(network(attacks._sorted(target.answers)) > 0, target.member)
        for target in (published("target", defended) for defended in (False, True))
    ]
    assert found == [pytest.approx(0.73, abs=0.01), pytest.approx(0.50, abs=0.01)]


def test_the_roles_are_the_published_positions(faked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Order:
        records = 5010

    monkeypatch.setattr(memguard, "records_of", lambda source: Order)
    rows = memguard._roles(faked("memguard-location", "quick")).rows
    assert np.array_equal(rows["members"], np.arange(1000))
    assert np.array_equal(rows["reference"], np.arange(1000, 2000))
    assert np.array_equal(rows["nonmembers"], np.arange(2000, 3000))
    assert np.array_equal(rows["auxiliary"], np.r_[3000:3500, 4000:4500])
    other = memguard._roles(faked("memguard-location", "quick", ("location30",))).rows
    assert {name: len(own) for name, own in other.items()} == {name: len(own) for name, own in rows.items()}
    assert len(set(np.concatenate(list(other.values())))) == 4000
