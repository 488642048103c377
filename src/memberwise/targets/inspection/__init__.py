"""What a model's file tells without an attack: records kept in it, small leaves, settings known to memorise."""

from memberwise.targets.inspection.findings import Finding, Inspection
from memberwise.targets.inspection.inspect import inspect

__all__ = ["Finding", "Inspection", "inspect"]
