"""What the structure of the model tells without an attack."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report.formats import count
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source

HEADING = "What the model itself holds"
INTRO = (
    "Told from the structure of the fitted model, without an attack: whoever gets the file gets this. What is not "
    "found is not shown to be safe."
)
# So many findings are listed; more are counted.
LISTED = 30


class Inspected(Section):
    """Findings of ``memberwise inspect``."""

    id, link, template = "inspect", "The model itself", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        findings = source.result.inspect
        if findings is None:
            return None
        pairs = [(one.code.replace("-", " "), f"{one.part}: {one.message}. To change: {one.fix}.") for one in findings]
        more = [("and more", f"{count(len(pairs) - LISTED)} findings, in result.json")] if len(pairs) > LISTED else []
        return {"heading": HEADING, "intro": INTRO, "pairs": [*pairs[:LISTED], *more] or [("nothing", "was found")]}

    def lines(self, result: AuditResult) -> list[str]:
        stored = [one for one in result.inspect or () if one.code == "stored-records"]
        return [f"The model itself: {one.part}: {one.message}" for one in stored]
