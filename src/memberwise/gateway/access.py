"""Who asks: a key, a token of an identity provider, or nobody where the policy allows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from memberwise.errors import StoreError
from memberwise.gateway.jwt import Tokens, client_name
from memberwise.gateway.keys import ANONYMOUS, JWT_PREFIX, PREFIX, KeyClient, check_keys
from memberwise.gateway.policy import Plan, Policy
from memberwise.gateway.problems import Problem
from memberwise.gateway.store import Store

LONGEST_TOKEN = 8192


@dataclass(frozen=True)
class Client:
    """Who asks.

    Attributes:
        name: under which its budget is kept. plan_name, plan: what it is granted.
        counted_as: whose rate a request counts for: of unnamed clients, each address has its own.
    """

    name: str
    plan_name: str
    plan: Plan
    counted_as: str


class KeyReader:
    """Reads keys from the store, those of requests that wait at the same time in one go. Nothing is remembered."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self.store, self.now = store, now
        self.waiting: list[tuple[str, asyncio.Future[KeyClient | None]]] = []
        self.reading = False
        self.thread = ThreadPoolExecutor(1, "keys")

    async def read(self, token: str) -> KeyClient | None:
        """Whose key this is.

        Raises:
            StoreError: the store does not answer.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[KeyClient | None] = loop.create_future()
        self.waiting.append((token, future))
        if not self.reading:
            self.reading = True
            loop.call_soon(self._start)
        return await future

    def close(self) -> None:
        """Let the thread go."""
        self.thread.shutdown(wait=False)

    def _start(self) -> None:
        group, self.waiting = self.waiting, []
        if not group:
            self.reading = False
            return
        tokens = [token for token, _ in group]
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self.thread, check_keys, self.store, tokens, self.now())
        task.add_done_callback(lambda done: self._ended(group, done))

    def _ended(
        self,
        group: Sequence[tuple[str, asyncio.Future[KeyClient | None]]],
        done: asyncio.Future[list[KeyClient | None]],
    ) -> None:
        error = done.exception()
        key = [None] * len(group) if error is not None else done.result()
        for (_, future), client in zip(group, key, strict=True):
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(client)
        self._start()


class Access:
    """Decides who asks, by the headers alone."""

    def __init__(self, policy: Policy, folder: Path, reader: KeyReader, now: Callable[[], float] = time.time) -> None:
        self.policy, self.reader = policy, reader
        self.tokens = None if policy.access.jwt is None else Tokens(policy.access.jwt, folder, now)

    async def client(self, headers: Mapping[str, str], address: str) -> Client:
        """Who asks questions.

        Args:
            headers: by lower-case name. address: of whoever is at the other end.

        Raises:
            Problem: nobody who may.
        """
        token = bearer(headers)
        if token is None:
            if not self.policy.access.anonymous:
                raise _unauthorised()
            return self._granted(ANONYMOUS, "default", f"{ANONYMOUS} {address}")
        if self.tokens is not None and not token.startswith(PREFIX):
            return await self._of_provider(self.tokens, token)
        key = await self._key(token)
        if key is None:
            raise _unauthorised()
        if key.kind != "client":
            raise Problem("forbidden", "This key opens the status page and the metrics, and asks no questions.")
        return self._granted(key.name, key.plan, key.name)

    async def admin(self, headers: Mapping[str, str]) -> str:
        """The name of an administrator.

        Raises:
            Problem: it is none.
        """
        token = bearer(headers)
        key = None if token is None else await self._key(token)
        if key is None:
            raise _unauthorised()
        if key.kind != "admin":
            raise Problem("forbidden", "This needs an administrator's key.")
        return key.name

    async def _key(self, token: str) -> KeyClient | None:
        try:
            return await self.reader.read(token)
        except StoreError:
            raise Problem("unavailable", "Keys cannot be checked at present.") from None

    async def _of_provider(self, tokens: Tokens, token: str) -> Client:
        claims = await tokens.claims(token)
        name = JWT_PREFIX + client_name(claims, tokens.config.client)
        plan = "default"
        if tokens.config.plan is not None and tokens.config.plan in claims:
            plan = client_name(claims, tokens.config.plan)
        return self._granted(name, plan, name)

    def _granted(self, name: str, plan: str, counted_as: str) -> Client:
        if plan not in self.policy.plans:
            raise Problem("forbidden", "The plan of this client is not in the policy.")
        return Client(name, plan, self.policy.plans[plan], counted_as)


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of the header Authorization; None where there is no such header.

    Raises:
        Problem: it is of another kind.
    """
    value = headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN or not token.isascii():
        raise _unauthorised()
    return token


def _unauthorised() -> Problem:
    return Problem("unauthorised", headers={"WWW-Authenticate": "Bearer"})
