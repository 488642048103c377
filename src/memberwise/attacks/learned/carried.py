"""How far probabilities learnt on shadow models carry over to a target: known non-members of it, population records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from memberwise.types.arrays import Floats

# Slope and shift are drawn towards 1 and 0 as by normal priors of these standard deviations.
PRIOR = {"slope": 0.5, "shift": 1.0}
FLATTEST, STEEPEST, FARTHEST = 0.02, 8.0, 8.0
# By so much a record, in natural logarithms of the likelihood, the target contradicts what shadow models taught: what
# is mended then is no more than a repair. Chosen on Adult and MNIST (docs/learned.md). Less in all may be chance.
CONTRADICTED, CHANCE = 0.009, 6.0


@dataclass(frozen=True)
class Carried:
    """What log odds of "member" become of this target: ``shift + slope * log odds``, order kept.

    Attributes:
        slope: at most 1, and shift: at most 0: probabilities become less sure, never surer. 1 and 0: they carry over.
        evidence: log likelihood ratio of the best slope and shift, surer ones too, against 1 and 0.
        records: how many tell, audited and population.
    """

    slope: float = 1.0
    shift: float = 0.0
    evidence: float = 0.0
    records: int = 0

    @property
    def contradicted(self) -> bool:
        """The target's answers about its population contradict what shadow models taught, mended or not."""
        return self.evidence > max(CONTRADICTED * self.records, CHANCE)

    def of(self, log_odds: Floats) -> Floats:
        """``(n,)`` log odds as this target's."""
        return self.shift + self.slope * log_odds


def carried_over(audited: Floats, population: Floats, members: float = 0.5) -> Carried:
    """How much less sure log odds must be for population records to look like the non-members that they are.

    Where a target leaks less than the shadow models did, its audited records look like its population, whatever a
    judge says of both. With a share p of members, the density of audited records over that of population records at
    log odds l is 1 - p + p exp(a + b l), if a + b l are the true ones (a sample and a contaminated one: Lancaster and
    Imbens 1996; an exponential tilt between the two: Anderson 1979). a and b are estimated by maximum likelihood of
    which of the two samples each record is in, with normal priors around 0 and 1.

    Args:
        audited: ``(n,)`` log odds of "member", HIGHER = MORE LIKELY, by features which population records have too.
        population: ``(z,)`` of records which no model trained on.
        members: the share p of members among audited records.
    """
    odds = np.log(len(audited) / len(population))

    def unlikely(at: Floats) -> float:
        of_audited, of_population = (
            odds + np.logaddexp(np.log(1 - members), np.log(members) + at[0] + at[1] * values)
            for values in (audited, population)
        )
        return float(np.logaddexp(0, -of_audited).sum() + np.logaddexp(0, of_population).sum())

    def loss(at: Floats) -> float:
        return unlikely(at) + float((at[0] / PRIOR["shift"]) ** 2 + ((at[1] - 1) / PRIOR["slope"]) ** 2) / 2

    def best(shifts: tuple[float, float], slopes: tuple[float, float]) -> Floats:
        found = minimize(loss, [-0.01, 0.99], bounds=[shifts, slopes], method="L-BFGS-B").x
        return np.asarray(found if loss(found) < loss(as_taught) else as_taught)

    as_taught = np.array([0.0, 1.0])
    shift, slope = best((-FARTHEST, 0.0), (FLATTEST, 1.0))
    anywhere = best((-FARTHEST, FARTHEST), (FLATTEST, STEEPEST))
    evidence = unlikely(as_taught) - unlikely(anywhere)
    return Carried(float(slope), float(shift), evidence, len(audited) + len(population))
