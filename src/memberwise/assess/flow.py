"""Run the attacks, evaluate each against the truth, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.assess.asking import Asking, choose_headline
from memberwise.assess.figures import Figures, attack_figures
from memberwise.assess.notes import notes, upside_down
from memberwise.assess.records import one_of_each, records_part, score_table, worst_records
from memberwise.report.curves import exposed_curves, roc_curves
from memberwise.seeds import Seeds
from memberwise.signals.knowledge import with_knowledge
from memberwise.signals.table import Signals
from memberwise.statistics import GateRule, Verdict, epsilon_of_records, judge
from memberwise.statistics.thresholds import OPTIMISTIC
from memberwise.study import Study


@dataclass(frozen=True)
class Assessment:
    """All figures about one table of signals.

    Attributes:
        attacks, skipped, epsilon, records, verdict: as ``result.json`` holds them.
        headline: the attack that the verdict is about.
        scores: ``scores.csv``; curves: ``curves.npz``.
        notes: warnings as (code, message).
    """

    attacks: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    headline: str
    epsilon: dict[str, Any] | None
    records: dict[str, Any]
    verdict: Verdict
    scores: pd.DataFrame
    curves: dict[str, NDArray[Any]]
    notes: list[tuple[str, str]]


def assess(
    signals: Signals,
    member: NDArray[np.bool_],
    study: Study,
    asking: Asking,
    seeds: Seeds,
    class_names: Sequence[str],
    units: NDArray[np.int64] | None = None,
) -> Assessment:
    """Run the attacks, evaluate each against the truth, and judge.

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
    scores = {name: figures.scores for name, figures in found.items()}
    worst = worst_records(main.scores)
    return Assessment(
        attacks=attacks,
        skipped=skipped,
        headline=headline,
        epsilon=_epsilon(main, member, study),
        records=records_part(signals, member, main.scores, worst, headline, class_names, fprs[0], confidence),
        verdict=_judged(asking.rules, attacks, headline),
        scores=score_table(signals, member, evaluated, scores),
        curves=roc_curves(scores, member, confidence) | exposed_curves(signals, worst),
        notes=notes(signals, member, evaluated, attacks, headline),
    )


def _epsilon(main: Figures, member: NDArray[np.bool_], study: Study) -> dict[str, Any] | None:
    if main.threshold.chosen_on == OPTIMISTIC:
        return None
    confidence, delta = study.statistics.confidence, study.statistics.delta
    return epsilon_of_records(main.scores, member, main.threshold, confidence=confidence, delta=delta).to_dict()


def _judged(rules: Sequence[GateRule], attacks: list[dict[str, Any]], headline: str) -> Verdict:
    """The gate's verdict; nothing passes on an attack that is surely worse than guessing."""
    verdict = judge(rules, attacks, headline)
    if verdict.passed and headline in upside_down(attacks):
        reason = f"{verdict.reason} But {headline} is surely worse than guessing, as if members were the non-members."
        return Verdict(verdict.gate, None, reason)
    return verdict
