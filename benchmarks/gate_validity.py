"""How often a gate errs: simulated attacks with known AUC and TPR, correlated as attacks on the same records are.

    python benchmarks/gate_validity.py [--repeats 1000]

*fails at the limit*: every attack's true figure is exactly the limit; at most 5 % of such models may fail.
*passes above it*: one attack's is above the limit by a hair, the others' below; at most 5 % of such models may pass.
*fails well above it*: one attack's is above by the stated step; how often that is seen, one attack alone beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest

from memberwise.statistics import Measured, judge, parse_rule

HAIR = 1e-9


@dataclass(frozen=True)
class World:
    """Non-members score N(0, 1), a ``share`` of the members N(shift, 1), the others N(0, 1); attacks share noise.

    Attributes:
        correlation: of two attacks' scores of one record.
    """

    members: int
    nonmembers: int
    share: float
    correlation: float

    def true_figure(self, shift: float, fpr: float | None) -> float:
        if fpr is None:
            return self.share * float(ndtr(shift / np.sqrt(2))) + (1 - self.share) / 2
        return self.share * float(ndtr(shift + ndtri(fpr))) + (1 - self.share) * fpr

    def shift_for(self, figure: float, fpr: float | None) -> float:
        """The shift that gives a figure."""
        low, high = 0.0, 20.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if self.true_figure(middle, fpr) < figure else (low, middle)
        return low

    def attacks(self, shifts: list[float], rng: np.random.Generator) -> dict[str, Measured]:
        n = self.members + self.nonmembers
        member: NDArray[np.bool_] = np.arange(n) < self.members
        found = member & (rng.random(n) < self.share)
        common = np.sqrt(self.correlation) * rng.normal(size=n)
        own = np.sqrt(1 - self.correlation) * rng.normal(size=(len(shifts), n))
        return {f"attack-{k}": Measured(common + own[k] + shift * found, member) for k, shift in enumerate(shifts)}


def outcomes(
    world: World, rule: str, figures: list[float], fpr: float | None, repeats: int, seed: int
) -> list[bool | None]:
    """What the gate says of attacks with these true figures, again and again."""
    shifts = [world.shift_for(figure, fpr) for figure in figures]
    rng, parsed = np.random.default_rng(seed), parse_rule(rule)
    found = []
    for _ in range(repeats):
        attacks = world.attacks(shifts, rng)
        found.append(judge([parsed], attacks, list(attacks))[0].passed)
    return found


def rates(world: World, k: int, fpr: float | None, limit: float, step: float, repeats: int) -> dict[str, float]:
    """The three rates of the module's docstring for a family of ``k`` attacks."""
    rule = f"auc>{limit}" if fpr is None else f"tpr@{fpr}>{limit}"
    guess = 0.5 if fpr is None else fpr
    low = guess + (limit - guess) / 4
    at = outcomes(world, rule, [limit] * k, fpr, repeats, 1)
    above = outcomes(world, rule, [limit + HAIR, *[low] * (k - 1)], fpr, repeats, 2)
    well = outcomes(world, rule, [limit + step, *[low] * (k - 1)], fpr, repeats, 3)
    return {
        "fails at the limit": float(np.mean([passed is False for passed in at])),
        "passes above it": float(np.mean([passed is True for passed in above])),
        "fails well above it": float(np.mean([passed is False for passed in well])),
    }


CASES = [
    ("AUC, 1,000 + 1,000", World(1000, 1000, 1.0, 0.7), None, 0.6, 0.05),
    ("AUC, 1,000 + 1,000, a tenth found", World(1000, 1000, 0.1, 0.7), None, 0.53, 0.015),
    ("AUC, 100 + 100", World(100, 100, 1.0, 0.7), None, 0.7, 0.12),
    ("AUC, 1,000 + 1,000, little correlated", World(1000, 1000, 1.0, 0.2), None, 0.6, 0.05),
    ("TPR at 1 % FPR, 2,000 + 2,000", World(2000, 2000, 1.0, 0.7), 0.01, 0.05, 0.05),
    ("TPR at 1 % FPR, 2,000 + 2,000, a tenth found", World(2000, 2000, 0.1, 0.7), 0.01, 0.05, 0.04),
    ("TPR at 10 % FPR, 500 + 500", World(500, 500, 1.0, 0.7), 0.1, 0.3, 0.15),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    # An upper limit for a rate of 5 % that chance alone crosses once in a thousand.
    most = next(k for k in range(repeats + 1) if binomtest(k, repeats, 0.05, "greater").pvalue < 0.001) / repeats
    print(f"{repeats} models a cell; a true 5 % would show as {most:.3f} or more once in a thousand")
    print(f"{'':46}{'k':>3}{'fails at':>10}{'passes above':>14}{'fails well above':>18}")
    for name, world, fpr, limit, step in CASES:
        for k in (1, 2, 3, 4, 5, 6):
            found = rates(world, k, fpr, limit, step, repeats)
            wrong = max(found["fails at the limit"], found["passes above it"])
            cells = f"{found['fails at the limit']:>10.3f}{found['passes above it']:>14.3f}"
            print(
                f"{name:46}{k:>3}{cells}{found['fails well above it']:>18.3f}{'  !' if wrong >= most else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
