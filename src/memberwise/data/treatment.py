"""What was done to the records between the user's data and the models: the ``encoding`` part of ``result.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memberwise.types.parts import Plain, to_plain


@dataclass(frozen=True)
class OneHot:
    """A column of categories: so many 0/1 columns, one a level.

    Attributes:
        levels: categories among the rows on which the encoding was fitted (missing is one of them).
        missing: records without a value. unseen: records whose category those rows do not show; all zeros.
    """

    column: str
    levels: int
    missing: int
    unseen: int


@dataclass(frozen=True)
class Dropped:
    """A column that is no feature, and why."""

    column: str
    reason: str


@dataclass(frozen=True)
class Treatment:
    """What was done to the records.

    Attributes:
        kind: what they were taken for.
        records, features: how many there are, and of how many numbers each consists as the models get it.
        steps: what was done to all of them, in words.
        fitted_on: rows from which means, deviations and categories were taken; None where nothing was fitted.
        standardised: columns of numbers, brought to mean 0 and deviation 1. flags: booleans, 0 or 1.
        one_hot: columns of categories.
        dropped: columns that are no features.
    """

    kind: Literal["images", "arrays", "table"]
    records: int
    features: int
    steps: tuple[str, ...] = ()
    fitted_on: int | None = None
    standardised: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    one_hot: tuple[OneHot, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    def to_dict(self) -> Plain:
        """As ``result.json`` holds it."""
        return to_plain(self)
