"""Whether the shadow models were trained as the target was: without that, what they teach does not carry over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memberwise.assess.figures import AttackEvaluation
from memberwise.attacks.in_out import record_blocks
from memberwise.errors import Note
from memberwise.signals.streamed import of_block
from memberwise.signals.table import Answers, Signals
from memberwise.statistics import stands_out
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES
from memberwise.types.arrays import Floats, Mask
from memberwise.types.parts import LEFT_OUT

# False alarms are at most this frequent where models are trained alike. The three figures share it.
LEVEL = 0.05
# How far the target must be from the shadow models' mean before it is said, and before nothing may be concluded from
# them: log ratio of the spread of phi, its mean in spreads, accuracy. Matched models: see docs/decisions.md.
FAR = {"spread": 0.1, "location": 0.1, "accuracy": 0.02}
VERY_FAR = {"spread": 0.2, "location": 0.3, "accuracy": 0.06}
# The share of audited records that a shadow model trains on may differ from the target's by so much.
SAME_SHARE = 0.02

# Positions of models: the first and the second of every complementary pair.
Halves = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Compared:
    """One figure of the target's answers beside the shadow models' mean; ``p`` is None where it was not tested."""

    target: float
    shadows: float
    difference: float
    p: float | None


@dataclass(frozen=True, kw_only=True)
class CarriedRate:
    """The rate of wrong accusations on population records at ``attack``'s threshold from shadow models for ``fpr``."""

    attack: str
    fpr: float
    value: float
    low: float | None
    high: float | None
    n_members: int
    n_nonmembers: int
    method: str


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The ``mismatch`` of ``result.json``.

    Attributes:
        statistic: how far the target is from its shadow models by the first figure. p: of all figures together.
        tested_on: "population" or "audited"; None where nothing could be tested, for ``reason``.
        records, figures: what was tested; strong: so far that nothing may be concluded from the shadow models.
    """

    statistic: float | None
    p: float | None
    carried_fpr: CarriedRate | None
    tested_on: str | None
    records: int | None = field(default=None, metadata=LEFT_OUT)
    figures: dict[str, Compared] | None = field(default=None, metadata=LEFT_OUT)
    strong: bool | None = field(default=None, metadata=LEFT_OUT)
    reason: str | None


def mismatch_part(
    signals: Signals,
    member: Mask,
    evaluations: Mapping[str, AttackEvaluation],
    names: Sequence[str],
    fprs: Sequence[float],
) -> tuple[Mismatch | None, list[Note]]:
    """The ``mismatch`` of ``result.json`` and the warnings ``mismatch`` or ``mismatch-strong``; None without shadows.

    Three figures of each model's answers (the spread of phi, its mean, the accuracy) over records on which the target
    is a model like the others: population records, which none trained on, else all audited ones, of which each
    trained on as large a share. The least of the three p-values counts, times three.

    Args:
        member: ``(n,)`` the truth; of it only the number is used.
        names: attacks whose carried rate on the population is told, the first that has one.
    """
    if signals.shadows is None or not signals.shadows.models:
        return None, []
    carried = _carried(evaluations, names, fprs)
    tested = _records(signals, member)
    if tested is None:
        why = "no population records, and the shadow models trained on another share of the audited ones: not tested"
        return Mismatch(statistic=None, p=None, carried_fpr=carried, tested_on=None, reason=why), []
    target, shadows, where = tested
    halves = _halves(signals.trained_on)
    figures = {name: _compare(name, *values, halves) for name, values in _figures(target, shadows).items()}
    p_values = [figure.p for figure in figures.values() if figure.p is not None]
    p = min(1.0, len(p_values) * min(p_values)) if p_values else None
    part = Mismatch(
        statistic=figures["spread" if "spread" in figures else "accuracy"].difference,
        p=p,
        carried_fpr=carried,
        tested_on=where,
        records=target.records,
        figures=figures,
        strong=_beyond(figures, VERY_FAR, len(p_values)),
        reason=None if p is not None else "fewer than two pairs of shadow models: not tested",
    )
    return part, _notes(part, figures, len(p_values))


def _records(signals: Signals, member: Mask) -> tuple[Answers, Answers, str] | None:
    """The answers to compare, and on what; shadow models that saw a population record leave it out for all."""
    if signals.population_target is not None and signals.population_shadows is not None:
        seen = signals.population_trained_on
        rows = np.flatnonzero(np.ones(signals.population_target.records, bool) if seen is None else ~seen.any(0))
        if len(rows):
            return signals.population_target.of_records(rows), signals.population_shadows.of_records(rows), "population"
    if signals.shadows is None or (signals.trained_on < 0).any():
        return None
    shares = signals.is_in.mean(1)
    if np.abs(shares - member.mean()).max() > SAME_SHARE:
        return None
    return signals.target, signals.shadows, "audited"


def _halves(trained_on: NDArray[np.int8]) -> Halves:
    """Models by complementary pairs; one by one where they have no complement."""
    even = np.arange(0, len(trained_on) - 1, 2)
    inside, outside = np.zeros((2, trained_on.shape[1]), bool)
    for model in trained_on:
        inside |= model == 1
        outside |= model == 0
    varies = inside & outside
    pairs = zip(trained_on[::2], trained_on[1::2], strict=False)
    if len(trained_on) % 2 == 0 and varies.any() and all((a + b == 1)[varies].all() for a, b in pairs):
        return even, even + 1
    return np.arange(len(trained_on)), np.arange(0)


def _figures(target: Answers, shadows: Answers) -> dict[str, tuple[float, Floats]]:
    """Of the target and of each shadow model; the spread as its logarithm, without phi the accuracy alone."""
    accuracy = {"accuracy": (float(_accuracies(target)[0]), _accuracies(shadows))}
    (mean,), (log_spread,) = _moments(target)
    means, log_spreads = _moments(shadows)
    if not np.isfinite([mean, log_spread, *means, *log_spreads]).all():
        return accuracy
    unit = float(np.exp(log_spreads.mean()))
    return {"spread": (log_spread, log_spreads), "location": (mean / unit, means / unit)} | accuracy


def _accuracies(answers: Answers) -> Floats:
    right = np.zeros(answers.models)
    for part in record_blocks(answers):
        right += of_block(answers.correct[:, :, 0], part).sum(1)
    return right / answers.records


def _moments(answers: Answers) -> tuple[Floats, Floats]:
    """Mean of phi and logarithm of its standard deviation, of each model; in bounded memory."""
    total, squares = np.zeros(answers.models), np.zeros(answers.models)
    log_p, log_1mp = answers.log_p[:, :, 0], answers.log_1mp[:, :, 0]
    for part in record_blocks(answers):
        phi = of_block(log_p, part).astype(np.float64) - of_block(log_1mp, part)
        total += phi.sum(1)
        squares += (phi**2).sum(1)
    mean = total / answers.records
    with np.errstate(divide="ignore"):
        return mean, np.log(np.maximum(squares / answers.records - mean**2, 0.0)) / 2


def _compare(name: str, target: float, shadows: Floats, halves: Halves) -> Compared:
    first, second = (shadows[half] for half in halves)
    mean = float(shadows.mean())
    return Compared(target, mean, target - mean, stands_out(target, first, second))


def _beyond(figures: Mapping[str, Compared], far: Mapping[str, float], tests: int) -> bool:
    return any(
        figure.p is not None and tests * figure.p <= LEVEL and abs(figure.difference) >= far[name]
        for name, figure in figures.items()
    )


def _carried(
    evaluations: Mapping[str, AttackEvaluation], names: Sequence[str], fprs: Sequence[float]
) -> CarriedRate | None:
    """What a carried threshold's rate is on population records: at the smallest rate that these resolve."""
    for name in names:
        rows = evaluations[name].figures.at_shadow_threshold if name in evaluations else ()
        known = {row.fpr: row.population_fpr for row in rows if row.population_fpr is not None}
        if known:
            resolved = [fpr for fpr in known if fpr * known[fpr].n_nonmembers >= ENOUGH_FALSE_POSITIVES]
            fpr = min(resolved) if resolved else max(known)
            return CarriedRate(attack=name, fpr=fpr, **vars(known[fpr]))
    return None


def _notes(part: Mismatch, figures: Mapping[str, Compared], tests: int) -> list[Note]:
    if not _beyond(figures, FAR, tests):
        return []
    clauses = [f"p = {part.p:.2g}", f"accuracy {figures['accuracy'].target:.1%} against "
            f"{figures['accuracy'].shadows:.1%}"]  # fmt: skip
    if "spread" in figures:
        ratio = float(np.exp(figures["spread"].difference))
        clauses.insert(1, f"the log odds of the true class spread {ratio:.2f} times as far")
    where = "population records" if part.tested_on == "population" else "the audited records"
    known = part.carried_fpr
    rate = (
        f" {known.attack}'s threshold for {known.fpr:.1%} false accusations gives {known.value:.1%} "
        f"[{known.low:.1%}, {known.high:.1%}] on population records."
        if known
        else ""
    )
    return [
        Note(
            "mismatch-strong" if part.strong else "mismatch",
            f"the shadow models were not trained as the target was (on {where}: {', '.join(clauses)}): thresholds "
            f"carried over from them, and shares of wrong names, do not hold, and attacks that learn on them are "
            f"weaker than they could be.{rate} Give shadow models the target's own recipe and architecture",
        )
    ]
