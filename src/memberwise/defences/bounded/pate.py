"""Confident GNMax: a noisy vote of teachers that saw disjoint parts of the pool, and its accounting (extra ``pate``).

Papernot, Song, Mironov, Raghunathan, Talwar and Erlingsson 2018, "Scalable private learning with PATE", ICLR,
arXiv:1802.08908. Neighbours are two pools that differ in one record, which is replaced by any other: its place belongs
to one teacher alone, whose vote may then be anything. So the largest count of votes moves by at most 1, and the counts
by at most 1 in each of two places: sqrt(2) in all. Records of one person in several parts cost as often as there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log1p, sqrt
from typing import Any

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtr

from memberwise.errors import MissingExtraError
from memberwise.types.arrays import Floats, Ints

# Renyi orders of the data-dependent bound.
ORDERS: Floats = np.array([*(1 + x / 10 for x in range(1, 100)), *range(11, 64), *(2**k for k in range(6, 13))], float)
ABSTAINED = -1
# Above it dp-accounting finds nothing; a larger epsilon buys no more than this one does.
LARGEST_EPSILON = 1e9
# To which dp-accounting finds epsilon.
TOLERANCE = 1e-12


@dataclass(frozen=True)
class GNMax:
    """The mechanism. Less noise and a lower threshold answer more and better, and cost more epsilon.

    Attributes:
        threshold: of ``teachers`` votes, how many must agree (after noise) for an answer; None: always answered.
        sigma1: standard deviation of the noise on the largest count, which meets the threshold.
        sigma2: of the noise on every count, of which the largest is answered.
    """

    threshold: float | None
    sigma1: float
    sigma2: float

    @property
    def check_rho(self) -> float:
        """What asking whether enough agree costs, in rho of zero-concentrated differential privacy."""
        return 0.0 if self.threshold is None else 1 / (2 * self.sigma1**2)

    @property
    def answer_rho(self) -> float:
        """What an answer costs beyond that: a Gaussian mechanism of sensitivity sqrt(2)."""
        return 1 / self.sigma2**2

    @property
    def worst_rho(self) -> float:
        """The most that one question costs."""
        return self.check_rho + self.answer_rho

    def rho(self, label: int) -> float:
        """What a question cost that was answered so."""
        return self.check_rho if label == ABSTAINED else self.worst_rho


def vote_counts(answers: Floats) -> Ints:
    """``(..., C)`` votes a class from ``(T, ..., C)`` answers of the teachers, each of which votes for its largest."""
    labels = answers.argmax(-1)
    counts: Ints = (labels[..., None] == np.arange(answers.shape[-1])).sum(0)
    return counts


def release(counts: Ints, mechanism: GNMax, normal: Floats) -> Ints:
    """The labels that are answered; -1 where too few agree.

    Args:
        counts: ``(..., C)`` votes. normal: ``(..., 1 + C)`` standard normal numbers, used for nothing else ever: the
            first on the largest count, the others on every count.

    Returns:
        ``(...)`` class numbers.
    """
    labels: Ints = (counts + mechanism.sigma2 * normal[..., 1:]).argmax(-1)
    if mechanism.threshold is None:
        return labels
    enough = counts.max(-1) + mechanism.sigma1 * normal[..., 0] >= mechanism.threshold
    return np.where(enough, labels, ABSTAINED)


def epsilon_of(rho: float, delta: float) -> float:
    """Epsilon at ``delta`` of Gaussian mechanisms whose rho add up to ``rho``: exact, by dp-accounting.

    Gaussian mechanisms compose into one, and do so where each is chosen by what the earlier ones said, as long as the
    sum stays below a limit FIXED BEFOREHAND (Smith and Thakurta 2022, arXiv:2210.17520): the guarantee is that
    limit's. The sum reached so far is what is booked; stopping where it happens to be low proves no smaller epsilon.

    Args:
        rho: ``1 / (2 sigma^2)`` of each mechanism at sensitivity 1, in all. delta: in (0, 1).

    Raises:
        MissingExtraError: dp-accounting is not installed.
    """
    gaussian = _dp_accounting().gaussian_mechanism
    with np.errstate(divide="ignore"):  # a delta of 0 has the logarithm -inf
        return float(gaussian.get_epsilon_gaussian(1 / sqrt(2 * rho), delta)) + TOLERANCE if rho > 0 else 0.0


@lru_cache(maxsize=256)
def rho_of(epsilon: float, delta: float) -> float:
    """The most rho that may be spent for ``epsilon`` at ``delta``: the inverse of ``epsilon_of``, rounded down.

    It is 0 for an epsilon that is too small to be reckoned with.

    Raises:
        MissingExtraError: dp-accounting is not installed.
    """
    gaussian = _dp_accounting().gaussian_mechanism
    if epsilon < inf:
        epsilon = min(epsilon, LARGEST_EPSILON)
    with np.errstate(divide="ignore"):
        sigma = float(gaussian.get_sigma_gaussian(epsilon, delta))
    if sigma == 0:
        return inf
    rho, less = 1 / (2 * sigma**2), 1e-9
    while epsilon_of(rho * (1 - less), delta) > epsilon and less < 0.5:
        less *= 10
    return rho * (1 - less)


def success_of(rho: float) -> float:
    """The largest balanced accuracy of any attack on one record of the pool: that of one Gaussian mechanism.

    Its two outcomes lie ``sqrt(2 rho)`` standard deviations apart (Dong, Roth and Su 2022, arXiv:1905.02383).
    """
    return float(ndtr(sqrt(rho / 2)))


def data_dependent_rdp(counts: Ints, label: int, mechanism: GNMax) -> Floats:
    """Renyi divergence of one answered question at ``ORDERS``, given these votes: ``(orders,)``.

    Theorem 6 and propositions 7 and 10 of the paper: where nearly all teachers agree the answer hardly depends on one
    of them. It holds for THESE votes and not for neighbours': a function of the private pool, so not a guarantee that
    may be published as it stands (that takes smooth sensitivity, section 4.2 there).

    Args:
        counts: ``(C,)`` votes. label: what was answered, -1 for nothing.
    """
    total = np.zeros(len(ORDERS))
    if mechanism.threshold is not None:
        margin = (counts.max() - mechanism.threshold) / mechanism.sigma1
        # Sensitivity 1 instead of sqrt(2): as a vote with sqrt(2) as much noise.
        total += _gaussian_rdp(float(log_ndtr(-abs(margin))), sqrt(2) * mechanism.sigma1)
    if label != ABSTAINED:
        others = np.delete(counts, counts.argmax())
        log_other = logsumexp(log_ndtr((others - counts.max()) / (sqrt(2) * mechanism.sigma2)))
        total += _gaussian_rdp(float(log_other), mechanism.sigma2)
    return total


def rdp_epsilon(rdp: Floats, delta: float) -> float:
    """Epsilon at ``delta`` of ``(orders,)`` Renyi divergences at ``ORDERS``, by dp-accounting's conversion.

    Raises:
        MissingExtraError: dp-accounting is not installed.
    """
    from_divergences = _dp_accounting().rdp.rdp_privacy_accountant.compute_epsilon
    return float(from_divergences(ORDERS, rdp, delta)[0])


def _gaussian_rdp(log_q: float, sigma: float) -> Floats:
    """Theorem 6 with the orders of proposition 10, for an outcome that is another than the likeliest with chance q."""
    plain = ORDERS / sigma**2
    if not -inf < log_q < 0:
        return plain if log_q >= 0 else np.zeros(len(ORDERS))
    second = sigma * sqrt(-log_q)
    first = second + 1
    if second <= 1:
        return plain
    first_rdp, second_rdp = first / sigma**2, second / sigma**2
    largest = (second - 1) * second_rdp - second * (log1p(1 / (first - 1)) + log1p(1 / (second - 1)))
    if log_q > largest or -log_q <= second_rdp:
        return plain
    log_p = _log_one_less(log_q)
    log_a = log_p - _log_one_less((log_q + second_rdp) * (1 - 1 / second))
    log_b = first_rdp - log_q / (first - 1)
    dependent = np.logaddexp(log_p + (ORDERS - 1) * log_a, log_q + (ORDERS - 1) * log_b) / (ORDERS - 1)
    return np.where(first > ORDERS, np.minimum(plain, dependent), plain)


def _log_one_less(log_x: float) -> float:
    """The logarithm of 1 - x."""
    return log1p(-exp(log_x))


def _dp_accounting() -> Any:
    try:
        import dp_accounting
        import dp_accounting.gaussian_mechanism
    except ImportError as error:
        raise MissingExtraError.of("dp-accounting", "pate", "the accounting of PATE") from error
    return dp_accounting
