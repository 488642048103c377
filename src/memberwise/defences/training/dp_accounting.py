"""What noise buys: epsilon of DP-SGD and the noise for an epsilon, by Opacus' Renyi accountant (extra ``dp``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Literal, TypeVar

import numpy as np

from memberwise.errors import MissingExtraError, StudyError

ACCOUNTANT = "Renyi accountant of Opacus"
Accountant = Literal["rdp", "prv"]
EPSILON_ERROR, LARGEST = 0.01, 50.0
BISECTIONS = 9  # to half a thousandth of the noise
# Opacus' own orders and some beyond, for much and for little noise.
ORDERS = [1.01, 1.05, *(1 + x / 10 for x in range(1, 110)), *range(12, 64), 96, 128, 256, 512, 1024]


@dataclass(frozen=True)
class Sampling:
    """The mechanism: ``steps`` sums of clipped gradients, each over a Poisson sample at ``rate``, with noise.

    One record more or less in the training set is what differs; its chance of being in a batch is ``rate``.
    """

    rate: float
    steps: int


@lru_cache(maxsize=256)
def numerical_epsilon_of(noise_multiplier: float, sampling: Sampling, delta: float) -> float:
    """As ``epsilon_of``, by numerical composition: an upper bound too, and a nearer one.

    The privacy loss distribution is composed by Fourier transform, with an error of at most 0.01 in epsilon that is
    added to the bound (Gopi, Lee and Wutschitz 2021, arXiv:2106.02848). Infinite where the Renyi bound is above 50, a
    guarantee of nothing, for which the transform would need more memory than there is.

    Raises:
        MissingExtraError: Opacus is not installed.
    """
    if not epsilon_of(noise_multiplier, sampling, delta) <= LARGEST:
        return float("inf")
    accountant = _opacus().PRVAccountant()
    accountant.history = [(noise_multiplier, sampling.rate, sampling.steps)]
    return float(_quietly(lambda: accountant.get_epsilon(delta, eps_error=EPSILON_ERROR, delta_error=delta / 1000)))


def epsilon_of(noise_multiplier: float, sampling: Sampling, delta: float) -> float:
    """An upper bound on epsilon at ``delta``; infinite without noise. Smaller is more private.

    Renyi divergences of the subsampled Gaussian mechanism (Mironov, Talwar and Zhang 2019, arXiv:1908.10530), added
    over the steps and converted by theorem 21 of Balle et al. 2020 (arXiv:1905.09982). ``numerical_epsilon_of`` gives
    some 10 to 15 % less.

    Raises:
        MissingExtraError: Opacus is not installed.
    """
    if noise_multiplier == 0:
        return float("inf")
    accountant = _opacus().RDPAccountant()
    accountant.history = [(noise_multiplier, sampling.rate, sampling.steps)]
    return float(_quietly(lambda: accountant.get_epsilon(delta, alphas=ORDERS)))


@lru_cache(maxsize=256)
def noise_for(epsilon: float, sampling: Sampling, delta: float, accountant: Accountant = "rdp") -> float:
    """The noise multiplier with which ``epsilon_of`` is at most ``epsilon``, and at least 0.999 of it.

    With accountant "prv" it is ``numerical_epsilon_of`` that is at most ``epsilon``, up to 0.01 below what it allows at
    all: some 5 to 10 % less noise. Above 50 the Renyi accountant's noise is taken.

    Raises:
        MissingExtraError: Opacus is not installed. StudyError: no noise gives so small an epsilon.
    """
    if accountant == "prv":
        return _numerical_noise_for(epsilon, sampling, delta)
    find = _opacus().utils.get_noise_multiplier
    try:
        return float(
            _quietly(
                lambda: find(
                    target_epsilon=epsilon,
                    target_delta=delta,
                    sample_rate=sampling.rate,
                    steps=sampling.steps,
                    accountant="rdp",
                    epsilon_tolerance=epsilon / 1000,
                    alphas=ORDERS,
                )
            )
        )
    except ValueError as error:
        raise StudyError(
            f"no noise gives epsilon {epsilon:g}", found=str(error), where="training.defence", fix="a larger epsilon"
        ) from error


def _numerical_noise_for(epsilon: float, sampling: Sampling, delta: float) -> float:
    """By bisection below the noise that the Renyi accountant asks for, which is always enough."""
    high = noise_for(epsilon, sampling, delta)
    if epsilon >= LARGEST:
        return high
    low = high / 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if numerical_epsilon_of(middle, sampling, delta) <= epsilon:
            high = middle
        else:
            low = middle
    return high


Bound = TypeVar("Bound")


def _quietly(call: Callable[[], Bound]) -> Bound:
    """A bound from the end of the orders holds as well; it could be tighter. Little noise overflows to infinity."""
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.filterwarnings("ignore", "Optimal order is the", UserWarning)
        return call()


def _opacus() -> ModuleType:
    try:
        import opacus.accountants
        import opacus.accountants.utils
    except ImportError as error:
        raise MissingExtraError.of("opacus", "dp", "the accounting of DP-SGD") from error
    accountants: ModuleType = opacus.accountants
    return accountants
