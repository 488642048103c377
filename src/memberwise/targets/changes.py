"""What asking about the same records again shows: noise, a new version, a coarser tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memberwise.targets.answer_store import Answer

# Answers that differ by less do so by the order of additions.
SAME = 1e-6


@dataclass(frozen=True)
class Changes:
    """Of so many records that were asked about again, how many were answered otherwise, and by how much at most.

    Attributes:
        largest: difference of a figure; None where labels are answered.
    """

    records: int
    changed: int
    largest: float | None = None

    def words(self) -> str:
        by = "" if self.largest is None else f", by up to {self.largest:.3g}"
        return f"{self.changed} of {self.records} records were answered otherwise{by}"


def compared(first: Sequence[Answer], again: Sequence[Answer]) -> Changes:
    """How two rounds of answers, ``(C,)`` figures or labels, about the same records differ."""
    differences = []
    for one, other in zip(first, again, strict=True):
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            with np.errstate(invalid="ignore"):
                gaps = np.where(one == other, 0.0, np.abs(one - other) / np.maximum(1.0, np.abs(one)))
            differences.append(float(np.nan_to_num(gaps, nan=np.inf).max()))
        elif isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
            differences.append(np.inf)  # coarser: no figure says by how much
        else:
            differences.append(0.0 if one == other else np.inf)
    changed = sum(gap > SAME for gap in differences)
    sizes = [gap for gap in differences if np.isfinite(gap)]
    return Changes(len(differences), changed, max(sizes) if sizes else None)
