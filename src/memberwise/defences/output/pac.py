"""PAC-private answers: from a secret world of an ensemble, under noise shaped by what the worlds disagree about."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from memberwise.defences.bounded.pac import balanced_success, nats_within, release
from memberwise.defences.bounded.spending import Bound, Spent
from memberwise.defences.bounded.worlds import Share
from memberwise.defences.output.base import as_probabilities, refuse_labels
from memberwise.defences.output.bounded import BoundedDefence, Step
from memberwise.errors import StudyError
from memberwise.types.arrays import Array, Floats

if TYPE_CHECKING:
    from memberwise.targets.base import Kind

_HEAD = struct.Struct("<4sdQQ")
_MAGIC = b"pac1"
# Nats of one answer below which the variance of its noise is no number any more.
LEAST_COST = 1e-250


@dataclass(frozen=True)
class PacState:
    """What the mechanism keeps; the secret world is not in it.

    Attributes:
        weights: ``(W,)`` probabilities of the worlds given everything released. nats: spent. questions: answered.
    """

    weights: Floats
    nats: float = 0.0
    questions: int = 0


class Pac(BoundedDefence[PacState]):
    """Answer from a secret world of an ensemble, with noise where the worlds disagree; part of the training defence.

    PAC-private prediction (Zhu, Sridhar & Devadas 2026, arXiv 2601.14033). The bound is about the records that the
    secret world learned, given the pool (game (i)). About being in the pool at all (game (ii)) it says nothing: an
    audit measures that.

    Args:
        max_attack_success: balanced accuracy that no attack in game (i) may exceed, all questions together.
        budget_nats: the same as nats about the secret world; give one of the two (neither: a success of 0.51).
        per_question: nats of one answer (neither: the budget over ``questions``). Accuracy hardly depends on it.
        questions: that the budget shall last for.
        share: of the pool that one world learns; set by the training defence.
        answers: "label", or a vector of scores from the worlds' "one-hot" labels or from their "probabilities".
        digits: to which the worlds' probabilities are rounded before they are compared.
    """

    grid: ClassVar[tuple[dict[str, object], ...]] = ({},)

    max_attack_success: Annotated[float | None, Field(gt=0.5, lt=1)] = None
    budget_nats: Annotated[float | None, Field(gt=0)] = None
    per_question: Annotated[float | None, Field(gt=0)] = None
    questions: Annotated[int, Field(ge=1, le=2**53)] = 1_000_000
    share: Share = 0.5
    answers: Literal["label", "one-hot", "probabilities"] = "label"
    digits: Annotated[int, Field(ge=1, le=9)] = 3

    @model_validator(mode="after")
    def _one_budget(self) -> Pac:
        if self.max_attack_success is not None and self.budget_nats is not None:
            raise ValueError("give max_attack_success or budget_nats, not both")
        if self.cost < LEAST_COST:
            raise ValueError(
                f"an answer may cost {self.cost:.3g} nats, and at least {LEAST_COST:g} are needed for noise"
            )
        if self.cost > self.budget:
            raise ValueError(f"per_question of {self.cost:.3g} is above the whole budget of {self.budget:.3g} nats")
        return self

    @property
    def budget(self) -> float:
        """Nats that all answers together may cost."""
        return self.budget_nats or nats_within(self.max_attack_success or 0.51, self.share)

    @property
    def cost(self) -> float:
        """The most nats of one answer."""
        return self.per_question or self.budget / self.questions

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "labels" if self.answers == "label" else "scores"

    def start(self, worlds: int) -> PacState:
        if worlds < 2:
            raise StudyError(
                "one world alone has no secret to keep", expected="2 worlds or more", found=f"{worlds}", where="answer"
            )
        return PacState(np.full(worlds, 1 / worlds))

    def votes(self, answers: Array, kind: Kind) -> Floats:
        if self.answers == "probabilities":
            return np.asarray(np.round(as_probabilities(answers, kind), self.digits))
        top = np.asarray(answers).argmax(-1)[..., None]
        return np.asarray(np.arange(np.shape(answers)[-1]) == top, np.float64)

    def step(self, votes: Floats, state: PacState, key: bytes, rng: np.random.Generator) -> Step[PacState]:
        if (votes == votes[0]).all():  # what the worlds agree about tells nothing about which of them answers
            return Step(self._released(votes[0]), PacState(state.weights, state.nats, state.questions + 1), 0.0)
        normal = np.asarray(rng.standard_normal(votes.shape[1]))
        made = release(votes, state.weights, secret_world(key, len(votes)), self.cost, normal)
        nats = float(made.nats)
        return Step(self._released(made.values), PacState(made.weights, state.nats + nats, state.questions + 1), nats)

    def _released(self, values: Floats) -> Array:
        if self.answers == "label":
            return np.array(values.argmax(), np.int64)
        return np.round(on_simplex(values), 6)

    def pack_state(self, state: PacState) -> bytes:
        head = _HEAD.pack(_MAGIC, state.nats, state.questions, len(state.weights))
        return head + np.ascontiguousarray(state.weights, "<f8").tobytes()

    def unpack_state(self, blob: bytes) -> PacState:
        try:
            magic, nats, questions, worlds = _HEAD.unpack_from(blob)
            weights = np.frombuffer(blob, "<f8", offset=_HEAD.size).astype(np.float64)
        except (struct.error, ValueError) as error:
            raise ValueError(f"no state of pac: {error}") from error
        probable = len(weights) == worlds and (weights >= 0).all() and abs(weights.sum() - 1) < 1e-9
        if magic != _MAGIC or not probable or not 0 <= nats < np.inf:
            raise ValueError("no state of pac")
        return PacState(weights, nats, questions)

    def spent(self, state: PacState) -> Spent:
        return Spent(nats=state.nats, questions=state.questions)

    def after(self, state: PacState, questions: int) -> Spent:
        return Spent(nats=state.nats + questions * self.cost, questions=state.questions + questions)

    def allows(self, state: PacState, questions: int = 1) -> bool:
        # A sum of a million roundings must not refuse the last question that the budget was made for.
        return state.nats + questions * self.cost <= self.budget * (1 + 1e-9)

    def bound(self, state: PacState) -> Bound:
        return Bound(
            game="i",
            nats=state.nats,
            per_question=self.cost,
            success=balanced_success(state.nats, self.share),
            share=self.share,
            questions=state.questions,
        )


def secret_world(key: bytes, worlds: int) -> int:
    """The world that answers, from the model's secret: uniform to within ``worlds`` / 2**256."""
    return int.from_bytes(hashlib.blake2b(b"", key=key[:64], person=b"secret world", digest_size=32).digest()) % worlds


def on_simplex(values: Floats) -> Floats:
    """The nearest probabilities to ``(C,)`` values (Euclidean; Duchi et al. 2008, figure 1); the order stays."""
    values = values - values.max()  # the same nearest, and noise above 2**53 does not swallow the 1
    falling = np.sort(values)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(values) + 1)
    last = np.flatnonzero(falling > excess)[-1]
    nearest: Floats = np.maximum(values - excess[last], 0.0)
    return nearest
