"""What shadow models answer about each record, with it and without, and about a population: centres and spreads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from memberwise.attacks.learned.curve import TINY, Bins
from memberwise.attacks.learned.tempered import TEMPERATURES
from memberwise.types.arrays import Floats, Mask

# Figures of which centre and spread are taken.
FIGURES = ("phi 1", "phi 2", "height")
# A record's own spread counts as much as this many degrees of freedom of all records'.
DEGREES = 4.0


@dataclass(frozen=True)
class Summary:
    """What the shadow models tell of one figure.

    Attributes:
        inside, outside: ``(n,)`` means over IN and OUT models; NaN without one.
        spread_in, spread_out: ``(n,)`` each record's, drawn towards the one of all records (``all_in``, ``all_out``).
        between: spread between models of population answers, else between OUT models.
        population: in bins of the mean over as many models as a record has on a side; empty without a population.
        level, width: mean over models of the mean and spread of population answers.
        v_in, v_out: ``(n,)`` means of answers in units of each model's own population answers; v_between: as between.
    """

    inside: Floats
    outside: Floats
    spread_in: Floats
    spread_out: Floats
    all_in: float
    all_out: float
    between: float
    population: Bins
    level: float
    width: float
    v_in: Floats
    v_out: Floats
    v_between: float


@dataclass(frozen=True)
class Summaries:
    """All that they tell: by figure; and by temperature the logs of IN, OUT and population models' mean p_y."""

    figures: dict[str, Summary]
    log_in: dict[int, Floats]
    log_out: dict[int, Floats]
    log_population: dict[int, Floats]
    right_in: Floats
    right_out: Floats


@np.errstate(invalid="ignore")  # records without a model on a side
def summarise(
    answers: dict[str, Floats],
    population: dict[str, Floats],
    correct: Floats,
    inside: Mask,
    outside: Mask,
    rng: np.random.Generator,
) -> Summaries:
    """From the shadow models' readings.

    Args:
        answers: by figure (and "p T") ``(j, n)`` of the first ``j`` models each. population: ``(j, z)``, or empty.
        correct: ``(m, n)``. inside, outside: ``(m, n)``: the model trained, or did not train, on the record.
        rng: draws which half of the models stands for each population record.
    """
    draws: dict[int, Mask] = {}

    def half(values: Floats) -> Mask:
        if len(values) not in draws:
            draws[len(values)] = rng.random(values.shape).argsort(0) < max(len(values) // 2, 1)
        return draws[len(values)]

    figures = {
        name: _summary(values, inside[: len(values)], outside[: len(values)], population.get(name), half)
        for name, values in ((name, answers[name]) for name in FIGURES)
    }
    logs: list[dict[int, Floats]] = [{}, {}, {}]
    for temperature in TEMPERATURES:
        values = answers[f"p {temperature}"]
        logs[0][temperature] = log_mean(values, inside[: len(values)])
        logs[1][temperature] = log_mean(values, outside[: len(values)])
        if population:
            logs_p = population[f"p {temperature}"]
            logs[2][temperature] = log_mean(logs_p, half(logs_p))
    return Summaries(figures, logs[0], logs[1], logs[2], mean(correct, inside), mean(correct, outside))


def _summary(
    values: Floats, inside: Mask, outside: Mask, population: Floats | None, half: Callable[[Floats], Mask]
) -> Summary:
    centre_in, centre_out = mean(values, inside), mean(values, outside)
    squares_in, squares_out = (
        np.where(side, (values - centre) ** 2, 0.0).sum(0)
        for side, centre in ((inside, centre_in), (outside, centre_out))
    )
    free_in, free_out = (np.maximum(side.sum(0) - 1, 0) for side in (inside, outside))
    if population is None:
        between = _pooled(squares_out, free_out, float(np.nanstd(centre_out)))
        none = np.zeros(0, np.int64)
        unknown = np.full_like(centre_in, np.nan)
        extra = (Bins(none, none, none, np.zeros(0)), 0.0, 1.0, unknown, unknown, 1.0)
    else:
        between = float(np.sqrt(population.var(0, ddof=1).mean())) + TINY
        level, width = population.mean(1, keepdims=True), population.std(1, keepdims=True) + TINY
        units = (values - level) / width
        population_units = (population - level) / width
        extra = (
            Bins.of(mean(population, half(population))),
            float(level.mean()),
            float(width.mean()),
            mean(units, inside),
            mean(units, outside),
            float(np.sqrt(population_units.var(0, ddof=1).mean())) + TINY,
        )
    all_in, all_out = _pooled(squares_in, free_in, between), _pooled(squares_out, free_out, between)
    return Summary(
        centre_in,
        centre_out,
        np.sqrt((squares_in + DEGREES * all_in**2) / (free_in + DEGREES)),
        np.sqrt((squares_out + DEGREES * all_out**2) / (free_out + DEGREES)),
        all_in,
        all_out,
        between,
        *extra,
    )


def _pooled(squares: Floats, free: Floats, otherwise: float) -> float:
    return float(np.sqrt(squares.sum() / free.sum())) + TINY if free.sum() else otherwise + TINY


def mean(values: Floats, use: Mask) -> Floats:
    """``(n,)`` means of ``(m, n)`` values over the models used; NaN without one."""
    count = use.sum(0)
    return np.asarray(np.where(use, values, 0.0).sum(0) / np.where(count, count, np.nan))


def log_mean(logs: Floats, use: Mask) -> Floats:
    """``(n,)`` logs of the mean of exp(logs), ``(m, n)``, over the models used; NaN without one."""
    count = use.sum(0)
    some = np.where(count, count, np.nan)
    if not len(logs):
        return np.full(logs.shape[1], np.nan)
    return np.asarray(logsumexp(logs, axis=0, b=use / some))
