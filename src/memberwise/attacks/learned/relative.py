"""A model's answers beside the shadow models', and beside its own about a population, at several temperatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from memberwise.attacks.learned.tempered import TEMPERATURES, Readings
from memberwise.types.arrays import Floats, Ints, Mask

# Figures of which centre and spread are taken.
FIGURES = ("phi 1", "phi 2", "height")
# A record's own spread counts as much as this many degrees of freedom of all records'.
DEGREES = 4.0
# Bins of the curve of a model's population answers over those of the shadow models.
BINS = 25
FAR, FARTHEST = 30.0, 60.0
TINY = 1e-9


@dataclass(frozen=True)
class Told:
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
class Shadows:
    """All that is told: by figure; and by temperature the logs of IN, OUT and population models' mean p_y."""

    told: dict[str, Told]
    log_in: dict[int, Floats]
    log_out: dict[int, Floats]
    log_population: dict[int, Floats]
    right_in: Floats
    right_out: Floats


@np.errstate(invalid="ignore")  # records without a model on a side
def told_by(
    answers: dict[str, Floats],
    population: dict[str, Floats],
    correct: Floats,
    inside: Mask,
    outside: Mask,
    rng: np.random.Generator,
) -> Shadows:
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

    told = {
        name: _told(values, inside[: len(values)], outside[: len(values)], population.get(name), half)
        for name, values in ((name, answers[name]) for name in FIGURES)
    }
    logs: list[dict[int, Floats]] = [{}, {}, {}]
    for temperature in TEMPERATURES:
        values = answers[f"p {temperature}"]
        logs[0][temperature] = log_mean(values, inside[: len(values)])
        logs[1][temperature] = log_mean(values, outside[: len(values)])
        if population:
            world = population[f"p {temperature}"]
            logs[2][temperature] = log_mean(world, half(world))
    return Shadows(told, logs[0], logs[1], logs[2], mean(correct, inside), mean(correct, outside))


