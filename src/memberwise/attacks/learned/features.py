"""What a record looks like to the learned attack: one model's answer beside those of models with and without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from memberwise.attacks.bavaria import Prior, pooled_prior, predictive
from memberwise.attacks.in_out import Moments, log_mean_p, log_mix, moments, shadows_of
from memberwise.attacks.learned.drift import Drift
from memberwise.attacks.lira import log_density, spread
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Ints, Mask

Columns = dict[str, Floats]


@dataclass(frozen=True)
class Side:
    """The shadow models on one side of each record, IN or OUT.

    Attributes:
        moments: of the scaled logit phi; prior: on its mean and variance, fitted to all records.
        spread: ``(n, q)``, each record's, drawn towards the one of all records.
        log_p, log_1mp: ``(n, q)`` logs of the mean p_y and of the mean 1 - p_y.
        correct: ``(n,)`` share of right answers.
    """

    moments: Moments
    prior: Prior
    spread: Floats
    log_p: Floats
    log_1mp: Floats
    correct: Floats


@dataclass(frozen=True)
class Statistics:
    """All that is told of the shadow models: ``inside`` and ``drift`` are None where only OUT models may be used."""

    in_moments: Side | None
    out_moments: Side
    drift: Drift | None
    labels: Ints


def statistics(signals: Signals, offline: bool) -> Statistics | None:
    """The statistics of a table's shadow models; None where no record has two models on a side that is needed."""
    shadows = shadows_of(signals.shadows)
    out_moments = _side(shadows, signals.is_out)
    if offline:
        return None if out_moments is None else Statistics(None, out_moments, None, signals.labels)
    in_moments = _side(shadows, signals.is_in)
    if in_moments is None or out_moments is None:
        return None
    mean_in, mean_out = in_moments.moments.mean.mean(-1), out_moments.moments.mean.mean(-1)
    typical = np.sqrt((in_moments.spread**2 + out_moments.spread**2) / 2).mean(-1)
    drift = Drift.of(shadows, signals.trained_on, mean_in, mean_out, typical)
    return Statistics(in_moments, out_moments, drift, signals.labels)


def _side(shadows: Answers, use: Mask) -> Side | None:
    summary = moments(shadows, use)
    prior = pooled_prior(summary)
    if prior is None:
        return None
    complement = Answers(shadows.log_1mp, shadows.log_p, shadows.correct)
    right = sum((answers.mean(-1) * used for answers, used in zip(shadows.correct, use, strict=True)), start=0.0)
    count = np.where(use.any(0), use.sum(0), np.nan)
    return Side(
        summary,
        prior,
        spread(summary, "shrunk"),
        log_mean_p(shadows, use),
        log_mean_p(complement, use),
        np.asarray(right / count, np.float64),
    )


def features(answers: Answers, shadow_stats: Statistics) -> Columns:
    """Features by name, each ``(n,)``, of one model's ``answers``: the same for a stand-in and for the target.

    Per query, then averaged: the answer, the centres and shrunk spreads of both sides and their differences, and log
    ratios: Gaussian with one spread for all records and with each record's shrunk one, Student's t with the prior
    fitted to all records, and p_y (and 1 - p_y) against the shadow models' mean. With several queries also how far
    they agree. Beside them the answer without its drift, how often
    shadow models are right, and means over the class.
    """
    phi = answers.phi[0]
    logs = answers.log_p[0].astype(np.float64), answers.log_1mp[0].astype(np.float64)
    columns: Columns = {"phi": phi, "log p": logs[0]}
    columns |= {f"out {name}": values for name, values in _against(phi, *logs, shadow_stats.out_moments).items()}
    if shadow_stats.in_moments is not None:
        columns |= {f"in {name}": values for name, values in _against(phi, *logs, shadow_stats.in_moments).items()}
        columns |= _between(columns, phi, *logs, shadow_stats.in_moments, shadow_stats.out_moments)
    flat = {name: values.mean(-1) for name, values in columns.items()}
    if phi.shape[1] > 1:
        main = columns["ratio t" if shadow_stats.in_moments is not None else "out z"]
        flat |= {"least": main.min(-1), "most": main.max(-1), "phi spread": phi.std(-1), "phi least": phi.min(-1)}
    if shadow_stats.drift is not None:
        flat |= _without_drift(flat["phi"], expit(flat["ratio t"]), shadow_stats.drift)
    flat["correct"] = answers.correct[0].mean(-1)
    for name, side in (("out", shadow_stats.out_moments), ("in", shadow_stats.in_moments)):
        if side is not None:
            flat[f"{name} correct"] = side.correct
    for name in ("phi", "out centre", "gap"):
        if name in flat:
            flat[f"class {name}"] = class_means(flat[name], shadow_stats.labels)
    return flat


def _against(phi: Floats, log_p: Floats, log_1mp: Floats, side: Side) -> Columns:
    """How the answer stands to one side, each ``(n, q)``."""
    return {
        "centre": side.moments.mean,
        "spread": side.spread,
        "distance": phi - side.moments.mean,
        "z": (phi - side.moments.mean) / side.spread,
        "t": predictive(side.moments, side.prior).log_density(phi),
        "p": log_p - side.log_p,
        "1 - p": log_1mp - side.log_1mp,
    }


def _between(
    columns: Columns,
    phi: Floats,
    log_p: Floats,
    log_1mp: Floats,
    in_moments: Side,
    out_moments: Side,
) -> Columns:
    """Log ratios between the sides and their like, each ``(n, q)``."""
    gap = columns["in centre"] - columns["out centre"]
    halfway = phi - (columns["in centre"] + columns["out centre"]) / 2
    fixed, shrunk = (
        log_density(phi, in_moments.moments, kind) - log_density(phi, out_moments.moments, kind)
        for kind in ("fixed", "shrunk")
    )
    half = np.full((2, 1, 1), 0.5)
    return {
        "gap": gap,
        "halfway": halfway,
        "ratio linear": gap * halfway,
        "ratio fixed": fixed,
        "ratio shrunk": shrunk,
        "ratio t": columns["in t"] - columns["out t"],
        "ratio p": log_p - log_mix(np.stack([in_moments.log_p, out_moments.log_p]), half),
        "ratio 1 - p": log_1mp - log_mix(np.stack([in_moments.log_1mp, out_moments.log_1mp]), half),
    }


def _without_drift(phi: Floats, member: Floats, drift: Drift) -> Columns:
    """The answer less what it shares with the shadow models, each ``(n,)``; ``member``: a first guess."""
    shared = drift.of_model(phi, member)
    in_moments, out_moments = (
        (phi - shared - drift.in_moments) / drift.spread,
        (phi - shared - drift.out_moments) / drift.spread,
    )
    return {
        "drift": shared,
        "drift z": shared / drift.spread,
        "in z without drift": in_moments,
        "out z without drift": out_moments,
        "ratio linear without drift": (in_moments + out_moments) * (out_moments - in_moments) / 2,
    }


def class_means(values: Floats, labels: Ints) -> Floats:
    """``(n,)``: the mean over the record's class, over records that have the value."""
    have = ~np.isnan(values)
    total = np.bincount(labels, weights=np.where(have, values, 0.0))
    return np.asarray((total / np.maximum(np.bincount(labels, weights=have), 1.0))[labels])
