"""How much a point gives away: the strongest of its attacks, with intervals that hold for all of them at once, and the
difference from another point, over the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memberwise.assess.figures import AttackFigures
from memberwise.attacks import ATTACKS
from memberwise.frontier.attackers import OF_DRAWN
from memberwise.frontier.recipes import InTurn, recipe_difference, share_splits
from memberwise.frontier.schema import (
    Basis,
    Comparison,
    Difference,
    Finding,
    Measure,
    Strongest,
    StrongestAccuracy,
    StrongestRate,
)
from memberwise.report.result import Result
from memberwise.statistics import TprAtFpr, auc, tpr_at_fpr
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import newcombe_difference
from memberwise.statistics.order import false_positives
from memberwise.statistics.paired import Ranked, auc_difference, ranked_both, tpr_difference, tpr_draws
from memberwise.types.arrays import Floats, Ints, Mask

# Bootstrap draws of all points' records are the same.
DRAWS_SEED = 20170522
# Of the non-members that any attack scores.
NEARLY = 0.9


@dataclass(frozen=True)
class Met:
    """The attacks that met one point.

    Attributes:
        scores: by attack ``(n,)`` HIGHER = MORE LIKELY A MEMBER, NaN where a record is not scored.
        member: ``(n,)`` the truth. index: ``(n,)`` row numbers of the records, ascending.
        fpr: the rate at which points are compared. confidence: of every statement.
        in_turn: all models of the point, where they could be taken in turn.
    """

    scores: Mapping[str, Floats]
    member: Mask
    index: Ints
    fpr: float
    confidence: float
    in_turn: InTurn | None = None

    @cached_property
    def speaks_for_all(self) -> bool:
        """No attack by labels that met the target alone achieves more there than those that took turns.

        Where answers are labels those in turn see little, so that their reduction would say more than is true.
        """
        if self.in_turn is None:
            return False
        mine = [name for name in self.scores if name in self.in_turn.models]
        of_drawn = [name for name in self.scores if name in OF_DRAWN and name not in mine]
        if not mine or not of_drawn:
            return bool(mine)
        if all(name in ATTACKS and ATTACKS[name].needs.answers == "labels" for name in mine):
            return False
        return max(self.auc[name].value for name in of_drawn) <= max(self.auc[name].value for name in mine)

    @property
    def each(self) -> float:
        """The confidence of one attack's interval, so that all of them hold at once at the stated one."""
        return 1 - (1 - self.confidence) / len(self.scores)

    @cached_property
    def auc(self) -> dict[str, Estimate]:
        return {name: auc(self._scored(s), self.member[~np.isnan(s)], self.each) for name, s in self.scores.items()}

    @cached_property
    def tpr(self) -> dict[str, TprAtFpr]:
        """Of the attacks that score enough non-members for the rate."""
        return {
            name: tpr_at_fpr(self._scored(s), self.member[~np.isnan(s)], self.fpr, self.each)
            for name, s in self.scores.items()
            if name in self.resolving
        }

    @cached_property
    def resolving(self) -> list[str]:
        """Attacks that score (nearly) as many non-members as any does: one that asks about a few has an AUC alone."""
        counts = {name: int((~self.member & ~np.isnan(s)).sum()) for name, s in self.scores.items()}
        return [name for name, count in counts.items() if count >= NEARLY * max(counts.values())]

    @cached_property
    def draws(self) -> dict[str, Floats]:
        table = np.stack([self.scores[name] for name in self.resolving])
        return dict(zip(self.resolving, tpr_draws(table, self.member, self.fpr, DRAWS_SEED), strict=True))

    @cached_property
    def ranked(self) -> dict[str, Ranked]:
        """Of the attacks that score every record."""
        return {name: Ranked(scores, self.member) for name, scores in self.scores.items() if not np.isnan(scores).any()}

    def figures(self, measure: Measure) -> Mapping[str, Estimate]:
        """Every attack's figure by a measure."""
        return self.tpr if measure == "tpr" else self.auc

    def strongest(self, measure: Measure) -> str:
        figures = self.figures(measure)
        return max(figures, key=lambda name: figures[name].value)

    def tied(self, name: str) -> bool:
        """Scores tie at the rate: fewer than half of the non-members it allows are above the threshold, so that the
        rate of true positives says more about ties than about members."""
        scores, outside = self._scored(self.scores[name]), ~self.member[~np.isnan(self.scores[name])]
        allowed = int(false_positives(self.fpr, int(outside.sum())))
        threshold = np.sort(scores[outside])[::-1][min(allowed, outside.sum() - 1)]
        return bool(2 * (scores[outside] > threshold).sum() < allowed)

    def rate(self) -> str:
        """What the true-positive rate at the compared rate is worth here: "yes"; "weak" or "no" where non-members are
        too few; "ties" where the strongest attack's scores tie there and no equal attack's do not."""
        resolvable = str(self.tpr[self.resolving[0]].resolvable)
        if resolvable != "yes":
            return resolvable
        clear = [name for name in self.resolving if not self.tied(name)]
        top = self.strongest("auc")
        if not clear:
            return "ties"
        best = max(clear, key=lambda name: self.auc[name].value)
        weaker = _auc_difference(self, best, self, top, self.confidence)
        return "ties" if best != top and float(weaker.high or 0) < 0 else "yes"

    def strongest_auc(self, queries: Mapping[str, int | None]) -> Strongest:
        """The highest AUC; no attack's true one is above ``high``, and some attack's is above ``low``, at the stated
        confidence (Bonferroni over the attacks)."""
        best = self.strongest("auc")
        known = vars(self.auc[best]) | self._ends("auc")
        return Strongest(**known, name=best, attacks=len(self.auc), queries=queries.get(best))

    def strongest_rate(self, queries: Mapping[str, int | None]) -> StrongestRate:
        """The highest true-positive rate, with an interval as that of ``strongest_auc``."""
        best = self.strongest("tpr")
        known = vars(self.tpr[best]) | self._ends("tpr")
        return StrongestRate(**known, name=best, attacks=len(self.tpr), queries=queries.get(best))

    def _ends(self, measure: Measure) -> dict[str, float]:
        figures = self.figures(measure).values()
        return {"low": max(one.low or 0.0 for one in figures), "high": max(one.high or 0.0 for one in figures)}

    def _scored(self, scores: Floats) -> Floats:
        return scores[~np.isnan(scores)]