def _told(
    values: Floats, inside: Mask, outside: Mask, population: Floats | None, half: Callable[[Floats], Mask]
) -> Told:
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
        world = (population - level) / width
        extra = (
            Bins.of(mean(population, half(population))),
            float(level.mean()),
            float(width.mean()),
            mean(units, inside),
            mean(units, outside),
            float(np.sqrt(world.var(0, ddof=1).mean())) + TINY,
        )
    all_in, all_out = _pooled(squares_in, free_in, between), _pooled(squares_out, free_out, between)
    return Told(
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


@np.errstate(invalid="ignore")
def features(
    x: Readings, z: Readings | None, correct: Floats, shadows: Shadows, members: float = 0.5
) -> dict[str, Floats]:
    """Features by name, each ``(n,)``: the same for a stand-in and for the target.

    Args:
        x: the model's readings of audited records. z: of population records, or None. correct: ``(n,)``.
        members: the share of members among audited records.

    At temperatures 1 and 2, in units of what chance does: z-values beside both sides, their gap, log ratios of p_y,
    LiRA's and BASE's; at 4 BASE's. With a population the same in units of the model's own population answers, and as a
    residual from the curve of those over the shadow models' means; what share of the shadow models' gap the residuals
    show over all records; the rank of the ratio among population records, as RMIA's. The like of the height. No
    absolute level of an answer is among them: that is what differs where models are trained otherwise.
    """
    columns: dict[str, Floats] = {}
    for temperature in TEMPERATURES:
        of_one = _beside_shadows(temperature, x, shadows)
        if z is not None:
            of_one |= _beside_own(temperature, x, z, shadows, members)
        columns |= {f"{name} at {temperature}": values for name, values in of_one.items()}
    told, height = shadows.told["height"], x["height"]
    columns |= {
        "height in z": _cut((height - told.inside) / told.between),
        "height out z": _cut((height - told.outside) / told.between),
        "right": correct,
        "right in": shadows.right_in,
        "right out": shadows.right_out,
    }
    if z is not None:
        v = (height - z["height"].mean()) / (z["height"].std() + TINY)
        residual, spread = beyond_curve(height, told.outside, z["height"], told.population)
        columns |= {
            "height own in": _cut((v - told.v_in) / told.v_between),
            "height own out": _cut((v - told.v_out) / told.v_between),
            "height own": _cut(v, 10),
            "height curve out": _cut(residual / spread),
        }
    return columns


def _beside_shadows(temperature: int, x: Readings, shadows: Shadows) -> dict[str, Floats]:
    """How the answer stands to the shadow models with and without the record."""
    log_p, log_in, log_out = x[f"p {temperature}"], shadows.log_in[temperature], shadows.log_out[temperature]
    columns = {"ratio p": _cut(log_p - np.logaddexp(log_in, log_out) + np.log(2))}
    name = f"phi {temperature}"
    if name not in FIGURES:
        return columns
    told, phi = shadows.told[name], x[name]
    columns |= {
        "p in": _cut(log_p - log_in),
        "p out": _cut(log_p - log_out),
        "in z": _cut((phi - told.inside) / told.spread_in),
        "out z": _cut((phi - told.outside) / told.spread_out),
        "gap z": _cut((told.inside - told.outside) / np.sqrt((told.spread_in**2 + told.spread_out**2) / 2)),
    }
    if temperature > 1:
        return columns
    return columns | {
        "ratio fixed": _cut(_ratio(phi, told, told.all_in, told.all_out), FARTHEST),
        "ratio shrunk": _cut(_ratio(phi, told, told.spread_in, told.spread_out), FARTHEST),
        "spread in": np.log(told.spread_in / told.between),
        "spread out": np.log(told.spread_out / told.between),
        "level out": (told.outside - told.level) / told.width,
    }


def _beside_own(temperature: int, x: Readings, z: Readings, shadows: Shadows, members: float) -> dict[str, Floats]:
    """How the answer stands to the model's own answers about records that nobody trained on."""
    ratios = np.sort(z[f"p {temperature}"] - shadows.log_population[temperature])
    rank = np.searchsorted(ratios, x[f"p {temperature}"] - shadows.log_out[temperature], side="right") / len(ratios)
    name = f"phi {temperature}"
    if name not in FIGURES:
        return {"rank": rank}
    told, phi, world = shadows.told[name], x[name], z[name]
    level, width = world.mean(), world.std() + TINY
    v = (phi - level) / width
    residual, spread = beyond_curve(phi, told.outside, world, told.population)
    gap = told.inside - told.outside
    share = _share_of_gap(residual, gap, members)
    columns = {
        "rank": rank,
        "own in": _cut((v - told.v_in) / told.v_between),
        "own out": _cut((v - told.v_out) / told.v_between),
        "curve out": _cut(residual / spread),
        "curve ratio": _cut(share * gap * (residual - share * gap / 2) / spread**2, FARTHEST),
    }
    if temperature > 1:
        linear = (told.v_in - told.v_out) * (v - (told.v_in + told.v_out) / 2) / told.v_between**2
        return columns | {
            "own linear": _cut(linear, FARTHEST),
            "curve gap": _cut(share * gap / spread),
            "curve share": _cut(residual / np.sqrt((share * gap) ** 2 + spread**2), 10),
        }
    everywhere = np.ones_like(phi)
    return columns | {
        "own": _cut(v, 10),
        "share": share * everywhere,
        "own width": np.log(width / told.width) * everywhere,
        "own level": (level - told.level) / told.width * everywhere,
    }


@dataclass(frozen=True)
class Bins:
    """Population records in bins of equal counts, by the shadow models' mean answer.

    Attributes:
        order: ``(z,)`` positions, ascending by it. starts: ``(b,)`` of each bin; counts, centre: ``(b,)``.
    """

    order: Ints
    starts: Ints
    counts: Ints
    centre: Floats

    @classmethod
    def of(cls, population: Floats) -> Bins:
        """Of the shadow models' means, ``(z,)``."""
        order = np.argsort(population, kind="stable")
        bins = min(BINS, max(1, len(order) // 4))
        starts = np.linspace(0, len(order), bins, endpoint=False).astype(np.int64)
        counts = np.diff(np.append(starts, len(order)))
        return cls(order, starts, counts, np.add.reduceat(population[order], starts) / counts)


def beyond_curve(x: Floats, outside: Floats, own: Floats, bins: Bins) -> tuple[Floats, Floats]:
    """``(n,)`` answers less what the model is expected to give a record it did not see, and how that spreads.

    Expected from the model's own population answers as a function of the shadow models': ``BINS`` bins of equal
    counts, smoothed, linear in between.

    Args:
        x, outside: ``(n,)`` the model's answers, and the OUT models' means. own: ``(z,)`` its population answers.
    """
    values, middle = own[bins.order], float(own.mean())
    level = np.add.reduceat(values, bins.starts) / bins.counts
    squares = np.add.reduceat((values - middle) ** 2, bins.starts) / bins.counts - (level - middle) ** 2
    level, spread = _smooth(level), _smooth(np.sqrt(np.maximum(squares, 0.0)))
    spread = np.maximum(spread, 0.1 * spread.mean() + TINY)
    return x - np.interp(outside, bins.centre, level), np.sqrt(np.interp(outside, bins.centre, spread) ** 2 + 1e-6)


def _smooth(values: Floats) -> Floats:
    return np.convolve(np.pad(values, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")


def _share_of_gap(residual: Floats, gap: Floats, members: float) -> float:
    """What share of the gap between shadow models the model's own members show, of so many among the records."""
    known = np.isfinite(residual) & np.isfinite(gap)
    squares = float((gap[known] ** 2).sum())
    return float(np.clip((residual[known] * gap[known]).sum() / max(members * squares, TINY), 0.1, 2.0))


def _ratio(phi: Floats, told: Told, spread_in: Floats | float, spread_out: Floats | float) -> Floats:
    def density(centre: Floats, spread: Floats | float) -> Floats:
        return np.asarray(-0.5 * ((phi - centre) / spread) ** 2 - np.log(spread))

    return density(told.inside, spread_in) - density(told.outside, spread_out)


def _cut(values: Floats, far: float = FAR) -> Floats:
    return np.clip(values, -far, far)


# Features that know the OUT models alone.
OFFLINE = frozenset(
    [
        f"{name} at {temperature}"
        for temperature in TEMPERATURES
        for name in ("p out", "out z", "spread out", "level out", "own out", "own", "curve out", "rank", "own width")
    ]
    + ["own level at 1", "height out z", "right", "right out", "height own out", "height own", "height curve out"]
)
