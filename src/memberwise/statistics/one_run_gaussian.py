"""The one-run audit of a mechanism that is as private as a Gaussian one: tighter, where that may be assumed."""

from __future__ import annotations

from math import exp, expm1
from statistics import NormalDist

from scipy.optimize import brentq
from scipy.special import log_ndtr

from memberwise.statistics.epsilon import check_delta
from memberwise.statistics.intervals import error_rate

_NORMAL = NormalDist()
# mu beyond which two Gaussians are told apart with certainty for all that a count can say.
LARGEST_MU = 50.0


def gaussian_refused(correct: int, guesses: int, coins: int, mu: float, error: float) -> bool:
    """So many correct guesses are too many for mu-Gaussian differential privacy, at level ``error``.

    Mahloujifar, Melis and Chaudhuri 2024 (Auditing f-differential privacy in one run), their recursion for a trade-off
    curve, here that of N(0, 1) against N(mu, 1) (Dong, Roth and Su 2022): whoever guesses cannot, with a chance above
    ``error``, be right so often.

    Args:
        correct: 0..guesses. guesses: at how many of the ``coins`` independent fair coins was guessed.
    """
    here, wrong = error * correct / coins, error * (guesses - correct) / coins
    for i in range(correct - 1, -1, -1):
        grown = max(wrong, _NORMAL.cdf(_NORMAL.inv_cdf(here) - mu)) if 0 < here < 1 else float(here >= 1)
        if grown == wrong:
            break
        here, wrong = min(1.0, here + i / (guesses - i) * (grown - wrong)), grown
    return here + wrong > guesses / coins


def gaussian_mu(correct: int, guesses: int, coins: int, confidence: float = 0.95) -> float:
    """The largest mu below which all are refused at ``confidence``; 0 where none is."""
    error = error_rate(confidence)
    if not guesses or not gaussian_refused(correct, guesses, coins, 0.0, error):
        return 0.0
    low, high = 0.0, LARGEST_MU
    for _ in range(50):
        middle = (low + high) / 2
        if gaussian_refused(correct, guesses, coins, middle, error):
            low = middle
        else:
            high = middle
    return low


def epsilon_of_mu(mu: float, delta: float) -> float:
    """The epsilon of mu-Gaussian differential privacy at ``delta`` (Balle and Wang 2018, theorem 8); 0 where none.

    delta = Phi(-epsilon / mu + mu / 2) - e^epsilon Phi(-epsilon / mu - mu / 2).
    """
    check_delta(delta)
    if mu <= 0:
        return 0.0
    if delta <= 0:
        return float("inf")

    def excess(epsilon: float) -> float:
        first, second = log_ndtr(-epsilon / mu + mu / 2), epsilon + log_ndtr(-epsilon / mu - mu / 2)
        return float(exp(first) * -expm1(min(second - first, 0.0))) - delta

    if excess(0.0) <= 0:
        return 0.0
    high = 1.0
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-10))


def gaussian_epsilon(correct: int, guesses: int, coins: int, *, confidence: float = 0.95, delta: float = 1e-5) -> float:
    """A lower bound on epsilon from one run, IF the training is no less regular than a Gaussian mechanism.

    That holds for a Gaussian release and, closely, for DP-SGD over many steps; it is an assumption, not a finding.
    Without it ``one_run_epsilon`` is the bound to state.
    """
    return epsilon_of_mu(gaussian_mu(correct, guesses, coins, confidence), delta)
