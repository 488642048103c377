"""``ScreenResult``: all that is in ``screen.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memberwise.report.schema import AuditWarning, DataFacts, TargetFacts
from memberwise.screening.trust import Trust
from memberwise.statistics import Estimate
from memberwise.statistics.screening import Tail
from memberwise.types.parts import Document, Plain, json_schema
from memberwise.types.version import __version__

SCHEMA_VERSION = 1
By = Literal["lt-iqr", "loss"]


@dataclass(frozen=True, kw_only=True)
class RankedRecord:
    """A record that the target trained on.

    Attributes:
        rank: from 1, the most at risk. index, label: its row number and class.
        loss_range: interquartile range of its loss over the epochs looked at, in nats; None without a trace.
        loss: at the end, in nats.
    """

    rank: int
    index: int
    label: str
    loss_range: float | None
    loss: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How records are ranked: by the loss trace ("lt-iqr"), else by the loss of the end.

    Attributes:
        records: that are ranked. epochs: that were looked at, from 1; empty without a trace.
    """

    by: By
    records: int
    epochs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What one model's losses show by themselves: the loss attack, and how far training emptied the tail.

    Attributes:
        auc: of the loss attack on this model, for which no shadow model is needed. tail: see ``Tail``.
    """

    auc: Estimate
    tail: Tail


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Whether a full audit is worth it: "yes" where this model's losses show a leak, else "no sign"; and why."""

    audit: Literal["yes", "no sign"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class ScreenResult(Document):
    """All that a screen found.

    Attributes:
        trust: how far such a ranking was right where records' own risks were measured.
        most_exposed: the first of the ranking; all of it is in ``screen.csv``.
    """

    schema_version: int = SCHEMA_VERSION
    memberwise_version: str = __version__
    study: Plain
    seed: int
    seconds: float
    data: DataFacts
    target: TargetFacts
    ranking: Ranking
    signs: Signs
    advice: Advice
    trust: tuple[Trust, ...]
    most_exposed: tuple[RankedRecord, ...]
    warnings: tuple[AuditWarning, ...]


def screen_schema() -> Plain:
    """The JSON Schema of ``screen.json``."""
    return json_schema(ScreenResult, "screen.json of a memberwise screen")
