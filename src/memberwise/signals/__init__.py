"""The table of signals: what an attacker reads off the answers of the target and of the shadow models."""

from memberwise.signals.table import Answers, Signals
from memberwise.targets.base import Kind

__all__ = ["Answers", "Kind", "Signals"]
