"""Put a shadow model in the target's place, so that the rest of the table tells nothing about what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Mask


@dataclass(frozen=True)
class StandIn:
    """A table in which a shadow model stands in for the target, and the truth about it.

    Attributes:
        signals: the table; the stand-in and its complement are no longer among the shadow models.
        member: ``(n,)`` bool, the stand-in trained on the record.
        evaluated: ``(n,)`` bool, the record may be evaluated: some shadow models trained on it and some did not
            (background and surplus records are out), and its membership is not revealed to the attacker.
        left_out: numbers of the models that are no longer among the shadow models, ascending.
    """

    signals: Signals
    member: Mask
    evaluated: Mask
    left_out: tuple[int, ...]


def as_target(signals: Signals, k: int, rng: np.random.Generator, last: StandIn | None = None) -> StandIn:
    """Shadow model ``k`` becomes the target.

    It and its complement (the model trained on exactly the other records) leave the shadow models: with the
    complement left in, a record would be IN for one model less where it is a member, and the counts would answer the
    question. Without a complement, models are dropped per record at random (``trained_on`` -1) until the numbers of
    IN and OUT models are distributed alike over the stand-in's members and its non-members.

    Args:
        signals: a table with shadow models.
        k: the shadow model's number, 0 <= k < m.
        rng: draws the models to drop; unused where shadow models come in pairs.
        last: another of the same table. Where it was the complement, both have the same shadow models, and share what
            is known of these.
    """
    shadows, varies = _shadows(signals), _varies(signals)
    complement = _complement(signals.trained_on[:, varies], k)
    left_out = (k,) if complement is None else (min(k, complement), max(k, complement))
    if last is not None and complement is not None and last.left_out == left_out:
        rest = last.signals
    else:
        rest = _without(signals, left_out)
    if complement is None:
        mine = signals.trained_on[k]
        _even_out(rest.trained_on, mine == 1, varies & (mine >= 0), rng)
    return _stand_in(signals, shadows, rest, k, varies, left_out)


def as_targets(signals: Signals, pairs: Sequence[int]) -> list[StandIn]:
    """Each of these shadow models becomes the target of the same shadow models: of all that are not among them.

    What is learned from those serves each, for none of them is the target or its complement.

    Args:
        signals: a table with shadow models. pairs: numbers of shadow models, in whole complementary pairs.
    """
    shadows, rest, varies = _shadows(signals), _without(signals, pairs), _varies(signals)
    left_out = tuple(sorted(pairs))
    return [_stand_in(signals, shadows, rest, k, varies, left_out) for k in pairs]


def _shadows(signals: Signals) -> Answers:
    if signals.shadows is None:
        raise ValueError("there is no shadow model to put in the target's place")
    return signals.shadows


def _varies(signals: Signals) -> Mask:
    """``(n,)``: some shadow models trained on the record, and some did not."""
    return np.asarray(signals.is_in.any(0) & signals.is_out.any(0))


def _without(signals: Signals, models: Sequence[int]) -> Signals:
    return signals.of_models(np.setdiff1d(np.arange(len(signals.trained_on)), models))


def _stand_in(
    signals: Signals, shadows: Answers, rest: Signals, k: int, varies: Mask, left_out: tuple[int, ...]
) -> StandIn:
    """Shadow model ``k`` of a table as the target of ``rest``; ``varies`` ``(n,)``, of the table."""
    mine, known = signals.trained_on[k], signals.known
    member, evaluated = mine == 1, varies & (mine >= 0)
    if known is not None:
        evaluated &= np.isnan(known)
        known = np.where(np.isnan(known), np.nan, member.astype(np.float64))
    one, population = np.array([k]), signals.population_shadows
    table = replace(
        rest,
        target=shadows.of_models(one),
        population_target=None if population is None else population.of_models(one),
        known=known,
        members=float(member[evaluated].mean()) if evaluated.any() else None,
    )
    return StandIn(table, member, evaluated, left_out)


def _complement(trained_on: NDArray[np.int8], k: int) -> int | None:
    """The first model that trained on exactly the records which model ``k`` did not train on."""
    models = np.flatnonzero((trained_on + trained_on[k] == 1).all(1))
    return int(models[0]) if models.size and trained_on.shape[1] else None


def _even_out(
    trained_on: NDArray[np.int8],
    member: Mask,
    evaluated: Mask,
    rng: np.random.Generator,
) -> None:
    """Drop models (in place) until members and non-members have alike numbers of IN and of OUT models.

    Members and non-members are sorted by their number of IN models; those at the same quantile are cut to the smaller
    of their two numbers. Where every record is IN for the same number of models, this drops one model a record, of
    the side opposite to its membership; where each model drew its records independently, next to none.
    """
    counts = np.stack([(trained_on == 1).sum(0), (trained_on == 0).sum(0)])
    groups = [rng.permutation(np.flatnonzero(evaluated & side)) for side in (member, ~member)]
    if not groups[0].size or not groups[1].size:
        return
    groups = [group[np.argsort(counts[0, group], kind="stable")] for group in groups]
    surplus = np.zeros_like(counts)
    for here, there in (groups, groups[::-1]):
        twin = there[((np.arange(here.size) + 0.5) * there.size / here.size).astype(np.intp)]
        surplus[:, here] = np.maximum(counts[:, here] - counts[:, twin], 0)
    for side, excess in zip((1, 0), surplus, strict=True):
        while (columns := np.flatnonzero(excess)).size:
            lots = rng.random((len(trained_on), columns.size), np.float32)
            lots[trained_on[:, columns] != side] = -1.0
            trained_on[lots.argmax(0), columns] = -1
            excess[columns] -= 1
