"""The cascade: further shadow models keep the target's company, as far as the attack by then has found it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.learned.attack import ATTACKS, as_taught, carried_over_to
from memberwise.attacks.learned.carried import Carried
from memberwise.signals.rounds import Round
from memberwise.signals.table import Signals
from memberwise.study.models import ROUND
from memberwise.types.arrays import Floats, Ints, Mask

# A record is released with so many times the probability that it is where it is not believed to be; at least so often.
DOUBT, LEAST = 3.0, 0.1
# So many records are released at least, the most doubtful ones: fewer teach nothing.
FEWEST_RELEASED = 60
# What the log odds before a round weigh beside those of the round. Chosen on Location-30 and MNIST (docs/cascade.md).
KEPT = 0.6
# What tells of a target, before the rounds and on each.
FIRST = next(attack for attack in ATTACKS if attack.name == "learned")
# Probabilities nearer to 0 or 1 count as so near.
NEAREST = 1e-6


def log_odds_of(signals: Signals, rng: np.random.Generator) -> Floats:
    """``(n,)`` log odds of "member" by ``learned``; NaN where a record is not scored."""
    return np.asarray(logit(np.clip(FIRST.score(signals, rng), NEAREST, 1 - NEAREST)))


def believed(log_odds: Floats, members: float | None) -> Floats:
    """``(n,)`` probabilities of "member" where that share of all are: ``log_odds`` ``(n,)`` are of a half.

    Members are among the records whose log odds are known: the others are non-members beyond the number of members, on
    which no shadow model trains.
    """
    return np.asarray(expit(log_odds + logit(share_of_known(log_odds, members))))


def share_of_known(log_odds: Floats, members: float | None) -> float:
    """What share of the records with ``log_odds`` ``(n,)`` are members, where ``members`` of all are; untold a half."""
    known = int((~np.isnan(log_odds)).sum())
    share = 0.5 if members is None or not known else members * len(log_odds) / known
    return float(np.clip(share, NEAREST, 1 - NEAREST))


def released(p: Floats, units: Ints | None, rng: np.random.Generator) -> Mask:
    """``(n,)``: records whose side the next round leaves open; a unit's together.

    Args:
        p: ``(n,)`` probabilities of "member", NaN where none is known: such records are never released.
        units: ``(n,)`` whose record each is, or None.
    """
    first, which = _units(p, units)
    wrong = np.minimum(p, 1 - p)[first]
    known = ~np.isnan(wrong)
    chosen = known & (rng.random(len(first)) < np.maximum(LEAST, DOUBT * np.where(known, wrong, 0)))
    doubtful = np.argsort(np.where(known, -wrong, np.inf), kind="stable")[: min(FEWEST_RELEASED, int(known.sum()))]
    if chosen.sum() < len(doubtful):
        chosen[doubtful] = True
    return np.asarray(chosen[which])


def sides(p: Floats, free: Mask, units: Ints | None, rng: np.random.Generator) -> Iterator[Mask]:
    """Who trains on what in the next round, ``(n,)`` for each model, in pairs that split the released records.

    Args:
        p: ``(n,)`` probabilities of "member"; records without one are nobody's. free: ``(n,)`` the released ones.
        units: ``(n,)`` whose record each is, or None: a unit's released records are on one side.
    """
    first, which = _units(p, units)
    put = np.nan_to_num(p) > 0.5
    for _ in range(ROUND // 2):
        half = np.zeros(len(first), bool)
        open_units = rng.permutation(np.flatnonzero(free[first]))
        half[open_units[: len(open_units) // 2]] = True
        for side in (half, ~half):
            yield np.where(free, side[which], put)


def _units(p: Floats, units: Ints | None) -> tuple[Ints, NDArray[np.intp]]:
    """A record of each unit, and which unit each record ``(n,)`` is of."""
    if units is None:
        return np.arange(len(p)), np.arange(len(p))
    _, first, which = np.unique(units, return_index=True, return_inverse=True)
    return first, which


def by_unit(log_odds: Floats, units: Ints | None) -> Floats:
    """``(n,)`` log odds, of all records of a unit their mean; NaN where none of it has any."""
    if units is None:
        return log_odds
    which, known = _units(log_odds, units)[1], ~np.isnan(log_odds)
    count = np.bincount(which, known)
    total = np.bincount(which, np.where(known, log_odds, 0.0))
    return np.asarray((total / np.where(count, count, np.nan))[which])


def released_table(one: Round) -> Signals:
    """The round's table of its released records, the only ones on which its models differ."""
    rows = np.flatnonzero(one.released)
    share = believed(one.prior, one.table.members)[rows]
    return replace(one.table.of_records(rows), members=float(share.mean()) if len(rows) else None)


def after(one: Round, table: Signals, carried: Carried, rng: np.random.Generator) -> Floats:
    """``(n,)`` log odds of "member" once a round is known.

    Args:
        table: ``released_table`` of it. carried: how what shadow models teach carries over to the target. All audited
            records tell that, beside the population: of the released ones alone the sure are missing.
    """
    found, rows = one.prior.copy(), np.flatnonzero(one.released)
    again = carried.of(as_taught(table, rng))
    found[rows] = np.where(np.isnan(again), found[rows], KEPT * found[rows] + again)
    return balanced(found, one.table.members)


def balanced(log_odds: Floats, members: float | None) -> Floats:
    """``(n,)`` log odds, of a half, shifted so that as many members are expected as the attacker is told; untold as
    they are.

    ``log_odds``: ``(n,)``, NaN where none are known.
    """
    known, share = log_odds[~np.isnan(log_odds)], share_of_known(log_odds, members)
    if members is None or not known.size:
        return log_odds

    def surplus(shift: float) -> float:
        return float(expit(known + shift + logit(share)).mean() - share)

    farthest = 1 + float(np.abs(known).max())
    return np.asarray(log_odds + brentq(surplus, -farthest, farthest))


def cascade(signals: Signals, rng: np.random.Generator) -> Floats:
    """``(n,)`` beliefs in "member", 0 to 1, after rounds of shadow models. HIGHER = MORE LIKELY A MEMBER.

    Du et al. 2026 (arXiv 2511.04716): what a model answers about a record depends on which others it trained on, so
    that shadow models which trained on the target's other members tell more of this one. ``learned`` says which those
    are likely to be; a round of further shadow models is trained with the sure ones where it says and halves of the
    others; it learns again on that round, of the others alone. Here every round leaves some of the sure ones open, too,
    lest a mistake stays for ever; a round has four models, in complementary pairs; log odds add up over rounds with
    weights; and as many members are expected as there are said to be (docs/cascade.md). More rounds make it stronger.
    Beliefs are nearly probabilities for targets like the shadow models; that is not claimed.
    """
    return np.asarray(
        expit(after(signals.rounds[-1], released_table(signals.rounds[-1]), carried_over_to(signals), rng))
    )


ATTACK = Attack(
    "cascade",
    cascade,
    Needs(shadows="in+out", early=True, rounds=True),
    "Du et al. 2026, arXiv:2511.04716, with learned (docs/cascade.md)",
    "As learned, with more shadow models that train on what was found out about the target's other records.",
    threshold=0.5,
)
