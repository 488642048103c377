"""Every attack that ran, and the marks that stand at its figures."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report import sentence
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source
from memberwise.report.sections.parts import breakdowns


class Attacks(Section):
    """A row an attack."""

    id, link = "attacks", "Attacks"

    def context(self, source: Source) -> Mapping[str, object]:
        return {
            "rates": rates(source.result),
            "legend": legend(source.result),
            "threshold_words": sentence.threshold_words,
        }


def rates(result: AuditResult) -> list[float]:
    """Every false-positive rate some attack states, largest first."""
    return sorted({row.fpr for attack in result.attacks for row in attack.tpr_at_fpr}, reverse=True)


def legend(result: AuditResult) -> list[tuple[str, str]]:
    """The marks that stand in the tables, each with its meaning."""
    meanings = {
        "weak": "fewer than ten wrong accusations are expected at this rate, so the figure is rough",
        "no": "there are too few non-members for any valid interval",
        "optimistic": "the threshold was chosen on the very records it is judged by",
    }
    rows = [row.tpr for table in breakdowns(result) for row in table.rows if row.tpr is not None]
    rows += [row for attack in result.attacks for row in attack.tpr_at_fpr]
    rows += result.canaries.tpr_at_fpr if result.canaries else ()
    used = {str(row.resolvable) for row in rows}
    used |= {"optimistic" for attack in result.attacks if "optimistic" in sentence.threshold_words(attack)}
    return [("too few" if mark == "no" else mark, text) for mark, text in meanings.items() if mark in used]
