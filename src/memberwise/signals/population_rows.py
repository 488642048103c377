"""Population records as rows of the table of signals: known non-members of the target, scored like audited records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.table import Answers, Signals


def with_population_rows(
    signals: Signals, rng: np.random.Generator, most: int
) -> tuple[Signals, NDArray[np.intp]] | None:
    """The table with population records below the audited ones, and the positions of these in the old table.

    Each gets as OUT models those of an audited record drawn at random, -1 for the others, so that it has as many as an
    audited record that nobody trained on; a shadow model that saw it is left out too. It has no IN models: attacks
    which need some cannot score it.

    Args:
        most: of either kind of records; beyond it a random sample is taken.

    Returns:
        The table and ``(n,)`` positions; None where the answers on population records are missing, or were asked for
        with other queries.
    """
    target, shadows = signals.population_target, signals.population_shadows
    if target is None or signals.population_labels is None or (signals.shadows is not None and shadows is None):
        return None
    if target.queries != signals.target.queries:
        return None  # a mean over other queries is another score
    audited, rows = (_sample(n, most, rng) for n in (signals.records, target.records))
    part = signals.of_records(audited)
    like = rng.integers(part.records, size=len(rows))
    trained_on = np.where(part.trained_on[:, like] == 0, 0, -1).astype(np.int8)
    if signals.population_trained_on is not None:
        trained_on[signals.population_trained_on[:, rows] != 0] = -1
    table = replace(
        part,
        index=np.concatenate([part.index, -1 - np.arange(len(rows))]),
        labels=np.concatenate([part.labels, signals.population_labels[rows]]),
        target=_joined(part.target, target.of_records(rows)),
        shadows=None if part.shadows is None or shadows is None else _joined(part.shadows, shadows.of_records(rows)),
        trained_on=np.concatenate([part.trained_on, trained_on], 1),
        groups=None,
        known=None,
        features=None,
        rounds=(),
    )
    return table, audited


def _sample(n: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _joined(first: Answers, second: Answers) -> Answers:
    """Answers about the records of both."""
    vectors = None
    if first.vectors is not None and second.vectors is not None:
        models = min(len(first.vectors), len(second.vectors))
        vectors = np.concatenate([first.vectors[:models], second.vectors[:models]], 1)
    return replace(
        first,
        log_p=np.concatenate([first.log_p, second.log_p], 1),
        log_1mp=np.concatenate([first.log_1mp, second.log_1mp], 1),
        correct=np.concatenate([first.correct, second.correct], 1),
        vectors=vectors,
        extra={},
        tempered={
            temperature: np.concatenate([phi, second.tempered[temperature]], 1)
            for temperature, phi in first.tempered.items()
            if temperature in second.tempered
        },
    )
