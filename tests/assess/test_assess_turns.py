"""Canaries, targets in turn and epsilon on tables of signals with known truth, against slow loops and on nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit

from memberwise.assess import AttackRequest, assess
from memberwise.assess.stand_ins import one_of_each_pair_first
from memberwise.assess.variation import exposed_at
from memberwise.attacks import ATTACKS
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Answers, Signals
from memberwise.study.reading import make_study
from memberwise.study.rules import bounds_epsilon


def study_of(**values: Any) -> Any:
    base = {"attacks": {"use": ["lira-online-fixed"]}, "statistics": {"fpr": [0.1]}}
    return make_study(base | values, "the test")


def answers(phi: Any) -> Answers:
    phi = phi[..., None]
    return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)


def table(
    rng: Any, records: int = 100, models: int = 16, gap: float = 0.0, coins: bool = False, hard: float = 0.0
) -> tuple[Signals, Any]:
    """phi ~ N(level of the record + gap where trained on, 1); the table and who the members are."""
    member = rng.random(records) < 0.5 if coins else rng.permutation(records) < records // 2
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    trained_on = np.stack([first, ~first], 1).reshape(models, records).astype(np.int8)
    level, gaps = rng.normal(size=records), gap * np.exp(hard * rng.normal(size=records))
    target, shadows = (
        answers(level + gaps * inside + rng.normal(size=inside.shape)) for inside in (member[None], trained_on == 1)
    )
    labels = np.zeros(records, np.int64)
    return Signals(np.arange(records) + 1000, labels, target, shadows, trained_on), member


def assessed(signals: Any, member: Any, seed: int = 0, **values: Any) -> Any:
    study = study_of(**values)
    return assess(signals, member, study, AttackRequest.of(study), Seeds(seed), ["0"])


def stand_ins(signals: Any, member: Any) -> Iterator[Any]:
    """Scores and truth of the target and of every shadow model in its place, one at a time."""
    attack, rng = ATTACKS["lira-online-fixed"], np.random.default_rng(0)
    yield attack.score(signals, rng), member
    for k in range(signals.shadows.models):
        stand_in = as_target(signals, k, rng)
        yield attack.score(stand_in.signals, rng), stand_in.member


def test_canaries_are_counted_over_all_pairs() -> None:
    signals, member = table(np.random.default_rng(1), records=60, models=8, gap=2.5)
    found = assessed(signals, member, canaries={"count": 60})
    part = found.canaries
    scores, truth = (np.array(list(values)) for values in zip(*stand_ins(signals, member), strict=True))
    assert (part.models, part.count) == (9, 60)
    assert part.tpr_at_zero.value == pytest.approx((scores[truth] > scores[~truth].max()).mean())
    out = np.sort(scores[~truth])[::-1]
    [row] = [row for row in part.tpr_at_fpr if row.fpr == 0.1]
    assert row.value == pytest.approx((scores[truth] > out[int(0.1 * len(out))]).mean())
    assert row.n_members == truth.sum()
    cut = out[int(0.001 * len(out))]
    times, hits = truth.sum(0), (truth & (scores > cut)).sum(0)
    assert part.per_canary.always == pytest.approx((hits == times).mean())
    assert part.per_canary.most_exposed[0].found / part.per_canary.most_exposed[0].models == (hits / times).max()
    np.testing.assert_allclose(found.curves["canaries.found"], hits / times)


@pytest.mark.slow
def test_on_canaries_that_nobody_remembers_intervals_cover() -> None:
    covered, zero = 0, []
    for seed in range(60):
        signals, member = table(np.random.default_rng(seed), records=80)
        part = assessed(signals, member, seed, canaries={"count": 80}).canaries
        row = part.tpr_at_fpr[0]
        covered += row.low <= 0.1 <= row.high
        zero.append(part.tpr_at_zero.value)
    assert covered >= 57
    assert np.mean(zero) < 0.01


def test_targets_in_turn_by_slow_loops() -> None:
    signals, member = table(np.random.default_rng(2), records=200, models=12, gap=1.5, hard=1.0)
    part = assessed(signals, member, statistics={"fpr": [0.1, 0.02], "targets": 7}).targets
    every = list(stand_ins(signals, member))
    chosen = [every[0], *(every[1 + k] for k in (0, 2, 4, 6, 8, 10))]
    areas = []
    for scores, truth in chosen:
        above = scores[truth][:, None] - scores[~truth]
        areas.append(((above > 0) + 0.5 * (above == 0)).mean())
    np.testing.assert_allclose(part.auc.values, areas)
    assert part.auc.mean.value == pytest.approx(np.mean(areas))
    assert part.auc.std == pytest.approx(np.std(areas, ddof=1))
    stable = part.stability
    assert stable.fpr == 0.1
    found = [set(np.flatnonzero(t & (s > np.sort(s[~t])[::-1][10]))) for s, t in chosen]
    inside = [set(np.flatnonzero(t)) for _, t in chosen]
    often = [i for i in range(200) if sum(i in side for side in inside) >= 2]
    always = [i for i in often if all(i in f for f, side in zip(found, inside, strict=True) if i in side)]
    never = [i for i in often if not any(i in f for f in found)]
    assert stable.records == len(often)
    assert stable.always.value == pytest.approx(len(always) / len(often))
    assert stable.never == pytest.approx(len(never) / len(often))
    assert stable.sometimes == pytest.approx(1 - (len(never) + len(always)) / len(often))
    overlaps = [
        len(found[a] & found[b]) / len(((found[a] | found[b]) & inside[a]) & inside[b])
        for a, b in combinations(range(7), 2)
    ]
    assert stable.overlap == pytest.approx(np.mean(overlaps))
    assert stable.always.value > 1.4 * stable.by_chance, "some records are remembered by every model"


@pytest.mark.slow
def test_targets_on_nothing_are_at_guessing() -> None:
    areas = []
    for seed in range(20):
        signals, member = table(np.random.default_rng(seed), records=100, models=8)
        part = assessed(signals, member, seed, statistics={"fpr": [0.1], "targets": 6}).targets
        areas.append(part.auc.mean.value)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.01)


def test_fewer_models_than_targets_is_said() -> None:
    signals, member = table(np.random.default_rng(3), models=6)
    values: dict[str, Any] = {"fpr": [0.1], "targets": 9}
    found = assessed(signals, member, statistics=values, shadow={"budget": "1m"})
    assert found.targets.count == 7
    assert "fewer-targets" in [code for code, _ in found.notes]


def test_one_model_of_each_pair_comes_first() -> None:
    assert one_of_each_pair_first(6) == [0, 2, 4, 1, 3, 5]
    assert exposed_at([0.1, 0.01, 0.001], 50_000) == 0.01
    assert exposed_at([0.1, 0.01], 500) == 0.1
    assert exposed_at([0.1], 5) == 0.1


@pytest.mark.slow
def test_coin_epsilon_is_zero_on_nothing_and_large_on_leak() -> None:
    values: dict[str, Any] = {"data": {"coins": True}}
    positive = 0
    for seed in range(30):
        signals, member = table(np.random.default_rng(seed), models=4, coins=True)
        epsilon = assessed(signals, member, seed, **values).epsilon
        assert epsilon.basis == "one-run coins"
        positive += epsilon.value > 0
    assert positive <= 4  # 1.5 are expected at most; more than 4 have probability 0.02
    signals, member = table(np.random.default_rng(4), records=600, gap=6.0, coins=True)
    found = assessed(signals, member, **values, gate={"rules": ["epsilon>2"]})
    assert found.epsilon.value > 3
    assert found.gate.judge(found.notes)[0].passed is False
    without = Signals(signals.index, signals.labels, signals.target, None, signals.trained_on[:0])
    alone = assess(without, member, study_of(**values, attacks={"use": ["loss"]}),
                   AttackRequest.of(study_of(**values, attacks={"use": ["loss"]})), Seeds(0), ["0"])  # fmt: skip
    assert "best of 3" in alone.epsilon.method  # type: ignore[union-attr]
    assert alone.epsilon.value > 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_epsilon_from_one_canary_in_many_runs() -> None:
    signals, member = table(np.random.default_rng(5), records=40, models=64, gap=8.0)
    epsilon = assessed(signals, member, canaries={"count": 40}).epsilon
    low = 0.025 ** (1 / 24)
    assert epsilon.basis == "many runs"
    assert epsilon.value == pytest.approx(np.log((low - 1e-5) / (1 - low)))
    assert 1000 <= epsilon.record < 1040
    null = [assessed(*table(np.random.default_rng(seed), 40, 64), canaries={"count": 40}) for seed in range(40)]
    assert sum(found.epsilon.value > 0 for found in null) <= 5


def test_epsilon_is_gated_on_only_where_it_bounds() -> None:
    rule: dict[str, Any] = {"gate": {"rules": ["epsilon>1"]}}
    for values in ({"data": {"coins": True}}, {"canaries": {"count": 10}}):
        assert AttackRequest.of(study_of(**rule, **values)).rules[0].metric == "epsilon"
    for values in (  # type: ignore[assignment]
        {},
        {"canaries": {"count": 10}, "shadow": {"count": 6}},
        {"data": {"coins": True}, "attacks": {"use": ["loss"], "reveal": 0.5}},
    ):
        assert not bounds_epsilon(study_of(**values))
        with pytest.raises(StudyError, match="epsilon cannot be gated on"):
            AttackRequest.of(study_of(**rule, **values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"statistics": {"targets": 8}, "shadow": {"count": 6}}, "more models are to take"),
        ({"canaries": {"count": 10}, "outputs": {"file": "a.npz"}}, "canaries are for a target"),
        ({"canaries": {"count": 10}, "shadow": {"data": "auxiliary"}}, "canaries are for a target"),
        ({"canaries": {"count": 10}, "target": {"file": "a.onnx"}}, "canaries are for a target"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(values: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        AttackRequest.of(study_of(**values))


def test_canaries_are_even_and_a_source_has_its_kind() -> None:
    with pytest.raises(StudyError, match="even"):
        study_of(canaries={"count": 11})
    with pytest.raises(StudyError, match="out-of-distribution"):
        study_of(canaries={"count": 10, "source": "mnist"})


@pytest.mark.slow
def test_thresholds_and_names_by_hand() -> None:
    signals, member = table(np.random.default_rng(6), records=400, gap=4.0)
    found = assessed(signals, member)
    [entry] = found.attacks
    pairs = list(stand_ins(signals, member))[1:9]
    others = np.sort(np.concatenate([s[~t] for s, t in pairs]))[::-1]
    [row] = entry.at_shadow_threshold
    assert row.threshold == pytest.approx(others[int(0.1 * len(others))])
    scores = pairs and ATTACKS["lira-online-fixed"].score(signals, np.random.default_rng(0))
    assert row.realised_fpr.value == pytest.approx((scores[~member] > row.threshold).mean())
    assert row.tpr.value == pytest.approx((scores[member] > row.threshold).mean())
    assert [value.prior for value in entry.ppv] == [0.01, 0.1, 0.5]
    names = found.discoveries
    p = np.array([(1 + (others >= s).sum()) / (1 + len(others)) for s in scores])
    order = np.sort(p)
    kept = max((k for k in range(1, 401) if order[k - 1] <= k * 0.1 / 400), default=0)
    named = p <= order[kept - 1] if kept else np.zeros(400, bool)
    assert (names.named, names.wrong) == (named.sum(), (named & ~member).sum())
    assert names.calibration == "shadows"
    assert names.named > 50


def test_without_shadow_models_half_of_the_non_members_calibrate() -> None:
    signals, member = table(np.random.default_rng(7), records=400, gap=6.0)
    alone = Signals(signals.index, signals.labels, signals.target, None, signals.trained_on[:0])
    study = study_of(attacks={"use": ["loss"]})
    found = assess(alone, member, study, AttackRequest.of(study), Seeds(0), ["0"])
    names = found.discoveries
    assert (names.calibration, names.n_calibration, names.tested) == ("half", 100, 300)
    assert found.attacks[0].at_shadow_threshold == found.attacks[0].ppv == ()  # type: ignore[comparison-overlap]


def codes(found: Any) -> list[Any]:
    return [code for code, _ in found.notes]


@pytest.mark.slow
def test_numbers_of_models_that_tell_members_are_noticed() -> None:
    """The target is one of 17 models of which each record is in exactly 8: its members have one IN model less."""
    rng = np.random.default_rng(8)
    design = (rng.random((17, 400)).argsort(0) < 8).astype(np.int8)
    phi = answers(rng.normal(size=(17, 400)))
    target, shadows = phi.of_models(np.array([0])), phi.of_models(np.arange(1, 17))
    signals = Signals(np.arange(400), np.zeros(400, np.int64), target, shadows, design[1:])
    found = assessed(signals, design[0] == 1)
    assert "counts-tell-members" in codes(found)
    assert "counts-tell-members" not in codes(assessed(signals, rng.random(400) < 0.5))
    paired, member = table(rng)
    assert not {"counts-tell-members", "few-models-on-a-side"} & set(codes(assessed(paired, member)))


def test_few_models_on_a_side_are_noticed() -> None:
    signals, member = table(np.random.default_rng(9), models=10)
    signals.trained_on[:8, :30] = 0
    [message] = [m for code, m in assessed(signals, member).notes if code == "few-models-on-a-side"]
    assert "30 of 100 records" in message


@pytest.mark.slow
def test_intervals_that_decide_nothing_are_noticed() -> None:
    signals, member = table(np.random.default_rng(10), records=24)
    assert "undecided" in codes(assessed(signals, member))
    signals, member = table(np.random.default_rng(10), records=400, gap=3.0)
    assert "undecided" not in codes(assessed(signals, member))


@pytest.mark.slow
def test_coins_that_are_none_are_noticed() -> None:
    signals, member = table(np.random.default_rng(11), records=200)
    assert "uneven-coins" not in codes(assessed(signals, member, data={"coins": True}))
    few = member & (np.cumsum(member) <= 40)
    assert "uneven-coins" in codes(assessed(signals, few, data={"coins": True}))
