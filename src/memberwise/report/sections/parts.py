"""Not everyone is exposed alike: the headline attack by class and by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memberwise.assess.records import GroupFigures
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source


class Parts(Section):
    """A table by class and one by group."""

    id, link = "parts", "Classes and groups"

    def context(self, source: Source) -> Mapping[str, object] | None:
        tables = breakdowns(source.result)
        return {"tables": tables} if tables else None


@dataclass(frozen=True)
class Breakdown:
    """The headline attack by class or by group; ``fpr`` is the rate of its TPR, None without one."""

    word: str
    rows: tuple[GroupFigures, ...]
    fpr: float | None


def breakdowns(result: AuditResult) -> list[Breakdown]:
    """The tables by class and by group, without those that are empty."""
    tables = []
    one = "class" if result.target.test_auroc is None else "set of labels"
    for word, rows in ((one, result.records.per_class), ("group", result.records.per_group)):
        tpr = next((row.tpr for row in rows if row.tpr is not None), None)
        if rows:
            tables.append(Breakdown(word, rows, None if tpr is None else tpr.fpr))
    return tables
