"""PAC-private prediction: the answer of a secret world, under noise shaped by what the worlds disagree about.

Zhu, Sridhar and Devadas 2026 (arXiv 2601.14033), section 3. ``W`` worlds are models on subsets of one pool; a secret
one, J, drawn uniformly once, answers. Each release tells at most ``budget`` nats about J, whatever was asked and
released before, so that the nats of a session add up, for questions chosen by what was seen as well.

What is bounded is *which world answers*, given the pool: whether a record is among those that the secret world learned
(game (i)). Whether a record is in the pool at all (game (ii)) is bounded by nothing here, however small the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from memberwise.types.arrays import Floats, Ints, Mask

# Scales below this share of the largest get noise as if they had it: a singular value is no more exact.
RELATIVE = 1e-12
# And below this share of the answers' own spread, where all weight is on worlds that agree.
ABSOLUTE = 1e-100


@dataclass(frozen=True)
class Release:
    """One noisy answer, and what it told.

    Attributes:
        values: ``(..., C)`` the released vector, as it is: its largest entry is the label.
        weights: ``(..., W)`` probabilities of the worlds given everything released so far.
        nats: ``(...)`` at least the mutual information between the secret world and this answer; 0 where all agree.
    """

    values: Floats
    weights: Floats
    nats: Floats


def noise_scales(answers: Floats, weights: Floats, budget: float) -> tuple[Floats, Floats]:
    """The directions that get noise, and how much of it.

    With the covariance ``V diag(l) V'`` of the answers under the weights, direction k gets the variance
    ``sqrt(l_k) sum_i sqrt(l_i) / (2 budget)``, and 0.5 sum_k log(1 + l_k / variance_k) <= budget nats (section 3).
    Directions in which no world with any weight differs from the others get none.

    Args:
        answers: ``(W, C)`` of the worlds. weights: ``(..., W)`` probabilities. budget: nats of one answer, above 0;
            more makes the attack stronger.

    Returns:
        basis ``(..., C, r)`` of orthonormal columns, variances ``(..., r)``; r is 0 where all agree.

    Raises:
        ValueError: a budget that is not above 0, or weights that are no probabilities.
    """
    basis, _, variances = _shape(_checked(answers, weights, budget), budget)
    return basis, variances


def release(answers: Floats, weights: Floats, world: int | Ints, budget: float, normal: Floats) -> Release:
    """The secret world's answer under the noise of ``noise_scales``, and the posterior that follows from it.

    Outside the noisy directions the answer is what all worlds say, so nothing there depends on the secret. One world
    alone has no secret: its answer is exact and costs 0 nats. Leading dimensions of ``weights``, ``world`` and
    ``normal`` are sessions apart, with the same question.

    Args:
        answers: ``(W, C)``. weights: ``(..., W)`` probabilities. world: ``(...)`` the secret world's number.
        budget: nats of one answer. normal: ``(..., C)`` independent standard normal numbers.

    Raises:
        ValueError: as ``noise_scales``.
    """
    table = _checked(answers, weights, budget)
    basis, scales, variances = _shape(table, budget)
    if not variances.shape[-1]:
        return Release(np.asarray(answers, np.float64)[world], table.all_weights, np.zeros(np.shape(world)))
    middle = table.weights @ table.answers
    places = np.einsum("...wc,...cr->...wr", table.answers - middle[..., None, :], basis)
    own = np.einsum("...c,...cr->...r", np.asarray(answers, np.float64)[world] - middle, basis)
    noisy = own + np.sqrt(variances) * normal[..., : variances.shape[-1]]
    logs = -0.5 * ((noisy[..., None, :] - places) ** 2 / variances[..., None, :]).sum(-1)
    return Release(
        values=middle + np.einsum("...cr,...r->...c", basis, noisy),
        weights=_updated(table, logs),
        nats=0.5 * np.log1p(scales**2 / variances).sum(-1),
    )


def membership_success(nats: float, prior: float = 0.5) -> float:
    """The largest probability of naming one record's membership of the secret world's rows right.

    The largest d with KL(Bernoulli(d) || Bernoulli(prior)) <= nats (section 2 of the publication): on average over the
    secret world and the noise, for an attacker who guesses at ``prior`` beforehand.

    Args:
        nats: told in all, at least 0. prior: probability of the likelier guess, in [0.5, 1): the share of the pool.

    Raises:
        ValueError: a value outside those ranges.
    """
    _check_range(nats, prior)
    if nats >= -np.log(prior):
        return 1.0
    if nats == 0:
        return float(prior)
    return float(brentq(lambda d: _divergence(d - prior, prior) - nats, prior, 1.0, xtol=1e-16))


def balanced_success(nats: float, share: float = 0.5) -> float:
    """The largest balanced accuracy of a test for one record's membership of the secret world's rows.

    Any yes-or-no test tells at most as many nats about membership as the answers do about the secret world: with
    a = P(yes | out), b = P(yes | in) and m = share b + (1 - share) a, share KL(b || m) + (1 - share) KL(a || m) is at
    most nats. The largest (1 + b - a) / 2 under that; at share 1/2 it is ``membership_success(nats)``.

    Args:
        nats: told in all, at least 0. share: of the pool that a world learns, in [0.5, 1).

    Raises:
        ValueError: a value outside those ranges.
    """
    _check_range(nats, share)
    if share == 0.5:
        return membership_success(nats)
    if nats == 0:
        return 0.5
    if nats >= nats_within(1.0, share):
        return 1.0
    return float(brentq(lambda d: nats_within(d, share) - nats, 0.5, 1.0, xtol=1e-16))


@lru_cache(maxsize=64)  # each question of a session asks for it
def nats_within(success: float, share: float = 0.5) -> float:
    """The most nats that may be told so that ``balanced_success`` is at most ``success``.

    Args:
        success: balanced accuracy in [0.5, 1]; more allows the attack more. share: of the pool, in [0.5, 1).

    Raises:
        ValueError: a value outside those ranges.
    """
    _check_range(0.0, share)
    if not 0.5 <= success <= 1:
        raise ValueError(f"a balanced accuracy of {success}, outside [0.5, 1]")
    gap = 2 * success - 1
    if gap == 0:
        return 0.0
    if share == 0.5:
        return _divergence(gap / 2, 0.5)

    def told(middle: float) -> float:
        out, into = -share * gap, (1 - share) * gap
        return share * _divergence(into, middle) + (1 - share) * _divergence(out, middle)

    low, high = share * gap, 1 - (1 - share) * gap
    if high - low <= 1e-15:
        return told((low + high) / 2)
    best = minimize_scalar(told, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    return float(min(best.fun, told(low), told(high)))


@dataclass(frozen=True)
class _Table:
    """Worlds by what they answer: ``(g, C)`` distinct answers, ``(..., g)`` weights, ``(W,)`` each world's place."""

    answers: Floats
    weights: Floats
    groups: Ints
    all_weights: Floats


