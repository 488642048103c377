"""An inverse-gamma prior on the variance of a record's answers, fitted to all records by moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.attacks.in_out import Moments
from memberwise.types.arrays import Floats

# Stands in for a pooled variance of zero (all shadow models agree on every record).
SMALLEST_VARIANCE = 1e-24
# As good as one variance for all records; a finite number keeps the formulas in one piece.
MOST_DEGREES = 1e6


@dataclass(frozen=True)
class VariancePrior:
    """What one expects of a record's variance before its own answers: sigma^2 ~ inverse-gamma(alpha, beta).

    Attributes:
        variance: ``(q,)`` the prior mean, beta / (alpha - 1): the pooled variance within records.
        degrees: ``(q,)`` how many degrees of freedom it is worth, 2 (alpha - 1).
    """

    variance: Floats
    degrees: Floats

    @property
    def alpha(self) -> Floats:
        """The inverse-gamma prior's shape parameter, ``(q,)``."""
        return self.degrees / 2 + 1

    @property
    def beta(self) -> Floats:
        """The inverse-gamma prior's scale parameter, ``(q,)``."""
        return self.variance * self.degrees / 2


def variance_prior(side: Moments) -> VariancePrior | None:
    """The prior that matches mean and variance of the within-record variances; None where no record has two models.

    With s_i^2 = squares_i / v_i on v_i = count_i - 1 degrees of freedom, s^2 their mean and r_i = s_i^2 / s^2 (means
    weighted by v_i): E r^2 - 1 = t + 2 (1 + t) / v, where t = Var(sigma^2) / E(sigma^2)^2 = 1 / (alpha - 2) and the
    second term is what chance adds. So t = (E r^2 - 1 - 2/v) / (1 + 2/v) and degrees = 2 (alpha - 1) = 2 + 2 / t:
    from 2 (records differ wildly) without bound (they differ no more than chance has them).
    """
    degrees = np.maximum(side.count - 1.0, 0.0)
    total = degrees.sum()
    if not total:
        return None
    pooled = np.maximum(side.squares.sum(0) / total, SMALLEST_VARIANCE)
    ratios = side.squares / np.maximum(degrees, 1.0) / pooled
    by_chance = 2.0 * (degrees > 0).sum() / total
    beyond = ((degrees * (ratios - 1.0) ** 2).sum(0) / total - by_chance) / (1.0 + by_chance)
    return VariancePrior(pooled, 2.0 + 2.0 / np.maximum(beyond, 2.0 / MOST_DEGREES))


def shrunk_variance(side: Moments, prior: VariancePrior) -> Floats:
    """``(n, q)``: posterior mean of each record's variance, (degrees variance + squares) / (degrees + count - 1)."""
    degrees = np.maximum(side.count - 1.0, 0.0)
    return np.asarray((prior.degrees * prior.variance + side.squares) / (prior.degrees + degrees))
