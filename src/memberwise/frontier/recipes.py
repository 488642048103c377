"""Ways of training compared: all models in turn at two points, paired over the same trainings and records.

One target with a few hundred non-members leaves most differences unresolved; all models of a point are as many targets,
and those of another point were trained on the same halves from the same seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from memberwise.assess.recipe import RecipeModels, read_recipes
from memberwise.frontier.schema import Measure, RecipeAtPoint, Strongest, StrongestRate
from memberwise.report.result import Result
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.statistics.two_way import FEWEST_CLUSTERS

PAIRED = "two-way over {} independent trainings and records, both paired"
APART = "difference of both intervals, half of the error rate each: nothing varies"


@dataclass(frozen=True)
class InTurn:
    """The attacks that met all models of one point in turn.

    Attributes:
        models: by attack. fpr: the rate at which points are compared. confidence: of every statement.
    """

    models: Mapping[str, RecipeModels]
    fpr: float
    confidence: float

    @classmethod
    def of(cls, result: Result, fpr: float, confidence: float) -> InTurn | None:
        """From an audit's curves; None where models could not be taken in turn, or are too few for an interval.

        An attack that leaves out records which others score cannot be paired with them, and is left out.
        """
        recipes = read_recipes(result.curves)
        models = {name: one for name, one in recipes.items() if len(one.models.by_cluster) >= FEWEST_CLUSTERS}
        if not models:
            return None
        splits = max(models.values(), key=lambda one: one.models.records).splits
        return cls({name: one for name, one in models.items() if one.splits == splits}, fpr, confidence)

    @cached_property
    def _figures(self) -> dict[str, tuple[Estimate, TprAtFpr | None]]:
        each = 1 - (1 - self.confidence) / len(self.models)
        figures = {name: one.figures(each) for name, one in self.models.items()}
        return {
            name: (one.auc, next((row for row in one.tpr_at_fpr if row.fpr == self.fpr), None))
            for name, one in figures.items()
        }

    def figures(self, measure: Measure) -> dict[str, Estimate]:
        """Every attack's figure, with intervals that hold for all of them at once."""
        if measure == "auc":
            return {name: area for name, (area, _) in self._figures.items()}
        return {name: rate for name, (_, rate) in self._figures.items() if rate is not None}

    def strongest(self, measure: Measure) -> str:
        figures = self.figures(measure)
        return max(figures, key=lambda name: figures[name].value)

    def at_point(self, queries: Mapping[str, int | None]) -> RecipeAtPoint:
        """As ``frontier.json`` holds it."""
        first = next(iter(self.models.values()))
        count, best, rate = len(self.models), self.strongest("auc"), None
        figure = vars(self.figures("auc")[best]) | self._ends("auc")
        area = Strongest(**figure, attacks=count, name=best, queries=queries.get(best))
        if self.figures("tpr"):
            best = self.strongest("tpr")
            figure = vars(self.figures("tpr")[best]) | self._ends("tpr")
            rate = StrongestRate(**figure, attacks=count, name=best, queries=queries.get(best))
        return RecipeAtPoint(models=first.turns, trainings=len(first.models.by_cluster), auc=area, tpr=rate)

    def _ends(self, measure: Measure) -> dict[str, float]:
        figures = self.figures(measure).values()
        return {"low": max(one.low or 0.0 for one in figures), "high": max(one.high or 0.0 for one in figures)}


def share_splits(one: InTurn, other: InTurn) -> bool:
    """All attacks met models that trained on the same halves of the same records, at the same rates."""
    parts = [part for point in (one, other) for part in point.models.values()]
    return len({(part.splits, part.fprs, part.models.by_cluster.shape) for part in parts}) == 1


def recipe_difference(one: InTurn, a: str, other: InTurn, b: str, measure: Measure, confidence: float) -> Estimate:
    """How much more attack ``a`` achieves on the recipe ``one`` than ``b`` on ``other``; in [-1, 1]."""
    mine, theirs = one.models[a], other.models[b]
    place = 0 if measure == "auc" else 1 + mine.fprs.index(one.fpr)
    apart = mine.models.minus(theirs.models)
    refitted = None
    if mine.refitted is not None and theirs.refitted is not None and mine.refitted.groups == theirs.refitted.groups:
        refitted = mine.refitted.minus(theirs.refitted)
    low, high = (float(end[place]) for end in apart.interval(confidence, refitted, least=-1.0))
    value, method = float(apart.values[place]), PAIRED.format(len(apart.by_cluster))
    if low == high and value:
        # The same in every training and under every weighting: that chance is not seen does not make it nothing.
        first, second = (_own(part, measure, one.fpr, (1 + confidence) / 2) for part in (mine, theirs))
        low, high = float(first.low or 0) - float(second.high or 1), float(first.high or 1) - float(second.low or 0)
        method = APART
    return Estimate(value, low, high, mine.n_members, mine.n_nonmembers, method)


def _own(models: RecipeModels, measure: Measure, fpr: float, confidence: float) -> Estimate:
    figure = models.estimate(measure, fpr, confidence)
    if figure is None:
        raise ValueError("the rate at which points are compared was measured")
    return figure
