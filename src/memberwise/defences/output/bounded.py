"""Output defences of an ensemble whose answers have a bound: they keep a state, and every new question costs.

An ensemble of ``W`` models ("worlds", or teachers) is asked; a mechanism makes one answer of theirs. What it keeps
between questions is a plain, frozen state, so that a gateway can read, step and write it in one transaction, and an
audit can keep it in memory. A record that is asked again gets its stored answer, which costs nothing.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from memberwise.defences.bounded.spending import Bound, Spent
from memberwise.defences.output.base import OutputDefence
from memberwise.errors import StudyError, TargetError
from memberwise.types.arrays import Array, Arrays, Floats

if TYPE_CHECKING:
    from memberwise.defences.output.base import Members, Rngs
    from memberwise.targets.base import Kind, Records, Target

State = TypeVar("State")
# Records that all worlds of all models are asked about at once.
CHUNK = 256


class BoundSpent(TargetError):
    """The budget of answers with a bound is at its end: no new record is answered."""


@dataclass(frozen=True)
class Step(Generic[State]):
    """One question answered.

    Attributes:
        answer: ``(C,)`` float64, or a label ``()`` int64. state: after it. cost: nats; 0 where none are counted.
    """

    answer: Array
    state: State
    cost: float


@dataclass
class Session(Generic[State]):
    """One model's state in memory, with the answers it gave by digest of the record.

    Attributes:
        rng: from which the noise is seeded: each record's own, so that it does not depend on what was asked before.
        state: None until the first question, which tells how many worlds there are.
    """

    rng: np.random.Generator
    state: State | None = None
    answers: dict[bytes, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seed = [int(word) for word in self.rng.integers(0, 2**32, 8)]

    def noise(self, name: bytes) -> np.random.Generator:
        """Random numbers for the record of this digest (16 bytes)."""
        return np.random.default_rng([*self._seed, *np.frombuffer(name, "<u4").tolist()])


class BoundedDefence(OutputDefence, Generic[State]):
    """An output defence of an ensemble, with a state and a cost.

    A subclass gives ``start``, ``votes``, ``step``, ``pack_state``, ``unpack_state``, ``spent``, ``after``, ``allows``
    and ``bound``, all pure; here is how they answer in an audit and in ``memberwise.load_target``.
    """

    @property
    def keeps_label(self) -> bool:
        return False

    @abstractmethod
    def start(self, worlds: int) -> State:
        """The state before the first question.

        Raises:
            StudyError: so many worlds cannot have this mechanism.
        """

    @abstractmethod
    def votes(self, answers: Array, kind: Kind) -> Floats:
        """What the mechanism is given, ``(..., C)`` float64, from the worlds' answers ``(..., C)`` of this kind."""

    @abstractmethod
    def step(self, votes: Floats, state: State, key: bytes, rng: np.random.Generator) -> Step[State]:
        """Answer one question.

        Args:
            votes: ``(W, C)``. state: before it. key: the model's secret (its secret world is drawn from it).
            rng: of the noise: fresh in service, from the study's seed in an audit.
        """

    @abstractmethod
    def pack_state(self, state: State) -> bytes:
        """The state as bytes, for a store; it holds no secret world."""

    @abstractmethod
    def unpack_state(self, blob: bytes) -> State:
        """What ``pack_state`` made bytes of.

        Raises:
            ValueError: it is no such state.
        """

    @abstractmethod
    def spent(self, state: State) -> Spent:
        """What the answers so far have cost, all clients together."""

    @abstractmethod
    def after(self, state: State, questions: int) -> Spent:
        """The most that will have been spent after so many more questions."""

    @abstractmethod
    def allows(self, state: State, questions: int = 1) -> bool:
        """So many more questions stay within the defence's own budget, whatever is asked."""

    @abstractmethod
    def bound(self, state: State) -> Bound:
        """What the answers so far bound, and in which game."""

    def fit(self, target: Target, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[object] | None:
        return [Session[State](rng) for rng in rngs]

    def pack(self, state: object) -> Arrays:
        return {}

    def unpack(self, arrays: Mapping[str, Array], rng: np.random.Generator) -> object:
        return Session[State](rng)

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        """Defended ``(m, n, C)`` answers or ``(m, n)`` labels: new records in the order asked, others as before."""
        sessions = [state for state in states or () if isinstance(state, Session)]
        if len(sessions) != len(target):
            raise ValueError("answers with a bound need what fit gave")
        if not len(x):
            shape = (len(target), 0) if self.gives(target.kind) == "labels" else target.predict(x).shape
            return np.zeros(shape, np.int64 if len(shape) == 2 else np.float64)
        prints = [hashlib.blake2b(np.ascontiguousarray(record).tobytes(), digest_size=16).digest() for record in x]
        for first in range(0, len(x), CHUNK):
            some = prints[first : first + CHUNK]
            if all(name in session.answers for session in sessions for name in some):
                continue
            votes = self.votes(self._worlds(target, x[first : first + CHUNK]), target.kind)
            for session, table, key in zip(sessions, votes, keys, strict=True):
                self._answer(session, table, some, key)
        return np.stack([np.stack([session.answers[name] for name in prints]) for session in sessions])

    def _answer(self, session: Session[State], votes: Floats, prints: Sequence[bytes], key: bytes) -> None:
        """Answer the records (``votes`` ``(W, n, C)``) that the session has not answered yet."""
        state = self.start(len(votes)) if session.state is None else session.state
        for place, name in enumerate(prints):
            if name in session.answers:
                continue
            if not self.allows(state):
                spent = self.spent(state)
                raise BoundSpent(
                    "the budget of the bounded answers is spent",
                    expected="at most the questions that the budget was made for",
                    found=f"{spent.questions:,} records asked, and another one that is new",
                    where=f"answer, {type(self).__name__}",
                    fix="a larger budget, or less for each question",
                )
            done = self.step(votes[:, place], state, key, session.noise(name))
            state = session.state = done.state
            session.answers[name] = done.answer

    def _worlds(self, target: Target, x: Records) -> Array:
        """``(m, W, n, C)`` answers of the worlds.

        Raises:
            StudyError: there is no ensemble behind.
        """
        answers = target.worlds(x)
        if answers is None:
            raise StudyError(
                f"{type(self).__name__} answers from an ensemble, and one model is here",
                expected="a training defence that releases an ensemble, and no output defence before this one",
                where="answer",
                fix="training.defence = pac or pate brings its output defence along: leave it to that",
            )
        return answers


def bounded_defence(defences: Sequence[OutputDefence]) -> BoundedDefence[Any] | None:
    """The bounded defence of a list of output defences, or None."""
    return next((defence for defence in defences if isinstance(defence, BoundedDefence)), None)
