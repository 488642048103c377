"""What the bank grants, keeps and gives back, on both databases where it matters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from memberwise.errors import StoreError
from memberwise.gateway.bank import Bank, Grant, GrantRequest, epoch_of
from memberwise.gateway.ledger import read_clients, read_ledger, read_total
from memberwise.gateway.policy import Policy, parse_policy
from memberwise.gateway.store import Store
from memberwise.gateway.tables import cells, records

VECTOR = np.array([0.7, 0.2, 0.1])
Run = Callable[[Awaitable[Any]], Any]


def policy(questions: int | None = 10, **tables: Any) -> Policy:
    plan = {} if questions is None else {"questions": questions}
    return parse_policy({"plans": {"default": plan}} | tables, "the test")


def request(*numbers: int, client: str = "ann", near: int | None = None, **more: Any) -> GrantRequest:
    """Records by number; ``near``: all in one cell of this number, else each in a cell of its own."""
    digests = [number.to_bytes(16, "big") for number in numbers]
    rows = [(digest if near is None else near.to_bytes(16, "little"),) for digest in digests]
    return GrantRequest(client, "default", digests, rows, **more)


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield lambda awaitable: runner.run(_await(awaitable))


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def ask(bank: Bank, asked: GrantRequest, answer: Any = VECTOR) -> tuple[Grant, list[Any]]:
    grant = await bank.grant(asked)
    if grant.refusal is not None:
        return grant, []
    return grant, await bank.deliver(grant, {i: np.asarray(answer) for i in grant.new})


def spent(store: Store) -> tuple[int, dict[str, int], int]:
    """Of the total, of the clients, and of all cells together."""
    with store.reading() as connection:
        in_cells = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(cells.c.spent), 0))).scalar_one()
    return read_total(store).questions, {one.name: one.questions for one in read_clients(store)}, int(in_cells)


def test_a_record_asked_1000_times_costs_one(any_store: Store, run: Run) -> None:
    async def scenario() -> list[Any]:
        bank = Bank(any_store, policy(2))
        rng = np.random.default_rng(0)
        answers = []
        for _ in range(15):
            # Fresh answers each time, 64 at once: the first that was kept is everybody's.
            some = [ask(bank, request(1), rng.random(3)) for _ in range(67)]
            answers += [kept for _, (kept,) in await asyncio.gather(*some)]
        grant = await bank.grant(request(1))
        await bank.close()
        assert (grant.new, grant.remaining) == ([], 1)
        return answers

    answers = run(scenario())
    assert len(answers) > 1000
    assert len({answer.tobytes() for answer in answers}) == 1
    assert spent(any_store) == (1, {"ann": 1}, 1)


def test_the_same_record_of_two_clients_counts_twice_once(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy())
        _, (first,) = await ask(bank, request(1), [1.0, 0.0, 0.0])
        grant, (second,) = await ask(bank, request(1, client="bob"), [0.0, 1.0, 0.0])
        await bank.close()
        assert grant.new == []
        assert second.tolist() == first.tolist() == [1.0, 0.0, 0.0]

    run(scenario())
    assert spent(any_store) == (1, {"ann": 1, "bob": 1}, 1)


def test_a_batch_that_does_not_fit_costs_nothing(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(10))
        assert (await bank.grant(request(*range(8)))).remaining == 2
        before = spent(any_store)
        grant = await bank.grant(request(*range(5, 11)))  # three more, of which two would fit
        assert grant.refusal is not None
        assert (grant.refusal.reason, grant.new, grant.remaining) == ("client", [], 2)
        assert spent(any_store) == before
        assert (await bank.grant(request(*range(2, 10)))).remaining == 0
        await bank.close()

    run(scenario())


def test_records_twice_in_a_batch_are_one(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(2))
        grant, answers = await ask(bank, request(1, 1, 2, 1))
        await bank.close()
        assert (grant.new, grant.remaining, len(answers)) == ([0, 2], 0, 4)

    run(scenario())
    assert spent(store) == (2, {"ann": 2}, 2)


def test_a_full_neighbourhood_refuses_all_clients(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(100, budget={"neighbourhood": {"questions": 5}}))
        for number in range(5):
            grant = await bank.grant(request(number, client=f"client {number}", near=7))
            assert grant.refusal is None
        grant = await bank.grant(request(5, client="another", near=7))
        assert grant.refusal is not None
        assert grant.refusal.reason == "neighbourhood"
        # One that was asked about before is no further look, whoever asks; records elsewhere are not concerned.
        assert (await bank.grant(request(3, client="another", near=7))).refusal is None
        assert (await bank.grant(request(6, client="another", near=8))).refusal is None
        await bank.close()

    run(scenario())


def test_the_fullest_of_a_records_cells_counts(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(100, budget={"neighbourhood": {"questions": 2}}))
        for number, pair in enumerate([(b"a", b"b"), (b"a", b"c")]):
            asked = GrantRequest("ann", "default", [number.to_bytes(16, "big")], [pair])
            assert (await bank.grant(asked)).refusal is None
        refused = GrantRequest("ann", "default", [b"x"], [(b"new", b"a")])
        assert (await bank.grant(refused)).refusal is not None
        both = GrantRequest("ann", "default", [b"x", b"y", b"z"], [(b"n", b"b"), (b"n", b"c"), (b"n", b"d")])
        assert (await bank.grant(both)).refusal is not None  # three of one batch in one cell
        await bank.close()

    run(scenario())


def test_the_total_refuses_all_clients(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(100, budget={"total": 3}))
        for number in range(3):
            assert (await bank.grant(request(number, client=f"client {number}"))).refusal is None
        grant = await bank.grant(request(3, client="another"))
        assert grant.refusal is not None
        assert grant.refusal.reason == "total"
        assert (await bank.grant(request(2, client="another"))).refusal is None
        await bank.close()

    run(scenario())


def test_a_lowered_budget_binds_at_once(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(10))
        await ask(bank, request(1, 2, 3))
        bank.use(policy(2), b"")
        grant = await bank.grant(request(4))
        assert grant.refusal is not None
        assert grant.remaining == 0
        assert (await bank.grant(request(1))).refusal is None  # asked again: nothing is spent
        bank.use(policy(4), b"")
        assert (await bank.grant(request(4))).remaining == 0
        await bank.close()

    run(scenario())


def test_a_plan_that_is_gone_grants_nothing(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy())
        grant = await bank.grant(GrantRequest("ann", "gold", [b"x"], [(b"x",)]))
        await bank.close()
        assert grant.refusal is not None

    run(scenario())
    assert spent(store) == (0, {}, 0)


def test_a_clock_set_back_grants_nothing(store: Store, run: Run) -> None:
    times = iter([2e9, 1e9, 0.0, -1e9])

    async def scenario() -> None:
        bank = Bank(store, policy(2), clock=lambda: next(times))
        assert (await bank.grant(request(1, 2))).refusal is None
        for number in (3, 4, 5):
            assert (await bank.grant(request(number))).refusal is not None
        await bank.close()

    run(scenario())


def test_paid_and_unanswered_is_answered_free(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(1))
        await bank.grant(request(1))  # its answer never comes
        await bank.close()
        bank = Bank(any_store, policy(1))
        grant, (answer,) = await ask(bank, request(1))
        await bank.close()
        assert (grant.new, grant.remaining) == ([0], 0)
        assert answer.tolist() == VECTOR.tolist()

    run(scenario())
    assert spent(any_store) == (1, {"ann": 1}, 1)


def test_a_refund_gives_everything_back(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(3, plans={"default": {"questions": 3, "nats": 1.0}}))
        grant = await bank.grant(request(1, 2, 3, cost_nats=0.25))
        assert read_clients(any_store)[0].nats == 0.75
        await bank.refund(grant)
        await bank.refund(grant)  # twice gives nothing more
        assert spent(any_store) == (0, {"ann": 0}, 0)
        assert read_total(any_store).nats == 0
        with any_store.reading() as connection:
            for table in (records, cells):  # what failed leaves nothing that fills the disk
                assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0
        assert (await bank.grant(request(4, 5, 6))).refusal is None
        await bank.close()

    run(scenario())
    assert sum(row.questions for row in read_ledger(any_store)) == 3


def test_a_refund_keeps_what_others_wait_for(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(any_store, policy(3))
        mine, again = await bank.grant(request(1)), await bank.grant(request(1))
        others = await bank.grant(request(1, client="bob"))
        await bank.refund(mine)
        assert spent(any_store) == (1, {"ann": 1, "bob": 1}, 1)  # ann's other request is about to answer it
        await bank.refund(again)
        assert spent(any_store) == (1, {"ann": 0, "bob": 1}, 1)  # bob's, too
        await bank.deliver(others, {0: VECTOR})
        await bank.refund(others)
        assert spent(any_store) == (1, {"ann": 0, "bob": 1}, 1)  # it was answered
        await bank.close()

    run(scenario())


def test_the_last_of_two_refunds_gives_the_total_back(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(3))
        grants = [await bank.grant(request(1, client=name)) for name in ("ann", "bob")]
        await bank.refund(grants[0])
        assert spent(store) == (1, {"ann": 0, "bob": 1}, 1)
        await bank.refund(grants[1])
        assert spent(store) == (0, {"ann": 0, "bob": 0}, 0)
        await bank.close()

    run(scenario())


def test_an_answer_after_a_refund_is_not_released(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(3))
        grant = await bank.grant(request(1))
        await bank.grant(request(1, client="bob"))
        await bank.refund(grant)
        with pytest.raises(StoreError, match="not paid"):
            await bank.deliver(grant, {0: VECTOR})
        await bank.close()

    run(scenario())


def test_one_who_goes_away_gets_the_unit_back(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(3))
        with store.writing():  # nobody else writes until the asker has gone
            task = asyncio.create_task(bank.grant(request(1)))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await bank.grant(request(2))
        await bank.close()

    run(scenario())
    assert spent(store) == (1, {"ann": 1}, 1)


def test_another_model_answers_anew_and_costs(store: Store, run: Run) -> None:
    epochs = [epoch_of(policy(), "one"), epoch_of(policy(answer=[{"name": "round"}]), "one"), epoch_of(policy(), "two")]
    assert len(set(epochs)) == 3

    async def scenario() -> list[float]:
        bank = Bank(store, policy(3))
        first = []
        for place, epoch in enumerate([*epochs, epochs[0]]):
            bank.use(policy(3), epoch)
            _, (answer,) = await ask(bank, request(1), [float(place)])
            first.append(float(answer[0]))
        await bank.close()
        return first

    assert run(scenario()) == [0, 1, 2, 0]
    assert spent(store) == (3, {"ann": 3}, 3)


def test_answers_in_flight_keep_their_model(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(3), b"old")
        grant = await bank.grant(request(1))
        bank.use(policy(3), b"new")
        await bank.deliver(grant, {0: np.array([1.0])})
        later = await bank.grant(request(1))
        assert later.new == [0]
        await bank.close()

    run(scenario())


def test_the_ladder_coarsens_as_the_budget_goes(store: Store, run: Run) -> None:
    ladder = [
        {"above": 0.0, "tier": "vector"},
        {"above": 0.5, "tier": "top-3"},
        {"above": 0.9, "tier": "label"},
    ]

    async def scenario() -> list[str]:
        bank = Bank(store, policy(plans={"default": {"questions": 10, "ladder": ladder}}))
        tiers: list[str] = [(await ask(bank, request(number)))[0].tier for number in range(10)]
        # What was granted as a vector stays one; with a coarser record in the batch all are as coarse.
        tiers.append((await bank.grant(request(0))).tier)
        tiers.append((await bank.grant(request(0, 7))).tier)
        tiers.append((await bank.grant(request(0, 9))).tier)
        labels = [{"above": 0.0, "tier": "label"}]
        bank.use(policy(plans={"default": {"questions": 10, "ladder": labels}}), b"")
        tiers.append((await bank.grant(request(0))).tier)
        await bank.close()
        return tiers

    assert run(scenario()) == ["vector"] * 5 + ["top-3"] * 4 + ["label"] + ["vector", "top-3", "label", "label"]


def test_an_alarm_lowers_new_records_alone(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy())
        await ask(bank, request(1))
        assert (await bank.grant(request(1, wait_tier="label"))).tier == "vector"
        assert (await bank.grant(request(2, wait_tier="label"))).tier == "label"
        assert (await bank.grant(request(2))).tier == "label"  # an alarm that ends gives nothing more
        await bank.close()

    run(scenario())


def test_nats_are_a_budget_like_questions(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(plans={"default": {"nats": 1.0}}, budget={"total_nats": 1.25}))
        assert (await bank.grant(request(1, 2, cost_nats=0.5))).refusal is None
        refused = await bank.grant(request(3, cost_nats=0.5))
        assert refused.refusal is not None
        assert refused.refusal.reason == "client"
        refused = await bank.grant(request(3, client="bob", cost_nats=0.5))
        assert refused.refusal is not None
        assert refused.refusal.reason == "total"
        assert (await bank.grant(request(3, client="bob", cost_nats=0.25))).refusal is None
        assert (await bank.grant(request(1, client="bob", cost_nats=0.5))).refusal is None  # no further look
        await bank.close()

    run(scenario())
    assert read_total(store).nats == 1.25


def test_labels_are_kept_as_labels(store: Store, run: Run) -> None:
    async def scenario() -> Any:
        bank = Bank(store, policy())
        await ask(bank, request(1), np.int64(7))
        grant = await bank.grant(request(1))
        await bank.close()
        return grant.stored[0]

    kept = run(scenario())
    assert (kept.shape, kept.dtype, int(kept)) == ((), np.int64, 7)


def test_the_ledger_tells_who_when_what_and_cost(store: Store, run: Run) -> None:
    times = iter([10.0, 11.0, 12.0, 13.0, 14.0, 75.0])

    async def scenario() -> None:
        bank = Bank(store, policy(2), clock=lambda: next(times))
        await bank.grant(request(1, 2, cost_nats=0.5))
        for _ in range(2):
            await bank.grant(request(1))
        for number in (3, 4, 5):
            await bank.grant(request(number))
        await bank.close()

    run(scenario())
    rows = [
        (row.time, row.client, row.event, row.tier, row.digest and row.digest[-1], row.questions, row.nats)
        for row in reversed(read_ledger(store))
    ]
    assert rows == [
        (10.0, "ann", "grant", "vector", 1, 1, 0.5),
        (10.0, "ann", "grant", "vector", 2, 1, 0.5),
        (11.0, "ann", "again", "vector", 1, 0, 0.0),
        (13.0, "ann", "client", None, None, 0, 0.0),  # the next within the minute is not written down
        (75.0, "ann", "client", None, None, 0, 0.0),
    ]


def test_one_bad_request_fails_alone(any_store: Store, run: Run) -> None:
    async def scenario() -> list[Any]:
        bank = Bank(any_store, policy())
        grants = [await bank.grant(request(number)) for number in range(3)]
        with any_store.writing():  # all that follow share one transaction
            tasks = [asyncio.create_task(bank.deliver(grant, {0: VECTOR})) for grant in grants[:2]]
            await bank_idle()
            tasks.insert(1, asyncio.create_task(bank.deliver(_unpaid(grants[2]), {0: VECTOR})))
            await bank_idle()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await bank.close()
        return results

    first, bad, second = run(scenario())
    assert isinstance(bad, StoreError)
    assert first[0].tolist() == second[0].tolist() == VECTOR.tolist()


async def bank_idle() -> None:
    await asyncio.sleep(0.02)


def _unpaid(grant: Grant) -> Grant:
    return Grant(grant.tier, [None], [0], None, None, [b"nobody has paid"], grant.request)


def test_a_request_without_records_costs_nothing(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(1))
        grant, answers = await ask(bank, request())
        await bank.close()
        assert (grant.refusal, grant.new, grant.remaining, answers) == (None, [], 1, [])

    run(scenario())
    assert spent(store) == (0, {}, 0)


def test_answers_to_a_refused_request_are_not_released(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy(1))
        grant = await bank.grant(request(1, 2))
        with pytest.raises(ValueError, match="answers"):
            await bank.deliver(grant, {})
        await bank.close()

    run(scenario())


@pytest.mark.slow
def test_a_record_of_many_clients_stays_quick(store: Store, run: Run) -> None:
    async def scenario() -> float:
        bank = Bank(store, policy(1))
        await asyncio.gather(*(ask(bank, request(1, client=f"client {i}")) for i in range(5000)))
        begin = time.process_time()
        for _ in range(20):
            await ask(bank, request(1, client="client 1"))
        await bank.close()
        return time.process_time() - begin

    assert run(scenario()) < 1  # a few milliseconds each, not one for each of the others
    assert spent(store)[0] == 1


def test_a_closed_bank_grants_nothing(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = Bank(store, policy())
        await bank.close()
        await bank.close()
        with pytest.raises(StoreError, match="closing"):
            await bank.grant(request(1))

    run(scenario())


def test_a_request_of_an_odd_form_is_refused() -> None:
    with pytest.raises(ValueError, match="digests"):
        GrantRequest("ann", "default", [b"x"], [])
    with pytest.raises(ValueError, match="nats"):
        request(1, cost_nats=float("nan"))
    with pytest.raises(ValueError, match="name"):
        request(1, client="a\0b")
