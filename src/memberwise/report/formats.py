"""How a figure is written: with its interval, in as many digits as it deserves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, Protocol

Unit = Literal["share", "number", "records"]
DASH = "\N{EN DASH}"


class Interval(Protocol):
    """A figure with the ends of its interval, None where there are none."""

    @property
    def value(self) -> float | None: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Shown:
    """An estimate in words: ``value``, ``interval`` ("9.1 to 14.2%", or "no interval") and ``basis`` (n and method)."""

    value: str
    interval: str
    basis: str

    def __str__(self) -> str:
        return f"{self.value} ({self.interval})"


def without_folder(name: str) -> str:
    """A file's name without the folders of the machine that it lies on, where the path is absolute; options stay."""
    path, mark, options = name.partition("?")
    return f"{PurePath(path).name}{mark}{options}" if PurePath(path).is_absolute() else name


def number(value: object) -> float | None:
    """A finite float, or None where there is no figure (null, NaN, infinity)."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def places(share: float) -> int:
    """Decimals of a percentage: one, and more close to 0% and 100%, where the digits matter."""
    distance = min(abs(share), abs(1 - share))
    return 1 if distance >= 0.01 or distance == 0 else 2 if distance >= 0.001 else 3


def percent(value: object, decimals: int | None = None) -> str:
    """0.1234 -> "12.3%"; a dash where there is no figure."""
    share = number(value)
    return DASH if share is None else f"{100 * share:.{places(share) if decimals is None else decimals}f}%"


def rate(fpr: float) -> str:
    """A false-positive rate as it is spoken of: 0.001 -> "0.1%"."""
    return f"{100 * fpr:.6g}%"


def count(value: object) -> str:
    """3000 -> "3,000"."""
    return f"{value:,}" if isinstance(value, int) else DASH if value is None else str(value)


def plain(value: object) -> str:
    """A figure that has no interval by nature (a loss, an epsilon, a score): four significant digits."""
    figure = number(value)
    return DASH if figure is None else f"{figure:.4g}".replace("e-0", "e-")


def in_one_form(figures: Sequence[float | None]) -> list[str]:
    """Figures of one column in the same number of decimals: the largest has four significant digits."""
    finite = [number(figure) for figure in figures]
    largest = max((abs(figure) for figure in finite if figure is not None), default=0.0)
    if not 1e-4 <= largest < 1e6:
        return [plain(figure) for figure in finite]
    decimals = max(0, 3 - math.floor(math.log10(largest)))
    return [DASH if figure is None else f"{figure:.{decimals}f}" for figure in finite]


def shown(estimate: Interval | None, unit: Unit = "share", decimals: int | None = None) -> Shown | None:
    """An estimate of ``result.json`` in words; None where there is none.

    Args:
        decimals: of the percentage or number, the same for a whole column; else as many as the figure deserves.
    """
    value = None if estimate is None else number(estimate.value)
    if estimate is None or value is None:
        return None
    low, high = number(estimate.low), number(estimate.high)
    members, nonmembers, method = (getattr(estimate, name, None) for name in ("n_members", "n_nonmembers", "method"))
    basis = f"{count(members)} members, {count(nonmembers)} non-members; {method or 'method not stated'}"
    if unit == "records":
        text = f"{value:,.0f}"
        return Shown(text, "no interval" if low is None or high is None else f"{low:,.0f}{DASH}{high:,.0f}", basis)
    decimals = decimals if decimals is not None else places(value or high or 0.0) if unit == "share" else 3
    text = f"{100 * value:.{decimals}f}%" if unit == "share" else f"{value:.{decimals}f}"
    if low is None or high is None:
        return Shown(text, "no interval", basis)
    dash = " to " if low < 0 else DASH
    if unit == "number":
        return Shown(text, f"{low:.{decimals}f}{dash}{high:.{decimals}f}", basis)
    return Shown(text, f"{100 * low:.{decimals}f}{dash}{100 * high:.{decimals}f}%", basis)


def spoken(estimate: Interval | None, unit: Unit = "share", interval: str = "interval") -> str:
    """An estimate inside a sentence: "12.3% (95% interval 9.1 to 14.2%)"."""
    figure = shown(estimate, unit)
    if figure is None:
        return "not available"
    return (
        f"{figure.value} ({figure.interval if figure.interval == 'no interval' else f'{interval} {figure.interval}'})"
    )


def seconds(value: object) -> str:
    """12.345 -> "12.3"; a dash where the time is not known."""
    figure = number(value)
    return DASH if figure is None else "<0.1" if figure < 0.1 else f"{figure:,.1f}"


def points(train: object, test: object) -> str:
    """The gap between two accuracies in percentage points, as a cell below these words."""
    first, second = number(train), number(test)
    return DASH if first is None or second is None else f"{100 * (first - second):.1f}"


def points_of(share: float, sign: str = "") -> str:
    """A difference of two shares: 0.052 -> "5.2 percentage points"; with the sign "+" always signed."""
    return f"{100 * share:{sign}.1f} percentage points"
