"""Which point to take: the constraint, the recommendation under it, and the points nothing beats."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memberwise.errors import StudyError
from memberwise.frontier.measure import FPR
from memberwise.frontier.schema import Finding as Outcome
from memberwise.frontier.schema import Measure, MeasuredPoint
from memberwise.report.formats import rate
from memberwise.statistics import TprAtFpr
from memberwise.study.schema import DefendConfig

# Of two rows, by their places: "lower" (the first surely tells less), "higher" or "not told apart".
Finding = Callable[[int, int], Outcome]
# A defence of answers leaves the model as it is, one of training makes another.
SIMPLEST = ("none", "answer", "training")


@dataclass(frozen=True)
class Constraint:
    """Either accuracy may fall by at most ``accuracy_loss``, or the TPR at ``fpr`` is at most ``tpr``."""

    accuracy_loss: float | None
    tpr: float | None
    fpr: float

    @classmethod
    def of(cls, study: DefendConfig) -> Constraint:
        """A study's constraint.

        Raises:
            StudyError: ``max_tpr`` is not of the form 0.05@0.01.
        """
        if study.max_tpr is None:
            return cls(study.max_accuracy_loss, None, FPR)
        match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*@\s*([0-9.eE+-]+)\s*", study.max_tpr)
        try:
            tpr, fpr = (float(part) for part in match.groups()) if match else (2.0, 2.0)
        except ValueError:
            tpr = fpr = 2.0
        if not (0 <= tpr <= 1 and 0 < fpr < 1):
            raise StudyError(
                "the largest TPR is not understood",
                expected="TPR@FPR, such as 0.05@0.01",
                found=study.max_tpr,
                where="defend.max_tpr (--max-tpr)",
            )
        return cls(None, tpr, fpr)

    def words(self) -> str:
        if self.tpr is not None:
            return f"TPR of at most {rate(self.tpr)} at {rate(self.fpr)} FPR, with its whole interval"
        lost = 100 * (self.accuracy_loss or 0.0)
        return f"accuracy at most {lost:.6g} percentage points below the undefended model's"


@dataclass(frozen=True)
class Choice:
    """What is recommended.

    Attributes:
        best: the place of the recommended row, or None where no row keeps to the constraint.
        alike: places of the rows that keep to it, tell surely less than the undefended model and more than none of
            these; among them the recommended one is the most accurate.
    """

    best: int | None
    alike: tuple[int, ...] = ()


def utility(row: MeasuredPoint) -> float:
    """The accuracy by which points are chosen: on validation records, else (flattering the choice) on test records."""
    part = row.validation_accuracy or row.test_accuracy
    return part.value if part else 0.0


def leakage(row: MeasuredPoint, measure: Measure) -> float:
    """What the strongest attack achieves, by the figure that points are compared by."""
    return (row.tpr if measure == "tpr" else row.auc).value


def comparable(rows: Sequence[MeasuredPoint]) -> Measure:
    """By what the points are compared: the TPR where it is worth something at all of them, else the AUC."""
    return "tpr" if all(row.rate == "yes" for row in rows) else "auc"


def keeps(row: MeasuredPoint, undefended: MeasuredPoint, constraint: Constraint) -> bool:
    """The row meets the constraint: a TPR with its interval's upper end, a loss of accuracy as it was measured.

    A TPR that so few non-members cannot resolve, or that ties decide, keeps to no limit; canaries must keep to it too.
    """
    if constraint.tpr is None:
        return utility(row) >= utility(undefended) - float(constraint.accuracy_loss or 0.0)
    high = row.tpr.high
    canaries = canary_rate(row, constraint.fpr)
    exposed = canaries is not None and (canaries.high is None or canaries.high > constraint.tpr)
    return row.rate == "yes" and high is not None and high <= constraint.tpr and not exposed


def canary_rate(row: MeasuredPoint, fpr: float) -> TprAtFpr | None:
    """The canaries' TPR at a rate, over all models in the target's place, where it is resolved."""
    listed = row.canaries.tpr_at_fpr if row.canaries else ()
    return next((one for one in listed if one.fpr == fpr and one.resolvable == "yes"), None)


def canary_rates(rows: Sequence[MeasuredPoint]) -> list[float]:
    """False-positive rates at which every row's canaries resolve a TPR."""
    rates = [
        {one.fpr for one in (row.canaries.tpr_at_fpr if row.canaries else ()) if one.resolvable == "yes"}
        for row in rows
    ]
    return sorted(set.intersection(*rates)) if rates else []


def canaries_found(rows: Sequence[MeasuredPoint], one: int, other: int) -> Outcome:
    """The same of the canaries' TPR at the smallest rate that all rows resolve, where intervals lie apart."""
    for fpr in canary_rates(rows)[:1]:
        mine, theirs = canary_rate(rows[one], fpr), canary_rate(rows[other], fpr)
        if mine and theirs and (mine.high or 0.0) < (theirs.low or 0.0):
            return "lower"
        if mine and theirs and (mine.low or 0.0) > (theirs.high or 0.0):
            return "higher"
    return "not told apart"


def better(rows: Sequence[MeasuredPoint], finding: Finding, one: int, other: int) -> bool:
    """The first surely tells less than the second, and its canaries are not surely found more often."""
    return finding(one, other) == "lower" and canaries_found(rows, one, other) != "higher"


def choose(rows: Sequence[MeasuredPoint], constraint: Constraint, finding: Finding, measure: Measure) -> Choice:
    """The recommendation; the first row is the undefended model.

    Under a loss of accuracy: of the rows that keep to it and surely tell less than the undefended model those that no
    other of them surely beats, and of these the most accurate, else the simplest; the undefended model where no row is
    surely better. Under a TPR: the most accurate row that keeps to it, else the simpler one.
    """
    fit = [i for i, row in enumerate(rows) if keeps(row, rows[0], constraint)]
    if not fit:
        return Choice(None)
    if constraint.tpr is not None:
        return Choice(min(fit, key=lambda i: _merit(rows[i], measure)))
    sure = [i for i in fit if i and better(rows, finding, i, 0)]
    if not sure:
        return Choice(0 if 0 in fit else None)
    alike = tuple(i for i in sure if not any(better(rows, finding, j, i) for j in sure))
    return Choice(min(alike, key=lambda i: _merit(rows[i], measure)), alike)


def _merit(row: MeasuredPoint, measure: Measure) -> tuple[float, int, float]:
    """The most accurate first, of these the simplest, of these what tells least; no seconds: they differ every time."""
    return -utility(row), SIMPLEST.index(row.place), leakage(row, measure)


def unbeaten(rows: Sequence[MeasuredPoint], finding: Finding) -> list[int]:
    """Places of the rows that no row of at least their accuracy surely beats."""

    def beats(one: int, other: int) -> bool:
        return utility(rows[one]) >= utility(rows[other]) and better(rows, finding, one, other)

    return [i for i in range(len(rows)) if not any(beats(j, i) for j in range(len(rows)) if j != i)]
