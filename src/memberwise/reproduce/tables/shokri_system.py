"""Shokri's set-up: a target, shadow models on records of their own, and an attack model a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from memberwise.auditing.prepare import Inputs
from memberwise.report.result import Result
from memberwise.reproduce.bench import CONFIDENCE, Bench, figure, seed_of
from memberwise.reproduce.claim import Ours, Series
from memberwise.types.arrays import Floats, Ints

SLIDES = "Shokri's slides"
PAPER = "Shokri et al. 2017"
ATTACK = "shokri"
# The attack models' output above which a record is called a member.
THRESHOLD = 0.5
MEDIAN = "attack precision, median over classes"
FOUR = ("test accuracy", "attack accuracy", "attack precision", "attack recall")
NAMES = {
    "adult": "Adult",
    "mnist": "MNIST",
    "location30": "Location-30",
    "purchase100": "Purchase-100",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}
# The paper's rate is 0.001, its batch not stated; at 0.01, with momentum, 60 passes fit Location-30's members wholly.
RECIPE: Mapping[str, object] = {
    "model.name": "shokri-mlp",
    "training.learning_rate": 0.01,
    "training.schedule": "constant",
    "data.population": 0,
    "attacks.use": [ATTACK, "gap"],
    "attacks.headline": ATTACK,
}
# Records that a target trains on, in the paper; Purchase-100 is our substitute's original.
SIZES = {"adult": 10_000, "mnist": 10_000, "location30": 1_200, "purchase100": 10_000}


def attacked(
    bench: Bench, label: str, source: str, members: int, settings: Mapping[str, object], auxiliary: bool = True
) -> Result:
    """One audit in which the shadow models' records are nobody else's; halves of the audited ones where too few are.

    ``auxiliary``: there are records for them; else the settings say where they come from.
    """
    rows = disjoint(bench.dataset(source).records, members, bench.seed)
    if not auxiliary:
        rows.pop("auxiliary", None)
    data = "auxiliary" if "auxiliary" in rows else "halves"
    study = {**RECIPE, "data.source": source, "shadow.data": data}
    return bench.audit(label, study | dict(settings), Inputs(rows=rows))


def disjoint(records: int, members: int, seed: int) -> dict[str, Ints]:
    """Row numbers by role: members, as many non-members, and twice as many for shadow models where there are enough.

    They come from all records, the source's test part too, as the paper's largest sets need them.
    """
    order = np.random.default_rng(seed).permutation(records)
    rows = {"members": order[:members], "nonmembers": order[members : 2 * members]}
    if 4 * members <= records:
        rows["auxiliary"] = order[2 * members : 4 * members]
    return rows


def members_of(bench: Bench, source: str) -> int:
    """The paper's training size; 300 in a smoke test."""
    return bench.pick(300, SIZES[source], SIZES[source])


def median_precision(result: Result, draws: int = 1000) -> Ours | None:
    """The median over classes of the share of members among the records of a class that are called members.

    Its interval is a bootstrap over the records of each class, members and non-members apart.
    """
    named, size = named_by_class(result)
    seed = seed_of(result)
    value = _median(named[None])[0]
    if np.isnan(value):
        return None
    drawn = np.random.default_rng(seed).binomial(size, named / np.maximum(size, 1), (draws, *named.shape))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(_median(drawn), [tail, 100 - tail])
    return Ours(float(value), float(low), float(high), int(size.sum()), "bootstrap over records", (seed,))


def class_precision(result: Result) -> Floats:
    """``(classes,)`` the precision of each class; NaN where no record is called a member."""
    return _precision(named_by_class(result)[0])


def named_by_class(result: Result) -> tuple[Ints, Ints]:
    """``(2, classes)`` records called members and all records, of members and of others."""
    table = result.scores[result.scores["evaluated"] == 1]
    labels, named = table["label"].to_numpy(), table[ATTACK].to_numpy(np.float64) > THRESHOLD
    member = table["member"].to_numpy() == 1
    classes, which = np.unique(labels, return_inverse=True)
    counts = [
        [np.bincount(which[side & rows], minlength=len(classes)) for side in (member, ~member)]
        for rows in (named, np.ones_like(named))
    ]
    return np.array(counts[0]), np.array(counts[1])


def _precision(named: Ints) -> Floats:
    """Of counts ``(..., 2, classes)``."""
    total = named.sum(-2)
    return np.where(total > 0, named[..., 0, :] / np.maximum(total, 1), np.nan)


def _median(named: Ints) -> Floats:
    precision = _precision(named)
    whole = ~np.isnan(precision).all(-1)
    out = np.full(len(precision), np.nan)
    out[whole] = np.nanmedian(precision[whole], axis=-1)
    return out


def nearest(bench: Bench, setting: str, runs: Mapping[int, Result]) -> int:
    """The key of the run whose accuracies lie nearest to the published ones of the setting."""
    published = {measure: bench.published(setting, measure) for measure in ("train accuracy", "test accuracy")}

    def distance(key: int) -> float:
        target = runs[key].parts.target
        return float(
            sum(abs(getattr(target, m.replace(" ", "_")) - theirs.value) for m, theirs in published.items() if theirs)
        )

    return min(runs, key=distance)


def series(label: str, x: Sequence[float], figures: Sequence[Ours | None]) -> Series:
    """A line of a plot through what was measured."""
    there = [(at, ours) for at, ours in zip(x, figures, strict=True) if ours is not None]
    return Series(
        label,
        tuple(at for at, _ in there),
        tuple(o.value for _, o in there),
        tuple(o.value if o.low is None else o.low for _, o in there),
        tuple(o.value if o.high is None else o.high for _, o in there),
    )


Place = TypeVar("Place", bound=float)


def published_series(bench: Bench, label: str, settings: Mapping[Place, str], measure: str) -> list[Series]:
    """The published line, where something is published; ``settings`` by position on the axis."""
    points = {x: f.value for x, setting in settings.items() if (f := bench.published(setting, measure))}
    return [Series(label, tuple(points), tuple(points.values()), published=True)] if points else []


def percent(ours: Ours | None) -> str:
    """A share in per cent, or a dash."""
    return "—" if ours is None else f"{100 * ours.value:.1f}%"


def of_attack(result: Result, measure: str = "attack accuracy") -> Ours | None:
    """A figure of the attack that the table is about."""
    return figure(result, measure, ATTACK)
