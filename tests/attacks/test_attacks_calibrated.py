"""BASE, InfoRMIA, Attack-R, calibration and the tuning of a: slow loops, identities, limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import coins, full_table, gaussian_table, paired, table
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS, rmia
from memberwise.attacks.bayes_base import base
from memberwise.attacks.informia import informia
from memberwise.attacks.tuning import auc, tuned
from memberwise.signals.table import Answers

RNG = np.random.default_rng(0)


def score(name: Any, signals: Any) -> Any:
    return ATTACKS[name].score(signals, np.random.default_rng(0))


def of_log_p(log_p: Any) -> Answers:
    log_p = np.asarray(log_p, np.float32)
    return Answers(log_p, np.zeros_like(log_p), log_p > -0.5)


def loops(signals: Any, name: Any, c: float = 0.3, a: float = 0.3) -> Any:
    """Record by record, query by query, in linear probabilities."""
    target, shadows = signals.target.log_p[0].astype(float), signals.shadows.log_p.astype(float)
    offline = not ((signals.trained_on == 1).any(0) & (signals.trained_on == 0).any(0)).any()
    result = np.full(signals.records, np.nan)
    for i in range(signals.records):
        inside, outside = signals.trained_on[:, i] == 1, signals.trained_on[:, i] == 0
        if not outside.any() or (not offline and name in ("base", "informia") and not inside.any()):
            continue
        terms = []
        for q in range(target.shape[1]):
            own, theirs = target[i, q], shadows[outside, i, q]
            out = np.exp(theirs).mean()
            both = out if offline or not inside.any() else (np.exp(shadows[inside, i, q]).mean() + out) / 2
            if name == "attack-r":
                terms.append(np.mean(-theirs > -own))
            elif name == "calibration":
                terms.append(own - theirs.mean())
            elif name == "base":
                terms.append(own - (c if offline else 1) * np.log(both))
            else:
                world = signals.population_target.log_p[0, :, q].astype(float)
                seen = np.exp(signals.population_shadows.log_p[:, :, q].astype(float)).mean(0)
                both, seen = (((1 + a) * p + 1 - a) / 2 if offline else p for p in (both, seen))
                terms.append(own - np.log(both) - (world - np.log(seen)).mean())
        result[i] = np.mean(terms)
    return result


@pytest.mark.parametrize("name", ["base", "informia", "attack-r", "calibration"])
@pytest.mark.parametrize("offline", [False, True])
def test_equals_a_loop_over_records_with_uneven_sides(name: str, offline: bool) -> None:
    rng = np.random.default_rng(1)
    signals, _ = full_table(rng, 60, 8, population=50, leak=1.0, queries=3)
    trained_on = rng.choice([-1, 0] if offline else [-1, 0, 1], size=(8, 60)).astype(np.int8)
    trained_on[:, 0], trained_on[:, 1] = 0, -1 if offline else 1
    signals = replace(signals, trained_on=trained_on)
    expected = loops(signals, name)
    np.testing.assert_allclose(score(name, signals), expected, rtol=1e-6, atol=1e-9)
    assert np.isnan(expected[1])
    assert np.isnan(expected[0]) == (not offline and name in ("base", "informia"))


@pytest.mark.parametrize("design", [paired, coins])
def test_base_informia_and_rmia_have_one_order(design: Any) -> None:
    signals, _ = full_table(np.random.default_rng(2), 400, 8, leak=1.0)
    signals = replace(signals, trained_on=design(8, 400, np.random.default_rng(3)))
    ordered = score("base", signals)
    kept = ~np.isnan(ordered)
    order = np.argsort(ordered[kept])
    assert (np.diff(score("rmia-online", signals)[kept][order]) >= 0).all()
    np.testing.assert_array_equal(rankdata(score("informia", signals)[kept]), rankdata(ordered[kept]))
    assert (
        len(np.unique(score("informia", signals)[kept]))
        == kept.sum()
        > len(np.unique(score("rmia-online", signals)[kept]))
    )


def test_limits_of_the_offline_forms() -> None:
    signals, _ = full_table(np.random.default_rng(4), 100, 6, leak=1.0)
    signals = replace(signals, trained_on=np.zeros((6, 100), np.int8))
    np.testing.assert_array_equal(base(0.0)(signals, RNG), score("loss", signals))
    alone = replace(signals, shadows=signals.shadows.of_models(np.array([0])), trained_on=np.zeros((1, 100), np.int8))
    difference = signals.target.log_p[0, :, 0].astype(float) - signals.shadows.log_p[0, :, 0]
    np.testing.assert_allclose(base(1.0)(alone, RNG), difference, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(score("calibration", alone), difference, rtol=1e-6, atol=1e-9)
    one, base_one = informia(1.0)(signals, RNG), base(1.0)(signals, RNG)
    np.testing.assert_allclose(one - one.mean(), base_one - base_one.mean(), atol=1e-9)


def test_informia_ignores_a_target_surer_of_everything() -> None:
    """Unlike BASE's, its scores compare over targets: a factor on all of a target's probabilities cancels."""
    signals, _ = full_table(np.random.default_rng(5), 80, 6, leak=1.0)
    surer = {
        part: replace(getattr(signals, part), log_p=getattr(signals, part).log_p - 2)
        for part in ("target", "population_target")
    }
    surer = replace(signals, **surer)
    np.testing.assert_allclose(score("informia", surer), score("informia", signals), atol=1e-5)
    np.testing.assert_allclose(score("base", surer), score("base", signals) - 2, atol=1e-5)


def test_attack_r_has_models_plus_one_values_no_ties() -> None:
    signals, _ = gaussian_table(np.random.default_rng(6), 4000, 10, gap=1.0)
    np.testing.assert_array_equal(np.unique(score("attack-r", signals)), np.arange(6) / 5)
    same = table(of_log_p(np.full((1, 3, 1), -1)), of_log_p(np.full((4, 3, 1), -1)), np.zeros((4, 3), np.int8))
    np.testing.assert_array_equal(score("attack-r", same), np.zeros(3))


@pytest.mark.parametrize("name", ["calibration", "attack-r"])
def test_difficulty_that_all_models_share_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(7)
    trained_on = paired(8, 200, rng)
    target, shadows = rng.integers(-9, 0, (1, 200, 1)), rng.integers(-9, 0, (8, 200, 1))
    shared = rng.integers(-9, 1, (1, 200, 1))
    plain = score(name, table(of_log_p(target), of_log_p(shadows), trained_on))
    np.testing.assert_array_equal(
        score(name, table(of_log_p(target + shared), of_log_p(shadows + shared), trained_on)), plain
    )


def made_with(a: Any, rng: Any, records: int = 1500, models: int = 10) -> tuple[Any, Any]:
    """Answers for which p_in = a p_out + (1 - a) up to noise, and the members."""
    member = rng.permutation(records) < records // 2
    trained_on = paired(models, records, rng)
    out = rng.uniform(0.02, 0.9, records)

    def ask(inside: Any) -> Any:
        p = np.where(inside, a * out + 1 - a, out) * np.exp(0.3 * rng.normal(size=inside.shape))
        return of_log_p(np.log(np.clip(p, 1e-6, 1))[..., None])

    return table(ask(member[None]), ask(trained_on == 1), trained_on), member


def brute_force(signals: Any) -> Any:
    """Mean AUC for each a, by sklearn; models 2j and 2j + 1 are a pair and leave together."""
    found = []
    p = np.exp(signals.shadows.log_p.astype(float))
    for k in range(min(8, len(p))):
        rest = [j for j in range(len(p)) if j not in (k, k ^ 1)]
        out = np.array(
            [p[[j for j in rest if signals.trained_on[j, i] == 0], i].mean(0) for i in range(signals.records)]
        )
        ratios = [(p[k] / (((1 + a / 10) * out + 1 - a / 10) / 2)).mean(-1) for a in range(11)]
        found.append([roc_auc_score(signals.trained_on[k], ratio) for ratio in ratios])
    return np.mean(found, 0)


@pytest.mark.parametrize("a", [0.0, 0.4, 0.95])
def test_tuned_a_is_best_on_stand_in_shadow_models(a: float) -> None:
    signals, _ = made_with(a, np.random.default_rng(8), records=400)
    chosen = tuned(signals, rmia.offline_ratio, 0.3, RNG)
    assert chosen == np.argmax(brute_force(signals).round(12)) / 10
    world = of_log_p(np.log(np.random.default_rng(9).uniform(0.02, 0.9, (11, 300, 1))))
    signals = replace(
        signals,
        population_target=world.of_models(np.array([0])),
        population_shadows=world.of_models(np.arange(1, 11)),
    )
    np.testing.assert_array_equal(score("rmia-offline", signals), rmia.offline(a=chosen)(signals, RNG))


def test_tuning_comes_close_to_the_best_a_for_the_target_itself() -> None:
    for a in (0.1, 0.9):
        signals, member = made_with(a, np.random.default_rng(10))
        own, out = signals.target.log_p[0].astype(float), np.log(brute_out(signals))
        aucs = [auc(rmia.offline_ratio(own, out, value / 10).mean(-1), member) for value in range(11)]
        chosen = tuned(signals, rmia.offline_ratio, 0.3, RNG)
        assert aucs[round(10 * chosen)] > max(aucs) - 0.005
        assert max(aucs) - min(aucs) > 0.01


def brute_out(signals: Any) -> Any:
    p = np.where(signals.trained_on[..., None] == 0, np.exp(signals.shadows.log_p.astype(float)), np.nan)
    return np.nanmean(p, 0)


def test_a_falls_back_where_no_two_shadow_models_can_stand_in() -> None:
    signals, _ = full_table(np.random.default_rng(11), 100, 2, vectors=2)
    assert tuned(signals, rmia.offline_ratio, 0.3, RNG) == 0.3
    nobody = replace(full_table(np.random.default_rng(11), 100, 8)[0], trained_on=np.zeros((8, 100), np.int8))
    assert tuned(nobody, rmia.offline_ratio, 0.3, RNG) == 0.3
    np.testing.assert_array_equal(score("rmia-offline", nobody), rmia.offline(a=0.3)(nobody, RNG))


def test_the_tuning_of_many_records_looks_at_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, _ = made_with(0.2, np.random.default_rng(12), records=600)
    monkeypatch.setattr("memberwise.attacks.tuning.MOST_RECORDS", 300)
    assert tuned(signals, rmia.offline_ratio, 0.3, np.random.default_rng(0)) == pytest.approx(0.2, abs=0.35)


def test_auc_counts_ties_half() -> None:
    rng = np.random.default_rng(13)
    scores, member = rng.integers(0, 5, 200).astype(float), rng.random(200) < 0.4
    assert auc(scores, member) == pytest.approx(roc_auc_score(member, scores), abs=1e-12)
