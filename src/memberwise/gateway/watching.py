"""The watcher beside the questions: told of each in a thread of its own, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from memberwise.gateway.logs import LOGGER
from memberwise.gateway.metrics import Metrics
from memberwise.gateway.neighbours import kind_of
from memberwise.gateway.policy import Neighbourhood, Policy, Tier
from memberwise.gateway.sketches import NEAR, sketches
from memberwise.gateway.watch import Alarm, Watcher, asked_of
from memberwise.types.arrays import Array, Floats32

# Requests that may wait to be looked at; of more the newest are not.
WAITING = 10_000
# Questions and cells that are remembered, over all clients: some ten megabytes.
REMEMBERED = 25_000


class Watching:
    """Tells the watcher of every question that was answered, and knows whose tier it lowers.

    Args:
        shape: of one record. secret: of the sketches.
    """

    def __init__(
        self,
        policy: Policy,
        shape: Sequence[int],
        secret: bytes,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.secret, self.metrics, self.now = secret, metrics, now
        self.neighbourhood = policy.budget.neighbourhood
        self.watcher = Watcher(policy.watch, NEAR[kind_of(shape, self.neighbourhood)], REMEMBERED)
        self.lowered: dict[str, Tier] = {}
        self.thread = ThreadPoolExecutor(1, "watch")
        self.waiting = 0

    def tier(self, client: str) -> Tier | None:
        """The tier to which an alarm lowers this client's answers; None where none does."""
        return self.lowered.get(client)

    def note(
        self, client: str, x: Floats32, digests: Sequence[bytes], cells: Sequence[tuple[bytes, ...]], answers: Array
    ) -> None:
        """Take note of records ``(n, *shape)`` and their answers ``(n, classes)`` or ``(n,)``, later."""
        if self.waiting >= WAITING:
            return
        self.waiting += 1
        self.thread.submit(self._observe, client, x, digests, cells, answers, self.neighbourhood)

    async def alarms(self) -> dict[str, tuple[Alarm, ...]]:
        """The alarms there are now, by client."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.watcher.alarms)

    def configure(self, policy: Policy) -> None:
        """Go on by another policy."""
        self.neighbourhood = policy.budget.neighbourhood
        self.thread.submit(self._configure, policy)

    def close(self) -> None:
        """Look at nothing more."""
        self.thread.shutdown(wait=True, cancel_futures=True)

    def _configure(self, policy: Policy) -> None:
        self.watcher.configure(policy.watch)
        for client in list(self.lowered):
            self._lower(client)

    def _observe(
        self,
        client: str,
        x: Floats32,
        digests: Sequence[bytes],
        cells: Sequence[tuple[bytes, ...]],
        answers: Array,
        neighbourhood: Neighbourhood,
    ) -> None:
        self.waiting -= 1
        try:
            with np.errstate(all="ignore"):  # records may be as large as float32 goes
                drawn = sketches(x, self.secret, neighbourhood)
                alarm = self.watcher.observe(client, asked_of(digests, cells, answers, drawn), self.now())
            self._lower(client)
        except Exception as error:  # nobody waits for this thread: what fails is told here or nowhere
            LOGGER.error("the watcher failed", exc_info=error)
            return
        if alarm is not None:
            self.metrics.alarms.labels(alarm.code).inc()
            LOGGER.warning("alarm", extra={"values": {"client": client, "code": alarm.code, "says": alarm.sentence}})

    def _lower(self, client: str) -> None:
        tier = self.watcher.tier(client)
        if tier is None:
            self.lowered.pop(client, None)
        else:
            self.lowered[client] = tier
