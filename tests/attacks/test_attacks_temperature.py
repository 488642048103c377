"""Attacks on p_y at a temperature: published formulas, what tables hold, the matched scale, ties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import coins, full_table, paired, table, unpaired
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS, rmia
from memberwise.attacks.base_matched import matched_ratio, raw_ratio, target_temperature
from memberwise.attacks.tuning import with_temperature
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.read import read_answers
from memberwise.signals.temperature import EVERYWHERE
from memberwise.statistics import tpr_at

RNG = np.random.default_rng(0)


def softmax(logits: Any, temperature: float) -> Any:
    powers = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return powers / powers.sum(-1, keepdims=True)


def raw_table(
    seed: int,
    records: int = 300,
    models: int = 8,
    population: int = 200,
    leak: float = 1.0,
    sharpness: float = 1.0,
    design: Any = paired,
    kind: str = "logits",
) -> tuple[Any, Any, Any]:
    """The table, its members and the logits it was made from; the target's logits are multiplied by ``sharpness``."""
    rng = np.random.default_rng(seed)
    member, trained_on = rng.permutation(records) < records // 2, design(models, records, rng)
    labels, others = rng.integers(0, 5, records), rng.integers(0, 5, population)

    def draw(labels: Any, inside: Any) -> Any:
        hardness = np.random.default_rng(len(labels)).normal(size=(len(labels), 5)) * 2
        logits = hardness + rng.normal(size=(len(inside), len(labels), 5))
        logits[:, np.arange(len(labels)), labels] += 2 + leak * inside
        return logits

    nowhere = np.zeros((models, population))
    logits = {
        "target": sharpness * draw(labels, member[None]),
        "shadows": draw(labels, trained_on == 1),
        "world": sharpness * draw(others, nowhere[:1]),
        "worlds": draw(others, nowhere),
    }

    def read(name: str, labels: Any) -> Any:
        values = logits[name][:, :, None]
        kept = EVERYWHERE if len(values) == 1 else (2.0, 2.8, 4.0)
        values = values if kind == "logits" else softmax(values, 1.0)
        return read_answers(values, labels, kind, temperatures=kept)  # type: ignore[arg-type]

    signals = table(
        read("target", labels),
        read("shadows", labels),
        trained_on,
        labels,
        population_target=read("world", others),
        population_shadows=read("worlds", others),
        population_labels=others,
    )
    return signals, member, logits


def of_label(logits: Any, labels: Any, temperature: float = 2.0) -> Any:
    return softmax(logits, temperature)[:, np.arange(len(labels)), labels]


def test_base_at_two_is_the_formula_of_its_authors() -> None:
    """-loss - logmeanexp over all shadow models of -loss, at T = 2: their online form."""
    signals, _, logits = raw_table(1)
    own, theirs = of_label(logits["target"], signals.labels)[0], of_label(logits["shadows"], signals.labels)
    expected = np.log(own) - np.log(theirs.mean(0))
    found = ATTACKS["base"].score(replace(signals, temperature=2.0), RNG)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    offline = replace(signals, trained_on=np.where(signals.trained_on == 1, -1, signals.trained_on).astype(np.int8))
    out = np.where(signals.trained_on == 0, theirs, 0).sum(0) / (signals.trained_on == 0).sum(0)
    np.testing.assert_allclose(
        ATTACKS["base"].score(replace(offline, temperature=2.0), RNG), np.log(own) - 0.3 * np.log(out), atol=1e-5
    )


@pytest.mark.parametrize("online", [True, False])
def test_rmia_at_two_is_the_formula_with_gamma_two(online: bool) -> None:
    """Share of population records z with (p(x) / mean p(x)) / (p(z) / mean p(z)) above gamma, T = 2, gamma = 2."""
    signals, _, logits = raw_table(2)
    x, z = of_label(logits["target"], signals.labels)[0], of_label(logits["world"], signals.population_labels)[0]
    theirs, world = of_label(logits["shadows"], signals.labels), of_label(logits["worlds"], signals.population_labels)
    a, out = 0.33, signals.trained_on == 0
    mean_x, mean_z = theirs.mean(0), world.mean(0)
    if not online:
        mean_x = 0.5 * ((1 + a) * np.where(out, theirs, 0).sum(0) / out.sum(0) + 1 - a)
        mean_z = 0.5 * ((1 + a) * mean_z + 1 - a)
    expected = ((x / mean_x)[:, None] / (z / mean_z)[None] > 2.0).mean(1)
    attack = rmia.online(gamma=2.0) if online else rmia.offline(gamma=2.0, a=a)
    np.testing.assert_allclose(attack(replace(signals, temperature=2.0), RNG), expected, atol=1e-9)
    assert len(np.unique(expected)) > 20


