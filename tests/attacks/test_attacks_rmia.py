"""RMIA and Attack-P against double loops, identities and extreme probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import answers_of, full_table, table

from memberwise.attacks import ATTACKS, rmia
from memberwise.attacks.in_out import log_mix
from memberwise.signals.table import Answers

RNG = np.random.default_rng(0)


def of_log_p(log_p: Any) -> Answers:
    log_p = np.asarray(log_p, np.float32)
    return Answers(log_p, np.zeros_like(log_p), log_p > -0.5)


def double_loop(signals: Any, online: Any, a: float = 0.3, gamma: float = 1.0) -> Any:
    """Linear probabilities, one pair at a time; ties, up to rounding, count."""
    x, z = np.exp(signals.target.log_p[0].astype(float)), np.exp(signals.population_target.log_p[0].astype(float))
    shadows_x = np.exp(signals.shadows.log_p.astype(float))
    shadows_z = np.exp(signals.population_shadows.log_p.astype(float))
    seen = signals.population_trained_on
    result = np.full(len(x), np.nan)
    for i in range(len(x)):
        in_moments, out_moments = signals.trained_on[:, i] == 1, signals.trained_on[:, i] == 0
        if not out_moments.any() or (online and not in_moments.any()):
            continue
        shares = []
        for q in range(x.shape[1]):
            mean_out = shadows_x[out_moments, i, q].mean()
            p_x = (mean_out + shadows_x[in_moments, i, q].mean()) / 2 if online else ((1 + a) * mean_out + (1 - a)) / 2
            wins = []
            for j in range(len(z)):
                unseen = np.ones(len(shadows_z), bool) if seen is None else seen[:, j] == 0
                if unseen.any():
                    p_z = shadows_z[unseen, j, q].mean()
                    p_z = p_z if online else ((1 + a) * p_z + (1 - a)) / 2
                    wins.append(gamma * z[j, q] / p_z <= x[i, q] / p_x * (1 + 1e-9))
            shares.append(np.mean(wins))
        result[i] = np.mean(shares)
    return result


FORMS = [
    (ATTACKS["rmia-online"].score, {"online": True}),
    (rmia.online(gamma=2.0), {"online": True, "gamma": 2.0}),
    (rmia.offline(a=0.3), {"online": False}),
    (rmia.offline(gamma=1.5, a=0.8), {"online": False, "a": 0.8, "gamma": 1.5}),
]


@pytest.mark.parametrize(("score", "form"), FORMS)
@pytest.mark.parametrize("queries", [1, 3])
def test_equals_the_double_loop(score: Any, form: Any, queries: int) -> None:
    rng = np.random.default_rng(1)
    signals, _ = full_table(rng, 60, 8, population=50, leak=1.0, queries=queries)
    trained_on = rng.choice([-1, 0, 1], size=(8, 60)).astype(np.int8)
    trained_on[:, 0], trained_on[:, 1] = 0, 1
    seen = rng.integers(0, 2, (8, 50), np.int8)
    seen[:, 3] = 1  # every shadow model saw it: of no use
    signals = replace(signals, trained_on=trained_on, population_trained_on=seen)
    expected = double_loop(signals, **form)
    np.testing.assert_allclose(score(signals, RNG), expected, rtol=1e-12)
    assert np.isnan(expected[1])
    assert np.isnan(expected[0]) == form["online"]


@pytest.mark.parametrize(
    ("score", "form"),
    [*FORMS[:3], (rmia.offline(gamma=2.0, a=1.0), FORMS[3][1] | {"a": 1.0, "gamma": 2.0})],  # type: ignore[operator]
)
def test_exact_ties_count(score: Any, form: Any) -> None:
    """Few distinct answers, the same from every shadow model: most ratios are tied with some of the population's."""
    rng = np.random.default_rng(2)
    levels = np.log([0.5, 0.25, 0.125])
    trained_on = np.tile([[0], [1]], (4, 30)).astype(np.int8)
    base_x, base_z = rng.choice(levels, (1, 30, 1)), rng.choice(levels, (1, 40, 1))
    signals = table(
        of_log_p(rng.choice(levels, (1, 30, 1))),
        of_log_p(base_x.repeat(8, 0)),
        trained_on,
        population_target=of_log_p(rng.choice(levels, (1, 40, 1))),
        population_shadows=of_log_p(base_z.repeat(8, 0)),
    )
    expected = double_loop(signals, **form)
    assert len(np.unique(expected)) < 10
    np.testing.assert_allclose(score(signals, RNG), expected, rtol=1e-12)


