"""A lower bound on epsilon from one training run whose records were included by independent fair coins."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from memberwise.errors import StudyError
from memberwise.statistics.epsilon import EpsilonBound, check_delta
from memberwise.statistics.intervals import clopper_pearson_lower, error_rate
from memberwise.statistics.one_run_gaussian import gaussian_epsilon
from memberwise.statistics.sides import membership
from memberwise.types.arrays import Ints, Mask

# How many numbers of guesses a side are tried on shadow models.
SIZES = 14
# A binomial so many standard deviations below its mean is certain to be exceeded.
CERTAIN = 10.0
# Shares of the records guessed on a side where no shadow model can say: the best of them, at a third of the error each.
FIXED_SHARES = (1 / 4, 1 / 16, 1 / 64)

Guesses = tuple[int, int]


def one_run_p_value(correct: int, guesses: int, coins: int, epsilon: float, delta: float) -> float:
    """How surprising so many correct guesses would be of an (epsilon, delta)-private training.

    Steinke, Nasr and Jagielski 2023 (Privacy auditing with one training run), theorem 5.2: with
    f(k) = P[Binomial(guesses, e^epsilon / (1 + e^epsilon)) >= k] the chance of ``correct`` or more correct guesses is
    at most f(correct) + 2 coins delta max_i (f(correct - i) - f(correct)) / i.

    Args:
        correct: 0..guesses. guesses: how many coins were guessed at; the others are abstained from.
        coins: how many records were included by an independent fair coin.
        epsilon: at least 0. delta: in [0, 1).
    """
    right = float(special.expit(epsilon))
    certain = guesses * right - CERTAIN * (1 + sqrt(guesses * right * (1 - right)))
    certain = max(0, int(certain))  # reached for sure; below it the difference grows no more, while i does
    if correct <= certain:
        return 1.0
    reach = np.arange(correct, certain, -1, dtype=np.float64)
    tails = np.append(special.betainc(reach, guesses - reach + 1, right), 1.0)
    slack = np.max((tails[1:] - tails[0]) / np.arange(1, len(tails))) if delta else 0.0
    return float(min(1.0, tails[0] + 2 * coins * delta * slack))


def one_run_epsilon(correct: int, guesses: int, coins: int, *, confidence: float = 0.95, delta: float = 1e-5) -> float:
    """The largest epsilon below which all are refused at ``confidence``; 0 where none is.

    By bisection between 0 and the bound for delta = 0, which is the Clopper-Pearson bound of the share of correct
    guesses on the logit scale.
    """
    error = error_rate(confidence)
    high = max(0.0, float(special.logit(clopper_pearson_lower(correct, guesses, error)))) if guesses else 0.0
    if not delta or high == 0.0:
        return high
    low = 0.0
    if one_run_p_value(correct, guesses, coins, low, delta) > error:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        refused = one_run_p_value(correct, guesses, coins, middle, delta) <= error
        low, high = (middle, high) if refused else (low, middle)
    return low


def one_run_bound(
    scores: ArrayLike,
    member: ArrayLike,
    choices: Sequence[Guesses],
    *,
    confidence: float = 0.95,
    delta: float = 1e-5,
) -> EpsilonBound:
    """The audit with one run: guess "member" for the highest scores, "not" for the lowest, abstain between.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, NaN = abstain. They may depend on anything but ``member``.
        member: ``(n,)``, each drawn by an INDEPENDENT FAIR COIN before the training: a random half of fixed size
            would break the theorem.
        choices: pairs (guesses "member", guesses "not"), CHOSEN BEFORE LOOKING at the target's members. The best of
            several is taken, each at its share of the error rate (Bonferroni).

    Raises:
        StudyError: confidence or delta out of range, or no choice.
    """
    check_delta(delta)
    if not choices:
        raise StudyError("no number of guesses was chosen", expected="at least one pair (members, others)")
    score, truth = np.asarray(scores, dtype=np.float64), membership(member)
    scored = ~np.isnan(score)
    inside = truth[scored][np.argsort(-score[scored], kind="stable")]
    coins, each = len(inside), 1 - error_rate(confidence) / len(choices)
    bounds = []
    for top, bottom in choices:
        top, bottom = min(top, coins), min(bottom, max(0, coins - top))
        correct = int(inside[:top].sum() + (~inside[coins - bottom :]).sum())
        value = one_run_epsilon(correct, top + bottom, coins, confidence=each, delta=delta)
        bounds.append((value, correct, top + bottom))
    value, correct, guesses = max(bounds)
    most = one_run_epsilon(guesses, guesses, coins, confidence=each, delta=delta)
    best = f", the best of {len(choices)} numbers of guesses" if len(choices) > 1 else ""
    return EpsilonBound(
        value=value,
        confidence=confidence,
        delta=delta,
        method=f"one run, {coins} coins (Steinke et al. 2023): {correct} of {guesses} guesses correct{best}; "
        f"so many guesses could show at most {most:.2f}",
        basis="one-run coins",
        if_gaussian=gaussian_epsilon(correct, guesses, coins, confidence=each, delta=delta) if delta else None,
    )


def fixed_guesses(coins: int) -> list[Guesses]:
    """Numbers of guesses where nothing but the number of coins is known."""
    sizes = sorted({max(1, int(coins * share)) for share in FIXED_SHARES})
    return [(size, size) for size in sizes]


def choose_guesses(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]], *, confidence: float = 0.95, delta: float = 1e-5
) -> Guesses:
    """The numbers of guesses on either side with the largest bound on OTHER models, in the mean of their counts.

    Args:
        pairs: scores and membership of each shadow model in the target's place, ``(n,)`` each.
    """
    orders = []
    for scores, member in pairs:
        score, truth = np.asarray(scores, dtype=np.float64), membership(member)
        orders.append(truth[~np.isnan(score)][np.argsort(-score[~np.isnan(score)], kind="stable")])
    coins = min(len(order) for order in orders)
    sizes = np.unique(np.geomspace(1, max(coins // 2, 1), SIZES).astype(np.int64))
    top = np.mean([_first(order, sizes) for order in orders], axis=0)
    bottom = np.mean([_first(~order[::-1], sizes) for order in orders], axis=0)
    bounds = []
    for place, size in enumerate(sizes.tolist()):
        for above, below in ((size, 0), (0, size), (size, size)):
            correct = int((above > 0) * top[place] + (below > 0) * bottom[place] + 1e-9)
            bound = one_run_epsilon(correct, above + below, coins, confidence=confidence, delta=delta)
            bounds.append((bound, above + below, (above, below)))
    return max(bounds)[2]


def _first(hits: Mask, sizes: Ints) -> Ints:
    """How many of the first so many are hits."""
    return np.asarray(np.r_[0, np.cumsum(hits)][sizes])
