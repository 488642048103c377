"""A person's records together, where the data say whose they are."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report import sentence
from memberwise.report.formats import count, plain
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source
from memberwise.report.sections.recipe import figures_in_words

HOW = {"sum": "all records together (sum)", "largest": "the most telling record (largest)"}


class Units(Section):
    """Figures about whole units: this model's, and the recipe's."""

    id, link, template = "units", "Whole people", "pairs"

    def context(self, source: Source) -> Mapping[str, object] | None:
        part = source.result.units
        if part is None:
            return None
        words = sentence.interval_words(source.result)
        rows = [(f"this model, {HOW[one.how]}", figures_in_words(one, words)) for one in part.target]
        rows += [(f"the recipe, {HOW[one.how]}", figures_in_words(one, words)) for one in part.recipe]
        return {
            "heading": "A person's records together",
            "intro": f"An attacker who knows whose records they are asks about all of them: {count(part.units)} people "
            f"with {plain(part.records)} records in the median, {count(part.most_records)} at most, by {part.attack}. "
            "The figures above are about one record of each, drawn at random.",
            "pairs": rows,
        }

    def lines(self, result: AuditResult) -> list[str]:
        if result.units is None:
            return []
        figures = figures_in_words(result.units.target[0], sentence.interval_words(result))
        return [f"A person's records together, {count(result.units.units)} people: {figures}."]
