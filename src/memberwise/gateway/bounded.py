"""Answers with a bound: what they cost at most, and the state that all of them share, one row of the store.

The state is read, stepped and written in the transaction that keeps the answer. In whatever order questions arrive, by
whichever gateway, they leave it as one order would; and what was not kept was never told.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from memberwise.errors import StudyError
from memberwise.gateway.decide import Limit
from memberwise.gateway.grants import GrantRequest
from memberwise.gateway.ledger import entry, write_ledger
from memberwise.gateway.policy import Policy
from memberwise.gateway.store import StatementError
from memberwise.gateway.tables import Values, bounds
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.defences.output.bounded import BoundedDefence
    from memberwise.targets.base import Kind

# More questions than any budget grants.
ENDLESS = 2**53


def fresh_rng() -> np.random.Generator:
    """Random numbers that nobody can repeat, for the noise of answers."""
    return np.random.default_rng(secrets.randbits(256))


@dataclass(frozen=True)
class Mechanism:
    """A released ensemble, and the bounded defence that answers from it.

    Attributes:
        key: 16 bytes that name the ensemble and its secret: whatever else of a policy changes, what was told by them
            is reckoned with. kind: of the models' answers. worlds: how many models there are.
        secret: of the released folder. rng: gives the random numbers of one answer, of which none tells the next.
    """

    defence: BoundedDefence[Any]
    key: bytes
    kind: Kind
    worlds: int
    secret: bytes = field(repr=False)
    rng: Callable[[], np.random.Generator] = field(default=fresh_rng, repr=False)

    @cached_property
    def cost_nats(self) -> float:
        """The most that one question costs; 0 where nats are not counted."""
        return self.defence.after(self.defence.start(self.worlds), 1).nats or 0.0

    @cached_property
    def cost_rho(self) -> float:
        """The most that one question costs of differential privacy; 0 where there is none."""
        return float(getattr(self.defence, "worst_rho", 0.0))

    @cached_property
    def questions(self) -> int:
        """Questions for which the defence's own budget is enough, whatever is asked."""
        start = self.defence.start(self.worlds)
        few, many = 0, 1
        while many < ENDLESS and self.defence.allows(start, many):
            few, many = many, 2 * many
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (middle, many) if self.defence.allows(start, middle) else (few, middle)
        return few

    def priced(self, request: GrantRequest) -> GrantRequest:
        """The request at what its records cost at most."""
        return replace(request, cost_nats=self.cost_nats, cost_rho=self.cost_rho)


def mechanism_of(
    defence: BoundedDefence[Any],
    weights: str,
    kind: Kind,
    worlds: int,
    secret: bytes,
    rng: Callable[[], np.random.Generator] = fresh_rng,
) -> Mechanism:
    """A mechanism, named by the ensemble's weights and, where one of its models answers in secret, by the secret.

    Args:
        weights: a digest of them. secret: of the released folder. rng: gives the random numbers of one answer.
    """
    has_secret_world = defence.after(defence.start(worlds), 1).nats is not None
    parts = repr((type(defence).__name__, weights)).encode()
    key = hashlib.blake2b(parts, key=secret if has_secret_world else b"", person=b"mechanism", digest_size=16)
    return Mechanism(defence, key.digest(), kind, worlds, secret, rng)


def check_budgets(policy: Policy, mechanism: Mechanism | None) -> None:
    """Refuse a policy that sets a budget which nothing here keeps.

    Raises:
        StudyError: nats without a defence that counts them, or epsilon without one that has it.
    """
    plans = policy.plans.items()
    nats = [f"plans.{name}.nats" for name, plan in plans if plan.nats is not None]
    nats += ["budget.total_nats"] if policy.budget.total_nats is not None else []
    epsilons = [f"plans.{name}.epsilon" for name, plan in plans if plan.epsilon is not None]
    epsilons += ["budget.total_epsilon"] if policy.budget.total_epsilon is not None else []
    for keys, counted, name in (
        (nats, mechanism is not None and mechanism.cost_nats, "pac"),
        (epsilons, mechanism is not None and mechanism.cost_rho, "pate"),
    ):
        if keys and not counted:
            raise StudyError(
                f"the policy sets {keys[0]}, and the answers have no such cost",
                expected=f"an ensemble that was released with {name}",
                found="no output defence with a bound" if mechanism is None else type(mechanism.defence).__name__,
                where=keys[0],
                fix="serve such an ensemble, or leave the key out: it would limit nothing",
            )


class Account:
    """What a mechanism has granted and answered, in the transaction at hand.

    Attributes:
        nats, rho: granted, at the most that it can cost: what budgets are decided by, so that no refusal tells whether
            the models agreed.
    """

    def __init__(self, connection: sa.Connection, mechanism: Mechanism) -> None:
        self.connection, self.mechanism = connection, mechanism
        row = connection.execute(sa.select(bounds).where(bounds.c.mechanism == mechanism.key)).one_or_none()
        self.new = row is None
        self.nats: float = 0.0 if row is None else row.nats
        self.rho: float = 0.0 if row is None else row.rho
        self.blob = None if row is None else bytes(row.state)
        self.entries: list[Values] = []

    @cached_property
    def state(self) -> Any:
        """What the defence keeps, before the first answer of this transaction.

        Raises:
            StatementError: another defence, or other models, wrote it.
        """
        defence = self.mechanism.defence
        if self.blob is None:
            return defence.start(self.mechanism.worlds)
        try:
            return defence.unpack_state(self.blob)
        except ValueError as error:
            raise StatementError("what a bounded defence has answered cannot be read", found=str(error)) from None

    @property
    def budgets(self) -> tuple[Limit, ...]:
        """The defence's own budget, as it was granted."""
        mechanism = self.mechanism
        pairs = ((self.nats, mechanism.cost_nats), (self.rho, mechanism.cost_rho))
        return tuple(Limit(spent, mechanism.questions * cost, cost) for spent, cost in pairs if cost)

    def take(self, questions: int) -> None:
        """Reserve so many questions, or (negative) give them back."""
        self.nats = max(0.0, self.nats + questions * self.mechanism.cost_nats)
        self.rho = max(0.0, self.rho + questions * self.mechanism.cost_rho)

    def answer(self, said: Array, request: GrantRequest, i: int, now: float) -> Array:
        """The answer to one record, by what all models said about it, ``(worlds, classes)``.

        Raises:
            StatementError: the budget is spent: there is no answer.
        """
        mechanism = self.mechanism
        if said.ndim != 2 or len(said) != mechanism.worlds:
            raise ValueError(f"answers of shape {said.shape} from {mechanism.worlds} models")
        if not mechanism.defence.allows(self.state):
            raise StatementError("the budget of the bounded answers is spent")
        votes = mechanism.defence.votes(said, mechanism.kind)
        step = mechanism.defence.step(votes, self.state, mechanism.secret, mechanism.rng())
        self.state = step.state
        self.entries.append(entry(now, request.client, "answer", None, request.digests[i], 0, step.cost))
        return step.answer

    def write(self) -> None:
        """Write all that has changed."""
        blob = self.mechanism.defence.pack_state(self.state)
        values = {"nats": self.nats, "rho": self.rho, "state": blob}
        if self.new:
            self.connection.execute(bounds.insert().values(mechanism=self.mechanism.key, **values))
        else:
            self.connection.execute(bounds.update().where(bounds.c.mechanism == self.mechanism.key).values(**values))
        write_ledger(self.connection, self.entries)
