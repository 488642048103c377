"""A gateway's process as far as the bank goes: URL NAME FIRST COUNT ASKERS BUDGET.

Asks about the records FIRST, FIRST + 1, ... as client NAME, and prints the number of each that was answered.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np

from memberwise.gateway.bank import Bank, GrantRequest
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store


async def ask(url: str, name: str, first: int, count: int, askers: int, budget: int) -> None:
    store = Store.open(url)
    policy = parse_policy({"plans": {"default": {"questions": budget}}}, "the test")
    bank = Bank(store, policy)
    numbers = iter(range(first, first + count))

    async def one() -> None:
        for number in numbers:
            digest = number.to_bytes(16, "big")
            grant = await bank.grant(GrantRequest(name, "default", [digest], [(digest,)]))
            if grant.refusal is None:
                await bank.deliver(grant, {i: np.array([number, 1.0]) for i in grant.new})
                print(number, flush=True)

    await asyncio.gather(*(one() for _ in range(askers)))
    await bank.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
