"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from starlette.applications import Starlette

from memberwise.gateway.access import KeyReader
from memberwise.gateway.behind import Behind
from memberwise.gateway.costs import AttackCost, attack_costs
from memberwise.gateway.explain import gives_labels
from memberwise.gateway.logs import LOGGER
from memberwise.gateway.metrics import Metrics
from memberwise.gateway.policy import Policy
from memberwise.gateway.rates import Rates
from memberwise.gateway.routes import failed, refused_by_router, routes
from memberwise.gateway.serving import Serving, derived
from memberwise.gateway.status import Facts
from memberwise.gateway.status_page import status_routes
from memberwise.gateway.store import Store
from memberwise.gateway.watching import Watching


class Gateway:
    """What is served at present, and what outlives a change of policy.

    Attributes:
        serving: by which policy requests are answered from now on; those that began before finish by theirs.
        metrics: counts since the start.
        digest: SHA-256 of the policy's file, in hexadecimal, where it is in one. loaded: when it was taken over.
    """

    def __init__(
        self,
        policy: Policy,
        folder: Path,
        *,
        store: Store,
        behind: Behind,
        secret: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.store, self.secret, self.clock = folder, store, secret, clock
        self.metrics = Metrics()
        self.digest, self.loaded = "", clock()
        self.reader = KeyReader(store, clock)
        self.rates = Rates(policy.store, LOGGER.warning)
        sketch_key = derived(secret, b"sketches")
        self.watching = Watching(policy, behind.shape, sketch_key, self.metrics, clock)
        self.replaced: list[Rates] = []
        self.serving = self._serving(policy, behind, self.rates)
        self.closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Serving]:
        """The policy for one request, kept in force until it ends."""
        serving = self.enter()
        try:
            yield serving
        finally:
            self.leave(serving)

    def enter(self) -> Serving:
        """The policy for one request; ``leave`` says that the request has ended."""
        self.serving.users += 1
        return self.serving

    def leave(self, serving: Serving) -> None:
        """A request by this policy has ended; the last one of a policy that was replaced closes it."""
        serving.users -= 1
        if serving.retired and not serving.users:
            self._close(serving)

    def change(self, policy: Policy, behind: Behind) -> None:
        """Serve by another policy from the next request on.

        Raises:
            StudyError: it cannot be carried out; the one in force stays.
        """
        rates = self.rates
        if policy.store.rates_env != self.rates.config.rates_env:
            rates = Rates(policy.store, LOGGER.warning)
        serving = self._serving(policy, behind, rates)
        if rates is not self.rates:
            self.replaced.append(self.rates)
            self.rates = rates
        old, self.serving = self.serving, serving
        self.watching.configure(policy)
        self.loaded = self.clock()
        old.retired = True
        if not old.users:
            self._close(old)

    async def facts(self) -> Facts:
        """What the status page says beside the store."""
        policy, behind = self.serving.policy, self.serving.behind
        return Facts(
            policy=policy,
            model=policy.server.name,
            digest=self.digest,
            loaded=self.loaded,
            alarms=await self.watching.alarms(),
            lowered=dict(self.watching.lowered),
            refusals=self.metrics.refused(),
            attacks=await asyncio.to_thread(_attacks),
            labels=behind.kind == "labels" or await asyncio.to_thread(gives_labels, policy),
            mechanism=behind.mechanism,
        )

    async def close(self) -> None:
        """Finish what was begun, and close the store."""
        await self.serving.close()
        await asyncio.gather(*self.closing, return_exceptions=True)
        for rates in (*self.replaced, self.rates):
            await rates.close()
        self.watching.close()
        self.reader.close()
        self.store.close()

    def _serving(self, policy: Policy, behind: Behind, rates: Rates) -> Serving:
        return Serving(
            policy,
            self.folder,
            store=self.store,
            behind=behind,
            secret=self.secret,
            reader=self.reader,
            rates=rates,
            watching=self.watching,
            now=self.clock,
        )

    def _close(self, serving: Serving) -> None:
        task = asyncio.get_running_loop().create_task(serving.close())
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)


@cache
def _attacks() -> tuple[AttackCost, ...]:
    """All attacks and what they cost; loaded when somebody looks."""
    return tuple(attack_costs())


def make_app(
    policy: Policy,
    folder: Path,
    *,
    store: Store,
    behind: Behind,
    secret: bytes,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The application; ``app.state.gateway`` is its ``Gateway``.

    Args:
        folder: of the policy: files that it names lie beside it.
        store: closed when the application ends, as is what is behind.
        secret: of ``secret.key``. clock: seconds since 1970, for keys and the ledger; no budget reads it.

    Raises:
        StudyError: the policy cannot be carried out.
    """
    gateway = Gateway(policy, folder, store=store, behind=behind, secret=secret, clock=clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await gateway.close()

    handlers = {404: refused_by_router, 405: refused_by_router, Exception: failed}
    addresses = [*routes(gateway), *status_routes(gateway.facts, store, secret, clock)]
    app = Starlette(routes=addresses, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app
