"""Run attacks on a table of signals."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from memberwise.attacks.base import Attack, Score
from memberwise.attacks.registry import is_built_in
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.locked import read_only
from memberwise.signals.table import Signals
from memberwise.targets.user_errors import wrap_user_errors
from memberwise.types.arrays import Floats, Mask

# Shadow models in the target's place are asked about so many records at most; beside many models about fewer, for
# what all answer is held, some 50 bytes each.
STAND_IN_RECORDS, STAND_IN_ANSWERS, FEWEST_STAND_IN_RECORDS = 10_000, 40_000_000, 1_000
AGAIN = "repair it and run again into the same folder: the models are kept; --debug shows the traceback"

ScoresAndTruth = tuple[Floats, Mask]


@dataclass(frozen=True)
class Outcome:
    """What became of one attack.

    Attributes:
        scores: ``(n,)`` float64, HIGHER = MORE LIKELY A MEMBER, NaN where a record cannot be scored; or None.
        skipped: why there are no scores, or None.
        seconds: the time it took.
    """

    attack: Attack
    scores: Floats | None
    skipped: str | None
    seconds: float


def run_attacks(signals: Signals, attacks: Sequence[Attack], seeds: Seeds) -> list[Outcome]:
    """Each attack's scores, or the reason why it was skipped.

    An attack's random numbers depend on its name alone, so which others run changes nothing.
    """
    outcomes = []
    for attack in attacks:
        start = time.perf_counter()
        scores, skipped = score(signals, attack, seeds.rng(f"attack:{attack.name}"))
        outcomes.append(Outcome(attack, scores, skipped, time.perf_counter() - start))
    return outcomes


def score(
    signals: Signals, attack: Attack, rng: np.random.Generator, by: Score | None = None
) -> tuple[Floats | None, str | None]:
    """The attack's scores ``(n,)`` (HIGHER = MORE LIKELY A MEMBER) and None, or None and the reason for skipping it.

    Args:
        by: computes them in place of ``attack.score``.

    Raises:
        TrainingError: an attack of the user's own fails, or its scores have another shape.
    """
    if reason := attack.needs.missing(signals):
        return None, reason
    is_own = not is_built_in(attack)
    with wrap_user_errors(f"the attack {attack.name}", AGAIN, "attacks.use") if is_own else nullcontext():
        # What one attack wrote into the table would be another's figures.
        scores = np.asarray((by or attack.score)(read_only(signals) if is_own else signals, rng), np.float64)
        if scores.shape != (signals.records,):
            raise ValueError(f"{attack.name} gave scores of shape {scores.shape} for {signals.records} records")
    if np.isnan(scores).all():
        return None, "could score no record: too few shadow models, or rows of them, on a side it needs"
    return scores, None


def queries_of(attack: Attack, signals: Signals) -> int:
    """How many questions about one record the attack asks the target; where they differ, about the dearest record."""
    extra = attack.needs.extra_name
    return signals.target.queries if extra is None else int(signals.target.extra[f"{extra}.queries"].max())


def stand_in_records(models: int, records: int) -> int:
    """Of so many records, how many a model in the target's place is asked about, beside so many others."""
    return min(records, STAND_IN_RECORDS, max(FEWEST_STAND_IN_RECORDS, STAND_IN_ANSWERS // max(models, 1)))


def stand_in_sample(signals: Signals, seeds: Seeds) -> Signals:
    """The table of the records that models in the target's place are asked about; a threshold needs no more."""
    count = stand_in_records(len(signals.trained_on), signals.records)
    if signals.records <= count:
        return signals
    rng = seeds.rng("records of stand-ins")
    return signals.of_records(np.sort(rng.choice(signals.records, count, replace=False)))


def shadow_scores(
    signals: Signals, attacks: Sequence[Attack], seeds: Seeds, most: int = 8
) -> dict[str, list[ScoresAndTruth]]:
    """Attacks on shadow models in the target's place, of which the truth is known: to choose thresholds on.

    One stand-in at a time meets all attacks, which share its statistics; it is asked about ``stand_in_sample``.

    Returns:
        By attack's name, for each of the first ``most`` shadow models that it can score: scores ``(r,)`` and
        membership ``(r,)`` of the records that are evaluated and scored.
    """
    pairs: dict[str, list[ScoresAndTruth]] = {attack.name: [] for attack in attacks}
    if signals.shadows is None or not attacks:
        return pairs
    signals = stand_in_sample(signals, seeds)
    for k in range(min(most, len(signals.trained_on))):
        stand_in = as_target(signals, k, seeds.rng("leave one out", k))
        for attack in attacks:
            scores, _ = score(stand_in.signals, attack, seeds.rng(f"shadow attack:{attack.name}", k))
            if scores is not None:
                rows = stand_in.evaluated & ~np.isnan(scores)
                pairs[attack.name].append((scores[rows], stand_in.member[rows]))
    return pairs