def test_probabilities_serve_as_well_as_logits() -> None:
    (ours, _, _), (theirs, _, _) = raw_table(3), raw_table(3, kind="probabilities")
    for name in ("base", "informia", "base-matched"):
        here, there = (ATTACKS[name].score(replace(one, temperature=2.0), RNG) for one in (ours, theirs))
        np.testing.assert_allclose(here, there, atol=1e-4, err_msg=name)


def test_scores_keep_what_they_leave_of_one_as_a_class() -> None:
    top = np.array([[0.6, 0.0, 0.0], [0.5, 0.3, 0.0], [0.0, 0.7, 0.0]])[None, :, None]
    phi = read_answers(top, np.zeros(3, int), "scores", temperatures=(2.0,)).tempered[2.0][0, :, 0]
    np.testing.assert_allclose(np.exp(phi[:2]), np.sqrt([0.6 / 0.4, 0.5]) / [1, np.sqrt(0.3) + np.sqrt(0.2)], rtol=1e-5)
    assert phi[2] < -10


def test_what_is_answered_decides_on_the_temperature() -> None:
    signals, _, _ = raw_table(4)
    assert with_temperature(signals, 2.0, RNG)[0].temperature == 2.0
    bare = replace(signals, shadows=replace(signals.shadows, tempered={}))
    at_one, notes = with_temperature(bare, 2.0, RNG)
    assert (at_one.temperature, [note[0] for note in notes]) == (1.0, ["temperature-one"])
    assert with_temperature(bare, "tuned", RNG)[0].temperature == 1.0
    assert "temperature 2 and 2.8" in (ATTACKS["base-matched"].needs.missing(bare) or "")
    labels = replace(signals, target=read_answers(signals.labels[None, :, None], signals.labels, "labels"))
    assert with_temperature(labels, 2.0, RNG)[0].temperature == 1.0
    assert with_temperature(labels, 2.0, RNG)[1] == []


def test_tuning_never_reads_the_target() -> None:
    signals, _, _ = raw_table(5, models=12)
    other = replace(signals, target=raw_table(6, sharpness=9.0)[0].target)
    here, there = (with_temperature(one, "tuned", np.random.default_rng(1))[0] for one in (signals, other))
    assert here.temperature == there.temperature
    assert here.temperature in (1.0, 2.0, 2.8, 4.0)


