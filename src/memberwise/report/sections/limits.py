"""What the figures say and what they do not; the bound on epsilon."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report import sentence
from memberwise.report.formats import number, percent, plain
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source


class Limits(Section):
    """Limits of the intervals, and epsilon."""

    id, link = "limits", "Limits"

    def context(self, source: Source) -> Mapping[str, object]:
        result = source.result
        return {"limits": sentence.limits(result), "epsilon": sentence.epsilon_sentence(result)}

    def lines(self, result: AuditResult) -> list[str]:
        epsilon = result.epsilon
        if epsilon is None or number(epsilon.value) is None or "descriptive" in epsilon.basis:
            return []
        held = percent(epsilon.confidence, 0)
        return [f"Epsilon is at least {plain(epsilon.value)} at {held} confidence ({epsilon.basis})."]
