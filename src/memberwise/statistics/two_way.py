"""A figure over several models *and* their records: what one way of training gives away, the next time too.

Models and records are crossed: every model is asked about the same records. The variance is Cameron, Gelbach & Miller's
(2011) for two-way clusters, by one bootstrap of the records with weights shared by all models; it is the design in
which several readers read the same cases (Obuchowski & Rockette 1995; Gallas 2006), with models as readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import clopper_pearson, error_rate
from memberwise.types.arrays import Floats, Ints, Mask

DRAWS = 200
# Fewer clusters of models than this: a value, and no interval.
FEWEST_CLUSTERS = 4
# Weights are made and used in parts of at most so many numbers, which a processor's cache holds; of so many draws at
# least, else one by one: few beside each other add up slowly.
PART_VALUES, FEWEST_AT_ONCE = 130_000, 8


@dataclass(frozen=True)
class Refitted:
    """``(g, f)`` means over the remaining models, each group of clusters dropped as targets *and* as shadow models."""

    without: Floats

    @property
    def groups(self) -> int:
        return len(self.without)

    @property
    def variance(self) -> Floats:
        """``(f,)`` the jackknife's variance over trainings of a mean over models."""
        return np.asarray((self.groups - 1) / self.groups * ((self.without - self.without.mean(0)) ** 2).sum(0))

    def minus(self, other: Refitted) -> Refitted:
        """Of the difference from another recipe, the same groups of trainings left out."""
        return Refitted(self.without - other.without)


@dataclass(frozen=True)
class TwoWay:
    """Figures of several models under several weightings of the records.

    Attributes:
        by_cluster: ``(p, f, 1 + b)`` mean figures of each cluster of models; the first weighting is the records as they
            are. A cluster holds models that were trained together, such as a complementary pair.
        records: how many there are.
    """

    by_cluster: Floats
    records: int

    @property
    def values(self) -> Floats:
        """``(f,)`` means over clusters."""
        return np.asarray(self.by_cluster[:, :, 0].mean(0))

    def minus(self, other: TwoWay) -> TwoWay:
        """The difference from another recipe, cluster by cluster and weighting by weighting: paired in both.

        Raises:
            ValueError: other clusters, figures or weightings.
        """
        if self.by_cluster.shape != other.by_cluster.shape or self.records != other.records:
            raise ValueError("two recipes were not measured on the same trainings and records")
        return TwoWay(self.by_cluster - other.by_cluster, self.records)

    def interval(
        self, confidence: float, refitted: Refitted | None = None, least: float = 0.0
    ) -> tuple[Floats, Floats]:
        """``(f,)`` lower and upper ends: new trainings by the same recipe, and new records; within [least, 1].

        V = max(V_rec + V_mod - V_cell, V_rec, V_mod), with Student's t at Satterthwaite's degrees of freedom.

        Args:
            refitted: takes the place of V_mod where it is larger, as the models share their shadow models.
        """
        clusters = len(self.by_cluster)
        if clusters < FEWEST_CLUSTERS:
            raise ValueError(f"an interval needs {FEWEST_CLUSTERS} clusters of models, not {clusters}")
        of_models = self.by_cluster[:, :, 0].var(0, ddof=1) / clusters
        of_records = self.by_cluster[:, :, 1:].mean(0).var(1, ddof=1)
        of_cells = self.by_cluster[:, :, 1:].var(2, ddof=1).mean(0) / clusters
        of_models_freedom = np.full_like(of_models, clusters - 1.0)
        if refitted is not None:
            larger = refitted.variance > of_models
            of_models = np.where(larger, refitted.variance, of_models)
            of_models_freedom = np.where(larger, refitted.groups - 1.0, of_models_freedom)
        variance = np.maximum(of_records + of_models - of_cells, np.maximum(of_records, of_models))
        parts = of_models**2 / of_models_freedom + of_records**2 / (self.records - 1)
        freedom = np.divide(variance**2, parts, out=np.full_like(variance, clusters - 1.0), where=parts > 0)
        half = special.stdtrit(freedom, 1 - error_rate(confidence) / 2) * np.sqrt(variance)
        return np.clip(self.values - half, least, 1), np.clip(self.values + half, least, 1)


