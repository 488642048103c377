"""What every part of the report is: a section of the page, and lines on a terminal."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
from markupsafe import Markup

from memberwise.report.schema import AuditResult
from memberwise.types.arrays import Array

Curves = Mapping[str, Array]


@dataclass(frozen=True)
class Source:
    """What a section is drawn from: ``result.json``, ``scores.csv`` and ``curves.npz``."""

    result: AuditResult
    scores: pd.DataFrame
    curves: Curves


class Section(ABC):
    """One part of the report.

    Its figures are a part of :class:`AuditResult`, from which ``result.json`` and its JSON Schema follow. A section is
    made known by its place in ``sections/registry.py``.

    Attributes:
        id: of the HTML section. link: its name in the page's contents.
        template: ``templates/sections/NAME.html.j2``; where none is named, the one called as the section's ``id``. With
            "pairs" it needs none of its own: ``context`` gives ``heading``, ``intro`` and ``pairs`` of words.
    """

    id: ClassVar[str]
    link: ClassVar[str]
    template: ClassVar[str] = ""

    def context(self, source: Source) -> Mapping[str, object] | None:
        """What its template is drawn from beside the result; None where the page has no such section."""
        return {}

    def lines(self, result: AuditResult) -> list[str]:
        """What a terminal says of it, one line each."""
        return []


def markup(svg: str | None) -> Markup | None:
    """Our own SVG, in which every text is escaped already."""
    return None if svg is None else Markup(svg)  # noqa: S704
