"""Choose attacks' parameters on shadow models in the target's place, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from memberwise.attacks.in_out import has_both_sides, log_mean_both, log_mean_out
from memberwise.errors import Note
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Signals, kept_temperatures
from memberwise.signals.temperature import MATCHED, TUNED
from memberwise.types.arrays import Floats, Mask

GRID = np.arange(11) / 10
# Fewer stand-ins than this say too little; more than MOST, or more records, add cost and hardly precision.
FEWEST, MOST, MOST_RECORDS = 2, 8, 2000

# ratio(log_p, log_mean_out, value) -> scores; all ``(n, q)``
Ratio = Callable[[Floats, Floats, float], Floats]


def tuned(signals: Signals, ratio: Ratio, fallback: float, rng: np.random.Generator) -> float:
    """The value among 0, 0.1, ..., 1 with the best mean AUC over shadow models in the target's place.

    A stand-in leaves together with its complement. Of equally good values the smallest; ``fallback`` where fewer than
    two shadow models can stand in. ``rng`` draws the records, where there are many.
    """
    bare = _bare(signals, rng)
    aucs = []
    for k in range(min(MOST, len(signals.trained_on))):
        stand_in = as_target(bare, k, rng)
        if stand_in.signals.shadows is None:
            continue
        at = signals.temperature
        log_p, out = stand_in.signals.target.log_p_at(at)[0], log_mean_out(stand_in.signals, at)
        rows = stand_in.evaluated & ~np.isnan(out).any(-1)
        member = stand_in.member[rows]
        if member.any() and not member.all():
            aucs.append([auc(ratio(log_p[rows], out[rows], value).mean(-1), member) for value in GRID])
    if len(aucs) < FEWEST:
        return fallback
    return float(GRID[np.argmax(np.mean(aucs, axis=0).round(12))])


def with_temperature(
    signals: Signals, wanted: float | Literal["tuned"], rng: np.random.Generator
) -> tuple[Signals, list[Note]]:
    """The table at the temperature at which ``base``, ``informia`` and ``rmia-*`` read p_y.

    Args:
        wanted: a temperature, or "tuned": of those that the table holds the one with the best mean AUC of ``base``
            over shadow models in the target's place; the target's answers, and its members, play no part.
            ``rng`` draws the records, where there are many.

    Returns:
        The table, at 1 where it does not hold p_y at the temperature (the note says so), and warnings.
    """
    held = kept_temperatures(signals)
    if wanted == "tuned":
        return replace(signals, temperature=tuned_temperature(signals, rng)), []
    if wanted in held or signals.target.kind == "labels":
        return replace(signals, temperature=wanted if wanted in held else 1.0), []
    return replace(signals, temperature=1.0), [
        Note(
            "temperature-one",
            f"base, informia and rmia-* read p_y as answered (temperature 1, not {wanted:g}): the table holds no more "
            "than p_y of some models, or several labels a record. Full answers of all models make them stronger",
        )
    ]


def tuned_temperature(signals: Signals, rng: np.random.Generator) -> float:
    """The best of the temperatures held, as ``with_temperature`` says; 2, or else 1, with fewer than two stand-ins.

    Source: this project; BASE and RMIA have one temperature for all data, 2 in their authors' releases.
    """
    held = sorted(kept_temperatures(signals) & {1.0, *TUNED})
    fallback = MATCHED if MATCHED in held else 1.0
    bare = _bare(signals, rng)
    aucs = []
    for k in range(min(MOST, len(signals.trained_on))):
        stand_in = as_target(bare, k, rng)
        table = stand_in.signals
        if table.shadows is None:
            continue
        both, found = has_both_sides(table), []
        for temperature in held:
            typical = log_mean_both(table, temperature) if both else log_mean_out(table, temperature)
            scores = (table.target.log_p_at(temperature)[0] - typical).mean(-1)
            rows = stand_in.evaluated & ~np.isnan(scores)
            member = stand_in.member[rows]
            if member.any() and not member.all():
                found.append(auc(scores[rows], member))
        if len(found) == len(held):
            aucs.append(found)
    if len(aucs) < FEWEST:
        return fallback
    return held[int(np.argmax(np.mean(aucs, axis=0).round(12)))]


def _bare(signals: Signals, rng: np.random.Generator) -> Signals:
    """The table without what tuning does not read, of ``MOST_RECORDS`` records at most."""
    bare = replace(signals, population_target=None, population_shadows=None, population_trained_on=None)
    if bare.shadows is not None:
        bare = replace(bare, shadows=replace(bare.shadows, vectors=None, extra={}))
    if signals.records > MOST_RECORDS:
        bare = bare.of_records(np.sort(rng.choice(signals.records, MOST_RECORDS, replace=False)))
    return bare


def auc(scores: Floats, member: Mask) -> float:
    """Share of (member, non-member) pairs in the right order, ties half.

    Args:
        scores, member: ``(n,)``, with at least one record on either side.
    """
    others = np.sort(scores[~member])
    below = np.searchsorted(others, scores[member], "left") + np.searchsorted(others, scores[member], "right")
    return float(below.mean() / (2 * others.size))
