"""Answers with a bound in the bank: what they cost, the state that they share, and what a client can read off it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from tests.gateway.bounded_case import CLASSES, PAC, SECRET, WORLDS, mechanism, replayed, request, said, tell

from memberwise.defences.output.pac import Pac, PacState
from memberwise.errors import StoreError, StudyError
from memberwise.gateway import bank as bank_module
from memberwise.gateway.bank import Bank, GrantRequest
from memberwise.gateway.books import deliver_many
from memberwise.gateway.bounded import Account, check_budgets
from memberwise.gateway.grants import Grant
from memberwise.gateway.kept import pack
from memberwise.gateway.ledger import read_clients, read_ledger, read_total
from memberwise.gateway.policy import Policy, parse_policy
from memberwise.gateway.store import Store
from memberwise.gateway.tables import bounds, metadata, rhos

Run = Callable[[Awaitable[Any]], Any]
PROGRAM = Path(__file__).with_name("bounded_case.py")


def policy(**tables: Any) -> Policy:
    return parse_policy(tables, "the test")


def bank_of(store: Store, given: Policy | None = None, **more: Any) -> Bank:
    return Bank(store, given or policy(), mechanism=mechanism(**more))


def state_of(store: Store, **more: Any) -> PacState:
    with store.reading() as connection:
        state: PacState = Account(connection, mechanism(**more)).state
    return state


def reserved(store: Store) -> tuple[float, float, dict[str, float]]:
    """Nats granted of the mechanism, in total and by client."""
    with store.reading() as connection:
        own = Account(connection, mechanism()).nats
    return own, read_total(store).nats, {one.name: one.nats for one in read_clients(store)}


def order_of(store: Store) -> list[int]:
    """The numbers of the records in the order in which they were answered, as the ledger tells."""
    rows = [row for row in read_ledger(store, 10_000) if row.event == "answer"]
    return [int.from_bytes(row.digest or b"", "big") for row in reversed(rows)]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield lambda awaitable: runner.run(_await(awaitable))


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_asked_twice_costs_nothing_and_is_the_same(any_store: Store, run: Run) -> None:
    async def scenario() -> list[np.ndarray]:
        bank = bank_of(any_store, rng=lambda: np.random.default_rng())
        told = [await tell(bank, 1, 2, client=name) for name in ("ann", "ann", "bob")]
        told += [await tell(bank, 2, 1, 2, client="ann")]
        await bank.close()
        return [np.stack(one) for one in told if one is not None]

    first, again, others, turned = run(scenario())
    assert first.tobytes() == again.tobytes() == others.tobytes()
    assert turned.tobytes() == first[[1, 0, 1]].tobytes()
    assert state_of(any_store).questions == 2
    cost = PAC.cost
    assert reserved(any_store) == (2 * cost, 2 * cost, {"ann": 2 * cost, "bob": 2 * cost})


def test_64_askers_leave_what_one_order_leaves(any_store: Store, run: Run) -> None:
    told: dict[int, bytes] = {}

    async def one(bank: Bank, name: str, numbers: list[int]) -> None:
        for number in numbers:
            answers = await tell(bank, number, client=name)
            assert answers is not None
            assert told.setdefault(number, answers[0].tobytes()) == answers[0].tobytes()

    async def scenario() -> None:
        banks = [bank_of(any_store), bank_of(any_store)]
        rng = np.random.default_rng(0)
        orders = [rng.permutation(60)[:8].tolist() for _ in range(64)]
        await asyncio.gather(*(one(banks[i % 2], f"client {i}", order) for i, order in enumerate(orders)))
        for bank in banks:
            await bank.close()

    run(scenario())
    check_one_order(any_store, told)


def check_one_order(store: Store, told: dict[int, bytes]) -> None:
    """Answers, state and booked costs are those of the ledger's order, exactly."""
    order = order_of(store)
    assert len(order) == len(set(order))
    answers, state, costs = replayed(order)
    assert {number: answers[number] for number in told} == told
    kept = state_of(store)
    assert (kept.nats, kept.questions) == (state.nats, state.questions)
    assert kept.weights.tobytes() == state.weights.tobytes()
    assert [row.nats for row in reversed(read_ledger(store, 10_000)) if row.event == "answer"] == costs
    # Another order would have cost something else, or nothing was tried; weights can come out alike in the end.
    assert replayed(order[::-1])[2] != costs[::-1]
    assert replayed(order[::-1])[1].nats != state.nats


def process(url: str, out: Path, first: int, count: int, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), url, name, str(first), str(count), "64"]
    with out.open("wb") as file:
        return subprocess.Popen(command, stdout=file)


