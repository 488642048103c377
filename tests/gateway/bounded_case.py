"""Bounded answers for tests: an ensemble that says what a record's number makes it say, behind the package's own pac.

As a program, a gateway's process as far as the bank goes: URL NAME FIRST COUNT ASKERS. It asks about the records FIRST,
FIRST + 1, ... and prints each number with the answer that was told.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import numpy as np

from memberwise.defences.output.pac import Pac, PacState
from memberwise.gateway.bank import Bank, GrantRequest
from memberwise.gateway.bounded import Mechanism, mechanism_of
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store

WORLDS, CLASSES, SECRET = 8, 4, b"w" * 32
PAC = Pac(budget_nats=0.5, per_question=2.0**-9, answers="one-hot")


class Repeated:
    """Instead of random numbers the same ones: the posterior then depends on the order of questions alone."""

    def standard_normal(self, count: int) -> np.ndarray:
        """As a generator does."""
        return np.linspace(-1.0, 1.5, count)


def repeated() -> np.random.Generator:
    return cast(np.random.Generator, Repeated())


def mechanism(defence: Pac = PAC, rng: Any = repeated, weights: str = "weights", secret: bytes = SECRET) -> Mechanism:
    return mechanism_of(defence, weights, "probabilities", WORLDS, secret, rng)


def said(number: int) -> np.ndarray:
    """What each world says about a record, ``(WORLDS, CLASSES)``; about every third they agree."""
    rng = np.random.default_rng(number)
    labels = rng.integers(0, CLASSES, WORLDS if number % 3 else 1)
    return np.eye(CLASSES)[np.broadcast_to(labels, WORLDS)]


def request(*numbers: int, client: str = "ann") -> GrantRequest:
    digests = [number.to_bytes(16, "big") for number in numbers]
    return GrantRequest(client, "default", digests, [(digest,) for digest in digests])


def replayed(numbers: list[int], defence: Pac = PAC) -> tuple[dict[int, bytes], PacState, list[float]]:
    """The answers, the state and the costs that questions leave when they are asked one after the other."""
    state, answers, costs = defence.start(WORLDS), {}, []
    for number in numbers:
        step = defence.step(said(number), state, SECRET, repeated())
        state, answers[number] = step.state, step.answer.tobytes()
        costs.append(step.cost)
    return answers, state, costs


async def tell(bank: Bank, *numbers: int, client: str = "ann") -> list[np.ndarray] | None:
    """What is told about some records; None where it is refused."""
    grant = await bank.grant(request(*numbers, client=client))
    if grant.refusal is not None:
        return None
    return await bank.deliver(grant, {i: said(numbers[i]) for i in grant.new})


async def ask(url: str, name: str, first: int, count: int, askers: int) -> None:
    store = Store.open(url)
    bank = Bank(store, parse_policy({}, "the test"), mechanism=mechanism())
    numbers = iter(range(first, first + count))

    async def one() -> None:
        for number in numbers:
            told = await tell(bank, number, client=name)
            if told is not None:
                print(number, told[0].tobytes().hex(), flush=True)

    await asyncio.gather(*(one() for _ in range(askers)))
    await bank.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
