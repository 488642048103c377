"""How far a screen can be trusted: measured where records' own risks are known (``benchmarks/screening.py``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from memberwise.types.parts import from_plain


@dataclass(frozen=True)
class Measured:
    """A mean over models with its interval over trainings (Student's t over complementary pairs)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Trust:
    """One data set on which rankings were compared with each record's own risk (AUC_i of ``docs/people.md``).

    Attributes:
        data, model: what was trained. members: of each model. models: that were screened, each by itself; the other
            pairs tell the risk.
        by: the ranking, as in ``Ranking``.
        exposed: the share of members whose risk is above 0.9: what picking at random finds.
        precision: the same share among the 1 % ranked first.
        correlation: Spearman's, of ranking and risk. Chance in the estimated risks makes it smaller than it is.
        loss_auc: of the loss attack on one model, the mean. tail: the mean of ``tail_share``.
    """

    data: str
    model: str
    members: int
    models: int
    seed: int
    by: str
    exposed: float
    precision: Measured
    correlation: Measured
    loss_auc: float
    tail: float


@cache
def measured() -> tuple[Trust, ...]:
    """All that was measured."""
    text = files("memberwise.screening").joinpath("trust.json").read_text("utf-8")
    return tuple(from_plain(Trust, line) for line in json.loads(text)["measured"])


def trust_in(by: str) -> tuple[Trust, ...]:
    """What was measured of a way to rank."""
    return tuple(one for one in measured() if one.by == by)