def test_a_of_one_is_the_out_mean_and_of_zero_half_way_to_one() -> None:
    log_out = np.log(np.array([[0.9], [0.3], [1e-9], [1e-300]]))
    np.testing.assert_allclose(rmia.as_if_in_too(log_out, 1.0), log_out, rtol=1e-14)
    np.testing.assert_allclose(np.exp(rmia.as_if_in_too(log_out, 0.0)), (1 + np.exp(log_out)) / 2, rtol=1e-14)


def test_probability_scale_is_ignored_down_to_1e_minus_300() -> None:
    signals, _ = full_table(np.random.default_rng(3), 50, 8, population=40, leak=1.0)
    tiny = {
        part: of_log_p(getattr(signals, part).log_p - 680.0)
        for part in ("target", "shadows", "population_target", "population_shadows")
    }
    tiny = replace(signals, **tiny)
    np.testing.assert_allclose(rmia.online()(tiny, RNG), rmia.online()(signals, RNG), atol=1 / 40)
    np.testing.assert_allclose(rmia.offline(a=1.0)(tiny, RNG), rmia.offline(a=1.0)(signals, RNG), atol=1 / 40)
    assert len(np.unique(rmia.online()(tiny, RNG))) > 10


def test_close_to_one_nothing_is_lost() -> None:
    """Means of probabilities 1 - 1e-18 are told apart, as they are not in linear arithmetic."""
    logs = np.array([[-1e-18], [-3e-18]])
    np.testing.assert_allclose(log_mix(logs, np.full((2, 1), 0.5)), [-2e-18], rtol=1e-12)


def test_score_grows_with_the_targets_answer() -> None:
    phi = np.linspace(-4, 4, 21)[None, :, None]
    rng = np.random.default_rng(4)
    signals = table(
        answers_of(phi),
        answers_of(np.zeros((4, 21, 1))),
        np.tile([[0], [1]], (2, 21)).astype(np.int8),
        population_target=answers_of(rng.normal(size=(1, 200, 1))),
        population_shadows=answers_of(rng.normal(size=(4, 200, 1))),
    )
    for name in ("rmia-online", "rmia-offline", "attack-p"):
        assert (np.diff(ATTACKS[name].score(signals, RNG)) >= 0).all()


def test_attack_p_counts_strictly_greater_losses() -> None:
    rng = np.random.default_rng(5)
    x, z = rng.integers(-5, 0, (1, 30, 2)), rng.integers(-5, 0, (1, 20, 2))
    signals = table(of_log_p(x), None, np.zeros((0, 30), np.int8), population_target=of_log_p(z))
    expected = [np.mean([np.mean(-z[0, :, q] > -x[0, i, q]) for q in (0, 1)]) for i in range(30)]
    np.testing.assert_allclose(ATTACKS["attack-p"].score(signals, RNG), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["rmia-online", "rmia-offline", "attack-p"])
def test_a_population_asked_once_serves_every_query(name: str) -> None:
    signals, _ = full_table(np.random.default_rng(7), 60, 8, population=50, leak=1.0, queries=3)
    once = [of_log_p(part.log_p[:, :, :1]) for part in (signals.population_target, signals.population_shadows)]
    thrice = [of_log_p(part.log_p.repeat(3, 2)) for part in once]
    first, second = (
        ATTACKS[name].score(replace(signals, population_target=target, population_shadows=shadows), RNG)
        for target, shadows in (once, thrice)
    )
    np.testing.assert_array_equal(first, second)


def test_attack_p_flags_a_tenth_of_new_records() -> None:
    """The method's own threshold: false positives ~ Binomial(4000, 0.1); the band is four standard deviations."""
    rng = np.random.default_rng(6)
    signals = table(
        answers_of(rng.normal(size=(1, 4000, 1))),
        None,
        np.zeros((0, 4000), np.int8),
        population_target=answers_of(rng.normal(size=(1, 4000, 1))),
    )
    attack = ATTACKS["attack-p"]
    assert np.mean(attack.score(signals, RNG) > attack.threshold) == pytest.approx(0.1, abs=4 * np.sqrt(0.18 / 4000))  # type: ignore[operator]


@pytest.mark.parametrize("values", [2, 5, 30])
def test_attack_p_flags_at_most_a_tenth_where_losses_tie(values: int) -> None:
    """Whole numbers as losses, the largest of them common: "score > 0.9" stays within 10 % (four deviations)."""
    rng = np.random.default_rng(8)
    x, z = (-rng.integers(1, values + 1, (1, 4000, 1)).astype(float) for _ in range(2))
    signals = table(of_log_p(x), None, np.zeros((0, 4000), np.int8), population_target=of_log_p(z))
    attack = ATTACKS["attack-p"]
    flagged = np.mean(attack.score(signals, RNG) > attack.threshold)  # type: ignore[operator]
    assert flagged <= 0.1 + 4 * np.sqrt(0.18 / 4000)
    assert (flagged > 0.05) == (values == 30)
