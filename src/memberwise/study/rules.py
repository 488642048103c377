"""What can be told of a study by itself."""

from __future__ import annotations

from memberwise.study.schema import Study

FEWEST_RUNS = 8


def bounds_epsilon(study: Study) -> bool:
    """Whether the study's design gives a bound on epsilon that holds: memberships by coins, or canaries in many runs.

    Revealing a share of the members tells how many of the others are: coins are then no coins any more.
    """
    if study.attacks.reveal:
        return False
    return study.data.coins or (study.canaries.count is not None and study.shadow.count >= FEWEST_RUNS)
