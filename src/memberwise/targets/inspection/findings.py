"""A finding, and all that was found in one model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memberwise.types.parts import LEFT_OUT, Plain, to_plain

# Least members of a group that is not called small, as in the disclosure control of official statistics.
LEAST = 10
Code = Literal["stored-records", "stored-answers", "small-leaves", "class-disclosure", "parameters", "settings"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the model's structure tells.

    Attributes:
        part: of the model, as a path: "Pipeline.steps.svc (SVC)". count: how many records, leaves or parameters.
        message: what is there. fix: what to change.
    """

    code: Code
    part: str
    message: str
    fix: str
    count: int | None = field(default=None, metadata=LEFT_OUT)

    def __str__(self) -> str:
        return f"{self.code}: {self.part}: {self.message}. To change: {self.fix}"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a model's structure.

    Attributes:
        model: its class. records: how many it was trained on, as far as it tells or was said.
        findings: gravest first.
        notes: what was noticed while its file was read.
    """

    model: str
    records: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def stored_records(self) -> int:
        """How many training records lie in the file itself; one that lies in two parts counts twice."""
        return sum(one.count or 0 for one in self.findings if one.code == "stored-records")

    def to_dict(self) -> Plain:
        """Plain values, for JSON."""
        return {**to_plain(self), "stored_records": self.stored_records}

    def __str__(self) -> str:
        trained = "" if self.records is None else f", trained on {self.records:,} records"
        head = f"{self.model}{trained}: " + ("nothing found" if not self.findings else _counted(len(self.findings)))
        return "\n".join([head, *(f"  {one}" for one in self.findings), *(f"  note: {note}" for note in self.notes)])


def _counted(findings: int) -> str:
    return f"{findings} finding{'s' if findings > 1 else ''}"