def two_way(
    scores: Floats,
    member: Mask,
    clusters: Ints,
    fprs: Sequence[float],
    rng: np.random.Generator,
    draws: int = DRAWS,
    groups: Ints | None = None,
) -> TwoWay:
    """AUC and TPR at each rate (in this order) of every model, under the same weightings of the records.

    Records without a score in some model's turn are left out.

    Args:
        scores, member: ``(m, n)``, each model in the target's place. clusters: ``(m,)`` which were trained together.
        groups: ``(n,)`` records that stand or fall together, such as one person's; None: each by itself.
    """
    usable = ~np.isnan(scores).any(0)
    scores, member = scores[:, usable], member[:, usable]
    n = scores.shape[1]
    codes = np.arange(n) if groups is None else np.unique(groups[usable], return_inverse=True)[1]
    count = int(codes.max()) + 1 if n else 0
    orders = np.argsort(-scores, axis=1, kind="stable")
    figures = np.empty((len(scores), 1 + len(fprs), 1 + draws))
    step = PART_VALUES // max(n, 1)
    step = step if step >= FEWEST_AT_ONCE else 1
    for first in range(0, 1 + draws, step):
        size = min(step, 1 + draws - first)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        if first == 0:
            drawn[0] = 1.0
        weights = np.ascontiguousarray(drawn[:, codes].T)
        for m, order in enumerate(orders):
            figures[m, :, first : first + size] = _weighted_figures(
                scores[m, order], member[m, order], weights[order], fprs
            )
    of_clusters = [figures[clusters == one].mean(0) for one in np.unique(clusters)]
    return TwoWay(np.stack(of_clusters), count)


def _weighted_figures(scores: Floats, member: Mask, weights: Floats, fprs: Sequence[float]) -> Floats:
    """``(1 + len(fprs), b)`` AUC (ties half) and TPR strictly above the threshold, under ``(n, b)`` weights.

    ``scores`` fall from the first to the last.
    """
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    members = weights * member[:, None]
    others = weights - members
    if len(starts) < len(scores):  # records that are tied stand at one place together
        members, others = (np.add.reduceat(part, starts, axis=0) for part in (members, others))
    inside, outside = np.cumsum(members, 0), np.cumsum(others, 0)
    n1, n0 = inside[-1], outside[-1]
    figures = [np.einsum("gb,gb->b", members, n0 - outside + others / 2) / (n0 * n1)]
    for fpr in fprs:
        # The first place at which the non-members' weight exceeds the rate; members tied with it do not count.
        place = np.minimum((outside <= fpr * n0 + 1e-9).sum(0), len(starts) - 1)[None]
        figures.append((np.take_along_axis(inside, place, 0) - np.take_along_axis(members, place, 0))[0] / n1)
    return np.stack(figures)


def figures_of(scores: Floats, member: Mask, fprs: Sequence[float]) -> Floats:
    """AUC and TPR at each rate of one model, ``(f,)``, from ``(n,)`` scores; NaN ones are left out."""
    usable = ~np.isnan(scores)
    order = np.argsort(-scores[usable], kind="stable")
    weights = np.ones((len(order), 1))
    return _weighted_figures(scores[usable][order], member[usable][order], weights, fprs)[:, 0]


def estimates(
    models: TwoWay, confidence: float, n_members: int, n_nonmembers: int, refitted: Refitted | None = None
) -> list[Estimate]:
    """The figures with their intervals, in the order of ``two_way``; without one where there are too few models.

    ``n_members``, ``n_nonmembers``: of one model.
    """
    clusters = len(models.by_cluster)
    if clusters < FEWEST_CLUSTERS:
        method = f"no interval from {clusters} independent trainings"
        return [Estimate(float(v), None, None, n_members, n_nonmembers, method) for v in models.values]
    refit = f" (the attack refitted without each of {refitted.groups} groups)" if refitted is not None else ""
    method = f"two-way over {clusters} independent trainings{refit} and records"
    rows = []
    for value, low, high in zip(models.values, *models.interval(confidence, refitted), strict=True):
        words = method
        if low == high:
            # The same in every model and under every weighting: that chance is not seen does not make it nothing.
            low, high = clopper_pearson(round(value * n_members), n_members, confidence)
            words = "Clopper-Pearson over one model's members, being the same in every model"
        rows.append(Estimate(float(value), float(low), float(high), n_members, n_nonmembers, words))
    return rows
