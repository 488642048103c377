"""Which point to take: the constraint, the recommendation under it, and the points nothing beats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memberwise.errors import StudyError
from memberwise.frontier.measure import FPR
from memberwise.study import DefendStudy

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Constraint:
    """Either accuracy may fall by at most ``accuracy_loss``, or the TPR at ``fpr`` is at most ``tpr``."""

    accuracy_loss: float | None
    tpr: float | None
    fpr: float

    @classmethod
    def of(cls, study: DefendStudy) -> Constraint:
        """A study's constraint.

        Raises:
            StudyError: ``max_tpr`` is not of the form 0.05@0.01.
        """
        if study.max_tpr is None:
            return cls(study.max_accuracy_loss, None, FPR)
        found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*@\s*([0-9.eE+-]+)\s*", study.max_tpr)
        try:
            tpr, fpr = (float(part) for part in found.groups()) if found else (2.0, 2.0)
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
            return f"TPR of at most {self.tpr:g} at a false-positive rate of {self.fpr:g}, with its whole interval"
        return f"accuracy at most {self.accuracy_loss:g} below the undefended model's"


def utility(row: Row) -> float:
    """The accuracy by which points are chosen: on validation records, else (flattering the choice) on test records."""
    part = row["validation_accuracy"] or row["test_accuracy"]
    return float(part["value"]) if part else 0.0


def leakage(row: Row) -> float:
    """What the headline attack achieves at the constraint's rate; 1 where it is unknown."""
    return _rate(row, "value")


def _rate(row: Row, key: Literal["value", "high"]) -> float:
    known = row["tpr"] if row["same_attack"] else None
    return float(known[key]) if known and known[key] is not None else 1.0


def keeps(row: Row, undefended: Row, constraint: Constraint) -> bool:
    """The row meets the constraint: a TPR with its interval's upper end, a loss of accuracy as it was measured."""
    if constraint.tpr is not None:
        return _rate(row, "high") <= constraint.tpr
    return utility(row) >= utility(undefended) - float(constraint.accuracy_loss or 0.0)


def recommended(rows: Sequence[Row], constraint: Constraint) -> int | None:
    """The place of the recommended row, or None where no row meets the constraint.

    Under a loss of accuracy: least leakage, then most accuracy. Under a TPR (its interval's upper end counts): most
    accuracy, then least leakage. The first row is the undefended model.
    """
    fit = [i for i, row in enumerate(rows) if keeps(row, rows[0], constraint)]
    if constraint.tpr is not None:
        return max(fit, key=lambda i: (utility(rows[i]), -leakage(rows[i])), default=None)
    return min(fit, key=lambda i: (leakage(rows[i]), -utility(rows[i])), default=None)


def unbeaten(rows: Sequence[Row]) -> list[int]:
    """Places of the rows which no other row beats on one of accuracy and leakage without losing on the other."""

    def beats(one: Row, other: Row) -> bool:
        better = utility(one) >= utility(other) and leakage(one) <= leakage(other)
        return better and (utility(one), leakage(one)) != (utility(other), leakage(other))

    return [i for i, row in enumerate(rows) if not any(beats(other, row) for other in rows)]
