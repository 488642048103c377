"""Run the attacks and evaluate each against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.assess.canaries import canaries_part
from memberwise.assess.curves import exposed_curves, roc_curves
from memberwise.assess.discoveries import ON_POPULATION, discoveries
from memberwise.assess.epsilon import coin_notes, epsilon_part
from memberwise.assess.figures import AttackEvaluation, attack_figures
from memberwise.assess.mismatch import mismatch_part
from memberwise.assess.notes import Note, notes
from memberwise.assess.records import one_of_each, records_part, score_table, worst_records
from memberwise.assess.stand_ins import attack_in_turn
from memberwise.assess.variation import targets_part
from memberwise.assess.verdict import Gate
from memberwise.attacks.request import AttackRequest, family_of
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.signals.knowledge import with_knowledge
from memberwise.signals.table import Signals
from memberwise.study.schema import Study


@dataclass(frozen=True)
class Assessment:
    """All figures about one table of signals.

    Attributes:
        attacks, skipped, epsilon, records: as ``result.json`` holds them.
        headline: the attack that is spoken of first.
        gate: what judges the study's rules once all warnings are known.
        beyond: ``discoveries``, ``mismatch``, and ``canaries`` and ``targets`` where the study asks for them, as in
            ``result.json``.
        scores: ``scores.csv``; curves: ``curves.npz``.
        notes: warnings as (code, message).
    """

    attacks: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    headline: str
    epsilon: dict[str, Any] | None
    beyond: dict[str, Any]
    records: dict[str, Any]
    gate: Gate
    scores: pd.DataFrame
    curves: dict[str, NDArray[Any]]
    notes: list[Note]


def assess(
    signals: Signals,
    member: NDArray[np.bool_],
    study: Study,
    asking: AttackRequest,
    seeds: Seeds,
    class_names: Sequence[str],
    units: NDArray[np.int64] | None = None,
) -> Assessment:
    """Run the attacks and evaluate each against the truth.

    Args:
        member: ``(n,)`` the truth about the target, in the order of ``signals.index``.
        units: ``(n,)`` whose record each is. One record of each, drawn at random, is evaluated: the intervals are
            about independent records, and one person's are not.
    """
    signals = with_knowledge(signals, member, study.attacks, seeds)
    evaluated = np.ones(len(member), bool) if signals.known is None else np.isnan(signals.known)
    if units is not None:
        evaluated &= one_of_each(units, seeds.rng("one record of each unit"))
    fprs = asking.fprs(study, int((~member & evaluated).sum()))
    confidence = study.statistics.confidence
    found, skipped = attack_figures(signals, member, evaluated, asking.attacks, fprs, confidence, seeds)
    headline = choose_headline(study, list(found))
    main, attacks = found[headline], [figures.entry for figures in found.values()]
    standing = attack_in_turn(found, headline)
    epsilon = epsilon_part(signals, main, standing.pairs, member, evaluated, study)
    beyond, more_curves, more_notes = _beyond(signals, standing, member, evaluated, fprs, study, seeds)
    naming = main if len(main.nonmembers) else standing
    beyond["discoveries"] = discoveries(found, naming, member, confidence, seeds.rng("calibration half"))
    names = (headline, beyond["discoveries"]["attack"], *ON_POPULATION)
    beyond["mismatch"], mismatch_notes = mismatch_part(signals, member, found, names, fprs)
    scores = {name: figures.scores for name, figures in found.items()}
    worst = worst_records(main.scores)
    return Assessment(
        attacks=attacks,
        skipped=skipped,
        headline=headline,
        epsilon=epsilon,
        beyond=beyond,
        records=records_part(signals, member, main.scores, worst, headline, class_names, fprs[0], confidence),
        gate=Gate(
            asking.rules,
            family_of(list(found), headline, signals.target.kind),
            headline,
            found,
            member,
            epsilon,
            confidence,
        ),
        scores=score_table(signals, member, evaluated, scores),
        curves=roc_curves(scores, member, confidence) | exposed_curves(signals, worst) | more_curves,
        notes=[
            *notes(signals, member, evaluated, attacks, headline),
            *coin_notes(study, member),
            *mismatch_notes,
            *more_notes,
        ],
    )


def _beyond(
    signals: Signals,
    standing: AttackEvaluation,
    member: NDArray[np.bool_],
    evaluated: NDArray[np.bool_],
    fprs: Sequence[float],
    study: Study,
    seeds: Seeds,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]], list[Note]]:
    """What only some audits have: canaries and targets in turn; with curves, and warnings where it cannot be had."""
    confidence, found = study.statistics.confidence, []
    curves: dict[str, NDArray[Any]] = {}
    parts: dict[str, Any] = {}
    if study.canaries.count:
        canaries = canaries_part(signals, standing, member, evaluated, study.canaries, confidence, seeds)
        if canaries is None:
            found.append(("no-turns", "no shadow model can take the target's place: no figures over canaries' pairs"))
        else:
            parts["canaries"], curves = canaries
    if study.statistics.targets:
        wanted = study.statistics.targets
        parts["targets"] = targets_part(signals, standing, member, evaluated, wanted, fprs, confidence, seeds)
        had = (parts["targets"] or {}).get("count", 1)
        if had < wanted:
            found.append(("fewer-targets", f"{had} models took the target's place, not {wanted}: there are no more"))
    return parts, curves, found


# The headline, unless the study names one: the first of these that runs.
HEADLINES = ("learned", "lira-online-fixed", "loss", "gap")


def choose_headline(study: Study, ran: Sequence[str]) -> str:
    """The study's headline, else the first of the usual ones that ran.

    Raises:
        StudyError: the study's headline was skipped, or nothing ran.
    """
    wanted = study.attacks.headline
    if wanted is not None and wanted not in ran:
        raise StudyError(f"the headline attack {wanted} could not run", found="ran: " + ", ".join(ran))
    order = [wanted] if wanted is not None else [*HEADLINES, *ran]
    for name in order:
        if name in ran:
            return str(name)
    raise StudyError("no attack could run", fix="--attacks default, or give shadow models")
