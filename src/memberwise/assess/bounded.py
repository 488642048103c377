"""The ``bound`` of ``result.json``: what is bounded, by how much, and what was measured in both games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from memberwise.assess.figures import AttackFigures
from memberwise.assess.games import Bayesian
from memberwise.defences.bounded.spending import Bound
from memberwise.defences.bounded.words import bound_sentences
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.types.parts import LEFT_OUT


@dataclass(frozen=True)
class GameTwo:
    """Pool against strangers, measured: the headline attack's figures in the target's place."""

    attack: str
    auc: Estimate | None
    balanced_accuracy: Estimate | None
    tpr_at_fpr: tuple[TprAtFpr, ...]


@dataclass(frozen=True)
class Measured:
    """What attacks achieve in each game.

    Attributes:
        game_one: exact Bayesian attackers, where answers come from a secret world; else empty. game_two: this audit.
    """

    game_one: tuple[Bayesian, ...]
    game_two: GameTwo | None


@dataclass(frozen=True, kw_only=True)
class BoundPart(Bound):
    """What is bounded, by how much, in which game, in words; and what was measured in both.

    Attributes:
        defence: whose bound it is. of_training: the model itself is private, whatever it is asked; else its answers.
        sentences: the same in words, with what it does not say.
    """

    defence: str
    of_training: bool = False
    sentences: str
    measured: Measured
    epsilon_of_votes: float | None = field(default=None, metadata=LEFT_OUT)


def bound_part(
    defence: str, bound: Bound, game_one: Sequence[Bayesian], headline: AttackFigures | None, *, of_training: bool
) -> BoundPart:
    """From the bound, the first game's figures and the headline's of the second."""
    second = headline and GameTwo(headline.name, headline.auc, headline.balanced_accuracy, headline.tpr_at_fpr)
    return BoundPart(
        **asdict(bound),
        defence=defence,
        of_training=of_training,
        sentences=bound_sentences(bound, of_training=of_training),
        measured=Measured(tuple(game_one), second or None),
    )
