"""Attacks: pure functions of the table of signals. One file an attack (or family), one registry."""

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.population import OnPopulation, population_scores
from memberwise.attacks.registry import ATTACKS, choose
from memberwise.attacks.run import Outcome, queries_of, run_attacks, shadow_scores

__all__ = [
    "ATTACKS",
    "Attack",
    "Needs",
    "OnPopulation",
    "Outcome",
    "choose",
    "population_scores",
    "queries_of",
    "run_attacks",
    "shadow_scores",
]
