"""What the attacker is assumed to have."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report import sentence
from memberwise.report.sections.base import Section, Source


class Attacker(Section):
    """What each attack needs, and those that were skipped."""

    id, link = "attacker", "Attacker"

    def context(self, source: Source) -> Mapping[str, object]:
        return {"needed": sentence.assumptions(source.result)}
