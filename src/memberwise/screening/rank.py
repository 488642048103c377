"""The ranking of records, the signs of a leak in one model's losses, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from memberwise.report.formats import percent, rate, spoken
from memberwise.screening.schema import Advice, Ranking, Signs
from memberwise.statistics import auc
from memberwise.statistics.screening import ranked_from_highest, tail_share
from memberwise.training.trace import QUANTILES
from memberwise.types.arrays import Array, Floats, Ints, Mask


@dataclass(frozen=True)
class Trained:
    """Records that the target trained on.

    Attributes:
        rows, labels: ``(n,)`` row numbers and class numbers. loss: ``(n,)`` at the end (of records that are not
            audited: in the last epoch), in nats.
        loss_range: ``(n,)`` interquartile range over epochs (LT-IQR, arXiv:2411.05743); None without a trace.
    """

    rows: Ints
    labels: Ints
    loss: Floats
    loss_range: Floats | None = None

    @classmethod
    def of_trace(cls, rows: Ints, labels: Ints, trace: Array) -> Trained:
        """From quantiles over epochs and the last losses.

        Args:
            rows, labels: ``(n,)``. trace: ``(len(QUANTILES) + 1, n)``, the last losses behind the quantiles.
        """
        values = trace.astype(np.float64)
        return cls(rows, labels, values[-1], values[QUANTILES.index(0.75)] - values[QUANTILES.index(0.25)])

    def ending(self, rows: Ints, losses: Floats) -> Trained:
        """The same with these losses ``(k,)`` at the end for the records at ``rows``, ``(k,)`` row numbers."""
        order = np.argsort(rows)
        place = order[np.searchsorted(rows, self.rows, sorter=order).clip(max=len(rows) - 1)]
        return replace(self, loss=np.where(rows[place] == self.rows, losses[place], self.loss))

    @property
    def risk(self) -> Floats:
        """``(n,)`` what ranks them, higher = more at risk."""
        return self.loss if self.loss_range is None else self.loss_range


def ranked(trained: Trained, class_names: Sequence[str]) -> pd.DataFrame:
    """``screen.csv``: a row a record, the most at risk first."""
    empty = np.full(len(trained.rows), np.nan)
    table = pd.DataFrame(
        {
            "rank": ranked_from_highest(trained.risk),
            "index": trained.rows,
            "label": np.asarray(class_names)[trained.labels],
            "loss_range": empty if trained.loss_range is None else trained.loss_range,
            "loss": trained.loss,
        }
    )
    return table.sort_values("rank", ignore_index=True)


def ranking_of(trained: Trained, epochs: tuple[int, ...]) -> Ranking:
    """How they are ranked; ``epochs``: that were looked at."""
    return Ranking(by="loss" if trained.loss_range is None else "lt-iqr", records=len(trained.rows), epochs=epochs)


def signs_of(losses: Floats, member: Mask, confidence: float) -> Signs:
    """What one model's losses show.

    Args:
        losses: ``(n,)`` in nats, lower = more likely a member. member: ``(n,)``.
    """
    return Signs(auc=auc(-losses, member, confidence), tail=tail_share(losses, member, confidence=confidence))


def advice(signs: Signs, confidence: float) -> Advice:
    """A full audit is worth it where a figure's whole interval is above what a model without memory has."""
    reasons, words = [], f"{rate(confidence)} interval"
    if (signs.auc.low or 0.0) > 0.5:
        reasons.append(f"the loss attack alone has an AUC of {spoken(signs.auc, 'number', words)}")
    if (signs.tail.low or 0.0) > signs.tail.missed:
        reasons.append(
            f"{spoken(signs.tail, 'share', words)} of the non-members have a loss that all but "
            f"{percent(signs.tail.missed)} of the members are below"
        )
    if reasons:
        text = " and ".join(reasons)
        return Advice(audit="yes", reason=f"{text[0].upper()}{text[1:]}: attacks with shadow models find more.")
    return Advice(
        audit="no sign",
        reason="One model's losses on members and non-members are not told apart. That is no proof: attacks with "
        "shadow models find single records where the average shows nothing.",
    )