def met(result: Result, names: Sequence[str], fpr: float, confidence: float) -> Met:
    """What met a point, from its audit's scores of the evaluated records."""
    table = result.scores[result.scores["evaluated"] == 1]
    scores = {name: table[name].to_numpy(np.float64) for name in names}
    index, in_turn = table["index"].to_numpy(np.int64), InTurn.of(result, fpr, confidence)
    return Met(scores, table["member"].to_numpy() == 1, index, fpr, confidence, in_turn)


def accuracy_of_strongest(attacks: Sequence[AttackFigures], confidence: float) -> StrongestAccuracy | None:
    """The highest balanced accuracy with a threshold that was not chosen on the evaluated records, with an interval as
    that of :meth:`Met.strongest_auc`."""
    decided = {
        a.name: (a, a.balanced_accuracy) for a in attacks if a.balanced_accuracy and a.balanced_accuracy.low is not None
    }
    if not decided:
        return None
    best, accuracy = max(decided.values(), key=lambda pair: pair[1].value)
    spans = [_accuracy_interval(attack, 1 - (1 - confidence) / len(decided)) for attack, _ in decided.values()]
    known = vars(accuracy) | {"low": max(low for low, _ in spans), "high": max(high for _, high in spans)}
    return StrongestAccuracy(**known, name=best.name, queries=best.queries, attacks=len(decided))


def _accuracy_interval(attack: AttackFigures, confidence: float) -> tuple[float, float]:
    """A balanced accuracy's interval at another confidence; its counts are in the recall and the advantage."""
    part, recall, advantage = attack.balanced_accuracy, attack.recall, attack.advantage
    if part is None or recall is None or advantage is None:
        raise ValueError("an attack with a balanced accuracy has a recall and an advantage")
    n1, n0 = part.n_members, part.n_nonmembers
    true, false = round(recall.value * n1), round((recall.value - advantage.value) * n0)
    low, high = newcombe_difference(true, n1, false, n0, confidence)
    return (1 + low) / 2, (1 + high) / 2


