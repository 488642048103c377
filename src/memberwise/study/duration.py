"""Seconds in words, and back."""

from __future__ import annotations

import re


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 days 4 h``, ``12 years``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 100 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    if whole < 730 * 86_400:
        return f"{whole // 86_400} days {whole % 86_400 // 3600} h"
    return f"{whole // (365 * 86_400):,} years"


def seconds_of(text: str) -> float:
    """``90s``, ``5m``, ``1h30m`` in seconds.

    Raises:
        ValueError: not a duration, or none at all.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s?)?", text.replace(" ", ""))
    seconds = (
        sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    )
    if seconds <= 0:
        raise ValueError("a time such as 90s, 5m or 1h30m")
    return float(seconds)
