"""Recognised against wrongly accused."""

from __future__ import annotations

from collections.abc import Mapping

from memberwise.report import figures
from memberwise.report.sections.base import Section, Source, markup


class Roc(Section):
    """The curves of the main attacks."""

    id, link = "roc", "Error rates"

    def context(self, source: Source) -> Mapping[str, object]:
        result = source.result
        names = [attack.name for attack in result.attacks]
        return {"roc": markup(figures.roc(source.curves, result.headline, names, result.data.nonmembers or 0))}
