"""A model's answers beside the shadow models', and beside its own about a population, at several temperatures."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.learned.curve import TINY, beyond_curve, share_of_gap
from memberwise.attacks.learned.summaries import FIGURES, Summaries, Summary
from memberwise.attacks.learned.tempered import TEMPERATURES, Readings
from memberwise.types.arrays import Floats

FAR, FARTHEST = 30.0, 60.0


@np.errstate(invalid="ignore")
def features(
    x: Readings, z: Readings | None, correct: Floats, shadows: Summaries, members: float = 0.5
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
    summary, height = shadows.figures["height"], x["height"]
    columns |= {
        "height in z": _cut((height - summary.inside) / summary.between),
        "height out z": _cut((height - summary.outside) / summary.between),
        "right": correct,
        "right in": shadows.right_in,
        "right out": shadows.right_out,
    }
    if z is not None:
        v = (height - z["height"].mean()) / (z["height"].std() + TINY)
        residual, spread = beyond_curve(height, summary.outside, z["height"], summary.population)
        columns |= {
            "height own in": _cut((v - summary.v_in) / summary.v_between),
            "height own out": _cut((v - summary.v_out) / summary.v_between),
            "height own": _cut(v, 10),
            "height curve out": _cut(residual / spread),
        }
    return columns


def _beside_shadows(temperature: int, x: Readings, shadows: Summaries) -> dict[str, Floats]:
    """How the answer stands to the shadow models with and without the record."""
    log_p, log_in, log_out = x[f"p {temperature}"], shadows.log_in[temperature], shadows.log_out[temperature]
    columns = {"ratio p": _cut(log_p - np.logaddexp(log_in, log_out) + np.log(2))}
    name = f"phi {temperature}"
    if name not in FIGURES:
        return columns
    summary, phi = shadows.figures[name], x[name]
    columns |= {
        "p in": _cut(log_p - log_in),
        "p out": _cut(log_p - log_out),
        "in z": _cut((phi - summary.inside) / summary.spread_in),
        "out z": _cut((phi - summary.outside) / summary.spread_out),
        "gap z": _cut((summary.inside - summary.outside) / np.sqrt((summary.spread_in**2 + summary.spread_out**2) / 2)),
    }
    if temperature > 1:
        return columns
    return columns | {
        "ratio fixed": _cut(_ratio(phi, summary, summary.all_in, summary.all_out), FARTHEST),
        "ratio shrunk": _cut(_ratio(phi, summary, summary.spread_in, summary.spread_out), FARTHEST),
        "spread in": np.log(summary.spread_in / summary.between),
        "spread out": np.log(summary.spread_out / summary.between),
        "level out": (summary.outside - summary.level) / summary.width,
    }


def _beside_own(temperature: int, x: Readings, z: Readings, shadows: Summaries, members: float) -> dict[str, Floats]:
    """How the answer stands to the model's own answers about records that nobody trained on."""
    ratios = np.sort(z[f"p {temperature}"] - shadows.log_population[temperature])
    rank = np.searchsorted(ratios, x[f"p {temperature}"] - shadows.log_out[temperature], side="right") / len(ratios)
    name = f"phi {temperature}"
    if name not in FIGURES:
        return {"rank": rank}
    summary, phi, population = shadows.figures[name], x[name], z[name]
    level, width = population.mean(), population.std() + TINY
    v = (phi - level) / width
    residual, spread = beyond_curve(phi, summary.outside, population, summary.population)
    gap = summary.inside - summary.outside
    share = share_of_gap(residual, gap, members)
    columns = {
        "rank": rank,
        "own in": _cut((v - summary.v_in) / summary.v_between),
        "own out": _cut((v - summary.v_out) / summary.v_between),
        "curve out": _cut(residual / spread),
        "curve ratio": _cut(share * gap * (residual - share * gap / 2) / spread**2, FARTHEST),
    }
    if temperature > 1:
        linear = (summary.v_in - summary.v_out) * (v - (summary.v_in + summary.v_out) / 2) / summary.v_between**2
        return columns | {
            "own linear": _cut(linear, FARTHEST),
            "curve gap": _cut(share * gap / spread),
            "curve share": _cut(residual / np.sqrt((share * gap) ** 2 + spread**2), 10),
        }
    everywhere = np.ones_like(phi)
    return columns | {
        "own": _cut(v, 10),
        "share": share * everywhere,
        "own width": np.log(width / summary.width) * everywhere,
        "own level": (level - summary.level) / summary.width * everywhere,
    }


def _ratio(phi: Floats, summary: Summary, spread_in: Floats | float, spread_out: Floats | float) -> Floats:
    def density(centre: Floats, spread: Floats | float) -> Floats:
        return np.asarray(-0.5 * ((phi - centre) / spread) ** 2 - np.log(spread))

    return density(summary.inside, spread_in) - density(summary.outside, spread_out)


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