def test_tuning_takes_the_best_on_stand_ins() -> None:
    signals, _, logits = raw_table(7, models=8, records=600)
    found = {}
    for temperature in (1.0, 2.0, 2.8, 4.0):
        p, aucs = of_label(logits["shadows"], signals.labels, temperature), []
        for k in range(8):  # a model and its complement leave together; the sides of the other six differ in number
            rest, inside = [j for j in range(8) if j // 2 != k // 2], signals.trained_on == 1
            side = [np.where(keep[rest], p[rest], 0).sum(0) / keep[rest].sum(0) for keep in (inside, ~inside)]
            aucs.append(roc_auc_score(inside[k], np.log(p[k]) - np.log(sum(side) / 2)))
        found[temperature] = np.mean(aucs)
    chosen = with_temperature(signals, "tuned", RNG)[0].temperature
    assert found[chosen] == max(found.values())


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_sharper_answers_change_nothing_on_the_matched_scale(factor: float) -> None:
    (plain, member, _), (sharp, _, _) = raw_table(8, records=600), raw_table(8, records=600, sharpness=factor)
    assert target_temperature(sharp) == pytest.approx(factor * target_temperature(plain), rel=1e-3)
    here, there = matched_ratio(plain), matched_ratio(sharp)
    np.testing.assert_allclose(here, there, atol=1e-4 if factor in (0.5, 2.0) else 0.02)
    assert roc_auc_score(member, there) == pytest.approx(roc_auc_score(member, here), abs=1e-3)
    raw = [roc_auc_score(member, raw_ratio(one)) for one in (plain, sharp)]
    assert raw[1] < raw[0] - 0.003, "as answered they compare worse"


def test_matched_scale_of_a_like_target_is_base() -> None:
    signals, member, _ = raw_table(9, records=600, population=400)
    assert target_temperature(signals) == pytest.approx(1.0, abs=0.1)
    base, matched = (
        roc_auc_score(member, ATTACKS[name].score(replace(signals, temperature=2.0), RNG))
        for name in ("base", "base-matched")
    )
    assert matched == pytest.approx(base, abs=0.01)


def test_too_small_a_population_is_told() -> None:
    needs = ATTACKS["base-matched"].needs
    assert needs.missing(raw_table(10, population=99)[0]) == "needs 100 population records, and there are 99"
    assert needs.missing(raw_table(10, population=100)[0]) is None
    without = replace(raw_table(10)[0], population_target=None, population_shadows=None)
    assert needs.missing(without) == "needs answers on population records, and there are none"


@pytest.mark.slow
@pytest.mark.parametrize("design", [paired, unpaired, coins])
@pytest.mark.parametrize("models", [2, 8])
def test_data_that_carry_nothing_give_half_when_matched(design: Any, models: int) -> None:
    """Mean AUC of 40 tables of 300 records, standard error 0.0053; the band is four of them. Stand-ins likewise."""
    own: list[float] = []
    in_turn: list[float] = []

    def add(aucs: Any, signals: Any, member: Any) -> None:
        scores = ATTACKS["base-matched"].score(signals, RNG)
        usable = ~np.isnan(scores)
        aucs.append(roc_auc_score(member[usable], scores[usable]))

    for seed in range(40):
        signals, member, _ = raw_table(1000 + seed, models=models, leak=0.0, design=design, sharpness=1.7)
        add(own, signals, member)
        if models > 2:
            stand_in = as_target(signals, 0, RNG)
            add(in_turn, stand_in.signals, stand_in.member)
    assert np.mean(own) == pytest.approx(0.5, abs=0.022)
    assert models == 2 or np.mean(in_turn) == pytest.approx(0.5, abs=0.022)


def test_records_above_the_whole_population_are_told_apart() -> None:
    """Of a small population hundreds of records dominate all: the share alone gives a TPR of 0 at 0.1 %."""
    signals, member, _ = raw_table(11, records=4000, population=20, leak=3.0)
    for name in ("rmia-online", "rmia-offline"):
        scores = ATTACKS[name].score(signals, RNG)
        share = np.round(scores * 20) / 20
        np.testing.assert_allclose(scores, share, rtol=1e-12)
        assert (member & (share == 1)).sum() > 20
        assert tpr_at(share, member, 0.001) == 0
        assert tpr_at(scores, member, 0.001) > 0
    ratio = ATTACKS["base"].score(signals, RNG)
    top = ATTACKS["rmia-online"].score(signals, RNG)
    high = top > 0.5
    np.testing.assert_allclose(rankdata(top[high]), rankdata(ratio[high]), atol=10, err_msg="the order is the ratio's")


def test_roc_with_exact_ties_stays_sane() -> None:
    signals, _, _ = raw_table(12, records=400, leak=0.0)
    twice = np.repeat(np.arange(200), 2)
    doubled, truth = signals.of_records(twice), np.tile([True, False], 200)
    for name in ("base-matched", "rmia-online", "rmia-offline"):
        scores = ATTACKS[name].score(doubled, RNG)
        assert roc_auc_score(truth, scores) == pytest.approx(0.5, abs=1e-12)
        assert tpr_at(scores, truth, 0.01) <= 0.01


def test_votes_of_zero_count_as_half_a_step_at_any_temperature() -> None:
    from memberwise.signals.steps import lift_zeros

    rng = np.random.default_rng(13)
    votes = rng.multinomial(10, [0.7, 0.2, 0.1], size=(9, 4000)).astype(float) / 10
    labels = np.zeros(4000, int)
    answers = read_answers(votes[:, :, None], labels, "probabilities", temperatures=(2.0,))
    one, rest = np.array([0]), np.arange(1, 9)
    signals = table(answers.of_models(one), answers.of_models(rest), paired(8, 4000, rng), labels)
    lifted, step = lift_zeros(signals)
    assert step is not None
    none, all_votes = votes[0, :, 0] == 0, votes[0, :, 0] == 1
    phi = lifted.target.tempered[2.0][0, :, 0]
    np.testing.assert_allclose(phi[all_votes], -0.5 * np.log(0.05), rtol=1e-5)
    others = np.sqrt(votes[0, none, 1:]).sum(-1)
    np.testing.assert_allclose(phi[none], 0.5 * np.log(0.05) - np.log(others), rtol=1e-5)


def test_full_table_serves_every_attack_at_two() -> None:
    signals, member = full_table(np.random.default_rng(14), leak=2.0)
    for name in ("base", "informia", "rmia-online", "rmia-offline", "base-matched"):
        at_two = ATTACKS[name].score(with_temperature(signals, 2.0, RNG)[0], RNG)
        assert roc_auc_score(member, at_two) > 0.6, name
