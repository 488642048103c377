"""What is kept of answers with a bound: the state they left behind, and what each world answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.defences.output.bounded import Session, bounded_defence
from memberwise.defences.output.served import DefendedTarget
from memberwise.signals.questions import Questions
from memberwise.targets.base import Target
from memberwise.types.arrays import Arrays, Floats

STATE, VOTES = "bound.state", "bound.votes"
# Questions with which game (i) is played, and numbers of answers kept of them.
MOST_QUESTIONS, MOST_VALUES = 1_000, 4_000_000


@dataclass(frozen=True)
class KeptAnswers:
    """One model's: the state as ``pack_state`` gave it, and ``(Q, W, C)`` votes about some audited records."""

    state: bytes
    votes: Floats


def bound_arrays(models: Target, served: DefendedTarget, questions: Questions) -> Arrays:
    """The state of each model's session and its worlds' votes, the model first; nothing where no bound holds.

    Args:
        served: behind its output defences, when all has been asked.
    """
    defence = bounded_defence(served.defences)
    if defence is None:
        return {}
    states = served.states[served.defences.index(defence)] or ()  # others may stand behind it
    packed = [defence.pack_state(one.state) for one in states if isinstance(one, Session) and one.state is not None]
    rng = np.random.default_rng([questions.rng_seed, 0x626F756E64])
    rows = rng.permutation(questions.audited)[:MOST_QUESTIONS]
    first = models.worlds(questions.records(rows[:1]))
    if first is None or len(packed) != len(models):
        return {}
    rows = rows[: max(1, MOST_VALUES // first[:, :, 0].size)]
    answers = models.worlds(questions.records(rows))
    assert answers is not None
    return {
        STATE: np.stack([np.frombuffer(blob, np.uint8) for blob in packed]),
        VOTES: np.moveaxis(defence.votes(answers, models.kind), 2, 1).astype(np.float32),
    }


def kept_answers(arrays: Arrays) -> KeptAnswers | None:
    """Of the first model; None where its answers have no bound."""
    if STATE not in arrays:
        return None
    return KeptAnswers(arrays[STATE][0].tobytes(), arrays[VOTES][0].astype(np.float64))
