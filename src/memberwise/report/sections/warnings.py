"""Warnings about how far the figures carry."""

from __future__ import annotations

from memberwise.report.sections.base import Section


class Warnings(Section):
    """Every warning with its code."""

    id, link = "warnings", "Warnings"
