"""Statistics over the shadow models that are IN, or OUT, for each record, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from memberwise.signals.once import once_for
from memberwise.signals.streamed import of_block, release
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Ints, Mask

CHUNK_VALUES = 2_000_000
# After so many chunks, mapped answers let go of the memory that reading them took.
RELEASED = 8
# Where not all shadow models are read, at least so many are.
FEWEST_READ = 32


@dataclass(frozen=True)
class Moments:
    """Of the scaled logit phi over one side's models: how many, mean, and sum of squared residuals.

    ``count`` is ``(n, 1)``, ``mean`` (NaN without a model) and ``squares`` are ``(n, q)``.
    """

    count: Floats
    mean: Floats
    squares: Floats


@once_for("shadows", "trained_on")
def in_moments(signals: Signals) -> Moments:
    """``Moments`` over the IN models of each record; computed once for the models."""
    return moments(shadows_of(signals.shadows), signals.is_in)


@once_for("shadows", "trained_on")
def out_moments(signals: Signals) -> Moments:
    """``Moments`` over the OUT models of each record; computed once for the models."""
    return moments(shadows_of(signals.shadows), signals.is_out)


@once_for("shadows", "trained_on")
def log_mean_in(signals: Signals, temperature: float = 1.0) -> Floats:
    """``(n, q)`` ``log_mean_p`` over the IN models of each record; computed once for the models."""
    return log_mean_p(shadows_of(signals.shadows), signals.is_in, temperature)


@once_for("shadows", "trained_on")
def log_mean_out(signals: Signals, temperature: float = 1.0) -> Floats:
    """``(n, q)`` ``log_mean_p`` over the OUT models of each record; computed once for the models."""
    return log_mean_p(shadows_of(signals.shadows), signals.is_out, temperature)


def log_mean_both(signals: Signals, temperature: float = 1.0) -> Floats:
    """``(n, q)``: log of the mean of the IN models' and of the OUT models' mean p_y; NaN without a model of a side."""
    both = np.stack([log_mean_in(signals, temperature), log_mean_out(signals, temperature)])
    return log_mix(both, np.full((2, 1, 1), 0.5))


def has_both_sides(signals: Signals) -> bool:
    """Whether some record has an IN and an OUT model; attacks with two forms then take the online one for all."""
    return bool((signals.is_in.any(0) & signals.is_out.any(0)).any())


def moments(shadows: Answers, side: Mask) -> Moments:
    """``Moments`` over the models of one side, ``(m, n)``; float64, two passes."""
    count = side.sum(0)[:, None].astype(np.float64)
    mean, squares = np.full(shadows.log_p.shape[1:], np.nan), np.zeros(shadows.log_p.shape[1:])
    for part in record_blocks(shadows):
        phi = of_block(shadows.log_p, part).astype(np.float64) - of_block(shadows.log_1mp, part)
        use = side[:, part, None]
        np.divide(phi.sum(0, where=use), count[part], out=mean[part], where=count[part] > 0)
        squares[part] = np.square(phi - mean[part]).sum(0, where=use)
    return Moments(count, mean, squares)


def log_mean_p(shadows: Answers, side: Mask, temperature: float = 1.0) -> Floats:
    """``(n, q)``: log of the mean p_y over the models of one side, ``(m, n)``; NaN without a model.

    Args:
        temperature: at which p_y is taken; 1, or kept in the answers.
    """
    count = side.sum(0)
    each = np.where(count > 0, count, np.nan)
    result = np.empty(shadows.log_p.shape[1:])
    for part in record_blocks(shadows):
        weights = side[:, part, None] / each[part, None]
        if temperature == 1:
            result[part] = log_mix(of_block(shadows.log_p, part).astype(np.float64), weights)
        else:
            result[part] = _log_mix_of_phi(of_block(shadows.tempered[temperature], part).astype(np.float64), weights)
    return result


def log_mix(logs: Floats, weights: Floats) -> Floats:
    """Log of the weighted mean of exp(logs) over the first axis; the weights broadcast and sum to 1.

    Exact to relative precision both where the mean is close to 1 (log1p) and where it is 1e-300 (logsumexp).

    Args:
        logs: ``(m, ...)`` log probabilities. weights: non-negative, ``(m, ...)`` or what broadcasts to it.

    Returns:
        ``(...,)`` logs.
    """
    short = (weights * np.expm1(logs)).sum(0)
    return _log_one_plus(short, weights, lambda small: logs[:, small], logs.shape)


def _log_mix_of_phi(phi: Floats, weights: Floats) -> Floats:
    """``log_mix`` of log p = -log(1 + exp(-phi)); most records need no logarithm of each."""
    short = -(weights * expit(-phi)).sum(0)
    return _log_one_plus(short, weights, lambda small: -np.logaddexp(0.0, -phi[:, small]), phi.shape)


def _log_one_plus(short: Floats, weights: Floats, logs_of: Callable[[Mask], Floats], shape: tuple[int, ...]) -> Floats:
    """Log of 1 + ``short``, the weighted mean of p - 1; where it is small, by logsumexp of the logs."""
    result = np.log1p(np.maximum(short, -0.5))
    small = short < -0.5
    if small.any():
        result[small] = logsumexp(logs_of(small), axis=0, b=np.broadcast_to(weights, shape)[:, small])
    return np.asarray(result)


def record_blocks(answers: Answers) -> Iterator[slice]:
    """Slices of records such that a block over all models and queries stays small, of mapped answers too."""
    step = max(1, CHUNK_VALUES // max(1, answers.models * answers.queries))
    for number, start in enumerate(range(0, answers.records, step), 1):
        yield slice(start, start + step)
        if number % RELEASED == 0:
            release(answers.log_p, answers.log_1mp, answers.correct, *answers.tempered.values())
    release(answers.log_p, answers.log_1mp, answers.correct, *answers.tempered.values())


def mean_phi(answers: Answers) -> Floats:
    """``(m, n)`` float64: the scaled logit phi, its mean over queries, in bounded memory beside the result."""
    result = np.empty(answers.log_p.shape[:2])
    for part in record_blocks(answers):
        result[:, part] = (of_block(answers.log_p, part).astype(np.float64) - of_block(answers.log_1mp, part)).mean(2)
    return result


def first_models(signals: Signals, most: int) -> Signals:
    """The table with its first shadow models alone, pairs whole, where all give more than ``most`` answers."""
    models = max(FEWEST_READ, most // max(signals.records, 1) // 2 * 2)
    return signals if len(signals.trained_on) <= models else signals.of_models(np.arange(models))


def shadows_of(answers: Answers | None) -> Answers:
    """The shadow models' answers, which the attack's needs promise."""
    if answers is None:
        raise ValueError("the shadow models' answers are not in the table")
    return answers


def training_table(signals: Signals) -> tuple[Answers, Ints, NDArray[np.int8]]:
    """Answers ``(m, r, q)``, labels ``(r,)`` and ``trained_on`` ``(m, r)`` to learn from.

    The audited records, where shadow models trained on some of them; else the auxiliary records they trained on.
    """
    if signals.beside is not None and not has_both_sides(signals):
        return signals.beside.answers, signals.beside.labels, signals.beside.trained_on
    return shadows_of(signals.shadows), signals.labels, signals.trained_on
