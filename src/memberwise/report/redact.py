"""What of a result is about single records, and results without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from memberwise.report.schema import AuditResult
from memberwise.types.arrays import Array, Arrays

# Lists with an entry a record, and single row numbers, wherever in a result they stand.
LISTS = frozenset({"worst", "most_exposed", "always_exposed"})
ROWS = frozenset({"index", "record"})
# Figures that are functions of the pool and not for publication, however few they are.
OWNERS = frozenset({"epsilon_of_votes"})
# A table of parts of the records leaves out those of fewer records: a figure of one is about that one.
SMALLEST_PART = 5
PARTS = frozenset({"per_class", "per_group"})
OF_RECORDS = ("worst.", "canaries.index")


def redacted(
    result: AuditResult, scores: pd.DataFrame, curves: Mapping[str, Array], *, and_scores: bool
) -> tuple[AuditResult, pd.DataFrame, Arrays]:
    """The same run without anything about single records; every figure over several records stays.

    Args:
        scores, curves: as ``scores.csv`` and ``curves.npz`` hold them.
        and_scores: also take row numbers and labels out of ``scores``, whose rows are then in the order of the scores.
    """
    kept = {name: values for name, values in curves.items() if not name.startswith(OF_RECORDS)}
    if "canaries.found" in kept:
        kept["canaries.found"] = np.sort(kept["canaries.found"])
    what = ["records", "scores"] if and_scores else ["records"]
    # By the names of keys, wherever they stand: a part that is added later is redacted, too.
    clean = {name: part if name == "study" else _without(part) for name, part in result.to_dict().items()}
    return AuditResult.from_dict({**clean, "redacted": what}), _anonymous(scores) if and_scores else scores, kept


def holds_records(facts: object) -> bool:
    """Whether facts (of a result or a frontier) name a single record."""
    if isinstance(facts, Mapping):
        facts = {key: value for key, value in facts.items() if key != "study"}
        named = any((key in LISTS and value) or (key in ROWS and value is not None) for key, value in facts.items())
        return named or any(holds_records(value) for value in facts.values())
    return isinstance(facts, (list, tuple)) and any(holds_records(value) for value in facts)


def _without(part: object) -> object:
    if isinstance(part, Mapping):
        cut = {key: value for key, value in part.items() if key not in ROWS | OWNERS}
        return {key: [] if key in LISTS else _without(_large(key, value)) for key, value in cut.items()}
    return [_without(value) for value in part] if isinstance(part, (list, tuple)) else part


def _large(key: str, rows: Any) -> object:
    if key not in PARTS:
        return rows
    return [row for row in rows if row["n_members"] + row["n_nonmembers"] >= SMALLEST_PART]


def _anonymous(scores: pd.DataFrame) -> pd.DataFrame:
    columns = [str(name) for name in scores if name not in ("index", "label")]
    return scores[columns].sort_values(columns[::-1], ignore_index=True)
