"""Distance to the decision boundary by labels alone, in the manner of HopSkipJump."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.collectors.base import SAMPLE, Features, ask_labels, random_numbers
from memberwise.signals.questions import Access, Extra, Questions
from memberwise.types.arrays import Floats, Floats32, Ints, Mask

if TYPE_CHECKING:
    from memberwise.targets.base import Target

Points = Floats32
# wrong(points, whose) -> (b,): is the label answered about a (b, d) point not the true one of the record it is for?
Wrong = Callable[[Points, NDArray[np.intp]], Mask]

CHUNK_VALUES = 8_000_000
# Starting points tried: the nearest records of other classes, and random ones.
NEAREST, RANDOM = 6, 4
BISECTIONS = 10
STEPS = 6
# The first gradient is estimated from so many questions, the t-th from sqrt(t) times as many.
FIRST_DIRECTIONS = 25
# How far from the boundary the gradient is probed, as a share of the distance.
PROBE = 0.02


@dataclass(frozen=True)
class BoundaryDistances:
    """``values`` is ``(m, n)`` float64: the L2 distance to the nearest point with another label that was found.

    0 where the record itself is misclassified (one question). Otherwise ``queries`` questions a record, no more and no
    less (but for records of which no starting point is found: they get the largest distance there is). Points stay
    within the features' range. At most ``records`` audited records, drawn at random, are asked about.
    """

    queries: int
    records: int

    name: ClassVar[str] = "boundary"
    words: ClassVar[str] = "labels of many chosen inputs (boundary search)"
    most_models: ClassVar[int] = 4

    def asks(self, questions: Questions) -> int:
        """Questions to one model, where it is right about every record."""
        return self.queries * min(self.records, len(questions.audited))

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        n, width = len(questions.audited), int(np.prod(questions.x.shape[1:]))
        if np.isnan(questions.records(questions.audited)).any():
            return None  # no distance to a gap
        drawn = np.sort(random_numbers(questions, "boundary records").permutation(n)[: self.records])
        features, pool = Features.of(questions), questions.audited[:: max(1, -(-n // SAMPLE))]
        starts = Starts(features.low.ravel(), features.high.ravel(), _flat(questions, pool), questions.y[pool])
        distances, counts = np.full((access.count, n), np.nan), np.zeros((access.count, n), np.int32)
        step = max(1, CHUNK_VALUES // (width * max(schedule(self.queries))))
        for i in range(access.count):
            model = access.served.one(i)
            for part in np.split(drawn, range(step, len(drawn), step)):
                rows = questions.audited[part]
                oracle = Oracle(model, questions.y[rows], questions.x.shape[1:])
                rngs = [random_numbers(questions, "boundary", int(row)) for row in rows]
                x = _flat(questions, rows)
                begin = np.stack([starts.of(*each) for each in zip(x, questions.y[rows], rngs, strict=True)])
                distances[i, part] = boundary_distances(oracle.wrong, x, begin, starts, self.queries, rngs)
                counts[i, part] = oracle.counts
        return Extra(distances, counts)


class Oracle:
    """A model that only says whether a label is wrong, and counts how often it was asked for each record."""

    def __init__(self, model: Target, labels: Ints, shape: tuple[int, ...]) -> None:
        self.model, self.labels, self.shape = model, labels, shape
        self.counts = np.zeros(len(labels), np.int32)

    def wrong(self, points: Points, whose: NDArray[np.intp]) -> Mask:
        """Whether each of ``(k, features)`` points has another label than its record; every point counts as a question.

        Args:
            whose: ``(k,)`` positions of the points' records.

        Returns:
            ``(k,)``.
        """
        if not len(points):
            return np.zeros(0, bool)
        self.counts += np.bincount(whose, minlength=len(self.labels)).astype(np.int32)
        labels = ask_labels(self.model, np.ascontiguousarray(points.reshape(-1, *self.shape), np.float32))
        return np.asarray(labels[0] != self.labels[whose])


@dataclass(frozen=True)
class Starts:
    """Where searches may begin: the range of the features ``(d,)``, and ``(p, d)`` records with their labels."""

    low: Points
    high: Points
    records: Points
    labels: Ints

    def of(self, x: Points, label: int, rng: np.random.Generator) -> Points:
        """``(NEAREST + RANDOM, d)`` points for one record; random ones where there are too few of other classes."""
        of_other_classes = self.records[self.labels != label]
        nearest = of_other_classes[np.argsort(((of_other_classes - x) ** 2).sum(1), kind="stable")[:NEAREST]]
        count = NEAREST + RANDOM - len(nearest)
        return np.concatenate([nearest, self.low + (self.high - self.low) * rng.random((count, len(x)), np.float32)])


def schedule(queries: int) -> list[int]:
    """Directions of each gradient estimate, such that all questions together are exactly ``queries`` (at least 100)."""
    budget = queries - 1 - NEAREST - RANDOM - BISECTIONS
    plan: list[int] = []
    while (size := round(FIRST_DIRECTIONS * (len(plan) + 1) ** 0.5)) + STEPS + BISECTIONS <= budget:
        plan.append(size)
        budget -= size + STEPS + BISECTIONS
    plan[-1] += budget
    return plan


def boundary_distances(
    wrong: Wrong, x: Points, begin: Points, box: Starts, queries: int, rngs: Sequence[np.random.Generator]
) -> Floats:
    """``(n,)`` L2 distances to the nearest misclassified points found; 0 where the record itself is misclassified.

    Chen, Jordan and Wainwright 2020, "HopSkipJumpAttack", algorithm 2 (L2, untargeted), with numbers of questions
    fixed beforehand, so that records are searched side by side. More questions make it closer.

    Args:
        x: ``(n, d)`` records. begin: ``(n, k, d)`` starting points to try. box: range of the features.
        queries: of each correctly classified record. rngs: one generator a record.
    """
    distances = np.zeros(len(x))
    right = np.flatnonzero(~wrong(x, np.arange(len(x))))
    k = begin.shape[1]
    usable: Mask = wrong(begin[right].reshape(-1, x.shape[1]), np.repeat(right, k)).reshape(-1, k)
    distances[right] = np.linalg.norm(box.high - box.low)
    who = right[usable.any(1)]
    far = np.where(usable, np.linalg.norm(begin[right] - x[right, None], axis=-1), np.inf)[usable.any(1)]
    if not who.size:
        return distances
    best = _bisected(wrong, x, begin[who, far.argmin(1)], who)
    for t, count in enumerate(schedule(queries)):
        normal = _normals(wrong, x, best, who, count, box, rngs)
        step = _distance(best, x[who]) / (t + 1) ** 0.5
        point = _bisected(wrong, x, _stepped(wrong, best, normal, step, who, box), who)
        nearer = _distance(point, x[who]) < _distance(best, x[who])
        best = np.where(nearer[:, None], point, best)
    distances[who] = _distance(best, x[who])
    return distances


def _bisected(wrong: Wrong, x: Points, point: Points, who: NDArray[np.intp]) -> Points:
    """Points moved towards their records as long as they stay misclassified, to 2^-10 of the way."""
    low, high = np.zeros((len(who), 1), np.float32), np.ones((len(who), 1), np.float32)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        hit = wrong(x[who] + middle * (point - x[who]), who)[:, None]
        low, high = np.where(hit, low, middle), np.where(hit, middle, high)
    return x[who] + high * (point - x[who])


def _normals(
    wrong: Wrong,
    x: Points,
    point: Points,
    who: NDArray[np.intp],
    count: int,
    box: Starts,
    rngs: Sequence[np.random.Generator],
) -> Points:
    """``(w, d)`` unit vectors towards the misclassified side, estimated from ``count`` probes of each point."""
    directions = np.stack([rngs[i].standard_normal((count, x.shape[1]), np.float32) for i in who])
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    reach = (PROBE * _distance(point, x[who]))[:, None, None]
    probes = np.clip(point[:, None] + reach * directions, box.low, box.high)
    hit = wrong(probes.reshape(-1, x.shape[1]), np.repeat(who, count)).reshape(-1, count)
    signs = np.where(hit, np.float32(1), np.float32(-1))
    one_sided = hit.all(1) | ~hit.any(1)
    signs -= np.where(one_sided, np.float32(0), signs.mean(1))[:, None]
    normal = np.einsum("wc,wcd->wd", signs, probes - point[:, None])
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12), np.float32)


def _stepped(wrong: Wrong, point: Points, normal: Points, step: Points, who: NDArray[np.intp], box: Starts) -> Points:
    """Each point moved along its normal by the largest of a few halvings of the step that keeps it misclassified."""
    lengths = step[:, None] * np.ldexp(np.float32(1), -np.arange(STEPS, dtype=np.int32))
    tried = np.clip(point[:, None] + lengths[..., None] * normal[:, None], box.low, box.high)
    hit: Mask = wrong(tried.reshape(-1, point.shape[1]), np.repeat(who, STEPS)).reshape(-1, STEPS)
    return np.where(hit.any(1, keepdims=True), tried[np.arange(len(who)), hit.argmax(1)], point)


def _distance(points: Points, x: Points) -> Points:
    return np.asarray(np.linalg.norm(points - x, axis=1), np.float32)


def _flat(questions: Questions, rows: Ints) -> Points:
    return questions.records(rows).reshape(len(rows), -1)
