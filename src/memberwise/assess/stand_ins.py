"""Every model in the target's place in turn: the target itself, then shadow models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memberwise.assess.figures import AttackEvaluation, Scores
from memberwise.attacks import Attack
from memberwise.attacks.run import score
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Mask

# Attacks that go through the turns where the headline does not, the first that can.
IN_TURN = ("lira-online-fixed", "lira-offline-fixed", "loss")


@dataclass(frozen=True)
class StandIns:
    """One attack on several models.

    Attributes:
        scores: ``(k, n)``, NaN where a record is not scored; the target is the first model.
        member: ``(k, n)`` who trained on what.
    """

    scores: Scores
    member: Mask

    @property
    def scored(self) -> Mask:
        """Which scores there are, of the shape of ``scores``: ``(m, n)``."""
        return ~np.isnan(self.scores)


def attack_in_turn(evaluations: Mapping[str, AttackEvaluation], headline: str) -> AttackEvaluation:
    """The headline, unless it was not run on shadow models (one that learns on them would learn anew at each turn):
    then LiRA with one spread for all records."""
    return next(
        (evaluations[name] for name in (headline, *IN_TURN) if name in evaluations and evaluations[name].pairs),
        evaluations[headline],
    )


def one_of_each_pair_first(models: int) -> list[int]:
    """Shadow models' numbers, such that the first half are of different complementary pairs."""
    return [*range(0, models, 2), *range(1, models, 2)]


def take_turns(
    signals: Signals, main: AttackEvaluation, member: Mask, evaluated: Mask, models: Iterable[int], seeds: Seeds
) -> StandIns:
    """The attack on the target and on each of these shadow models, left out with its complement.

    ``member``: ``(n,)``, the truth about the target; each stand-in's scores and membership are ``(n,)``.

    Args:
        main: the attack and its scores of the target.
    """
    scores, truth = [main.scores], [member]
    for k in models:
        stand_in = as_target(signals, k, seeds.rng("leave one out", k))
        row = _scores(stand_in.signals, main.attack, seeds, k)
        scores.append(np.where(stand_in.evaluated & evaluated, row, np.nan))
        truth.append(stand_in.member)
    return StandIns(np.stack(scores), np.stack(truth))


def _scores(signals: Signals, attack: Attack, seeds: Seeds, k: int) -> Floats:
    scores, _ = score(signals, attack, seeds.rng(f"shadow attack:{attack.name}", k))
    return np.full(signals.records, np.nan) if scores is None else scores


def usable(turns: StandIns) -> Sequence[int]:
    """Positions of the models with scored records of both sides."""
    both = (turns.scored & turns.member).any(1) & (turns.scored & ~turns.member).any(1)
    return [int(k) for k in np.flatnonzero(both)]
