"""What the training means for single records: each one's own risk, over models that saw it and models that did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memberwise.assess.sides import FEWEST_PAIRS, Sides, pair_sides
from memberwise.assess.turns import Turns
from memberwise.data.groups import divisions
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, clopper_pearson
from memberwise.statistics.carried import threshold_at_fpr
from memberwise.statistics.disparity import GroupDifference, group_differences
from memberwise.statistics.gate import LEVELS
from memberwise.statistics.personal import Share, shares_above
from memberwise.statistics.personal_tables import AucTable, auc_table
from memberwise.types.arrays import Floats, Ints, Mask
from memberwise.types.parts import FIRST

# A record is named where its risk is surely above this level, it is found in every turn that trained on it, at this
# rate, and the models that did not train on it flag it at most so often (the upper end at 95 %).
NAMED_ABOVE, NAMED_AT, FLAGGED_AT_MOST = 0.9, 0.01, 0.25
LISTED = 12


@dataclass(frozen=True, kw_only=True)
class ShareAbove(Estimate):
    """The share of records whose AUC_i is above ``auc``."""

    auc: float = field(metadata=FIRST)


@dataclass(frozen=True, kw_only=True)
class ExposedRecord:
    """A record with one of the highest risks.

    Attributes:
        index, label, member: its row number, class, and whether the target trained on it.
        auc, low, high: its AUC_i with its interval.
        in_score, out_score: the mean scaled logit of its true class, over models that trained on it and over others.
        found, in_turns: in how many turns the attack found it, of those whose model trained on it.
        flagged, out_turns: in how many turns it was called a member wrongly, of the others.
        named: surely above 0.9, found in every turn, and seldom flagged where it was not trained on.
    """

    index: int
    label: str
    member: bool
    auc: float
    low: float
    high: float
    in_score: float
    out_score: float
    found: int | None
    in_turns: int
    flagged: int | None
    out_turns: int
    named: bool


@dataclass(frozen=True, kw_only=True)
class GroupRisk(GroupDifference):
    """A group beside the rest, and the share of its records whose AUC_i is above 0.9."""

    above: ShareAbove


@dataclass(frozen=True, kw_only=True)
class PeoplePart:
    """The ``people`` of ``result.json``.

    Attributes:
        records, pairs: that it rests on.
        correlation: of a record's IN and OUT score within a complementary pair, in the mean.
        effective_models: so many models a side, trained apart, would tell as much.
        share_above: the share of records above each level. named: how many are named.
        attack: by which records are found in turn; None where none went through the turns.
        worst: the most exposed, the surest first. groups: classes and groups beside the rest.
    """

    records: int
    pairs: int
    correlation: float
    effective_models: float
    share_above: tuple[ShareAbove, ...]
    attack: str | None
    named: int
    worst: tuple[ExposedRecord, ...]
    groups: tuple[GroupRisk, ...]


def people_part(
    signals: Signals,
    member: Mask,
    turns: Sequence[Turns],
    class_names: Sequence[str],
    confidence: float,
    seeds: Seeds,
    units: Ints | None = None,
) -> PeoplePart | None:
    """Each record's own risk; None where the shadow models cannot tell it.

    Args:
        member: ``(n,)`` the truth about the target.
        turns: of attacks; the first with reference models finds records in turn.
        units: ``(n,)`` whose record each is: one person's count as if they all said the same, and groups are compared
            by one record of each.
    """
    sides = pair_sides(signals)
    if sides is None:
        return None
    pairs, table = sides.pairs, auc_table(sides.pairs, sides.correlation, sides.spread)
    inflation = sides.inflation + (0.0 if units is None else records_of_one(units[sides.rows]) - 1)
    shares = shares_above(sides.aucs, table, LEVELS, confidence, inflation)
    finds = _found(sides, turns)
    worst, named = _worst(signals, member, sides, table, finds, class_names, confidence)
    return PeoplePart(
        records=len(sides.rows),
        pairs=pairs,
        correlation=sides.correlation,
        effective_models=pairs / (1 - sides.correlation),
        share_above=tuple(_share(one, len(sides.rows), pairs) for one in shares),
        attack=None if finds is None else finds.attack,
        named=named,
        worst=worst,
        groups=_groups(signals, sides, table, class_names, units, confidence, seeds.rng("groups by lot")),
    )


def records_of_one(units: Ints) -> float:
    """How many records a record's person has, in the mean over records: the design effect of records that are alike.

    Kish (1965), with a correlation of 1 within the persons of ``units`` ``(n,)``: they are trained on together, so that
    what is chance in one record's risk is in the others' too.
    """
    sizes = np.unique(units, return_counts=True)[1]
    return float((sizes**2).sum() / sizes.sum())


def _groups(
    signals: Signals,
    sides: Sides,
    table: AucTable,
    class_names: Sequence[str],
    units: Ints | None,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[GroupRisk, ...]:
    """Classes, and groups by every division of their columns, each beside the rest; of a person the first record."""
    first = np.arange(len(sides.rows)) if units is None else np.unique(units[sides.rows], return_index=True)[1]
    risks, rows = sides.aucs[first], sides.rows[first]
    ways = [("class", np.asarray(class_names)[signals.labels[rows]])]
    if signals.groups is not None:
        ways += [("group", names) for names in divisions(signals.groups[rows])]
    risky = []
    for row in group_differences(risks, ways, confidence, rng, sides.by_pair[:, first]):
        inside = next(names == row.name for by, names in ways if by == row.by and row.name in names)
        flatter = 1 + (sides.inflation - 1) * float(inside.mean())
        share = shares_above(risks[inside], table, LEVELS[-1:], confidence, flatter)
        risky.append(GroupRisk(**vars(row), above=_share(share[0], row.records, sides.pairs)))
    return tuple(risky)


def _share(share: Share, records: int, pairs: int) -> ShareAbove:
    method = f"profile likelihood over all distributions of risk, normal or heavy-tailed noise, {pairs} pairs"
    return ShareAbove(
        auc=share.level,
        value=share.value,
        low=share.low,
        high=share.high,
        n_members=records,
        n_nonmembers=records,
        method=method,
    )


@dataclass(frozen=True)
class _Found:
    """Which records an attack finds in turn: of ``(r,)`` records counts of turns."""

    attack: str
    found: Ints
    flagged: Ints
    in_turns: Ints
    out_turns: Ints


def _found(sides: Sides, turns: Sequence[Turns]) -> _Found | None:
    """By the first attack that compares with models which did not train on the record: others find outliers."""
    one = next((turn for turn in turns if turn.attack.startswith(("learned", "lira", "base", "rmia"))), None)
    if one is None:
        return None
    counts = np.zeros((4, len(sides.rows)), np.int64)
    for scores, member in zip(one.scores, one.member, strict=True):
        scored = ~np.isnan(scores)
        cut = threshold_at_fpr(scores[scored & ~member], NAMED_AT)
        above, inside, here = scores[sides.rows] > cut, member[sides.rows], scored[sides.rows]
        counts += [here & inside & above, here & ~inside & above, here & inside, here & ~inside]
    return _Found(one.attack, *counts)


def _worst(
    signals: Signals,
    member: Mask,
    sides: Sides,
    table: AucTable,
    found: _Found | None,
    class_names: Sequence[str],
    confidence: float,
) -> tuple[tuple[ExposedRecord, ...], int]:
    """The most exposed records, and how many are named."""
    aucs = sides.aucs
    low, high = (ends[table.bins(aucs)] for ends in table.intervals(confidence))
    named = np.zeros(len(aucs), bool) if found is None else _named(low, found)
    # Few models give many records the same risk: then those found more often, called wrongly less, and told apart more.
    hits = np.zeros(len(aucs), np.int64) if found is None else found.found - found.flagged
    order = np.lexsort((sides.out_score - sides.in_score, -hits, -aucs, -low, ~named))[:LISTED]
    turns = sides.pairs
    worst = [
        ExposedRecord(
            index=int(signals.index[sides.rows[i]]),
            label=str(class_names[signals.labels[sides.rows[i]]]),
            member=bool(member[sides.rows[i]]),
            auc=float(aucs[i]),
            low=float(low[i]),
            high=float(high[i]),
            in_score=float(sides.in_score[i]),
            out_score=float(sides.out_score[i]),
            found=None if found is None else int(found.found[i]),
            in_turns=turns if found is None else int(found.in_turns[i]),
            flagged=None if found is None else int(found.flagged[i]),
            out_turns=turns if found is None else int(found.out_turns[i]),
            named=bool(named[i]),
        )
        for i in order
    ]
    return tuple(worst), int(named.sum())


def _named(low: Floats, found: _Found) -> Mask:
    """``(r,)`` records that are named one by one."""
    enough = (found.in_turns >= FEWEST_PAIRS) & (found.out_turns >= FEWEST_PAIRS)
    _, upper = clopper_pearson(found.flagged, np.maximum(found.out_turns, 1), 0.95)
    return np.asarray(enough & (low > NAMED_ABOVE) & (found.found == found.in_turns) & (upper <= FLAGGED_AT_MOST))
