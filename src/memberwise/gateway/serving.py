"""One policy in force: who asks, what it costs, what answers; and the way of one question through them."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memberwise.errors import StoreError
from memberwise.gateway.access import Access, Client, KeyReader
from memberwise.gateway.bank import Bank, Grant, GrantRequest, epoch_of
from memberwise.gateway.behind import Behind, BehindError
from memberwise.gateway.bounded import check_budgets
from memberwise.gateway.neighbours import cells, digest
from memberwise.gateway.policy import Policy
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import Limits, Outcome, Query, Rows
from memberwise.gateway.rates import Rates
from memberwise.gateway.store import Store
from memberwise.gateway.tiers import coarsen
from memberwise.gateway.watching import Watching
from memberwise.types.arrays import Array, Floats32

# Numbers in a request above which its digests are made beside the loop.
LARGE = 20_000


@dataclass(frozen=True)
class Answered:
    """What a client is told, and what is left of its budget (None: unlimited)."""

    outcome: Outcome
    remaining: int | None


class Serving:
    """A policy with all that carries it out.

    Args:
        folder: of the policy. secret: of the gateway, from which digests get keys of their own.
        now: seconds since 1970.
    """

    def __init__(
        self,
        policy: Policy,
        folder: Path,
        *,
        store: Store,
        behind: Behind,
        secret: bytes,
        reader: KeyReader,
        rates: Rates,
        watching: Watching,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.policy, self.store, self.behind, self.rates = policy, store, behind, rates
        self.watching = watching
        self.access = Access(policy, folder, reader)
        check_budgets(policy, behind.mechanism)
        # An ensemble's fingerprint covers its defence: to write ``answer`` out in the policy makes no question new.
        named = policy if behind.mechanism is None else policy.model_copy(update={"answer": ()})
        self.bank = Bank(store, policy, epoch_of(named, behind.fingerprint), now, behind.mechanism)
        self.digest_key, self.cells_key = derived(secret, b"digest"), derived(secret, b"cells")
        self.limits = Limits(policy.server.max_depth, policy.server.max_records, behind.shape)
        self.users, self.retired = 0, False

    async def ask(self, client: Client, query: Query, deadline: float) -> Answered:
        """The answer to one question, paid for.

        Args:
            deadline: on the loop's clock.

        Raises:
            Problem: the records are not what the model takes, a budget is spent, or there is no answer.
        """
        x = await self._records(query)
        request = await self._request(client, x)
        try:
            grant = await self.bank.grant(request)
        except StoreError:
            raise Problem("unavailable", "Budgets cannot be read at present.") from None
        if grant.refusal is not None:
            headers = budget_headers(client, grant.remaining)
            raise Problem("budget-spent", grant.refusal.message, reason=grant.refusal.reason, headers=headers)
        answers = await self._answers(grant, x, deadline)
        self.watching.note(client.name, x, request.digests, request.cells, answers)
        abstains = self.behind.mechanism is not None
        response = coarsen(answers, grant.tier, may_abstain=abstains)
        outcome = Outcome(response, grant.tier, self.behind.kind, self.behind.classes, abstains)
        return Answered(outcome, grant.remaining)

    async def close(self) -> None:
        """Finish what was begun."""
        await self.bank.close()
        await self.behind.close()

    async def _records(self, query: Query) -> Floats32:
        values = query.records
        if isinstance(values, Rows) and self.behind.columns is not None:
            x = await asyncio.to_thread(self.behind.records, values)
        else:
            x = self.behind.records(values)
        if not np.isfinite(x).all():
            raise Problem("invalid-records", "A number is not finite, or too large.")
        return x

    async def _request(self, client: Client, x: Floats32) -> GrantRequest:
        if x.size > LARGE:
            digests, near = await asyncio.to_thread(self._digests, x)
        else:
            digests, near = self._digests(x)
        return GrantRequest(client.name, client.plan_name, digests, near, self.watching.tier(client.name))

    def _digests(self, x: Floats32) -> tuple[list[bytes], list[tuple[bytes, ...]]]:
        return digest(x, self.digest_key), cells(x, self.cells_key, self.policy.budget.neighbourhood)

    async def _answers(self, grant: Grant, x: Floats32, deadline: float) -> Array:
        """``(n, classes)`` or ``(n,)``: what is stored, and what the model says about the other records."""
        if not grant.new:
            return _stacked([answer for answer in grant.stored if answer is not None])
        try:
            async with asyncio.timeout_at(deadline):
                fresh = await self.behind.answer(x if len(grant.new) == len(x) else x[grant.new])
        except BaseException as error:
            await self._give_back(grant)
            if isinstance(error, TimeoutError):
                raise BehindError("the model is slow", "slow-answer") from None
            raise
        try:
            return _stacked(await self.bank.deliver(grant, dict(zip(grant.new, fresh, strict=True))))
        except StoreError:
            raise Problem("unavailable", "Answers cannot be kept at present.") from None

    async def _give_back(self, grant: Grant) -> None:
        try:
            await asyncio.shield(self.bank.refund(grant))
        except StoreError:
            return  # they stay paid for, and are answered later at no cost


def derived(secret: bytes, purpose: bytes) -> bytes:
    """A key of its own for each purpose (at most 16 letters), from which the secret cannot be told."""
    return hashlib.blake2b(b"", key=secret, person=purpose, digest_size=32).digest()


def budget_headers(client: Client, remaining: int | None) -> dict[str, str]:
    """What the client has left, as ``RateLimit`` fields (a lifetime's: they name no time)."""
    if remaining is None or client.plan.questions is None:
        return {}
    return {
        "RateLimit-Policy": f'"questions";q={client.plan.questions}',
        "RateLimit": f'"questions";r={max(0, math.floor(remaining))}',
    }


def _stacked(answers: list[Array]) -> Array:
    stacked: Array = np.stack(answers)
    return stacked
