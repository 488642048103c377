"""A shadow model in the target's place: the rest of the table must not tell what it saw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS
from memberwise.attacks.in_out import in_moments, out_moments
from memberwise.signals.leave_one_out import as_target, as_targets
from memberwise.signals.table import Answers, Signals


def answers(rng: Any, models: Any, records: Any, vectors: int = 0) -> Answers:
    phi = rng.normal(size=(models, records, 1))
    full = rng.normal(size=(vectors, records, 3)).astype(np.float32) if vectors else None
    return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0, full)


def paired(models: Any, records: Any, rng: Any) -> Any:
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    return np.stack([first, ~first], 1).reshape(models, records).astype(np.int8)


def fixed_counts(models: Any, records: Any, rng: Any) -> Any:
    """Every record is IN for exactly half of the models, at random, and no model has a complement."""
    return (rng.random((models, records)).argsort(0) < models // 2).astype(np.int8)


def coins(models: Any, records: Any, rng: Any) -> Any:
    return rng.integers(0, 2, (models, records), np.int8)


def uneven(models: Any, records: Any, rng: Any) -> Any:
    """Half of the records are IN for a quarter of the models, the others for three quarters."""
    share = np.where(np.arange(records) % 2, models // 4, 3 * models // 4)
    return (rng.random((models, records)).argsort(0) < share).astype(np.int8)


def null_table(rng: Any, design: Any, models: int = 8, records: int = 600) -> Signals:
    """Nothing any model says depends on what it trained on."""
    trained_on = design(models, records, rng)
    labels = np.zeros(records, np.int64)
    shadows = answers(rng, models, records, vectors=4)
    return Signals(np.arange(records), labels, answers(rng, 1, records), shadows, trained_on)


def mean_auc(attack: Any, design: Any, leave_out: Any, tables: int = 60, **sizes: Any) -> Any:
    found = []
    for seed in range(tables):
        rng = np.random.default_rng(seed)
        signals = null_table(rng, design, **sizes)
        table, member, rows = leave_out(signals, seed % signals.shadows.models, rng)  # type: ignore[union-attr]
        scores = ATTACKS[attack].score(table, rng)
        rows = rows & ~np.isnan(scores)
        found.append(roc_auc_score(member[rows], scores[rows]))
    return np.mean(found)


def properly(signals: Any, k: Any, rng: Any) -> tuple[Any, Any, Any]:
    stand_in = as_target(signals, k, rng)
    return stand_in.signals, stand_in.member, stand_in.evaluated


def leaving_only_itself_out(signals: Any, k: Any, rng: Any) -> tuple[Any, Any, Any]:
    """The mistake: the complement stays, or no model is dropped."""
    rest = np.delete(np.arange(signals.shadows.models), k)
    table = replace(
        signals,
        target=signals.shadows.of_models(np.array([k])),
        shadows=signals.shadows.of_models(rest),
        trained_on=signals.trained_on[rest],
    )
    member = signals.trained_on[k] == 1
    return table, member, np.ones_like(member)


@pytest.mark.parametrize("design", [paired, fixed_counts, coins, uneven])
@pytest.mark.parametrize("attack", ["lira-online", "lira-online-fixed", "lira-offline", "lira-offline-fixed"])
def test_data_that_carry_nothing_give_chance(design: Any, attack: str) -> None:
    """Mean AUC of 60 tables of 600 records: standard deviation 0.003; the band is four of them."""
    assert mean_auc(attack, design, properly) == pytest.approx(0.5, abs=0.0125)


@pytest.mark.parametrize("design", [paired, fixed_counts])
@pytest.mark.parametrize(
    ("attack", "models", "low", "high"), [("lira-online-fixed", 4, 0, 0.46), ("lira-online", 8, 0.54, 1)]
)
def test_counts_give_answer_away_where_model_alone_is_out(
    design: Any, attack: str, models: int, low: float, high: float
) -> None:
    """What the rule is there for: far below chance where the mean of fewer IN models is noisier, far above where
    fewer IN models fall back to the pooled spread."""
    assert low < mean_auc(attack, design, leaving_only_itself_out, models=models) < high


@pytest.mark.parametrize("design", [paired, fixed_counts, coins, uneven])
def test_counts_are_distributed_alike_over_members_and_others(design: Any) -> None:
    signals = null_table(np.random.default_rng(1), design, models=16, records=4000)
    stand_in = as_target(signals, 3, np.random.default_rng(2))
    for counts in (stand_in.signals.is_in.sum(0), stand_in.signals.is_out.sum(0)):
        of_members, of_others = (
            np.bincount(counts[stand_in.evaluated & side], minlength=17) / (stand_in.evaluated & side).sum()
            for side in (stand_in.member, ~stand_in.member)
        )
        np.testing.assert_allclose(of_members, of_others, atol=0.002)


def test_a_pair_leaves_together_and_nothing_is_dropped() -> None:
    signals = null_table(np.random.default_rng(3), paired, models=6)
    stand_in = as_target(signals, 2, np.random.default_rng(0))
    rest = [0, 1, 4, 5]
    np.testing.assert_array_equal(stand_in.signals.trained_on, signals.trained_on[rest])
    np.testing.assert_array_equal(stand_in.signals.shadows.log_p, signals.shadows.log_p[rest])  # type: ignore[union-attr]
    np.testing.assert_array_equal(stand_in.signals.target.log_p[0], signals.shadows.log_p[2])  # type: ignore[union-attr]
    np.testing.assert_array_equal(stand_in.signals.target.vectors[0], signals.shadows.vectors[2])  # type: ignore[index, union-attr]
    np.testing.assert_array_equal(stand_in.signals.shadows.vectors, signals.shadows.vectors[:2])  # type: ignore[index, union-attr]
    np.testing.assert_array_equal(stand_in.member, signals.trained_on[2] == 1)
    assert stand_in.evaluated.all()
    assert as_target(signals, 5, np.random.default_rng(0)).signals.target.vectors is None


def test_targets_of_the_same_models_have_no_pair_among_them() -> None:
    signals = null_table(np.random.default_rng(3), paired, models=8)
    signals = replace(signals, known=np.where(np.arange(signals.records) < 5, 1.0, np.nan))
    for k, stand_in in zip((2, 3, 6, 7), as_targets(signals, [2, 3, 6, 7]), strict=True):
        alone = as_target(signals, k, np.random.default_rng(0))
        np.testing.assert_array_equal(stand_in.signals.trained_on, signals.trained_on[[0, 1, 4, 5]])
        np.testing.assert_array_equal(stand_in.signals.shadows.log_p, signals.shadows.log_p[[0, 1, 4, 5]])  # type: ignore[union-attr]
        np.testing.assert_array_equal(stand_in.signals.target.log_p, alone.signals.target.log_p)
        np.testing.assert_array_equal(stand_in.signals.known, alone.signals.known)
        np.testing.assert_array_equal(stand_in.member, alone.member)
        np.testing.assert_array_equal(stand_in.evaluated, alone.evaluated)


@pytest.mark.parametrize("design", [fixed_counts, coins])
def test_dropping_changes_the_copy_alone_and_little_of_it(design: Any) -> None:
    signals = null_table(np.random.default_rng(4), design, models=16)
    before = signals.trained_on.copy()
    stand_in = as_target(signals, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(signals.trained_on, before)
    dropped = (stand_in.signals.trained_on == -1).sum(0)
    kept = stand_in.signals.trained_on >= 0
    np.testing.assert_array_equal(stand_in.signals.trained_on[kept], before[1:][kept])
    if design is fixed_counts:
        assert (dropped == 1).all()
        np.testing.assert_array_equal(stand_in.signals.is_in.sum(0), 7)
    else:
        assert dropped.mean() < 0.5


def test_background_and_surplus_records_are_kept_apart() -> None:
    """Records that every or no shadow model trained on do not hide the complement, and are not evaluated."""
    signals = null_table(np.random.default_rng(5), paired, models=6, records=50)
    trained_on = signals.trained_on.copy()
    trained_on[:, :5], trained_on[:, 5:9], trained_on[2, 9] = 1, 0, -1
    stand_in = as_target(replace(signals, trained_on=trained_on), 0, np.random.default_rng(0))
    assert stand_in.signals.shadows.models == 4  # type: ignore[union-attr]
    np.testing.assert_array_equal(stand_in.evaluated, np.arange(50) >= 9)
    other = as_target(replace(signals, trained_on=trained_on), 2, np.random.default_rng(0))
    np.testing.assert_array_equal(other.evaluated, np.arange(50) >= 10)


def test_revealed_membership_follows_stand_in_unevaluated() -> None:
    signals = null_table(np.random.default_rng(6), paired)
    known = np.where(np.arange(600) < 100, 1.0, np.nan)
    stand_in = as_target(replace(signals, known=known), 1, np.random.default_rng(0))
    np.testing.assert_array_equal(stand_in.signals.known[:100], signals.trained_on[1, :100])  # type: ignore[index]
    assert np.isnan(stand_in.signals.known[100:]).all()  # type: ignore[index]
    np.testing.assert_array_equal(stand_in.evaluated, np.arange(600) >= 100)


def test_the_population_moves_with_the_models() -> None:
    rng = np.random.default_rng(7)
    population, seen = answers(rng, 8, 20), rng.integers(0, 2, (8, 20), np.int8)
    signals = replace(null_table(rng, paired), population_shadows=population, population_trained_on=seen)
    moved = as_target(signals, 4, rng).signals
    np.testing.assert_array_equal(moved.population_target.log_p[0], population.log_p[4])  # type: ignore[union-attr]
    np.testing.assert_array_equal(moved.population_shadows.log_p, population.log_p[[0, 1, 2, 3, 6, 7]])  # type: ignore[union-attr]
    np.testing.assert_array_equal(moved.population_trained_on, seen[[0, 1, 2, 3, 6, 7]])


def test_the_last_pair_leaves_no_shadow_models_behind() -> None:
    stand_in = as_target(null_table(np.random.default_rng(8), paired, models=2), 1, np.random.default_rng(0))
    assert stand_in.signals.shadows is None
    assert stand_in.signals.trained_on.shape == (0, 600)
    with pytest.raises(ValueError, match="no shadow model"):
        as_target(stand_in.signals, 0, np.random.default_rng(0))


@pytest.mark.parametrize("design", [paired, coins])
@pytest.mark.parametrize("attack", ["lira-online-shrunk", "base", "informia"])
def test_beside_its_complement_a_stand_in_is_what_it_is_alone(design: Any, attack: str) -> None:
    """The shadow models and what is known of them are shared; targets, truth and scores are not."""
    rng = np.random.default_rng(4)
    signals, population = null_table(rng, design, models=8), answers(rng, 9, 30)
    mine, others = (population.of_models(np.arange(*ends)) for ends in ((0, 1), (1, 9)))
    signals, last = replace(signals, population_target=mine, population_shadows=others), None
    for k in range(8):
        last = as_target(signals, k, np.random.default_rng(k), last)
        alone = as_target(signals, k, np.random.default_rng(k))
        assert last.left_out == alone.left_out
        for name in ("member", "evaluated"):
            np.testing.assert_array_equal(getattr(last, name), getattr(alone, name))
        np.testing.assert_array_equal(last.signals.trained_on, alone.signals.trained_on)
        np.testing.assert_array_equal(last.signals.target.log_p, alone.signals.target.log_p)
        found, expected = (ATTACKS[attack].score(one.signals, rng) for one in (last, alone))
        np.testing.assert_array_equal(found, expected)


def test_shared_statistics_are_of_the_answers_and_of_who_trained() -> None:
    signals = null_table(np.random.default_rng(5), paired, models=6)
    one, other = as_target(signals, 0, np.random.default_rng(0)), None
    other = as_target(signals, 1, np.random.default_rng(0), one)
    assert in_moments(one.signals) is in_moments(other.signals)
    assert in_moments(as_target(signals, 2, np.random.default_rng(0), other).signals) is not in_moments(one.signals)
    swapped = replace(one.signals, trained_on=1 - one.signals.trained_on)
    np.testing.assert_array_equal(in_moments(swapped).mean, out_moments(one.signals).mean)
