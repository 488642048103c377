"""Minus infinity among saved logits: a class that is ruled out, as masks in networks do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import DataError, Note
from memberwise.signals.read import RULED_OUT, SMALLEST, possible

# The log-probability of what is impossible: that of a saved probability of 0.
IMPOSSIBLE = float(np.log(SMALLEST["probabilities"]))


def possible_logits(values: NDArray[np.floating], where: str) -> NDArray[np.floating]:
    """``(m, n, q, C)`` logits with every class possible: one that is ruled out gets log p of a saved probability of 0.

    Raises:
        DataError: an answer that rules out every class.
    """
    out = values < RULED_OUT
    if not out.any():
        return values
    if (nothing := out.all(-1)).any():
        record = int(np.nonzero(nothing)[1][0])
        raise DataError(
            "logits rule out every class",
            expected="a finite logit in every answer",
            found=f"{int(nothing.sum())} answers of -inf alone, the first of record {record}",
            where=where,
        )
    return possible(values)


def possible_logs(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log-probabilities with what is impossible at that of a saved probability of 0, or as low as the lowest.

    Args:
        values: ``(..., C)``, which the result has too.
    """
    out = np.isneginf(values)
    if not out.any():
        return values
    lowest = min(IMPOSSIBLE, float(values[~out].min(initial=0.0)))
    return np.where(out, lowest, values).astype(values.dtype)


def ruled_out(values: NDArray[np.floating], where: str) -> tuple[Note, ...]:
    """A note where logits, as they were saved, rule classes out.

    Args:
        values: ``(..., C)`` logits. where: names the file and array.
    """
    if values.dtype.kind != "f":
        return ()
    # Half precision does not hold the number to compare with.
    count = int((np.isneginf(values) if values.dtype.itemsize < 4 else values < RULED_OUT).sum())
    if not count:
        return ()
    return (
        Note(
            "classes-ruled-out",
            f"{count:,} of {values.size:,} logits of {where} are -inf (or below {RULED_OUT:g}): these classes are "
            f"taken for impossible, with log p = {IMPOSSIBLE:.1f}, as a saved probability of 0",
        ),
    )
