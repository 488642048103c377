"""``Roles``: which record is what in a study, and which records each shadow model trains on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from memberwise.errors import Note
from memberwise.seeds import Seeds
from memberwise.types.arrays import Array, Ints, Mask, Rows


@dataclass(frozen=True, eq=False)
class Roles:
    """Row numbers by role, ascending, disjoint except that ``test`` may be the non-members.

    Attributes:
        members: audited records on which the target trains.
        nonmembers: audited records on which it does not, the surplus included.
        paired: members and as many non-members: the records which shadow models split between them.
        surplus_nonmembers: non-members beyond the number of members: OUT for every model.
        background: the target and every shadow model train on them; not audited.
        population: nobody trains on them: the attacker's sample of the world.
        reference, validation: the defender's.
        auxiliary: shadow models only, where the attacker has no audited records.
        test: for accuracy only; the source's test part, else the non-members.
        units: ``(records,)`` int64, whose record each row is, or None where every record is on its own.
        caveats: what the report should warn about, as code and message.
    """

    members: Rows
    nonmembers: Rows
    paired: Rows
    surplus_nonmembers: Rows
    background: Rows
    population: Rows
    reference: Rows
    validation: Rows
    auxiliary: Rows
    test: Rows
    units: Ints | None = None
    caveats: tuple[Note, ...] = ()

    @cached_property
    def audited(self) -> Rows:
        """``(n,)`` members and non-members, ascending: the records of the table of signals."""
        return np.sort(np.concatenate([self.members, self.nonmembers]))

    @cached_property
    def member(self) -> Mask:
        """``(n,)`` True for members, aligned with ``audited``."""
        return np.isin(self.audited, self.members)

    @property
    def audited_units(self) -> Ints | None:
        """``(n,)`` whose each audited record is, or None where no unit is known."""
        return None if self.units is None else self.units[self.audited]

    @property
    def target_rows(self) -> Rows:
        """The ``(n,)`` rows on which the target trains: members and background, ascending."""
        return np.sort(np.concatenate([self.members, self.background]))

    @property
    def fit_rows(self) -> Rows:
        """The ``(n,)`` rows on which a table's encoding is fitted.

        The population, else the auxiliary records, else all audited ones.
        """
        return next(rows for rows in (self.population, self.auxiliary, self.audited) if len(rows))

    @property
    def counts(self) -> dict[str, int]:
        """Number of records by role."""
        names = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary", "test")
        return {name: len(getattr(self, name)) for name in names}

    def shadow_rows(self, k: int, seeds: Seeds, data: Literal["halves", "auxiliary"] = "halves") -> Rows:
        """The rows on which shadow model ``k`` trains, ascending.

        Models 2j and 2j + 1 are complementary: one trains on a random half of the ``paired`` records, the other on
        the other half, and both on the background. With ``data="auxiliary"`` each pair splits auxiliary records
        instead: as many as there are paired ones, drawn anew for each pair, or all where there are fewer.
        A model's rows do not depend on how many models there are. Sizes are equal, except that a unit is never cut:
        then they differ by at most ``slack``.

        Returns:
            ``(n,)`` row numbers.
        """
        rng = seeds.rng(f"shadow-{data}", k // 2)
        pool = self.paired
        if data == "auxiliary":
            even = len(self.auxiliary) // 2 * 2
            pool, _ = take(self.auxiliary, min(len(self.paired), even), self.units, rng)
        half, other = halves(pool, self.units, rng)
        return np.sort(np.concatenate([other if k % 2 else half, self.background]))

    @cached_property
    def slack(self) -> int:
        """By how many records models may differ in size (halves, target and shadow): 0 or the largest unit."""
        if self.units is None:
            return 0
        paired = np.unique(self.units[self.paired], return_counts=True)[1]
        if len(set(paired)) == 1 and len(paired) % 2 == 0 and len(self.paired) == 2 * len(self.members):
            return 0
        used = np.concatenate([self.nonmembers, self.target_rows])
        return int(np.unique(self.units[used], return_counts=True)[1].max())


def without(rows: Rows, taken: Rows) -> Rows:
    """``(m,)`` those of the rows ``(n,)`` that are not taken ``(k,)``, in their order."""
    return rows[~np.isin(rows, taken)]


def take(rows: Rows, count: int, units: Array | None, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """``count`` random rows and the rest, both ascending; with units as many whole ones as fit, in random order.

    Args:
        rows: ``(n,)`` row numbers. units: whose record each row of the data set is.
    """
    shuffled, ends = _shuffled(rows, units, rng)
    fitting = ends[ends <= count]
    stop = int(fitting[-1]) if len(fitting) else 0
    return np.sort(shuffled[:stop]), np.sort(shuffled[stop:])


def halves(rows: Rows, units: Array | None, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """A random half of the rows and the other half; with units the cut falls between two, nearest to the middle.

    Args:
        rows: ``(n,)`` row numbers. units: whose record each row of the data set is.
    """
    shuffled, ends = _shuffled(rows, units, rng)
    cut = int(ends[np.abs(2 * ends - len(rows)).argmin()]) if len(rows) else 0
    return np.sort(shuffled[:cut]), np.sort(shuffled[cut:])


def _shuffled(rows: Rows, units: Array | None, rng: np.random.Generator) -> tuple[Rows, Ints]:
    """The rows in random order, a unit's together, and the positions at which a unit ends."""
    if units is None:
        return rng.permutation(rows), np.arange(1, len(rows) + 1)
    distinct, which = np.unique(units[rows], return_inverse=True)
    place = rng.permutation(len(distinct))[which]
    return rows[np.argsort(place, kind="stable")], np.cumsum(np.bincount(place, minlength=len(distinct)))