def told_by(*outs: Path) -> dict[int, bytes]:
    lines = [line.split() for out in outs for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {int(number): bytes.fromhex(answer) for number, answer in lines}


@pytest.mark.slow
def test_two_gateways_leave_what_one_order_leaves(any_url: str, tmp_path: Path) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    processes = [process(any_url, out, 0, 120, out.name) for out in outs]
    assert [one.wait(300) for one in processes] == [0, 0]
    assert told_by(outs[0]) == told_by(outs[1])
    store = Store.open(any_url)
    check_one_order(store, told_by(*outs))
    assert reserved(store)[0] == pytest.approx(120 * PAC.cost)
    store.close()


@pytest.mark.slow
def test_a_kill_spends_nothing_twice_and_gives_nothing(any_url: str, tmp_path: Path) -> None:
    killed, rest, beyond = tmp_path / "killed", tmp_path / "rest", tmp_path / "beyond"
    questions = mechanism().questions
    first = process(any_url, killed, 0, questions, "ann")
    while first.poll() is None and len(told_by(killed)) < 80:
        time.sleep(0.005)
    first.kill()
    assert first.wait(60) == -9
    store = Store.open(any_url)
    check_one_order(store, told_by(killed))
    store.close()
    # The same again, to the end of the budget: what was paid is answered at no further cost, what was told stays.
    assert process(any_url, rest, 0, questions, "ann").wait(300) == 0
    assert process(any_url, beyond, questions, 50, "ann").wait(300) == 0
    assert len(told_by(rest)) == questions
    assert told_by(beyond) == {}
    assert told_by(killed).items() <= told_by(rest).items()
    store = Store.open(any_url)
    check_one_order(store, told_by(rest))
    assert reserved(store)[0] == pytest.approx(PAC.budget)
    assert state_of(store).nats <= PAC.budget
    store.close()


def test_a_spent_budget_refuses_under_any_policy(store: Store, run: Run) -> None:
    small = Pac(budget_nats=10 * 2.0**-9, per_question=2.0**-9)
    given = [policy(), policy(plans={"default": {"questions": None}}, budget={"total": 10_000})]

    async def scenario() -> None:
        bank = bank_of(store, given[0], defence=small)
        for number in range(10):
            assert await tell(bank, number, client=f"client {number}") is not None
        refused = await bank.grant(request(10))
        assert refused.refusal is not None
        assert refused.refusal.reason == "total"
        bank.use(given[1], b"another epoch")
        assert (await bank.grant(request(10))).refusal is not None
        # An epoch that knows no stored answer asks the same ensemble: what it has told is not forgotten.
        assert (await bank.grant(request(3))).refusal is not None
        await bank.close()
        for weights, secret, fits in (
            ("weights", SECRET, False),
            ("others", SECRET, True),
            ("weights", b"o" * 32, True),
        ):
            again = bank_of(store, given[1], defence=small, weights=weights, secret=secret)
            assert (await tell(again, 20, client="bob") is not None) == fits
            await again.close()

    run(scenario())
    assert state_of(store).questions == 10


def test_a_larger_own_budget_starts_at_what_is_spent(store: Store, run: Run) -> None:
    async def scenario(defence: Pac, numbers: range) -> int:
        bank = bank_of(store, defence=defence)
        told = [await tell(bank, number) for number in numbers]
        await bank.close()
        return sum(one is not None for one in told)

    assert run(scenario(Pac(budget_nats=0.5, per_question=0.125), range(6))) == 4
    # Smaller noise from now on: 0.5 of 1 nat are granted already.
    assert run(scenario(Pac(budget_nats=1.0, per_question=0.25), range(10, 16))) == 2


@pytest.mark.parametrize("key", ["plan", "total"])
def test_a_lowered_budget_of_nats_binds_at_once(store: Store, run: Run, key: str) -> None:
    def limited(questions: float) -> Policy:
        nats = questions * PAC.cost
        return policy(plans={"default": {"nats": nats}}) if key == "plan" else policy(budget={"total_nats": nats})

    async def scenario() -> None:
        bank = bank_of(store, limited(6))
        for number in range(4):
            assert await tell(bank, number) is not None
        bank.use(limited(4.5), b"")
        assert await tell(bank, 5) is None
        assert await tell(bank, 3) is not None  # asked before: no further cost
        bank.use(limited(5), b"")
        assert await tell(bank, 5) is not None
        assert await tell(bank, 6) is None
        await bank.close()

    run(scenario())


def test_nats_move_the_ladder_as_questions_do(store: Store, run: Run) -> None:
    ladder = [{"above": 0, "tier": "vector"}, {"above": 0.5, "tier": "label"}]
    given = policy(plans={"default": {"nats": 4 * PAC.cost, "ladder": ladder}})

    async def scenario() -> list[str]:
        bank = bank_of(store, given)
        grants = [await bank.grant(request(number)) for number in range(5)]
        await bank.close()
        return ["refused" if grant.refusal else grant.tier for grant in grants]

    assert run(scenario()) == ["vector", "vector", "label", "label", "refused"]


def test_what_is_granted_tells_not_whether_worlds_agree(tmp_path: Path, run: Run) -> None:
    async def scenario(numbers: list[int]) -> list[tuple[Any, ...]]:
        store = Store.open(f"sqlite:///{tmp_path / f'{numbers[0]}.sqlite'}")
        bank = bank_of(store, policy(plans={"default": {"nats": 8.5 * PAC.cost}}, budget={"total_nats": 12 * PAC.cost}))
        seen = []
        for turn, number in enumerate(numbers):
            grant = await bank.grant(request(number, client="ann" if turn % 3 else "bob"))
            refusal = None if grant.refusal is None else (grant.refusal.reason, grant.refusal.message)
            seen.append((grant.tier, grant.remaining, refusal))
            if not refusal:
                await bank.deliver(grant, {i: said(number) for i in grant.new})
        await bank.close()
        store.close()
        return seen

    agreeing, apart = [3 * i for i in range(20)], [3 * i + 1 for i in range(20)]
    assert replayed(agreeing)[1].nats == 0 < replayed(apart)[1].nats
    seen = run(scenario(agreeing))
    assert seen == run(scenario(apart))
    assert {None, "client", "total"} == {refusal and refusal[0] for _, _, refusal in seen}


def test_what_was_not_answered_is_given_back(any_store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = bank_of(any_store)
        grants = [await bank.grant(request(1, 2)), await bank.grant(request(2, client="bob"))]
        for grant in grants[::-1]:
            await bank.refund(grant)
        await bank.close()

    run(scenario())
    assert reserved(any_store) == (0.0, 0.0, {"ann": 0.0, "bob": 0.0})
    assert state_of(any_store).questions == 0


def test_a_refund_leaves_others_answers_paid(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = bank_of(store)
        await tell(bank, 1)
        grant: Grant = await bank.grant(request(1, 2))
        await bank.refund(grant)
        await bank.close()

    run(scenario())
    assert reserved(store)[0] == PAC.cost
    assert state_of(store).questions == 1


@pytest.mark.parametrize("seed", range(3))
def test_books_hold_what_is_paid_and_nothing_else(store: Store, run: Run, seed: int) -> None:
    rng = np.random.default_rng(seed)
    paid: dict[str, set[int]] = {name: set() for name in "abc"}
    answered: set[int] = set()

    async def scenario() -> None:
        bank = bank_of(store)
        waiting: list[tuple[str, list[int], Grant]] = []
        for _ in range(60):
            if waiting and rng.random() < 0.6:
                name, numbers, grant = waiting.pop(int(rng.integers(len(waiting))))
                if rng.random() < 0.5:
                    await bank.deliver(grant, {i: said(numbers[i]) for i in grant.new})
                    answered.update(numbers)
                else:
                    await bank.refund(grant)
                    begun = {number for other, some, _ in waiting if other == name for number in some}
                    paid[name] -= {numbers[i] for i in grant.new} - answered - begun
            else:
                name, numbers = str(rng.choice(list(paid))), rng.integers(0, 12, int(rng.integers(1, 4))).tolist()
                grant = await bank.grant(request(*numbers, client=name))
                waiting.append((name, numbers, grant))
                paid[name] |= set(numbers)
        await bank.close()

    run(scenario())
    own, total, mine = reserved(store)
    everybody = set().union(*paid.values())
    assert own == total == pytest.approx(len(everybody) * PAC.cost)
    assert mine == pytest.approx({name: len(numbers) * PAC.cost for name, numbers in paid.items() if name in mine})
    assert set(order_of(store)) == answered
    assert state_of(store).questions == len(answered)


def test_a_failed_transaction_tells_nothing(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise StoreError("away")

    async def scenario() -> None:
        bank = bank_of(store)
        grant = await bank.grant(request(1))
        with monkeypatch.context() as patch:
            patch.setattr("memberwise.gateway.bounded.write_ledger", failing)
            with pytest.raises(StoreError):
                await bank.deliver(grant, {0: said(1)})
        assert state_of(store).questions == 0
        # Paid for already: answered once the store is back, at no further cost.
        assert await tell(bank, 1) is not None
        await bank.close()

    run(scenario())
    assert reserved(store)[0] == PAC.cost
    assert state_of(store).questions == 1


def test_a_transaction_makes_few_answers(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    deliver = deliver_many

    def counting(connection: sa.Connection, deliveries: Any, *more: Any) -> Any:
        sizes.append(sum(len(one.answers) for one in deliveries))
        return deliver(connection, deliveries, *more)

    async def scenario() -> None:
        bank = bank_of(store)
        grants = [await bank.grant(request(3 * i, 3 * i + 1)) for i in range(12)]
        answers = [{k: said(3 * i + k) for k in range(2)} for i in range(12)]
        await asyncio.gather(*(bank.deliver(*pair) for pair in zip(grants, answers, strict=True)))
        await bank.close()

    monkeypatch.setattr(bank_module, "deliver_many", counting)
    monkeypatch.setattr(bank_module, "STEPS", 5)
    run(scenario())
    assert sum(sizes) == 24
    assert max(sizes) <= 6


def test_a_state_of_another_defence_answers_nothing(store: Store, run: Run) -> None:
    async def scenario() -> None:
        bank = bank_of(store)
        await tell(bank, 1)
        with store.writing() as connection:
            connection.execute(bounds.update().values(state=b"something else"))
        with pytest.raises(StoreError, match="cannot be read"):
            await bank.grant(request(2))
        await bank.close()

    run(scenario())
    assert read_total(store).questions == 1


def test_raw_answers_of_an_ensemble_are_never_kept(store: Store, run: Run) -> None:
    with pytest.raises(ValueError, match="shape"):
        pack(said(1))

    async def scenario() -> None:
        bank = bank_of(store)
        grant = await bank.grant(request(1))
        for wrong in (np.eye(CLASSES)[0], said(1)[: WORLDS - 1], np.array(1)):
            with pytest.raises(ValueError, match="models"):
                await bank.deliver(grant, {0: wrong})
        await bank.close()
        plain = Bank(store, policy())
        grant = await plain.grant(request(2))
        with pytest.raises(ValueError, match="shape"):
            await plain.deliver(grant, {0: said(2)})
        await plain.close()

    run(scenario())
    assert state_of(store).questions == 0


def test_others_questions_sharpen_a_clients_answers(store: Store, run: Run) -> None:
    # Why a client's own nats bound nothing: the noise is what all clients' answers have left of the secret.
    dear = Pac(budget_nats=1000.0, per_question=5.0, answers="one-hot")

    async def scenario() -> np.ndarray:
        bank = bank_of(store, defence=dear, rng=lambda: np.random.default_rng(0))
        for number in range(1, 60, 3):
            await tell(bank, number, client="others")
        before = state_of(store)
        told = await tell(bank, 91, client="ann")
        await bank.close()
        assert told is not None
        assert state_of(store).nats - before.nats < 1e-3
        assert before.weights.max() > 0.999
        return told[0]

    answer = run(scenario())
    world = int(state_of(store).weights.argmax())
    assert answer.argmax() == said(91)[world].argmax()
    assert answer.max() > 0.99


@pytest.mark.parametrize(
    ("tables", "with_pac", "told"),
    [
        ({"plans": {"default": {"nats": 1.0}}}, False, "plans.default.nats"),
        ({"budget": {"total_nats": 1.0}}, False, "budget.total_nats"),
        ({"budget": {"total_epsilon": 1.0}}, True, "budget.total_epsilon"),
        ({"plans": {"default": {}, "ward": {"epsilon": 1.0}}}, True, "plans.ward.epsilon"),
    ],
)
def test_a_budget_that_nothing_keeps_is_refused(tables: dict[str, Any], with_pac: bool, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        check_budgets(policy(**tables), mechanism() if with_pac else None)
    check_budgets(policy(budget={"total_nats": 1.0}), mechanism())


def test_a_store_of_before_gets_what_is_new(sqlite_url: str) -> None:
    old = Store.open(sqlite_url)
    with old.writing() as connection:
        connection.execute(sa.text("INSERT INTO clients (name, spent, nats) VALUES ('ann', 3, 0)"))
        for table in (bounds, rhos):
            table.drop(connection)
    old.close()
    store = Store.open(sqlite_url)
    with store.reading() as connection:
        assert set(metadata.tables) <= set(sa.inspect(connection).get_table_names())
    assert [(one.name, one.questions) for one in read_clients(store)] == [("ann", 3)]
    store.close()


def test_rho_is_granted_counted_and_given_back(any_store: Store, run: Run) -> None:
    async def scenario() -> list[dict[int, float]]:
        bank = Bank(any_store, policy())
        some = [("ann", 1, 0.25), ("bob", 1, 0.25), ("ann", 2, 0.5)]
        for name, number, rho in some:
            digest = number.to_bytes(16, "big")
            grant = await bank.grant(GrantRequest(name, "default", [digest], [(digest,)], cost_rho=rho))
        before = rhos_of(any_store)
        await bank.refund(grant)
        await bank.close()
        return [before, rhos_of(any_store)]

    assert run(scenario()) == [{0: 0.75, 1: 0.75, 2: 0.25}, {0: 0.25, 1: 0.25, 2: 0.25}]


def rhos_of(store: Store) -> dict[int, float]:
    with store.reading() as connection:
        return {row.client: row.rho for row in connection.execute(sa.select(rhos))}
