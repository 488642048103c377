"""From the table of signals and the truth to figures: attacks, intervals, the verdict, what the report draws."""

from memberwise.assess.flow import HEADLINES, Assessment, assess
from memberwise.attacks.request import AttackRequest

__all__ = ["HEADLINES", "Assessment", "AttackRequest", "assess"]
