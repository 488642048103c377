"""What is said about single records and groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, TprAtFpr, auc, tpr_at_fpr
from memberwise.types.arrays import Array, Arrays, Floats, Ints, Mask

WORST_RECORDS = 12
Scores = Floats


@dataclass(frozen=True)
class WorstRecord:
    """A record with one of the highest scores; ``index`` is its row number, ``score`` that of ``attack``."""

    index: int
    label: str
    member: bool
    score: float
    attack: str


@dataclass(frozen=True)
class GroupFigures:
    """The headline attack within one class or group; without figures where it has records of one side only."""

    name: str
    n_members: int
    n_nonmembers: int
    auc: Estimate | None
    tpr: TprAtFpr | None


@dataclass(frozen=True)
class RecordsPart:
    """The ``records`` of ``result.json``: the most exposed, and the headline attack within each class and group."""

    worst: tuple[WorstRecord, ...]
    per_class: tuple[GroupFigures, ...]
    per_group: tuple[GroupFigures, ...]


def one_of_each(units: Ints, rng: np.random.Generator) -> Mask:
    """``(n,)`` mask of one random record of each unit."""
    order = rng.permutation(len(units))
    _, first = np.unique(units[order], return_index=True)
    chosen = np.zeros(len(units), bool)
    chosen[order[first]] = True
    return chosen


def worst_records(scores: Scores) -> NDArray[np.intp]:
    """Positions of the records that look most like members, the worst first.

    ``scores``: ``(n,)``, NaN where a record is not scored; the positions are ``(w,)``.
    """
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:WORST_RECORDS]
    return order[~np.isnan(scores[order])]


def records_part(
    signals: Signals,
    member: Mask,
    scores: Scores,
    worst: NDArray[np.intp],
    headline: str,
    class_names: Sequence[str],
    fpr: float,
    confidence: float,
) -> RecordsPart:
    """The ``records`` of ``result.json``: the worst, and the headline attack within each class and group.

    ``member``, ``scores``: ``(n,)``; ``worst``: ``(w,)`` positions.
    """
    names = np.asarray(class_names)[signals.labels]
    return RecordsPart(
        worst=tuple(
            WorstRecord(int(signals.index[i]), str(names[i]), bool(member[i]), float(scores[i]), headline)
            for i in worst
        ),
        per_class=_by_group(scores, member, names, fpr, confidence),
        per_group=() if signals.groups is None else _by_group(scores, member, signals.groups, fpr, confidence),
    )


def score_table(signals: Signals, member: Mask, evaluated: Mask, scores: Mapping[str, Scores]) -> pd.DataFrame:
    """``scores.csv``.

    ``member``, ``evaluated`` and each attack's scores: ``(n,)``.
    """
    columns: Arrays = {
        "index": signals.index,
        "label": signals.labels,
        "member": member.astype(np.int8),
        "evaluated": evaluated.astype(np.int8),
    }
    return pd.DataFrame(columns | dict(scores)).sort_values("index", kind="stable", ignore_index=True)


def _by_group(scores: Scores, member: Mask, names: Array, fpr: float, confidence: float) -> tuple[GroupFigures, ...]:
    """The headline's AUC and TPR within each group of records that has both members and non-members."""
    rows = []
    for name in sorted(set(names.tolist()), key=_natural):
        here = (names == name) & ~np.isnan(scores)
        inside = member[here]
        both = bool(inside.any() and not inside.all())
        area = auc(scores[here], inside, confidence) if both else None
        tpr = tpr_at_fpr(scores[here], inside, fpr, confidence) if both else None
        rows.append(GroupFigures(str(name), int(inside.sum()), int((~inside).sum()), area, tpr))
    return tuple(rows)


def _natural(name: object) -> tuple[int, float, str]:
    text = str(name)
    return (0, float(text), "") if text.replace(".", "", 1).isdigit() else (1, 0.0, text)
