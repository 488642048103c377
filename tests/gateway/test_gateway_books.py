"""The books against a slow oracle that keeps sets of records instead of counters, over random histories."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.gateway.books import deliver_many, grant_many, refund_many
from memberwise.gateway.grants import Delivery, Grant, GrantRequest
from memberwise.gateway.kept import pack, unpack
from memberwise.gateway.ledger import Notices, read_clients, read_ledger, read_total
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store

LADDER = [{"above": 0.0, "tier": "vector"}, {"above": 0.4, "tier": "top-3"}, {"above": 0.8, "tier": "label"}]
CLIENT, NEAR, TOTAL = 5, 4, 9
POLICY = parse_policy(
    {
        "plans": {"default": {"questions": CLIENT, "ladder": LADDER}},
        "budget": {"total": TOTAL, "ladder": LADDER, "neighbourhood": {"questions": NEAR}},
    },
    "the test",
)
Ask = tuple[str, list[int]]
asks = st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 11), min_size=1, max_size=4))
# Each turn: what becomes of grants that wait (True: answered, False: given back), and what is asked.
turns = st.lists(st.tuples(st.lists(st.booleans(), max_size=4), st.lists(asks, max_size=4)), max_size=8)


def cells_of(number: int) -> tuple[bytes, ...]:
    return (b"third %d" % (number // 3), b"parity %d" % (number % 2))


def request(client: str, numbers: list[int]) -> GrantRequest:
    return GrantRequest(client, "default", [bytes([n]) * 16 for n in numbers], [cells_of(n) for n in numbers])


class Oracle:
    """Who has paid for what, as sets."""

    def __init__(self) -> None:
        self.paid: dict[tuple[str, int], str] = {}
        self.waiting: Counter[tuple[str, int]] = Counter()
        self.answers: dict[int, float] = {}

    def records(self) -> set[int]:
        return {number for _, number in self.paid} | set(self.answers)

    def grant(self, client: str, numbers: list[int]) -> dict[str, Any]:
        mine = {number for name, number in self.paid if name == client}
        new = [n for n in dict.fromkeys(numbers) if n not in mine]
        seen = self.records()
        unseen = [n for n in new if n not in seen]
        left = CLIENT - len(mine)
        crowds = Counter(cell for n in seen | set(unseen) for cell in cells_of(n))
        reason = None
        if len(new) > left:
            reason = "client"
        elif any(crowds[cell] > NEAR for n in unseen for cell in cells_of(n)):
            reason = "neighbourhood"
        elif unseen and len(seen) + len(unseen) > TOTAL:
            reason = "total"
        if reason:
            return {"reason": reason, "remaining": left, "new": [], "tier": None}
        before = (len(mine) + len(new) - 1) / CLIENT if new else 0
        before = max(before, (len(seen) + max(0, len(unseen) - 1)) / TOTAL)
        tier = "label" if before >= 0.8 else "top-3" if before >= 0.4 else "vector"
        tiers = [self.paid[client, n] for n in numbers if n in mine] + ([tier] if new else [])
        for n in new:
            self.paid[client, n] = tier
        ask = [n for n in dict.fromkeys(numbers) if n not in self.answers]
        self.waiting.update((client, n) for n in ask)
        coarsest = max(tiers, key=["vector", "top-3", "label"].index)
        return {
            "reason": None,
            "remaining": left - len(new),
            "new": [numbers.index(n) for n in ask],
            "tier": coarsest,
        }

    def refund(self, client: str, numbers: list[int]) -> None:
        for n in numbers:
            if n not in self.answers and (client, n) in self.paid:
                self.waiting[client, n] -= 1
                if self.waiting[client, n] <= 0:
                    del self.paid[client, n]


def shown(grant: Grant) -> dict[str, Any]:
    reason = None if grant.refusal is None else grant.refusal.reason
    tier = grant.tier if reason is None else None
    return {"reason": reason, "remaining": grant.remaining, "new": grant.new, "tier": tier}


@pytest.mark.slow
@given(turns)
@settings(max_examples=100)
def test_books_agree_with_sets_over_any_history(history: list[tuple[list[bool], list[Ask]]]) -> None:
    oracle, notices = Oracle(), Notices()
    waiting: list[tuple[Ask, Grant]] = []
    serial = 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'gateway.sqlite'}")
        for fates, asked in history:
            ends = list(zip(fates, waiting, strict=False))
            waiting = waiting[len(ends) :]
            deliveries = []
            with store.writing() as connection:
                refunded = [pair for fate, pair in ends if not fate]
                refund_many(connection, [grant for _, grant in refunded], 0.0)
                for (client, numbers), grant in refunded:
                    oracle.refund(client, [numbers[i] for i in grant.new])
                for fate, (_, grant) in ends:
                    if fate:
                        serial += 1
                        deliveries.append(Delivery(grant, {i: np.array([serial]) for i in grant.new}))
                kept = deliver_many(connection, deliveries)
                expected = []
                for (_, numbers), delivery in zip([pair[0] for fate, pair in ends if fate], deliveries, strict=True):
                    for i, answer in delivery.answers.items():
                        oracle.answers.setdefault(numbers[i], float(answer[0]))
                    expected.append([oracle.answers[numbers[i]] for i in delivery.answers])
                assert [[float(answer[0]) for answer in one.values()] for one in kept] == expected
                grants = grant_many(connection, [request(*ask) for ask in asked], POLICY, b"", 0.0, notices)
            for ask, grant in zip(asked, grants, strict=True):
                assert shown(grant) == oracle.grant(*ask)
                if grant.refusal is None:
                    stored = [None if one is None else float(one[0]) for one in grant.stored]
                    assert stored == [oracle.answers.get(n) for n in ask[1]]
                if grant.new:
                    waiting.append((ask, grant))
        spent = {one.name: one.questions for one in read_clients(store) if one.questions}
        assert spent == dict(Counter(client for client, _ in oracle.paid))
        assert read_total(store).questions == len(oracle.records()) <= TOTAL
        assert sum(row.questions for row in read_ledger(store, 10_000)) == len(oracle.paid)
        store.close()


@given(st.lists(st.floats(width=64), min_size=1, max_size=20), st.integers(-(2**63), 2**63 - 1))
def test_packed_answers_come_back_bit_for_bit(values: list[float], label: int) -> None:
    vector = np.array(values)
    assert unpack(pack(vector)).tobytes() == vector.tobytes()
    assert int(unpack(pack(np.array(label)))) == label
