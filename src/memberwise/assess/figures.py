"""Every attack's scores, its threshold and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memberwise.assess.learned_anew import learned_anew
from memberwise.attacks import Attack, OnPopulation, Outcome, population_scores, queries_of, run_attacks, shadow_scores
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import (
    Estimate,
    Evaluation,
    Threshold,
    TprAtFpr,
    best_threshold,
    carry_over,
    evaluate,
    nonmember_scores,
    search_threshold,
)
from memberwise.statistics.carried import Carried, CarriedThreshold, NameValue
from memberwise.statistics.evaluate import ChosenThreshold
from memberwise.types.arrays import Floats, Mask
from memberwise.types.parts import LEFT_OUT
from memberwise.types.stages import Stages

Scores = Floats
StandInScores = Sequence[tuple[Scores, Mask]]


@dataclass(frozen=True)
class Skipped:
    """An attack that did not run, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AttackFigures:
    """One attack that ran, as ``result.json`` holds it.

    Attributes:
        needs: what its owner must have, in words. queries: questions a record asked of the target.
        balanced_accuracy, advantage, precision, recall: at ``threshold``; None without one, or where nobody is called a
            member.
        at_shadow_threshold, ppv: thresholds from shadow models, and how often a record called a member is one.
        seconds: how long its scores took.
        temperature: of the softmax by which it reads p_y; left out of attacks which read answers as they are.
        calibrated: of attacks whose scores are probabilities of membership: False where nothing tells that they hold
            of this target; None: its scores are no probabilities.
    """

    name: str
    needs: tuple[str, ...]
    queries: int | None
    auc: Estimate | None
    balanced_accuracy: Estimate | None
    advantage: Estimate | None
    precision: Estimate | None
    recall: Estimate | None
    tpr_at_fpr: tuple[TprAtFpr, ...]
    threshold: ChosenThreshold | None
    at_shadow_threshold: tuple[CarriedThreshold, ...]
    ppv: tuple[NameValue, ...]
    seconds: float | None
    temperature: float | None = field(default=None, metadata=LEFT_OUT)
    calibrated: bool | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class AttackEvaluation:
    """One attack that ran.

    Attributes:
        scores: ``(n,)``, NaN where a record is not scored or not evaluated.
        threshold: where records are called members.
        pairs: scores and membership of each shadow model in the target's place; empty where none was needed.
        nonmembers: scores of such models' non-members, of attacks that learn on shadow models too; may be empty.
        population: scores of population records, known non-members of this target, beside the audited ones; None
            where the attack cannot score both alike.
        figures: the attack as ``result.json`` holds it.
    """

    attack: Attack
    scores: Scores
    threshold: Threshold
    pairs: StandInScores
    nonmembers: Scores
    population: OnPopulation | None
    figures: AttackFigures


def attack_figures(
    signals: Signals,
    member: Mask,
    evaluated: Mask,
    attacks: Sequence[Attack],
    fprs: Sequence[float],
    confidence: float,
    seeds: Seeds,
    stages: Stages | None = None,
) -> tuple[dict[str, AttackEvaluation], list[Skipped]]:
    """The figures of every attack that ran, by name, and the others with the reason.

    Args:
        member, evaluated: ``(n,)`` the truth, and which records the figures are about.
        stages: is told what took how long.
    """
    stages = stages or Stages()
    evaluations: dict[str, AttackEvaluation] = {}
    skipped: list[Skipped] = []
    halves = seeds.rng("threshold halves").permutation(len(member)) % 2 == 0
    outcomes = run_attacks(signals, attacks, seeds)
    stages.over("attacks")
    choosing = [o.attack for o in outcomes if o.scores is not None and o.attack.threshold == "chosen"]
    on_shadows = shadow_scores(signals, choosing, seeds)
    ran = [(o.attack, o.scores) for o in outcomes if o.scores is not None]
    anew = learned_anew(signals, [attack for attack, _ in ran], seeds)
    masked = {attack.name: (attack, np.where(evaluated, scores, np.nan)) for attack, scores in ran}
    populations = population_scores(signals, masked, seeds)
    stages.over("thresholds")
    for outcome in outcomes:
        name = outcome.attack.name
        if outcome.scores is None:
            skipped.append(Skipped(name, str(outcome.skipped)))
            continue
        scores = masked[name][1]
        scored = ~np.isnan(scores)
        if not (member & scored).any() or not (~member & scored).any():
            skipped.append(Skipped(name, "scored records of one side only"))
            continue
        threshold, pairs = choose_threshold(outcome.attack, signals, scores, member, halves, on_shadows.get(name, []))
        evaluation = evaluate(scores, member, fprs=fprs, confidence=confidence, threshold=threshold)
        nonmembers, population = nonmember_scores(pairs or anew.get(name, [])), populations.get(name)
        thresholds = carried(scores, member, nonmembers, population, fprs, confidence)
        figures = _figures(outcome, evaluation, thresholds, signals, confidence)
        evaluations[name] = AttackEvaluation(outcome.attack, scores, threshold, pairs, nonmembers, population, figures)
    return evaluations, skipped


def choose_threshold(
    attack: Attack, signals: Signals, scores: Scores, member: Mask, halves: Mask, on_shadows: StandInScores
) -> tuple[Threshold, StandInScores]:
    """Where records are called members, and the shadow models' scores if that was chosen on them.

    ``scores``, ``member``, ``halves``: ``(n,)``; on shadow models, pairs of such arrays.
    """
    if isinstance(attack.threshold, float):
        # On shadow models, too, a threshold that needs no data would be the one between its two scores.
        fixed = attack.threshold_from == "fixed" and signals.shadows is not None
        return Threshold(attack.threshold, "shadows" if fixed else attack.threshold_from, None), []
    if attack.threshold == "search":
        return Threshold(search_threshold(scores, member), "audited (optimistic)", None), []
    pairs = [(s, m) for s, m in on_shadows if m.any() and not m.all()]
    if pairs:
        return Threshold(best_threshold(pairs), "shadows", None), pairs
    usable = ~np.isnan(scores)
    for side in (halves, ~halves):
        here, there = side & usable, ~side & usable
        if all((part & truth).any() for part in (here, there) for truth in (member, ~member)):
            return Threshold(best_threshold([(scores[here], member[here])]), "half", there), []
    return Threshold(best_threshold([(scores[usable], member[usable])]), "audited (optimistic)", None), []


def carried(
    scores: Scores,
    member: Mask,
    nonmembers: Scores,
    population: OnPopulation | None,
    fprs: Sequence[float],
    confidence: float,
) -> list[Carried]:
    """What thresholds chosen on shadow models for each rate give on the target; nothing without shadow models.

    ``scores``, ``member``: ``(n,)``.
    """
    rates = fprs if len(nonmembers) else []
    on_population = None if population is None else (population.audited, population.population)
    return [carry_over(scores, member, nonmembers, fpr, confidence, on_population) for fpr in rates]


def _figures(
    outcome: Outcome, evaluation: Evaluation, thresholds: Sequence[Carried], signals: Signals, confidence: float
) -> AttackFigures:
    tells = outcome.attack.calibrated
    return AttackFigures(
        name=outcome.attack.name,
        needs=tuple(outcome.attack.needs.words()),
        queries=queries_of(outcome.attack, signals),
        **vars(evaluation.figures()),
        at_shadow_threshold=tuple(one.figures(confidence) for one in thresholds),
        ppv=tuple(value for one in thresholds for value in one.values_of_a_name(confidence)),
        seconds=round(outcome.seconds, 3),
        temperature=signals.temperature if outcome.attack.tempered else None,
        calibrated=None if tells is None else tells(signals),
    )
