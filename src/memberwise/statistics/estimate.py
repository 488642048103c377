"""A figure that is never bare: value, interval, numbers of records and method."""

from __future__ import annotations

from dataclasses import dataclass

from memberwise.types.parts import Plain, to_plain


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the point estimate.
        low, high: the ends of the interval at the stated confidence; None where no valid interval is known.
        n_members, n_nonmembers: how many records it rests on.
        method: how the interval was made, in words.

    Examples:
        >>> from memberwise import Estimate
        >>> print(Estimate(0.207, 0.167, 0.255, 600, 600, "Clopper-Pearson"))
        0.2070 (0.1670 to 0.2550; 600 members, 600 non-members; Clopper-Pearson)
    """

    value: float
    low: float | None
    high: float | None
    n_members: int
    n_nonmembers: int
    method: str

    def to_dict(self) -> Plain:
        return to_plain(self)

    def __str__(self) -> str:
        interval = "no interval" if self.low is None or self.high is None else f"{self.low:.4f} to {self.high:.4f}"
        return (
            f"{self.value:.4f} ({interval}; {self.n_members} members, {self.n_nonmembers} non-members; {self.method})"
        )
