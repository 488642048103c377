"""The bank of questions: budgets are taken in a transaction before anything is answered, many requests in one.

Every commit waits for the disk, so requests that wait at the same time share one: a thread takes all that are in the
queue, decides on each in turn, and commits once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from memberwise.errors import StoreError
from memberwise.gateway.books import deliver_many, grant_many, refund_many
from memberwise.gateway.bounded import Mechanism
from memberwise.gateway.grants import Delivery, Grant, GrantRequest, epoch_of
from memberwise.gateway.ledger import Notices
from memberwise.gateway.policy import Policy
from memberwise.gateway.store import StatementError, Store
from memberwise.types.arrays import Array

__all__ = ["Bank", "Grant", "GrantRequest", "epoch_of"]

# Requests that one transaction takes at most; and answers of an ensemble, which take their time: other gateways wait.
GROUP = 256
STEPS = 256


@dataclass(frozen=True)
class _Job:
    work: GrantRequest | Delivery | Grant
    result: Future[Any]


class Bank:
    """What all clients have spent of a policy's budgets, in a store that several gateways may share.

    Args:
        epoch: names the model and the answer's defences (see ``epoch_of``): under another one every record is another
            question, answered anew and paid for again.
        clock: gives the ledger its times. No budget reads it.
        mechanism: makes answers with a bound of what an ensemble says: what is delivered is ``(worlds, classes)`` then.
    """

    def __init__(
        self,
        store: Store,
        policy: Policy,
        epoch: bytes = b"",
        clock: Callable[[], float] = time.time,
        mechanism: Mechanism | None = None,
    ) -> None:
        self.store, self.clock, self.mechanism = store, clock, mechanism
        self._terms = (policy, epoch)
        self._notices = Notices()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="memberwise-bank", daemon=True)
        self._thread.start()

    @property
    def policy(self) -> Policy:
        """The policy by which the next request is decided."""
        return self._terms[0]

    def use(self, policy: Policy, epoch: bytes) -> None:
        """Decide by another policy from the next request on. What was spent stays spent."""
        self._terms = (policy, epoch)

    async def grant(self, request: GrantRequest) -> Grant:
        """Take what a request costs from all budgets, or refuse it whole.

        When it returns without a refusal the budgets are paid on the disk. The records in ``Grant.new`` are to be
        answered and handed to ``deliver``, or given up by ``refund``.

        Raises:
            StoreError: the store does not answer: nothing may be released.
        """
        grant: Grant = await self._do(request if self.mechanism is None else self.mechanism.priced(request))
        return grant

    async def deliver(self, grant: Grant, answers: Mapping[int, Array]) -> list[Array]:
        """Keep answers and return those of the whole request, ``(classes,)`` or a label ``()`` each.

        Of two answers about one record the first that was kept is everybody's.

        Args:
            answers: by index of the record; all of ``grant.new``. With a mechanism: what each model of the ensemble
                says, ``(worlds, classes)``, of which the kept answer is made.

        Raises:
            ValueError: an answer is missing, or nothing was granted.
            StoreError: the store does not answer, or holds no payment for a record: nothing may be released.
        """
        if grant.refusal is not None or set(answers) != set(grant.new):
            raise ValueError(f"answers to the records {grant.new} are needed, found {sorted(answers)}")
        if grant.new:
            kept: dict[bytes, Array] = await self._do(Delivery(grant, dict(answers)))
        else:
            kept = {}
        pairs = zip(grant.records, grant.stored, strict=True)
        return [kept[key] if stored is None else stored for key, stored in pairs]

    async def refund(self, grant: Grant) -> None:
        """Give back what a request paid for records that were not answered, to it or to anybody.

        Raises:
            StoreError: the store does not answer. The records stay paid for, and are answered later at no cost.
        """
        if grant.new:
            await self._do(grant)

    async def close(self) -> None:
        """Finish what is in the queue. The store stays open."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _do(self, work: GrantRequest | Delivery | Grant) -> Any:
        if self._closed:
            raise StoreError("the gateway is closing its books")
        job = _Job(work, Future())
        self._jobs.put(job)
        try:
            # What is in the queue is carried out, whoever stops waiting for it.
            return await asyncio.shield(asyncio.wrap_future(job.result))
        except asyncio.CancelledError:
            job.result.add_done_callback(self._give_back)
            raise

    def _give_back(self, result: Future[Any]) -> None:
        """Refund what was granted to somebody who has gone."""
        grant = None if result.exception() else result.result()
        if isinstance(grant, Grant) and grant.new:
            self._jobs.put(_Job(grant, Future()))

    def _work(self) -> None:
        while True:
            jobs, last = self._next()
            if jobs:
                self._carry_out(jobs)
            if last:
                return

    def _next(self) -> tuple[list[_Job], bool]:
        """The jobs that wait, at least one; and whether there will be no more."""
        jobs: list[_Job] = []
        steps = 0
        job = self._jobs.get()
        while job is not None:
            if job.result.set_running_or_notify_cancel():
                jobs.append(job)
                steps += len(job.work.answers) if self.mechanism and isinstance(job.work, Delivery) else 0
            if len(jobs) == GROUP or steps >= STEPS or self._jobs.empty():
                return jobs, False
            job = self._jobs.get()
        return jobs, True

    def _carry_out(self, jobs: Sequence[_Job]) -> None:
        try:
            results = self._transact([job.work for job in jobs])
        except Exception as error:
            # One that cannot be carried out must not take the others with it; a store that is away takes all.
            if len(jobs) > 1 and (isinstance(error, StatementError) or not isinstance(error, StoreError)):
                for job in jobs:
                    self._carry_out([job])
                return
            for job in jobs:
                job.result.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            job.result.set_result(result)

    def _transact(self, work: Sequence[GrantRequest | Delivery | Grant]) -> list[Any]:
        """Carry out many in one transaction; what is given back comes first, then answers, then what is asked."""
        now = self.clock()
        results: list[Any] = [None] * len(work)
        with self.store.writing() as connection:
            refund_many(connection, [one for one in work if isinstance(one, Grant)], now, self.mechanism)
            for kind, many in (
                (Delivery, lambda some: deliver_many(connection, some, now, self.mechanism)),
                (
                    GrantRequest,
                    lambda some: grant_many(connection, some, *self._terms, now, self._notices, self.mechanism),
                ),
            ):
                places = [i for i, one in enumerate(work) if isinstance(one, kind)]
                for place, result in zip(places, many([work[i] for i in places]), strict=True):
                    results[place] = result
        return results
