"""What is said about single records and groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.signals.table import Signals
from memberwise.statistics import auc, tpr_at_fpr

WORST_RECORDS = 12
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


def one_of_each(units: NDArray[np.int64], rng: np.random.Generator) -> Mask:
    """``(n,)`` mask of one random record of each unit."""
    order = rng.permutation(len(units))
    _, first = np.unique(units[order], return_index=True)
    chosen = np.zeros(len(units), bool)
    chosen[order[first]] = True
    return chosen


def worst_records(scores: Scores) -> NDArray[np.intp]:
    """Positions of the records that look most like members, the worst first."""
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
) -> dict[str, Any]:
    """The ``records`` of ``result.json``: the worst, and the headline attack within each class and group."""
    names = np.asarray(class_names)[signals.labels]
    return {
        "worst": [
            {
                "index": int(signals.index[i]),
                "label": str(names[i]),
                "member": bool(member[i]),
                "score": float(scores[i]),
                "attack": headline,
            }
            for i in worst
        ],
        "per_class": _by_group(scores, member, names, fpr, confidence),
        "per_group": [] if signals.groups is None else _by_group(scores, member, signals.groups, fpr, confidence),
    }


def score_table(signals: Signals, member: Mask, evaluated: Mask, scores: Mapping[str, Scores]) -> pd.DataFrame:
    """``scores.csv``."""
    columns: dict[str, Any] = {
        "index": signals.index,
        "label": signals.labels,
        "member": member.astype(np.int8),
        "evaluated": evaluated.astype(np.int8),
    }
    return pd.DataFrame(columns | dict(scores)).sort_values("index", kind="stable", ignore_index=True)


def _by_group(scores: Scores, member: Mask, names: NDArray[Any], fpr: float, confidence: float) -> list[dict[str, Any]]:
    """The headline's AUC and TPR within each group of records that has both members and non-members."""
    rows = []
    for name in sorted(set(names.tolist()), key=_natural):
        here = (names == name) & ~np.isnan(scores)
        inside = member[here]
        row: dict[str, Any] = {"name": str(name), "n_members": int(inside.sum()), "n_nonmembers": int((~inside).sum())}
        both = bool(inside.any() and not inside.all())
        row["auc"] = auc(scores[here], inside, confidence).to_dict() if both else None
        row["tpr"] = tpr_at_fpr(scores[here], inside, fpr, confidence).to_dict() if both else None
        rows.append(row)
    return rows


def _natural(name: Any) -> tuple[int, float, str]:
    text = str(name)
    return (0, float(text), "") if text.replace(".", "", 1).isdigit() else (1, 0.0, text)