def _checked(answers: Floats, weights: Floats, budget: float) -> _Table:
    table, chances = np.asarray(answers, np.float64) + 0.0, np.asarray(weights, np.float64)  # -0 is 0
    if not 0 < budget < np.inf:
        raise ValueError(f"a budget of {budget} nats an answer, which must be above 0")
    if table.ndim != 2 or chances.shape[-1:] != table.shape[:1] or not np.isfinite(table).all():
        raise ValueError(
            f"answers {table.shape} of worlds with weights {chances.shape}, or a number that is not finite"
        )
    if not (chances >= 0).all() or not (np.abs(chances.sum(-1) - 1) < 1e-9).all():
        raise ValueError("weights of the worlds are not probabilities")
    live: Mask = np.asarray(chances.reshape(-1, len(table)).any(0))
    firsts: dict[bytes, int] = {}
    groups = np.array(
        [firsts.setdefault(row.tobytes(), len(firsts)) if on else -1 for row, on in zip(table, live, strict=True)]
    )
    distinct = np.stack([table[np.argmax(groups == group)] for group in range(len(firsts))])
    one_hot = groups[:, None] == np.arange(len(distinct))
    return _Table(distinct, chances @ one_hot, groups, chances)


def _shape(table: _Table, budget: float) -> tuple[Floats, Floats, Floats]:
    """Basis ``(..., C, r)``, the answers' standard deviations ``(..., r)`` along it, variances of the noise."""
    leading, classes = table.weights.shape[:-1], table.answers.shape[1]
    spread, span = _span(table.answers)
    if not span.shape[1]:
        return np.zeros((*leading, classes, 0)), np.zeros((*leading, 0)), np.zeros((*leading, 0))
    places = (table.answers - (table.weights @ table.answers)[..., None, :]) @ span
    _, scales, axes = np.linalg.svd(np.sqrt(table.weights)[..., None] * places, full_matrices=False)
    floored = np.maximum(scales, np.maximum(RELATIVE * scales[..., :1], ABSOLUTE * spread))
    variances = floored * floored.sum(-1, keepdims=True) / (2 * budget)
    return span @ np.swapaxes(axes, -1, -2), scales, variances


def _span(answers: Floats) -> tuple[float, Floats]:
    """How far ``(g, C)`` distinct answers lie apart, and ``(C, r)`` the directions in which they do."""
    if len(answers) == 1:
        return 0.0, np.zeros((answers.shape[1], 0))
    _, sizes, directions = np.linalg.svd(answers - answers.mean(0), full_matrices=False)
    kept = sizes > sizes[0] * max(answers.shape) * np.finfo(float).eps
    return float(sizes[0]), directions[kept].T


def _updated(table: _Table, logs: Floats) -> Floats:
    """Weights ``(..., W)`` after log-likelihoods ``(..., g)`` of the groups; where all are 0 as they were."""
    with np.errstate(divide="ignore"):
        scores = np.log(table.all_weights)
    scores = scores + np.where(table.groups >= 0, logs[..., table.groups], 0.0)
    likely = np.exp(scores - scores.max(-1, keepdims=True))
    updated: Floats = likely / likely.sum(-1, keepdims=True)
    return updated


def _divergence(step: float, middle: float) -> float:
    """KL(Bernoulli(middle + step) || Bernoulli(middle)), exact for small steps too."""
    up, down = middle + step, 1 - middle - step
    first = up * np.log1p(step / middle) if up > 0 else 0.0
    second = down * np.log1p(-step / (1 - middle)) if down > 0 else 0.0
    return float(max(0.0, first + second))


def _check_range(nats: float, share: float) -> None:
    if not nats >= 0:
        raise ValueError(f"{nats} nats, which must be at least 0")
    if not 0.5 <= share < 1:
        raise ValueError(f"a share of {share}, outside [0.5, 1)")
