"""A claim: what was published, what we found, under which circumstances; kept as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from memberwise.errors import DataError
from memberwise.reproduce.published import Figure
from memberwise.store.files import to_json, write_text
from memberwise.types.parts import Plain

SCHEMA_VERSION = 2
BIT = 1e-12  # more than floats lose where half a digit is added
Verdict = Literal[
    "agrees", "within tolerance", "fitted to match", "differs", "invalid", "not compared", "not published", "not run"
]
Origin = Literal["published", "ours", "fitted"]


@dataclass(frozen=True)
class Setting:
    """A setting of a claim and where it comes from.

    Attributes:
        name, value: what was set to what.
        origin: "published": stated by the publication, or in its code; "ours": chosen without its figures; "fitted":
            chosen by looking at them, so that a row which rests on it cannot agree, only be fitted to match.
        why: how it was chosen.
        rows: settings and measures of the rows that rest on it; empty: all rows.
    """

    name: str
    value: str
    origin: Origin
    why: str = ""
    rows: tuple[str, ...] = ()

    def concerns(self, row: Row) -> bool:
        return not self.rows or row.setting in self.rows or row.measure in self.rows


@dataclass(frozen=True)
class Condition:
    """What must hold for rows to mean anything, such as a model that has learnt something.

    Attributes:
        name: what must hold.
        holds: whether it does.
        told: the figures it was judged by.
        rows: how the settings of the rows begin that mean nothing where it does not hold.
    """

    name: str
    holds: bool
    told: str
    rows: tuple[str, ...] = ()

    def voids(self, row: Row) -> bool:
        return not self.holds and (not self.rows or row.setting.startswith(self.rows))


# How measures begin that are no shares; they are printed as they are.
PLAIN = ("epsilon",)


def is_share(measure: str) -> bool:
    """Figures of this measure lie from 0 to 1, and are told in per cent."""
    return not measure.startswith(PLAIN)


@dataclass(frozen=True)
class Ours:
    """A figure of ours.

    Attributes:
        value, low, high: the figure with its interval; over several seeds their mean.
        n: records or models behind it, for each seed.
        method: how the interval was made.
        seeds, by_seed: the seeds, and the figure of each where there are several.
        spread: standard deviation over seeds.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    method: str
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...] = ()
    spread: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        setting, measure: as in the published figure, if there is one.
        published, ours: either may be missing, not both.
        why: the reason where they differ, or why ours is missing.
        comparable: same data and protocol; else the two are shown side by side and not compared.
        tolerance: in the unit of the measure; ours must be that near to the published figure, or the claim fails.
        floor: what guessing gives; an agreement of which our interval contains it proves nothing.
        fitted: names of the settings it rests on that were chosen by looking at the published figures.
        void: the condition that does not hold, without which the row means nothing.
    """

    setting: str
    measure: str
    published: Figure | None = None
    ours: Ours | None = None
    why: str = ""
    comparable: bool = True
    tolerance: float | None = None
    floor: float | None = None
    fitted: tuple[str, ...] = ()
    void: str = ""

    @property
    def verdict(self) -> Verdict:
        """How ours lies to what was published, whose rounding counts in its favour."""
        if self.ours is None:
            return "not run"
        if self.void:
            return "invalid"
        if self.published is None:
            return "not published"
        if not self.comparable:
            return "not compared"
        distance = abs(self.ours.value - self.published.value) - self.published.rounding
        low, high = self.ours.low, self.ours.high
        slack = self.published.rounding + BIT
        if low is not None and high is not None and low - slack <= self.published.value <= high + slack:
            return "fitted to match" if self.proves_nothing else "agrees"
        if self.tolerance is None or distance > self.tolerance:
            return "differs"
        return "fitted to match" if self.proves_nothing else "within tolerance"

    @property
    def proves_nothing(self) -> str:
        """Why an agreement would be no evidence; "" where it would be."""
        if self.fitted:
            return f"chosen by looking at the published figures: {', '.join(self.fitted)}"
        if self.floor is None or self.ours is None or self.ours.low is None or self.ours.high is None:
            return ""
        guessing = self.ours.low <= self.floor <= self.ours.high
        return f"what guessing gives: {100 * self.floor:.0f}%" if guessing else ""

    @property
    def failed(self) -> bool:
        """Outside a stated tolerance, or without meaning."""
        return self.verdict == "invalid" or (self.tolerance is not None and self.verdict == "differs")


def judged(findings: Findings, settings: Sequence[Setting]) -> Findings:
    """Each row with the fitted settings it rests on, and with the condition that voids it."""
    fitted = [setting for setting in settings if setting.origin == "fitted"]
    rows = [
        replace(
            row,
            fitted=tuple(setting.name for setting in fitted if row.published and setting.concerns(row)),
            void=next((condition.name for condition in findings.conditions if condition.voids(row)), ""),
        )
        for row in findings.rows
    ]
    return replace(findings, rows=tuple(rows))


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
    """What a reproduction hands back: rows, plots, what was learnt, one sentence each, and what must hold."""

    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Findings with their circumstances.

    Attributes:
        name, title, size: the reproduction and how large it was run.
        data: the sources used; substitute: what they stand in for, "" where they are the publication's own.
        seeds, seconds, date, commit, machine, versions: under which circumstances; seconds of all seeds together.
        settings: each with where it comes from.
    """

    name: str
    title: str
    size: str
    data: tuple[str, ...]
    substitute: str
    seeds: tuple[int, ...]
    seconds: float
    date: str
    commit: str
    machine: Plain
    versions: Mapping[str, str]
    findings: Findings = field(default_factory=lambda: Findings(()))
    settings: tuple[Setting, ...] = ()

    @property
    def fitted(self) -> list[Setting]:
        """What was chosen by looking at the published figures."""
        return [setting for setting in self.settings if setting.origin == "fitted"]

    @property
    def broken(self) -> list[Condition]:
        """Conditions that do not hold."""
        return [condition for condition in self.findings.conditions if not condition.holds]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.findings.rows if row.failed]

    def to_dict(self) -> dict[str, object]:
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
            DataError: not one, or of another schema.
        """
        try:
            values = json.loads(file.read_text("utf-8"))
            if values.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("another schema version")
            return TypeAdapter(cls).validate_python(values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError("this is not a claim file", found=str(error), where=str(file)) from error
