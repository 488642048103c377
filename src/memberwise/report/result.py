"""``Result``: what an audit hands back in Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pandas as pd

from memberwise.assess.figures import AttackFigures
from memberwise.errors import StudyError
from memberwise.report import files, lead, sentence
from memberwise.report.formats import DASH, number, rate, shown
from memberwise.report.html import render
from memberwise.report.plots import Plots
from memberwise.report.redact import holds_records
from memberwise.report.schema import AuditResult
from memberwise.report.sections.attacks import rates
from memberwise.statistics.estimate import Estimate
from memberwise.store.files import json_values, to_json, write_text
from memberwise.types.arrays import Arrays
from memberwise.types.parts import Plain

EXIT_CODES: dict[sentence.Outcome, int] = {"passed": 0, "no limit set": 0, "failed": 1, "inconclusive": 3}


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """One audit: its figures, the scores behind them and the curves.

    Attributes:
        data: what ``result.json`` holds (schema version 2).
        scores: ``index, label, member, evaluated``, then one raw score column an attack, NaN where not scored.
            HIGHER = MORE LIKELY A MEMBER.
        curves: ROC points and what the figures are drawn from, as in ``curves.npz``.
        folder: the run folder, or None where nothing was written.

    Examples:
        >>> import memberwise as mw
        >>> result = mw.Result.load("runs/patients")
        >>> low, high = result.auc().low, result.auc().high
        >>> low <= result.auc().value <= high
        True
        >>> result.passed is None  # no limit was set
        True
    """

    data: Plain
    scores: pd.DataFrame
    curves: Arrays = field(default_factory=dict)
    folder: Path | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """The result of a finished run.

        Raises:
            RunFolderError: the folder does not hold one.
        """
        parts, scores, curves = files.read_all(Path(folder))
        return cls(json_values(parts.to_dict()), scores, curves, Path(folder))

    @property
    def parts(self) -> AuditResult:
        """``data`` as objects: ``result.parts.attacks[0].auc.value``."""
        return AuditResult.from_dict(self.data)

    def tpr(self, at_fpr: float, attack: str | None = None) -> Estimate:
        """The share of members recognised at a false-positive rate, with its interval; 0 to 1, higher leaks more.

        Args:
            at_fpr: one of the rates the study asked for.
            attack: its name; the headline attack by default.

        Raises:
            StudyError: the attack was not run, or states no TPR at this rate.

        Examples:
            >>> import memberwise as mw
            >>> estimate = mw.Result.load("runs/patients").tpr(at_fpr=0.1)
            >>> 0 <= estimate.low <= estimate.value <= estimate.high <= 1
            True
        """
        rows = self._attack(attack).tpr_at_fpr
        row = next((row for row in rows if math.isclose(row.fpr, at_fpr, rel_tol=1e-9)), None)
        if row is None or number(row.value) is None:
            raise StudyError(
                f"there is no TPR of {attack or self.data['headline']} at a false-positive rate of {at_fpr}",
                expected=", ".join(f"{row.fpr:g}" for row in rows if number(row.value) is not None) or "none at all",
                fix="ask for one of these, or audit again with --fpr",
            )
        return Estimate(**{name: getattr(row, name) for name in Estimate.__dataclass_fields__})

    def auc(self, attack: str | None = None) -> Estimate:
        """The chance that a member is ranked above a non-member, with its interval; 0.5 is guessing.

        Raises:
            StudyError: the attack was not run, or has no AUC.
        """
        area = self._attack(attack).auc
        if area is None:
            raise StudyError(f"{attack or self.data['headline']} has no AUC")
        return area

    @property
    def plot(self) -> Plots:
        """The report's figures: ``plot.roc()``, ``.scores()``, ``.records()``, ``.turns()``."""
        return Plots(self)

    @property
    def frame(self) -> pd.DataFrame:
        """Every figure a row: attack, metric, fpr, value, low, high, n_members, n_nonmembers, resolvable, method."""
        from memberwise.report.frames import attacks_frame

        return attacks_frame(self.parts)

    def _attack(self, name: str | None) -> AttackFigures:
        parts = self.parts
        figures = parts.attack(name)
        if figures is None:
            raise StudyError(
                f"the attack {name or self.data['headline']} was not run",
                expected=", ".join(attack.name for attack in parts.attacks) or "none ran",
            )
        return figures

    @property
    def passed(self) -> bool | None:
        """Whether the gate passed; None where it could not be decided, or there is none."""
        return {"passed": True, "failed": False}.get(sentence.outcome(self.parts))

    @property
    def exit_code(self) -> int:
        """What the command line returns: 0 gate passed or none set, 1 failed, 3 inconclusive."""
        return EXIT_CODES[sentence.outcome(self.parts)]

    def to_dict(self) -> Plain:
        """What ``result.json`` holds, as plain values; a copy."""
        return dict(json_values(self.data))

    def to_json(self) -> str:
        """``result.json`` as text."""
        return to_json(self.data)

    def to_html(self, path: str | Path) -> Path:
        """Write the report, one file that needs nothing else; returns its path."""
        write_text(Path(path), render(self.parts, self.scores, self.curves), private=holds_records(self.data))
        return Path(path)

    def __repr__(self) -> str:
        return f"<Result {sentence.outcome(self.parts)}: {lead.lead(self.parts)}>"

    def _repr_html_(self) -> str:
        """A compact table for notebooks."""
        parts = self.parts
        columns = rates(parts)
        heads = ["attack", "AUC", *(f"TPR at {rate(fpr)} FPR" for fpr in columns), "balanced accuracy"]
        lines = []
        for attack in parts.attacks:
            rows = {row.fpr: row for row in attack.tpr_at_fpr}
            figures = [shown(attack.auc, "number"), *(shown(rows.get(fpr)) for fpr in columns)]
            figures.append(shown(attack.balanced_accuracy))
            name = attack.name + (" (headline)" if attack.name == parts.headline else "")
            lines.append("".join(f"<td>{escape(str(cell or DASH))}</td>" for cell in [name, *figures]))
        head = "".join(f"<th>{escape(text)}</th>" for text in heads)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return (
            f"<p>{escape(lead.verdict_sentence(parts))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
