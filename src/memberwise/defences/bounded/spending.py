"""What answers with a bound have cost, and what that bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Game "i": among the records that the answering world learned, against in the pool but not among them.
# Game "ii": in the pool, against never in the pool.
Game = Literal["i", "ii"]


@dataclass(frozen=True)
class Spent:
    """What a session's answers cost so far, or may cost in all.

    Attributes:
        nats: told about the secret world; None where the mechanism does not count them.
        epsilon, delta: of differential privacy; None where the mechanism has none.
        questions: answered anew; those answered from the store cost nothing and are not counted.
    """

    nats: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    questions: int = 0


@dataclass(frozen=True)
class Bound:
    """What is bounded, by how much: never to be shown without its game.

    Attributes:
        game: the question that it bounds; about the other one it says nothing.
        nats, epsilon, delta: as in ``Spent``. per_question: the most nats of one answer.
        success: the largest balanced accuracy of any attack in this game, all clients together.
        share: of the pool that one world learns, for game "i".
        epsilon_of_votes: epsilon given the votes that were cast: a function of the pool, so no guarantee, and for its
            owner's eyes alone.
    """

    game: Game
    nats: float | None = None
    per_question: float | None = None
    success: float | None = None
    share: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    questions: int = 0
    epsilon_of_votes: float | None = None
