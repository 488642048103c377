"""PATE's answers: a noisy vote of teachers that learned disjoint parts of the pool, or no answer."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from memberwise.defences.bounded.pate import (
    ABSTAINED,
    ORDERS,
    GNMax,
    data_dependent_rdp,
    epsilon_of,
    rdp_epsilon,
    release,
    rho_of,
    success_of,
)
from memberwise.defences.bounded.spending import Bound, Spent
from memberwise.defences.output.base import refuse_labels
from memberwise.defences.output.bounded import BoundedDefence, Step
from memberwise.errors import StudyError
from memberwise.types.arrays import Array, Floats

if TYPE_CHECKING:
    from memberwise.targets.base import Kind

_HEAD = struct.Struct("<4sQQd")
_MAGIC = b"pat1"


@dataclass(frozen=True)
class PateState:
    """What the mechanism keeps.

    Attributes:
        teachers: how many vote. rho: booked, by what was answered. questions: asked, answered or not.
        rdp: ``(orders,)`` Renyi divergences given the votes: a function of the pool, for its owner's eyes alone.
    """

    teachers: int
    rho: float = 0.0
    questions: int = 0
    rdp: Floats = field(default_factory=lambda: np.zeros(len(ORDERS)))


class Pate(BoundedDefence[PateState]):
    """Papernot et al. 2018 (arXiv 1802.08908), confident GNMax. Needs ``training.defence = pate``.

    The bound is differential privacy of the answers for one record of the pool (game (ii)). An answer is a one-hot
    vector; where too few teachers agree it holds the same for every class: no answer.

    Args:
        epsilon: that all answers together may cost, at ``delta``; a limit that holds whatever is asked.
        questions: that it shall last for at least, which decides the noise.
        threshold: share of the teachers that must agree (after noise) for an answer; 0: always answered.
        check: share of a question's cost that asking whether enough agree may take.
        sigma1, sigma2: the noise itself, in votes, on the largest count and on every count, instead.
    """

    grid: ClassVar[tuple[dict[str, object], ...]] = ({},)

    epsilon: Annotated[float, Field(gt=0)] = 8.0
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    questions: Annotated[int, Field(ge=1, le=2**53)] = 1_000
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    check: Annotated[float, Field(gt=0, lt=1)] = 0.1
    sigma1: Annotated[float | None, Field(ge=1e-6)] = None
    sigma2: Annotated[float | None, Field(ge=1e-6)] = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Pate:
        needs_both = self.threshold or self.sigma2 is None  # without a threshold sigma1 has nothing to do
        if (self.sigma1 is None) != (self.sigma2 is None) and needs_both:
            raise ValueError("give sigma1 and sigma2, or neither")
        return self

    @property
    def rho(self) -> float:
        """What all answers together may cost, in rho of zero-concentrated differential privacy."""
        rho = rho_of(self.epsilon, self.delta)
        if not rho:
            raise StudyError(
                "an epsilon so small leaves nothing to answer with", found=f"{self.epsilon:g}", where="answer, pate"
            )
        return rho

    @property
    def worst_rho(self) -> float:
        """The most that one question costs."""
        return self.mechanism(1).worst_rho

    def mechanism(self, teachers: int) -> GNMax:
        """Confident GNMax for so many teachers."""
        least = self.threshold * teachers if self.threshold else None
        if self.sigma2 is not None:
            return GNMax(least, self.sigma1 or self.sigma2, self.sigma2)
        each = self.rho / self.questions
        check = self.check if self.threshold else 0.0
        return GNMax(least, 1 / sqrt(2 * self.check * each), 1 / sqrt((1 - check) * each))

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "scores"

    def start(self, worlds: int) -> PateState:
        if worlds < 2:
            raise StudyError("one teacher's vote is no vote", expected="2 teachers or more", where="answer")
        if self.worst_rho > self.rho:
            raise StudyError(
                "one question may cost more than all of them",
                expected=f"noise with which one question costs epsilon {self.epsilon:g} at most",
                found=f"sigma1 = {self.sigma1}, sigma2 = {self.sigma2}",
                where="answer, pate",
                fix="more noise, or a larger epsilon",
            )
        return PateState(worlds)

    def votes(self, answers: Array, kind: Kind) -> Floats:
        top = np.asarray(answers).argmax(-1)[..., None]
        return np.asarray(np.arange(np.shape(answers)[-1]) == top, np.float64)

    def step(self, votes: Floats, state: PateState, key: bytes, rng: np.random.Generator) -> Step[PateState]:
        mechanism, classes = self.mechanism(len(votes)), votes.shape[1]
        counts = votes.sum(0).astype(np.int64)
        label = int(release(counts, mechanism, rng.standard_normal(1 + classes)))
        answer = np.full(classes, 1 / classes) if label == ABSTAINED else np.eye(classes)[label]
        rdp = state.rdp + data_dependent_rdp(counts, label, mechanism)
        return Step(answer, PateState(state.teachers, state.rho + mechanism.rho(label), state.questions + 1, rdp), 0.0)

    def pack_state(self, state: PateState) -> bytes:
        head = _HEAD.pack(_MAGIC, state.teachers, state.questions, state.rho)
        return head + np.ascontiguousarray(state.rdp, "<f8").tobytes()

    def unpack_state(self, blob: bytes) -> PateState:
        try:
            magic, teachers, questions, rho = _HEAD.unpack_from(blob)
            rdp = np.frombuffer(blob, "<f8", offset=_HEAD.size).astype(np.float64)
        except (struct.error, ValueError) as error:
            raise ValueError(f"no state of pate: {error}") from error
        if magic != _MAGIC or len(rdp) != len(ORDERS) or not 0 <= rho < np.inf or not (rdp >= 0).all():
            raise ValueError("no state of pate")
        return PateState(teachers, rho, questions, rdp)

    def spent(self, state: PateState) -> Spent:
        return Spent(epsilon=epsilon_of(state.rho, self.delta), delta=self.delta, questions=state.questions)

    def after(self, state: PateState, questions: int) -> Spent:
        rho = state.rho + questions * self.worst_rho
        return Spent(epsilon=epsilon_of(rho, self.delta), delta=self.delta, questions=state.questions + questions)

    def allows(self, state: PateState, questions: int = 1) -> bool:
        # The sum of as many roundings as there are questions must not refuse the last that the noise was made for.
        return state.rho + questions * self.worst_rho <= self.rho * (1 + 1e-9)

    @property
    def limit(self) -> Bound:
        """What holds for all answers that the budget allows."""
        return Bound(
            "ii", success=success_of(self.rho), epsilon=self.epsilon, delta=self.delta, questions=self.questions
        )

    def bound(self, state: PateState) -> Bound:
        """What holds for so many questions however they are answered; what was not asked for is in ``spent``."""
        rho = min(state.questions * self.worst_rho, self.rho)
        return Bound(
            game="ii",
            success=success_of(rho),
            epsilon=epsilon_of(rho, self.delta),
            delta=self.delta,
            questions=state.questions,
            epsilon_of_votes=rdp_epsilon(state.rdp, self.delta) if state.rdp.any() else 0.0,
        )
