"""From the table of signals and the truth to figures: attacks, intervals, the verdict, what the report draws."""

from memberwise.assess.asking import HEADLINES, Asking
from memberwise.assess.flow import Assessment, assess

__all__ = ["HEADLINES", "Asking", "Assessment", "assess"]
