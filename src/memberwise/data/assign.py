"""Give every record its role: what the user wants, then the defaults, drawn at random and by unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from memberwise.data.dataset import Dataset
from memberwise.data.role_spec import RoleSpec, first_few, resolve
from memberwise.data.roles import Roles, take, without
from memberwise.errors import DataError, Note, StudyError
from memberwise.seeds import Seeds
from memberwise.types.arrays import Ints, Rows

ROLES = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")
NONE: Rows = np.zeros(0, dtype=np.int64)

# What is audited and sampled when the user says nothing: shares of the training part, and at most so many records.
AUDITED_SHARE, AUDITED_MOST = 0.4, 10_000
POPULATION_SHARE, POPULATION_MOST = 0.2, 5_000
POPULATION_LEAST = 1_000


def assign_roles(dataset: Dataset, wants: RoleSpec, seeds: Seeds) -> tuple[Dataset, Roles]:
    """The roles of all records, and the data set, larger by the records which ``wants`` reads from files.

    Counts are drawn from the training part (rows not in ``dataset.test``). Where nothing is said: members and
    non-members are 40 % of it each (at most 10,000), the population 20 % (at most 5,000). Where something is said:
    as many non-members as members, as far as there are; the population is what is left, at most 5,000 and at most
    the larger of 1,000 and the number of members; the other roles are empty. With ``train_rows`` the members are
    all of them, or as many as there can be non-members once a fifth of what is left is kept for the population;
    the rest of them is background; where the target saw the whole training part, the source's test part serves.
    Surplus members become background, surplus non-members are OUT for all models.

    Raises:
        DataError: roles overlap, a unit would be on two sides, or more records are asked for than exist.
        StudyError: a want that means nothing.
    """
    counts: dict[str, int] = {}
    lists: dict[str, Rows] = {}
    first_rows = np.arange(dataset.records)
    for role in (*ROLES, "train_rows"):
        dataset, want = resolve(dataset, getattr(wants, role), role, len(first_rows))
        if isinstance(want, int):
            counts[role] = want
        elif want is not None:
            lists[role] = want
    _check_train_rows(counts, lists)
    units = None if dataset.units is None else np.unique(dataset.units, return_inverse=True)[1].astype(np.int64)
    _check_disjoint(lists, units)

    rows = lists.copy()
    train_part = first_rows if dataset.test is None else without(first_rows, dataset.test)
    pool = _Pool(_free(train_part, lists, units), units, seeds)
    if "train_rows" in lists:
        if not len(pool.rows) and dataset.test is not None:
            pool = _Pool(_free(dataset.test, lists, units), units, seeds)
        _members_of_target(rows, counts, units, seeds)
        _check_disjoint(rows, units)
    sizes = counts | {role: len(chosen) for role, chosen in rows.items()}
    counts |= _defaults(sizes, len(pool.rows) - sum(counts.values()), len(train_part), "train_rows" in lists)
    pool.check(counts, dataset.source)
    rows |= {role: pool.draw(role, counts[role]) for role in ROLES if role not in rows and role in counts}
    return dataset, _paired(dataset, rows, units, seeds, pool.caveats)


def _check_train_rows(counts: dict[str, int], lists: dict[str, Rows]) -> None:
    """Refuse what does not go with a target that is trained already."""
    if "train_rows" in counts:
        raise StudyError("train_rows is a count", expected="a file, or row numbers", where="target.train_rows")
    if "train_rows" in lists and ("background" in counts or "background" in lists):
        raise StudyError(
            "background is said twice",
            where="data.background, target.train_rows",
            fix="leave data.background out: it is the training rows that are not members",
        )


def _members_of_target(rows: dict[str, Rows], counts: dict[str, int], units: Rows | None, seeds: Seeds) -> None:
    """Settle the members of a target that is trained already; its other training rows become background."""
    seen = rows.pop("train_rows")
    members = rows.get("members", seen)
    strangers = without(members, seen)
    if len(strangers):
        raise DataError(
            "members are there which the target was not trained on",
            found=f"rows {first_few(strangers)}",
            where="data.members, target.train_rows",
        )
    if "members" in counts:
        count = counts.pop("members")
        if count > len(seen):
            raise DataError(
                "more members are asked for than the target saw", expected=f"at most {len(seen)}", found=f"{count}"
            )
        members, _ = take(seen, count, units, seeds.rng("role-members"))
    rows["members"], rows["background"] = members, without(seen, members)


def _defaults(sizes: dict[str, int], free: int, train_part: int, trained: bool) -> dict[str, int]:
    """How many members, non-members and population records are drawn where the user does not say.

    Args:
        sizes: what is settled, by role.
        free: records which are left once the counts among ``sizes`` are drawn.
        train_part: records in the training part.
        trained: the target is trained already, so what is left cannot be chosen and a part is kept for the population.
    """
    free = max(free, 0)
    most = min(int(AUDITED_SHARE * train_part), AUDITED_MOST)
    if not sizes:
        population = min(int(POPULATION_SHARE * train_part), POPULATION_MOST)
        return {"members": most, "nonmembers": most, "population": population}
    counts = {}
    if "members" not in sizes:
        counts["members"] = min(sizes["nonmembers"], free) if "nonmembers" in sizes else min(most, free // 2)
        free -= counts["members"]
    members = sizes.get("members", counts.get("members", 0))
    if "nonmembers" not in sizes:
        kept = min(int(POPULATION_SHARE * free), POPULATION_MOST) if trained and "population" not in sizes else 0
        counts["nonmembers"] = min(members, free - kept)
        free -= counts["nonmembers"]
    if "population" not in sizes:
        counts["population"] = min(free, POPULATION_MOST, max(POPULATION_LEAST, members))
    return counts


@dataclass
class _Pool:
    """Rows which still have no role."""

    rows: Rows
    units: Ints | None
    seeds: Seeds
    caveats: tuple[Note, ...] = ()

    def check(self, counts: dict[str, int], source: str) -> None:
        if sum(counts.values()) > len(self.rows):
            terms = " + ".join(f"{count:,} {role}" for role, count in counts.items() if count)
            raise DataError(
                "more records are asked for than exist",
                expected=f"at most {len(self.rows):,} in the training part, records with another role not counted",
                found=f"{terms} = {sum(counts.values()):,}",
                where=source,
            )

    def draw(self, role: str, count: int) -> Rows:
        taken, self.rows = take(self.rows, count, self.units, self.seeds.rng(f"role-{role}"))
        if len(taken) < count:
            self.caveats += (Note("units", f"{len(taken):,} {role}, not {count:,}: one unit's rows stay on one side"),)
        return taken


def _free(rows: Rows, lists: dict[str, Rows], units: Ints | None) -> Rows:
    """The rows that may be drawn: not given a role already, nor of a unit that has one."""
    taken = np.concatenate([NONE, *lists.values()])
    return without(rows, taken) if units is None else rows[~np.isin(units[rows], units[taken])]


def _paired(
    dataset: Dataset,
    rows: dict[str, Rows],
    units: Ints | None,
    seeds: Seeds,
    caveats: tuple[Note, ...],
) -> Roles:
    """Make members and non-members equally many: surplus members to the background, surplus non-members OUT."""
    members, nonmembers = rows["members"], rows["nonmembers"]
    background, surplus, rng = rows.get("background", NONE), NONE, seeds.rng("role-surplus")
    if len(members) > len(nonmembers):
        members, further = take(members, len(nonmembers), units, rng)
        background = np.sort(np.concatenate([background, further]))
    paired_nonmembers = nonmembers
    if len(nonmembers) > len(members):
        paired_nonmembers, surplus = take(nonmembers, len(members), units, rng)
    for name, some in (("members", rows["members"]), ("non-members", nonmembers), ("members", members)):
        if not len(some):
            raise DataError(
                f"no records are left for {name}",
                expected="at least one" + (" whole unit" if units is not None else ""),
                where=dataset.source,
                fix="ask for fewer records in the other roles, or give --nonmembers FILE",
            )
    parts = {role: rows.get(role, NONE) for role in ROLES}
    parts |= {"members": members, "background": background}
    _check_disjoint(parts, units)
    used = np.concatenate(list(parts.values()))
    test = NONE if dataset.test is None else without(dataset.test, used)
    roles = Roles(
        **parts,
        paired=np.sort(np.concatenate([members, paired_nonmembers])),
        surplus_nonmembers=surplus,
        test=test if len(test) else nonmembers,
        units=units,
        caveats=caveats,
    )
    if not roles.slack:
        return roles
    message = f"one unit's rows stay on one side, so models differ by up to {roles.slack:,} training records"
    return replace(roles, caveats=(*caveats, Note("unequal-sizes", message)))


def _check_disjoint(parts: dict[str, Rows], units: Ints | None) -> None:
    """Raises:
    DataError: a row, or one unit's rows, would have two roles (members among the target's rows are no overlap).
    """
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if {one, other} == {"members", "train_rows"}:
            continue
        both = first[np.isin(first, second)]
        if len(both):
            raise DataError(
                f"{one} and {other} overlap",
                expected="every record in one role",
                found=f"{len(both)} rows in both: {first_few(both)}",
                where=f"data.{one}, data.{other}",
            )
        if units is not None and np.isin(units[first], units[second]).any():
            split = first[np.isin(units[first], units[second])]
            raise DataError(
                f"{one} and {other} hold rows of the same unit",
                expected="one unit's rows on one side",
                found=f"{len(split)} rows of {one}: {first_few(split)}",
                where=f"data.{one}, data.{other}",
            )
