"""Run the attacks and evaluate each against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.assess.canaries import CanariesPart, canaries_part
from memberwise.assess.curves import exposed_curves, roc_curves
from memberwise.assess.discoveries import ON_POPULATION, Discoveries, discoveries
from memberwise.assess.epsilon import coin_notes, epsilon_part
from memberwise.assess.figures import AttackEvaluation, AttackFigures, Skipped, attack_figures
from memberwise.assess.kept_turns import KeptTurns
from memberwise.assess.mismatch import Mismatch, mismatch_part
from memberwise.assess.notes import notes
from memberwise.assess.people import PeoplePart, people_part
from memberwise.assess.recipe import RecipeModels, RecipePart, recipe_arrays, recipe_models, recipe_part
from memberwise.assess.records import RecordsPart, one_of_each, records_part, score_table, worst_records
from memberwise.assess.stand_ins import attack_in_turn
from memberwise.assess.turns import FEWEST, Turns, attacks_in_turn, models_in_turn, take_all_turns
from memberwise.assess.units import UnitsPart, units_part
from memberwise.assess.variation import TargetsPart, targets_part
from memberwise.assess.verdict import Gate
from memberwise.attacks import Attack
from memberwise.attacks.request import AttackRequest, family_of
from memberwise.attacks.run import score
from memberwise.attacks.tuning import with_temperature
from memberwise.errors import Note, StudyError
from memberwise.seeds import Seeds
from memberwise.signals.knowledge import with_knowledge
from memberwise.signals.table import Signals
from memberwise.statistics import EpsilonBound
from memberwise.study.schema import Study
from memberwise.types.arrays import Arrays, Ints, Mask
from memberwise.types.stages import Stages


@dataclass(frozen=True)
class Assessment:
    """All figures about one table of signals.

    Attributes:
        attacks, skipped, epsilon, records: as ``result.json`` holds them.
        headline: the attack that is spoken of first.
        gate: what judges the study's rules once all warnings are known.
        canaries, targets: where the study asks for them and they can be had. mismatch: None without shadow models.
        recipe, people: where enough shadow models can take the target's place. units: of these, with ``data.unit``.
        scores: ``scores.csv``; curves: ``curves.npz``.
        notes: warnings as (code, message).
    """

    attacks: tuple[AttackFigures, ...]
    skipped: tuple[Skipped, ...]
    headline: str
    epsilon: EpsilonBound | None
    canaries: CanariesPart | None
    targets: TargetsPart | None
    recipe: RecipePart | None
    people: PeoplePart | None
    units: UnitsPart | None
    discoveries: Discoveries
    mismatch: Mismatch | None
    records: RecordsPart
    gate: Gate
    scores: pd.DataFrame
    curves: Arrays
    notes: list[Note]


def assess(
    signals: Signals,
    member: Mask,
    study: Study,
    asking: AttackRequest,
    seeds: Seeds,
    class_names: Sequence[str],
    units: Ints | None = None,
    kept: Path | None = None,
    stages: Stages | None = None,
) -> Assessment:
    """Run the attacks and evaluate each against the truth.

    Args:
        member: ``(n,)`` the truth about the target, in the order of ``signals.index``.
        kept: the folder in which turns are kept; None: they are not.
        units: ``(n,)`` whose record each is. One record of each, drawn at random, is evaluated: the intervals are
            about independent records, and one person's are not.
        stages: is told what took how long.
    """
    stages = stages or Stages()
    signals = with_knowledge(signals, member, study.attacks, seeds, study.data.coins)
    signals, temperature_notes = with_temperature(signals, study.attacks.temperature, seeds.rng("temperature"))
    evaluated = np.ones(len(member), bool) if signals.known is None else np.isnan(signals.known)
    unrevealed = evaluated.copy()
    if units is not None:
        evaluated &= one_of_each(units, seeds.rng("one record of each unit"))
    fprs = asking.fprs(study, int((~member & evaluated).sum()))
    confidence = study.statistics.confidence
    evaluations, skipped = attack_figures(signals, member, evaluated, asking.attacks, fprs, confidence, seeds, stages)
    headline = choose_headline(study, list(evaluations))
    family = family_of(list(evaluations), headline, signals.target.kind)
    main, attacks = evaluations[headline], tuple(one.figures for one in evaluations.values())
    standing = attack_in_turn(evaluations, headline)
    stages.over("figures")
    epsilon = epsilon_part(signals, main, standing.pairs, member, evaluated, study)
    canaries, targets, more_curves, more_notes = _in_turn(signals, standing, member, evaluated, fprs, study, seeds)
    naming = main if len(main.nonmembers) else standing
    models, people, of_units = _over_all_models(
        signals, evaluations, family, member, unrevealed, fprs, study, seeds, class_names, units, kept
    )
    stages.over("turns")
    named = discoveries(evaluations, naming, member, confidence, seeds.rng("calibration half"))
    mismatch, mismatch_notes = mismatch_part(
        signals, member, evaluations, (headline, named.attack, *ON_POPULATION), fprs
    )
    scores = {name: one.scores for name, one in evaluations.items()}
    worst = worst_records(main.scores)
    stages.over("figures")
    curves = roc_curves(scores, member, confidence) | exposed_curves(signals, worst)
    stages.over("curves")
    return Assessment(
        attacks=attacks,
        skipped=tuple(skipped),
        headline=headline,
        epsilon=epsilon,
        canaries=canaries,
        targets=targets,
        recipe=recipe_part(models, confidence),
        people=people,
        units=of_units,
        discoveries=named,
        mismatch=mismatch,
        records=records_part(signals, member, main.scores, worst, headline, class_names, fprs[0], confidence),
        gate=Gate(
            asking.rules,
            family,
            headline,
            evaluations,
            member,
            epsilon,
            confidence,
            {one.attack: one for one in models},
            {one.auc: one for one in people.share_above} if people else {},
        ),
        scores=score_table(signals, member, evaluated, scores),
        curves=curves | more_curves | recipe_arrays(models),
        notes=[
            *notes(signals, member, evaluated, attacks, headline),
            *(temperature_notes if any(one.attack.tempered for one in evaluations.values()) else ()),
            *coin_notes(study, member),
            *mismatch_notes,
            *more_notes,
        ],
    )


def _over_all_models(
    signals: Signals,
    evaluations: Mapping[str, AttackEvaluation],
    family: Sequence[str],
    member: Mask,
    evaluated: Mask,
    fprs: Sequence[float],
    study: Study,
    seeds: Seeds,
    class_names: Sequence[str],
    units: Ints | None,
    kept: Path | None,
) -> tuple[list[RecipeModels], PeoplePart | None, UnitsPart | None]:
    """What the shadow models in the target's place, one after another, say of the recipe and of single records."""
    turns, confidence = study.statistics.turns, study.statistics.confidence
    models = models_in_turn(signals, turns)
    if turns == "none" or study.canaries.count:
        return [], None, None
    if len(models) < FEWEST:  # single records are told by pairs: turns only name them
        return [], people_part(signals, member, (), class_names, confidence, seeds, units), None
    attacks = attacks_in_turn([one.attack for one in evaluations.values()], family, turns)
    store = None if kept is None or not attacks else KeptTurns(kept, signals, evaluated, seeds)
    rows = take_all_turns(signals, attacks, models, evaluated, seeds, store)
    recipe = recipe_models(signals, attacks, rows, evaluated, fprs, seeds, units)
    people = people_part(signals, member, rows, class_names, confidence, seeds, units)
    return recipe, people, _of_units(signals, attacks, rows, member, evaluated, fprs, confidence, seeds, units)


