"""Answers that come in steps (votes of trees or neighbours, rounded figures): what a 0 stands for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import Note
from memberwise.signals.read import SMALLEST
from memberwise.signals.streamed import each_answer, record_pieces, release
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Floats32, Ints

# Logarithms of what is left of a 0 by one minus a sum of shares, in single and in double precision.
RESIDUES = tuple((low * np.log(2.0), high * np.log(2.0)) for low, high in ((-27, -21), (-57, -49)))
SINGLE = RESIDUES[0][1]
# So few answers, one in so many, may lie below a step; so many times as many must lie in the decade above it.
STRAYS, RARE, ENOUGH = 9, 100_000, 5.5
# Answers are counted in bins of their logarithm; the last holds 1.
WIDTH, DECADE = 0.01, np.log(10.0)
# Relative error of a vote, and of a multiple of it, that single precision makes at most.
EVEN, NEAR = 1e-5, 1e-6
EDGES = np.arange(-7000, 2) * WIDTH


@dataclass(frozen=True)
class Step:
    """The smallest positive answer of models whose answers come in steps.

    Attributes:
        size: of the step, in (0, 1].
        zeros: share of all answers that are 0.
        even: it is one over a whole number (of votes), so that answers are multiples of it.
    """

    size: float
    zeros: float
    even: bool = False

    @property
    def floor(self) -> float:
        """What a 0 counts as in logarithms: half a step."""
        return self.size / 2


def find_step(*answers: Answers | None) -> Step | None:
    """The step in which these models answer, or None where their answers run on towards 0.

    A 0 of a forest says "less than one vote", and as a logarithm it would drown all else; a 0 of a model with a
    sigmoid is a genuinely small number that was rounded away. The answers tell which. If they ran on towards 0, about
    as many would lie in the decade below the smallest ones as in the decade above, on a log scale, and some far below
    it. They come in steps where there are zeros, some decade [s, 10 s) above what rounding makes of a 0 (5e-7) holds
    at least 50 answers and the one below it at most 9 (of a million answers, 55 and 10, and so on in proportion), and
    at most as many lie further down, rounded zeros apart. Where 50 were expected, 9 or fewer would be seen in less
    than one case of 1e10 (Poisson). The step is then the smallest positive answer, rounded zeros apart.

    Counted are p_y, 1 - p_y and the full answers of all models together, whatever they are: one step for the target
    and the shadow models, without a need to know of what kind they are.

    Args:
        answers: of the target and the shadow models, about whatever they were asked; answered labels are passed over.
    """
    counts, zeros, smallest = np.zeros(len(EDGES) - 1, np.int64), 0, 0.0
    for part in answers:
        for logs, least in () if part is None else _logs(part):
            shown = logs[logs > least]
            zeros += logs.size - shown.size
            counts += np.histogram(np.maximum(shown, EDGES[0]), EDGES)[0]
            smallest = min(smallest, float(shown.min(initial=0.0, where=shown > SINGLE)))
    total = zeros + int(counts.sum())
    strays = max(STRAYS, total // RARE)
    rounded = sum(_between(counts, low, high) for low, high in RESIDUES)
    further = _between(counts, EDGES[0], SINGLE) - rounded
    if (not zeros and rounded <= strays) or further > strays:
        return None
    above = np.where(EDGES[:-1] > SINGLE, counts, 0).cumsum()
    low = EDGES[np.searchsorted(above, strays, side="right")] if above[-1] > strays else -np.inf
    if low - DECADE <= SINGLE or _between(counts, low, low + DECADE) < ENOUGH * strays:
        return None
    size = float(np.exp(smallest))
    votes = round(1 / size)
    even = abs(1 / size - votes) < EVEN * votes and size > 100 * NEAR
    return Step(1 / votes if even else size, (zeros + rounded) / total, even)


def lift_zeros(signals: Signals) -> tuple[Signals, Step | None]:
    """The table with zeros of probabilities and scores counted as half a step, where the answers come in steps."""
    auxiliary = signals.beside
    step = find_step(
        *(signals.target, signals.shadows, signals.population_target, signals.population_shadows),
        None if auxiliary is None else auxiliary.answers,
    )
    return with_step(signals, step), step


def with_step(signals: Signals, step: Step | None) -> Signals:
    """The same, of answers whose step is known; None: they have none."""
    auxiliary, early = signals.beside, signals.early
    if step is None:
        return signals
    return replace(
        signals,
        target=_lifted(signals.target, step),
        shadows=_lifted(signals.shadows, step),
        population_target=_lifted(signals.population_target, step),
        population_shadows=_lifted(signals.population_shadows, step),
        beside=None if auxiliary is None else replace(auxiliary, answers=_lifted(auxiliary.answers, step)),
        early=None if early is None else early.each(lambda answers: _lifted(answers, step)),
    )


def step_notes(step: Step | None) -> list[Note]:
    """What the report says of it."""
    if step is None:
        return []
    return [
        Note(
            "answers-in-steps",
            f"answers come in steps: the smallest but 0 that the target or a shadow model gives is {step.size:.3g}. "
            f"A 0 ({step.zeros:.1%} of all answers) counts as half of it, {step.floor:.3g}, in logarithms, for the "
            "target and the shadow models alike",
        )
    ]


def tiny(log_p: Floats32, weights: Floats) -> Floats:
    """``(m, 2)``: weighted share of the answers ``(m, n)`` that may be zeros, and their part of the mean loss."""
    small = weights * (log_p <= SINGLE)
    loss = np.where(small > 0, -log_p.astype(np.float64), 0.0)
    return np.asarray(np.stack([small.sum(1), (small * loss).sum(1)], 1) / weights.sum(1).clip(1e-300)[:, None])


def lifted_loss(loss: float, tiny: Floats, step: Step | None) -> float:
    """A mean loss with its zeros counted as half a step; ``tiny``: ``(2,)`` of this model, see the function."""
    return loss if step is None else float(loss - tiny[1] - tiny[0] * np.log(step.floor))


def _logs(answers: Answers) -> Iterator[tuple[NDArray[np.floating], float]]:
    """Log-probabilities, a part at a time, and what a 0 is among them at most."""
    if answers.kind == "labels":
        return
    least = np.log(SMALLEST[answers.kind]) + WIDTH if answers.kind in SMALLEST else -np.inf
    for side in (answers.log_p, answers.log_1mp):
        for part in record_pieces(side):
            for logs in side[:, part]:
                yield logs.ravel(), float(least)
            release(side)
    if answers.kind in SMALLEST and answers.vectors is not None:
        for vectors in answers.vectors:
            yield np.log(np.maximum(vectors, SMALLEST[answers.kind])).ravel(), float(least)


def _between(counts: Ints, low: float, high: float) -> int:
    """Answers with logarithms from ``low`` to ``high``, as near as the bins have it."""
    first, last = np.searchsorted(EDGES, [low - WIDTH / 2, high + WIDTH / 2])
    return int(counts[first:last].sum())


@overload
def _lifted(answers: Answers, step: Step) -> Answers: ...
@overload
def _lifted(answers: None, step: Step) -> None: ...
@overload
def _lifted(answers: Answers | None, step: Step) -> Answers | None: ...


def _lifted(answers: Answers | None, step: Step) -> Answers | None:
    if answers is None or answers.kind not in SMALLEST:
        return answers
    vectors = answers.vectors
    if step.even and vectors is not None:
        vectors = np.stack([_whole_votes(part.astype(np.float64), step).astype(vectors.dtype) for part in vectors])
    log_p, log_1mp = _lifted_logs(answers.log_p, step), _lifted_logs(answers.log_1mp, step)
    tempered = answers.tempered
    if tempered:  # as at temperature 1, p_y and the sum over the other classes count as half a step at least
        moved = (log_p - answers.log_p) - (log_1mp - answers.log_1mp)
        tempered = {t: (phi + moved / t).astype(np.float32) for t, phi in tempered.items()}
    return replace(
        answers,
        log_p=log_p,
        log_1mp=log_1mp,
        tempered=tempered,
        vectors=vectors,
        floor=step.floor,
        saturated=0.0,
    )


def _lifted_logs(logs: Floats32, step: Step) -> Floats32:
    def lift(part: Floats32) -> Floats32:
        lifted = np.maximum(part, np.float32(np.log(step.floor)))
        if step.even:
            for one in lifted:  # a model at a time: in float64 all would take twice the memory
                one[...] = np.log(_whole_votes(np.exp(one.astype(np.float64)), step))
        return lifted

    return each_answer(lift, logs)


def _whole_votes(p: Floats, step: Step) -> Floats:
    """Multiples of the step that rounding has moved, put back: 0.6 and 1 - 0.4 are one answer, not two."""
    whole = np.round(p / step.size) * step.size
    return np.where(np.abs(p - whole) < NEAR, whole, p)
