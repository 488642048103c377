"""Targets that were not trained as the shadow models were: what is said of them, and what is put right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit

from memberwise.assess import AttackRequest, assess
from memberwise.attacks import ATTACKS, population_scores
from memberwise.seeds import Seeds
from memberwise.signals.table import Answers, Signals
from memberwise.study.reading import make_study

USE = ["lira-online-fixed", "lira-offline-fixed", "loss"]


def answers(phi: Any) -> Answers:
    phi = phi[..., None]
    return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)


def table(
    rng: Any,
    stretch: float = 1.0,
    shift: float = 0.0,
    records: int = 400,
    models: int = 16,
    population: int = 500,
    gap: float = 1.5,
) -> tuple[Any, Any]:
    """phi = level of the record + noise, higher where trained on; the target's stretched about its mean and shifted."""
    member = rng.permutation(records) < records // 2
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    trained_on = np.stack([first, ~first], 1).reshape(models, records).astype(np.int8)
    level, world = 1.0 + rng.normal(size=records), 1.0 + rng.normal(size=population)

    def phi(base: Any, inside: Any) -> Any:
        return base + gap * inside + 0.5 * rng.normal(size=(*inside.shape,))

    def other(values: Any) -> Any:
        return 1.0 + stretch * (values - 1.0) + shift

    nobody = np.zeros((models + 1, population))
    spread = phi(world, nobody)
    signals = Signals(
        np.arange(records),
        np.zeros(records, np.int64),
        answers(other(phi(level, member[None]))),
        answers(phi(level, trained_on == 1)),
        trained_on,
        population_target=answers(other(spread[:1])) if population else None,
        population_shadows=answers(spread[1:]) if population else None,
        population_labels=np.zeros(population, np.int64) if population else None,
    )
    return signals, member


def assessed(signals: Any, member: Any, seed: int = 0, use: Any = USE) -> Any:
    study = make_study({"attacks": {"use": use}, "statistics": {"fpr": [0.1]}}, "the test")
    return assess(signals, member, study, AttackRequest.of(study), Seeds(seed), ["0"])


def codes(found: Any) -> Any:
    return {code for code, _ in found.notes}


@pytest.mark.slow
@pytest.mark.parametrize("population", [500, 0])
def test_a_model_like_the_others_is_not_spoken_of(population: int) -> None:
    fired = 0
    for seed in range(30):
        found = assessed(*table(np.random.default_rng(seed), population=population, models=8), use=["loss"])
        part = found.mismatch
        assert part.tested_on == ("population" if population else "audited")
        fired += bool({"mismatch", "mismatch-strong"} & codes(found))
    assert fired <= 3


@pytest.mark.slow
@pytest.mark.parametrize("population", [500, 0])
def test_another_spread_is_told_and_a_far_one_strongly(population: int) -> None:
    far = assessed(*table(np.random.default_rng(1), stretch=2.0, population=population))
    assert "mismatch-strong" in codes(far)
    part = far.mismatch
    assert part.statistic == pytest.approx(np.log(2), abs=0.15)
    assert part.p < 0.01
    near = assessed(*table(np.random.default_rng(2), stretch=1.17, records=2000, population=population and 2000))
    assert codes(near) & {"mismatch", "mismatch-strong"} == {"mismatch"}


@pytest.mark.slow
def test_carried_rates_are_corrected_on_the_population() -> None:
    found = assessed(*table(np.random.default_rng(3), stretch=2.0, population=1000))
    by_name = {attack.name: attack.at_shadow_threshold[0] for attack in found.attacks}
    offline, online = by_name["lira-offline-fixed"], by_name["lira-online-fixed"]
    assert not offline.holds
    assert offline.population_fpr.value > 0.15
    low, high = offline.corrected.realised_fpr.low, offline.corrected.realised_fpr.high
    assert low <= 0.1 <= high
    assert online.population_fpr is None
    assert online.corrected is None
    known = found.mismatch.carried_fpr
    assert known.attack == "lira-offline-fixed"
    assert known.value == offline.population_fpr.value


@pytest.mark.slow
def test_where_models_are_alike_the_carried_rate_holds() -> None:
    held = [
        row.holds
        for seed in range(8)
        for attack in assessed(*table(np.random.default_rng(seed), models=8)).attacks
        for row in attack.at_shadow_threshold
    ]
    assert np.mean(held) > 0.85


@pytest.mark.slow
def test_discoveries_from_population_keep_share_of_false_names() -> None:
    ours, theirs = [], []
    for seed in range(16):
        rng = np.random.default_rng(100 + seed)
        signals, member = table(rng, stretch=1.6, population=2000, gap=3.0, models=8)
        names = assessed(signals, member, use=["lira-offline-fixed"]).discoveries
        assert names.calibration == "population"
        assert names.by_shadows.calibration == "shadows"
        ours.append(names.wrong / max(1, names.named))
        theirs.append(names.by_shadows.wrong / max(1, names.by_shadows.named))
    assert np.mean(ours) <= 0.1 + 3 * np.std(ours) / 4
    assert np.mean(theirs) > 0.13


def test_population_records_without_in_models_are_scored() -> None:
    signals, _ = table(np.random.default_rng(5))
    rng = np.random.default_rng(0)
    scored = {name: (ATTACKS[name], ATTACKS[name].score(signals, rng)) for name in [*USE, "rmia-offline", "base"]}
    found = population_scores(signals, scored, Seeds(0))
    assert set(found) == {"lira-offline-fixed", "loss", "rmia-offline"}
    assert {len(scores.population) for scores in found.values()} == {500}
    np.testing.assert_allclose(
        np.sort(found["loss"].population), np.sort(signals.population_target.log_p[0, :, 0]), rtol=1e-6
    )


def test_population_scores_are_those_of_non_members() -> None:
    """Ranks of the target's non-members among the population are uniform, with as many OUT models on either side."""
    ranks = []
    for seed in range(12):
        signals, member = table(np.random.default_rng(seed), models=4)
        attack = ATTACKS["lira-offline-fixed"]
        scores = attack.score(signals, np.random.default_rng(0))
        both = population_scores(signals, {attack.name: (attack, scores)}, Seeds(seed))[attack.name]
        ranks.extend((both.audited[~member][:, None] > both.population).mean(1))
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.03)
    assert np.mean(np.array(ranks) > 0.9) == pytest.approx(0.1, abs=0.03)


@pytest.mark.slow
def test_without_grounds_nothing_is_tested() -> None:
    signals, member = table(np.random.default_rng(6), population=0)
    part = assessed(signals, np.arange(len(member)) < 100, use=["loss"]).mismatch
    assert part.p is None
    assert part.tested_on is None
    alone = Signals(signals.index, signals.labels, signals.target, None, signals.trained_on[:0])
    assert assessed(alone, member, use=["loss"]).mismatch is None
    two, member = table(np.random.default_rng(7), models=2)
    part = assessed(two, member, use=["loss"]).mismatch
    assert part.p is None
    assert "fewer than two pairs" in part.reason


@pytest.mark.slow
def test_learned_attack_has_carried_thresholds_and_accusation() -> None:
    signals, member = table(np.random.default_rng(8), records=600, models=8, gap=2.0)
    found = assessed(signals, member, use=["learned"])
    [attack] = found.attacks
    [row] = attack.at_shadow_threshold
    assert 0.03 <= row.realised_fpr.value <= 0.2
    assert row.tpr.value > 2 * row.realised_fpr.value
    assert [value.prior for value in attack.ppv] == [0.01, 0.1, 0.5]
    assert found.discoveries.attack == "learned"
