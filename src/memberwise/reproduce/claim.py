"""A claim: what was published, what we found, under which circumstances; kept as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from memberwise.errors import MemberwiseError
from memberwise.report.files import to_json, write_text
from memberwise.reproduce.published import Figure

SCHEMA_VERSION = 1
Verdict = Literal["agrees", "within tolerance", "differs", "not compared", "not published", "not run"]


@dataclass(frozen=True)
class Ours:
    """A figure of ours: value, interval, on how many records or models, how the interval was made, which seeds."""

    value: float
    low: float | None
    high: float | None
    n: int
    method: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        setting, measure: as in the published figure, if there is one.
        published, ours: either may be missing, not both.
        why: the reason where they differ, or why ours is missing.
        comparable: same data and protocol; else the two are shown side by side and not compared.
        tolerance: in the unit of the measure; ours must be that near to the published figure, or the claim fails.
    """

    setting: str
    measure: str
    published: Figure | None = None
    ours: Ours | None = None
    why: str = ""
    comparable: bool = True
    tolerance: float | None = None

    @property
    def verdict(self) -> Verdict:
        """How ours lies to what was published, whose rounding counts in its favour."""
        if self.ours is None:
            return "not run"
        if self.published is None:
            return "not published"
        if not self.comparable:
            return "not compared"
        distance = abs(self.ours.value - self.published.value) - self.published.rounding
        low, high = self.ours.low, self.ours.high
        slack = self.published.rounding
        if low is not None and high is not None and low - slack <= self.published.value <= high + slack:
            return "agrees"
        return "within tolerance" if self.tolerance is not None and distance <= self.tolerance else "differs"

    @property
    def failed(self) -> bool:
        """Outside a stated tolerance."""
        return self.tolerance is not None and self.verdict == "differs"


@dataclass(frozen=True)
class Series:
    """A line of a plot, with the ends of its intervals where it has some; ``published``: read off the source."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    published: bool = False


@dataclass(frozen=True)
class Plot:
    """A plot of a claim. ``kind`` "steps" draws densities: ``x`` are edges of bins, one more than ``y``."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    kind: Literal["line", "points", "steps"] = "line"
    log_x: bool = False


@dataclass(frozen=True)
class Findings:
    """What a reproduction hands back: rows, plots, and what was learnt, one sentence each."""

    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Findings with their circumstances.

    Attributes:
        name, title, size: the reproduction and how large it was run.
        data: the sources used; substitute: what they stand in for, "" where they are the publication's own.
        seed, seconds, date, commit, machine, versions: under which circumstances.
    """

    name: str
    title: str
    size: str
    data: tuple[str, ...]
    substitute: str
    seed: int
    seconds: float
    date: str
    commit: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    findings: Findings = field(default_factory=lambda: Findings(()))

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.findings.rows if row.failed]

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        for row, plain in zip(self.findings.rows, values["findings"]["rows"], strict=True):
            plain["verdict"] = row.verdict
        return {"schema_version": SCHEMA_VERSION, **values}

    def save(self, file: Path) -> None:
        write_text(file, to_json(self.to_dict()))

    @classmethod
    def load(cls, file: Path) -> Claim:
        """Read a claim file.

        Raises:
            MemberwiseError: not one, or of another schema.
        """
        try:
            values = json.loads(file.read_text("utf-8"))
            if values.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("another schema version")
            return TypeAdapter(cls).validate_python(values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MemberwiseError("this is not a claim file", found=str(error), where=str(file)) from error
