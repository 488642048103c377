"""Results as tidy frames: one figure a row, its attack, its value and its interval in columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from memberwise.errors import StudyError
from memberwise.report.compare import UNDECIDED, compared, notes
from memberwise.report.formats import number
from memberwise.report.markdown import comparison
from memberwise.report.result import Result
from memberwise.report.schema import AuditResult

METRICS = ("auc", "balanced_accuracy", "advantage", "precision", "recall")


def attacks_frame(result: AuditResult) -> pd.DataFrame:
    """``attack, metric, fpr, value, low, high, n_members, n_nonmembers, resolvable, method``, a figure a row.

    ``fpr`` is NaN but for true-positive rates; ``resolvable`` is "yes", "weak" or "no".
    """
    rows = []
    for attack in result.attacks:
        stated = [(metric, float("nan"), "yes", getattr(attack, metric)) for metric in METRICS]
        stated += [("tpr", row.fpr, row.resolvable, row) for row in attack.tpr_at_fpr]
        rows += [
            {
                "attack": attack.name,
                "metric": metric,
                "fpr": fpr,
                "value": number(one.value),
                "low": number(one.low),
                "high": number(one.high),
                "n_members": one.n_members,
                "n_nonmembers": one.n_nonmembers,
                "resolvable": resolvable,
                "method": one.method,
            }
            for metric, fpr, resolvable, one in stated
            if one is not None
        ]
    columns = ["attack", "metric", "fpr", "value", "low", "high", "n_members", "n_nonmembers", "resolvable", "method"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(("fpr", "value", "low", "high"), "float64"))


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two results side by side.

    Attributes:
        first, second: the results. names: what they are called.
    """

    first: Result
    second: Result
    names: tuple[str, str] = ("A", "B")

    @property
    def notes(self) -> list[str]:
        """What stands in the way of comparing the two."""
        return notes(self.first.parts, self.second.parts)

    @property
    def frame(self) -> pd.DataFrame:
        """Figures both have, a row each: ``value``, ``low`` and ``high`` of both, the difference, and the finding."""
        keys = ["attack", "metric", "fpr"]
        sides = [attacks_frame(one.parts)[[*keys, "value", "low", "high"]] for one in (self.first, self.second)]
        both = sides[0].merge(sides[1], on=keys, suffixes=[f"_{name}" for name in self.names])
        (low_a, high_a), (low_b, high_b) = ((both[f"low_{name}"], both[f"high_{name}"]) for name in self.names)
        both["difference"] = both[f"value_{self.names[1]}"] - both[f"value_{self.names[0]}"]
        both["finding"] = "cannot tell apart"
        both.loc[low_b > high_a, "finding"] = f"{self.names[0]} leaks less"
        both.loc[low_a > high_b, "finding"] = f"{self.names[1]} leaks less"
        both.loc[low_a.isna() | high_a.isna() | low_b.isna() | high_b.isna(), "finding"] = "no interval"
        return both

    def to_markdown(self) -> str:
        """The comparison as a pull request's comment."""
        return comparison(self.first.parts, self.second.parts, self.names)

    def __repr__(self) -> str:
        rows = compared(self.first.parts, self.second.parts, self.names)
        changed = [row for row in rows if row.finding not in UNDECIDED and row.attack != "(target)"]
        said = "; ".join(f"{row.attack} {row.figure}: {row.finding}" for row in changed[:3])
        return f"<Comparison: {len(changed)} of {len(rows)} figures surely differ{': ' + said if said else ''}>"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False, escape=True, float_format="{:.4f}".format))


def compare(a: Result | str | Path, b: Result | str | Path, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Two results, or run folders, side by side; intervals that overlap are not told apart.

    Args:
        a, b: results, or folders of finished runs. names: what they are called, two different words.

    Raises:
        RunFolderError: a folder holds no finished run.
        StudyError: the two names are one.

    Examples:
        >>> import memberwise as mw
        >>> found = mw.compare("runs/patients", "runs/patients", names=("before", "after"))
        >>> found
        <Comparison: 0 of ... figures surely differ>
    """
    if names[0] == names[1]:
        raise StudyError("two results have two names", found=names[0], where="memberwise.compare")
    first, second = (one if isinstance(one, Result) else Result.load(one) for one in (a, b))
    return Comparison(first, second, names)
