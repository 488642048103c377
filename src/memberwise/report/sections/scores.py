"""What the headline attack sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from memberwise.report import figures
from memberwise.report.sections.base import Section, Source, markup


class Scores(Section):
    """The score histogram of the headline attack, and how many scores its end bars gather."""

    id, link = "scores", "Scores"

    def context(self, source: Source) -> Mapping[str, object]:
        headline = source.result.headline
        if headline not in source.scores:
            return {"histogram": None, "beyond": 0}
        kept = source.scores[source.scores["evaluated"] == 1]
        values, member = kept[headline].to_numpy(np.float64), kept["member"].to_numpy() == 1
        drawn = figures.histogram(values[member], values[~member], headline)
        return {"histogram": markup(drawn), "beyond": figures.beyond(values)}