def compared(one: Met, other: Met, primary: Measure) -> Comparison:
    """Whether ``one`` gives away less than ``other``: by AUC, and by TPR, too, where that is what points go by.

    It does where one of the two says so and the other does not say the opposite; both hold at once at the stated
    confidence. The ways of training are compared, over all models in turn, where both points have been through that on
    the same splits by attacks that speak for all; else the two models.

    Returns:
        ``difference`` by the measure that says so (else the primary one), with ``measure``, and both under ``each``.
        ``finding`` is "mixed" where they contradict each other.
    """
    measures: Sequence[Measure] = ("tpr", "auc") if primary == "tpr" else ("auc",)
    confidence = 1 - (1 - one.confidence) / len(measures)
    paired = _paired(one, other)
    each: dict[Measure, Difference] = {
        measure: difference(one, other, measure, confidence)
        if paired is None
        else of_recipes(*paired, measure, confidence)
        for measure in measures
    }
    sure = [part.finding for part in each.values() if part.finding != "not told apart"]
    finding: Finding = "mixed" if len(set(sure)) > 1 else next(iter(sure), "not told apart")
    shown = next((measure for measure in measures if each[measure].finding == finding), measures[0])
    basis: Basis = "model" if paired is None else "recipe"
    return Comparison(**vars(each[shown]) | {"finding": finding}, measure=shown, each=dict(each.items()), basis=basis)


def _paired(one: Met, other: Met) -> tuple[InTurn, InTurn] | None:
    """Both points' models in turn, where these can be compared."""
    mine, theirs = one.in_turn, other.in_turn
    if mine is None or theirs is None or not (one.speaks_for_all and other.speaks_for_all):
        return None
    return (mine, theirs) if share_splits(mine, theirs) else None


def difference(one: Met, other: Met, measure: Measure, confidence: float) -> Difference:
    """How much more the strongest attack on ``one`` achieves than the strongest on ``other``, on the same records.

    The strongest of many is not the one named beforehand, so the interval holds for the largest of all: max_a A(a) -
    max_b B(b) is at most the largest of A(a) - B(b') for whichever b', and that b' was picked among all b costs a
    Bonferroni factor of their number; the lower end likewise. Both ends together hold at the stated confidence.

    ``finding`` is "lower" or "higher" where the whole interval is.
    """
    if not np.array_equal(one.index, other.index) or not np.array_equal(one.member, other.member):
        raise ValueError("two points of a frontier were audited on different records")
    apart = _DIFFERENCES[measure]

    def between(a: str, b: str, level: float) -> Estimate:
        return apart(one, a, other, b, level)

    return _of_strongest(one.figures(measure), other.figures(measure), between, confidence)


def of_recipes(one: InTurn, other: InTurn, measure: Measure, confidence: float) -> Difference:
    """The same of the two ways of training, over all models in turn."""

    def between(a: str, b: str, level: float) -> Estimate:
        return recipe_difference(one, a, other, b, measure, level)

    return _of_strongest(one.figures(measure), other.figures(measure), between, confidence)


def _of_strongest(
    mine: Mapping[str, Estimate],
    theirs: Mapping[str, Estimate],
    between: Callable[[str, str, float], Estimate],
    confidence: float,
) -> Difference:
    """The difference of the two largest figures; ``between`` two attacks, at a confidence."""
    a, b = (max(figures, key=lambda name: figures[name].value) for figures in (mine, theirs))
    error = 1 - confidence
    highs = [between(name, b, 1 - error / len(theirs)) for name in mine]
    lows = [between(a, name, 1 - error / len(mine)) for name in theirs]
    low, high = min(float(d.low or 0) for d in lows), max(float(d.high or 0) for d in highs)
    finding: Finding = "lower" if high < 0 else "higher" if low > 0 else "not told apart"
    return Difference(mine[a].value - theirs[b].value, low, high, finding, highs[0].method)


def _auc_difference(one: Met, a: str, other: Met, b: str, confidence: float) -> Estimate:
    if a in one.ranked and b in other.ranked:
        return auc_difference(one.ranked[a], other.ranked[b], confidence)
    return auc_difference(*ranked_both(one.scores[a], other.scores[b], one.member), confidence)


def _tpr_difference(one: Met, a: str, other: Met, b: str, confidence: float) -> Estimate:
    n1 = int(one.member.sum())
    rates, draws = (one.tpr[a].value, other.tpr[b].value), (one.draws[a], other.draws[b])
    return tpr_difference(rates, draws, (n1, len(one.member) - n1), confidence)


_DIFFERENCES: dict[Measure, Callable[[Met, str, Met, str, float], Estimate]] = {
    "auc": _auc_difference,
    "tpr": _tpr_difference,
}
