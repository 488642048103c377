"""A gateway's store with clients of all kinds, what the gateway knows beside it, and its status page on a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.applications import Starlette

from memberwise.gateway.books import GrantRequest, grant_many
from memberwise.gateway.costs import AttackCost
from memberwise.gateway.keys import new_key, revoke_key
from memberwise.gateway.ledger import Notices
from memberwise.gateway.policy import Policy, Tier, parse_policy
from memberwise.gateway.status import Facts
from memberwise.gateway.status_page import status_routes
from memberwise.gateway.store import Store
from memberwise.gateway.watch import Alarm

SECRET = b"s" * 32
NOW = 1_800_000_000.0
EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


COSTS = (
    AttackCost("lira-offline", 1, "scores"),
    AttackCost("label-only-augment", 18, "labels", least=2),
    AttackCost("label-only-boundary", 1000, "labels", least=100, near=True),
)


def policy_of(**parts: Any) -> Policy:
    document = {
        "plans": {
            "default": {
                "questions": 40,
                "ladder": [{"above": 0, "tier": "vector"}, {"above": 0.5, "tier": "top-3"}],
            },
            "open": {"questions": None},
        },
        "budget": {"total": 500, "neighbourhood": {"questions": 30}},
    }
    return parse_policy({**document, **parts}, "the test")


def spend(
    store: Store, policy: Policy, client: str, plan: str, numbers: Sequence[int], cell: int | None = None
) -> None:
    """Ask about records one by one: those of one cell are neighbours."""
    with store.writing() as connection:
        for number in numbers:
            digest = number.to_bytes(16, "big")
            cells = (digest if cell is None else (2**100 + cell).to_bytes(16, "big"),)
            grant_many(connection, [GrantRequest(client, plan, [digest], [cells])], policy, b"", NOW - 90, Notices())


def facts_of(policy: Policy, **changes: Any) -> Facts:
    alarm = Alarm("near-duplicates", "45% of the last 120 questions are near copies", NOW - 3600)
    lowered: dict[str, Tier] = {EVIL: "label"}
    facts = Facts(policy, "digits", "ab" * 32, NOW - 86400, {EVIL: (alarm,)}, lowered, {"client": 12}, COSTS)
    return replace(facts, **changes)


def fill(store: Store, policy: Policy) -> str:
    """Clients with budgets in all states; returns an admin's key."""
    for name, plan in (("ward 3", "default"), (EVIL, "default"), ("billing", "open"), ("new", "default")):
        new_key(store, name, plan, now=NOW - 1000)
    new_key(store, "gone", now=NOW - 1000)
    revoke_key(store, "gone", now=NOW - 10)
    for i in range(20):
        new_key(store, f"station-{i} of the hospital with quite a long name", now=NOW - 1000)
    spend(store, policy, "ward 3", "default", range(40))
    spend(store, policy, EVIL, "default", range(100, 125), cell=1)
    spend(store, policy, "billing", "open", range(200, 260))
    return new_key(store, "operator", kind="admin", now=NOW - 1000)


def telling(facts: Facts) -> Callable[[], Awaitable[Facts]]:
    async def tell() -> Facts:
        return facts

    return tell


@contextmanager
def served(store: Store, facts: Facts, now: float = NOW) -> Iterator[str]:
    """The address of a real server with the page."""
    app = Starlette(routes=status_routes(telling(facts), store, SECRET, lambda: now))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", server_header=False, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