def _of_units(
    signals: Signals,
    attacks: Sequence[Attack],
    turns: Sequence[Turns],
    member: Mask,
    evaluated: Mask,
    fprs: Sequence[float],
    confidence: float,
    seeds: Seeds,
    units: Ints | None,
) -> UnitsPart | None:
    """Whole units, by the first attack that took turns, on all of their records."""
    if units is None or not turns:
        return None
    attack = next(attack for attack in attacks if attack.name == turns[0].attack)
    scores, _ = score(signals, attack, seeds.rng(f"attack:{attack.name}"))
    if scores is None:
        return None
    scores = np.where(evaluated, scores, np.nan)
    return units_part(scores, member, units, turns[0], attack.name, fprs, confidence, seeds)


def _in_turn(
    signals: Signals,
    standing: AttackEvaluation,
    member: Mask,
    evaluated: Mask,
    fprs: Sequence[float],
    study: Study,
    seeds: Seeds,
) -> tuple[CanariesPart | None, TargetsPart | None, Arrays, list[Note]]:
    """What only some audits have: canaries and targets in turn; with curves, and warnings where it cannot be had."""
    confidence = study.statistics.confidence
    warnings: list[Note] = []
    curves: Arrays = {}
    canaries: CanariesPart | None = None
    targets: TargetsPart | None = None
    if study.canaries.count:
        in_turn = canaries_part(signals, standing, member, evaluated, study.canaries, confidence, seeds)
        if in_turn is None:
            warnings.append(
                Note("no-turns", "no shadow model can take the target's place: no figures over canaries' pairs")
            )
        else:
            canaries, curves = in_turn
    if models := study.statistics.targets:
        targets = targets_part(signals, standing, member, evaluated, models, fprs, confidence, seeds)
        had = 1 if targets is None else targets.count
        if had < models:
            message = f"{had} models took the target's place, not {models}: there are no more"
            warnings.append(Note("fewer-targets", message))
    return canaries, targets, curves, warnings


# The headline, unless the study names one: the first of these that runs.
HEADLINES = ("learned", "base-matched", "lira-online-fixed", "base", "loss", "gap")


def choose_headline(study: Study, ran: Sequence[str]) -> str:
    """The study's headline, else the first of the usual ones that ran.

    Raises:
        StudyError: the study's headline was skipped, or nothing ran.
    """
    choice = study.attacks.headline
    if choice is not None and choice not in ran:
        raise StudyError(f"the headline attack {choice} could not run", found="ran: " + ", ".join(ran))
    order = [choice] if choice is not None else [*HEADLINES, *ran]
    for name in order:
        if name in ran:
            return str(name)
    raise StudyError("no attack could run", fix="--attacks default, or give shadow models")
