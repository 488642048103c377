"""Checks for attacks and defences that others write: what the rest of the house relies on, tried on small data."""

from memberwise.checks.attack import check_attack
from memberwise.checks.defence import check_defence

__all__ = ["check_attack", "check_defence"]
